"""upgrade: another script in this one's place, if somebody who may signed it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.node.nodes import NAME, SCRIPT, SELF, Answer, Node, wait
from tests.node.parcel import Signer, sha256, tar

pytestmark = pytest.mark.live


def script(serial: int, more: str = "") -> bytes:
    text = re.sub(r"(?m)^SERIAL=\d+$", f"SERIAL={serial}", SCRIPT.read_text())
    return (text + more).encode()


def package(
    node: Node, body: bytes, serial: int, changes: Mapping[str, bytes] | None = None
) -> bytes:
    statement = f"tailgit-upgrade 1\nserial {serial}\nscript {sha256(body)}\n".encode()
    parts = {
        "statement": statement,
        "statement.sig": node.signer.sign(statement, f"tailgit@{NAME}"),
        "tailgit-node": body,
    }
    return tar(list({**parts, **(changes or {})}.items()))


def upgrade(node: Node, data: bytes) -> Answer:
    return node.request("upgrade", NAME, stdin=data)


def test_a_signed_script_takes_its_place(node: Node) -> None:
    """It is installed whole, and the guard and the timer go on with it."""
    node.apply(node.parcel())
    node.stage(node.parcel(height=8))
    node.activate(2)
    guards, timers = node.guards(), node.timers()
    body = script(2, "# another\n")
    answer = upgrade(node, package(node, body, 2))
    assert answer["result"] == "ok", answer.fields
    assert answer["serial"] == "2"
    assert node.path(SELF).read_bytes() == body
    assert node.path(SELF).stat().st_mode & 0o777 == 0o755
    seen = node.observe()
    assert (seen["serial"], seen["script"]) == ("2", sha256(body))
    time.sleep(2.5)
    assert (node.guards(), node.timers()) == (guards, timers)
    for pid in [*guards, *timers]:
        opened = {str(fd.readlink()) for fd in node.path(f"/proc/{pid}/fd").iterdir()}
        assert f"{SELF} (deleted)" not in opened
    node.run("nft", "flush", "ruleset")
    wait(lambda: node.table() != "", 4)
    assert node.rollback(2)["result"] == "ok"
    wait(lambda: node.timers() == [], 5)


def test_a_repeated_upgrade_is_ok(node: Node) -> None:
    """The same serial may come again."""
    data = package(node, script(2), 2)
    assert upgrade(node, data)["result"] == "ok"
    assert upgrade(node, data)["result"] == "ok"
    assert upgrade(node, package(node, script(1), 1)).error == "older"


def refused(node: Node, tmp_path: Path) -> dict[str, tuple[str, bytes]]:
    good = script(2)
    stranger = Signer.make(tmp_path, "stranger")
    statement = f"tailgit-upgrade 1\nserial 2\nscript {sha256(good)}\n".encode()
    apply = f"tailgit-apply 1\nroot {sha256(good)}\n".encode()

    def signed(text: bytes, namespace: str = f"tailgit@{NAME}") -> dict[str, bytes]:
        return {"statement": text, "statement.sig": node.signer.sign(text, namespace)}

    foreign = {"statement.sig": stranger.sign(statement, f"tailgit@{NAME}")}
    unsigned = {"statement.sig": b"", "statement": statement}
    return {
        "nothing": ("bad-parcel", b""),
        "a parcel": ("bad-parcel", node.parcel().build()),
        "unsigned": ("bad-signature", package(node, good, 2, unsigned)),
        "a stranger's": ("bad-signature", package(node, good, 2, foreign)),
        "of another tailnet": (
            "bad-signature",
            package(node, good, 2, signed(statement, "tailgit@other")),
        ),
        "signed as a parcel": ("bad-parcel", package(node, good, 2, signed(apply))),
        "another script": (
            "bad-hash",
            package(node, good, 2, {"tailgit-node": good + b"\n"}),
        ),
        "another serial": ("bad-grammar", package(node, good, 3)),
        "a lower serial": ("older", package(node, script(0), 1)),
        "no script of ours": ("bad-grammar", package(node, b"#!/bin/sh\nid\n", 2)),
        "no shell": ("check-failed", package(node, good + b"if\n", 2)),
        "too large": ("bad-parcel", package(node, good + b"#" * (1 << 20), 2)),
    }


def test_what_is_not_one_is_refused(node: Node, tmp_path: Path) -> None:
    """The word says why, and the installed script is the same file as before."""
    before = node.path(SELF).stat()
    for case, (word, data) in refused(node, tmp_path).items():
        if case == "a lower serial":
            text = SCRIPT.read_text().replace("\nSERIAL=1\n", "\nSERIAL=5\n")
            node.path(SELF).write_text(text)
            data = package(node, script(4), 4)
            before = node.path(SELF).stat()
        answer = upgrade(node, data)
        assert answer.error == word, (case, answer.fields)
        now = node.path(SELF).stat()
        assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        if case == "a lower serial":
            node.path(SELF).write_bytes(script(1))
            before = node.path(SELF).stat()
    assert not list(node.path(f"/var/lib/tailgit/{NAME}/incoming").iterdir())
