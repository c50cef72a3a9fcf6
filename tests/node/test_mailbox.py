"""deposit and fetch: a mailbox holds parcels, and its keys open nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.node.conftest import SHELLS
from tests.node.nodes import NAME, SELF, STATE, Node, parse
from tests.node.parcel import FILES, Parcel, Signer, sha256
from tests.node.post import AUTHORIZED, BOX, LAPTOP, Post, make_post, parcel

pytestmark = pytest.mark.live

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"


@pytest.fixture(scope="module", params=SHELLS)
def post(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    signer: Signer,
) -> Iterator[Post]:
    """A laptop and its one mailbox, for all tests of the module."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("post")
        yield make_post(request.param, folder, signer, 1, stack)


@pytest.fixture
def box(post: Post) -> Node:
    """The mailbox, empty and naming the laptop alone."""
    (box,) = post.boxes
    box.sh(f"rm -rf {BOX}")
    return box


def held(box: Node) -> list[str]:
    return sorted(p.name for p in box.path(BOX).glob("*")) if box.path(BOX) else []


def made_at(second: int) -> str:
    return f"2026-11-22T13:00:{second:02}Z"


def frame(raw: bytes) -> tuple[bytes, bytes]:
    """An answer to fetch: its frame, and what follows."""
    start = raw.index(b"\nend\t") + 1
    size = raw.index(b"\n", start) + 1
    return raw[:size], raw[size:]


def test_a_parcel_lies_there_for_its_device(post: Post, box: Node) -> None:
    """deposit keeps it whole, says what it is, and observe shows it."""
    made = post.own(5)
    answer = post.deposit(made)
    envelope = sha256(made.overrides["envelope"])
    assert (answer["result"], answer["node"]) == ("ok", LAPTOP), answer.fields
    assert (answer["envelope"], answer["at"]) == (envelope, "2026-11-22T13:00:05Z")
    assert box.path(f"{BOX}/{LAPTOP}").read_bytes() == made.build()
    assert box.observe().all("deposited") == [
        " ".join((LAPTOP, envelope, made_at(5), made.commit, sha256(made.manifest())))
    ]
    before = box.fingerprint()
    assert post.deposit(made).fields == answer.fields
    changed = {k for k, v in box.fingerprint().items() if before.get(k) != v}
    assert not any(Path(k).name.startswith(LAPTOP) for k in changed)


def test_only_the_latest_is_kept(post: Post, box: Node) -> None:
    """An older parcel is refused, a newer one takes its place, strangers' go."""
    assert post.deposit(post.own(5))["result"] == "ok"
    refused = post.deposit(post.own(4))
    assert refused.error == "older"
    assert "13:00:05" in refused["message"]
    box.write(f"{BOX}/old-laptop", "gone long ago")
    box.write(f"{BOX}/old-laptop.seen", "1 none ok\n")
    assert post.deposit(post.own(6))["at"] == "2026-11-22T13:00:06Z"
    assert held(box) == [LAPTOP, f"{LAPTOP}.about"]


def test_what_its_node_would_refuse_is_refused(
    post: Post, box: Node, tmp_path: Path
) -> None:
    """Forged, for another device or tailnet, cut, too large: none of it is kept."""
    other = Signer.make(tmp_path, "mallory")
    good = post.own(5).build()
    public = post.laptop.public
    bad_path = post.own(5)
    bad_path.overrides["path"] = b"L " + b"0" * 64 + b"\n"
    cases = [
        (post.own(5, signer=other).build(), "bad-signature"),
        (parcel(public, post.signer, 5, node="db-1").build(), "wrong-node"),
        (parcel(public, post.signer, 5, tailnet="emca").build(), "wrong-tailnet"),
        (bad_path.build(), "bad-path"),
        (b"", "bad-parcel"),
        (good[:512], "bad-parcel"),
        (good[: len(good) // 4], "bad-parcel"),
        (good.replace(b"# db-1", b"# db-2"), "bad-hash"),
    ]
    for data, error in cases:
        answer = post.deposit(data)
        assert answer.error == error, answer.fields
        assert held(box) == []
    assert post.deposit(good, node="db-1").error == "not-a-mailbox"
    assert box.request("deposit", NAME, "../x", stdin=good).error == "bad-request"
    assert post.deposit(good)["result"] == "ok"


def test_a_device_fetches_its_own(post: Post, box: Node) -> None:
    """none, then new with the bytes behind the frame, then same; the words are kept."""
    for have, ending in (("none", "none"), ("f" * 64, "rolledback")):
        raw = post.ssh(f"fetch {NAME} {have} {ending} none").stdout
        answer = parse(raw)
        assert (answer["state"], answer["node"]) == ("none", LAPTOP)
        assert post.seen()[1:] == [have, ending]
        (line,) = box.observe().all("pulled")
        assert line.split()[0::2] == [LAPTOP, have]
    made = post.own(5)
    data, envelope = made.build(), sha256(made.overrides["envelope"])
    post.deposit(made)
    first, rest = frame(post.ssh(f"fetch {NAME} none none none").stdout)
    answer = parse(first)
    assert (answer["state"], answer["envelope"]) == ("new", envelope)
    assert (answer["size"], answer["digest"]) == (str(len(data)), sha256(data))
    assert rest == data
    for words in (f"{envelope} ok none", f"none rolledback {envelope}"):
        first, rest = frame(post.ssh(f"fetch {NAME} {words}").stdout)
        assert (parse(first)["state"], rest) == ("same", b"")


HOSTILE = [
    "",
    "id",
    "sh",
    f"observe {NAME}",
    f"stage {NAME}",
    f"activate {NAME} 1",
    f"deposit {NAME} {LAPTOP}",
    f"fetch {NAME} none none none db-1",
    f"fetch {NAME} none none",
    "fetch other none none none",
    f"fetch {NAME} none none none; id",
    f"fetch {NAME} $(id) none none",
    f"fetch {NAME} none ../../x none",
    f"fetch {NAME} none {'x' * 30} none",
    f"fetch {NAME} {'F' * 64} none none",
    "scp -f /etc/passwd",
    "/usr/lib/openssh/sftp-server",
]


def test_a_pull_key_opens_nothing_else(post: Post, box: Node) -> None:
    """No shell, no copy, no forwarding, no other verb, no other device's parcel."""
    post.deposit(post.own(5))
    before = box.fingerprint()
    for command in HOSTILE:
        done = post.ssh(command)
        error = parse(done.stdout).error
        assert error in ("bad-request", "read-only"), (command, done)
        assert b"root:" not in done.stdout
        assert b"uid=" not in done.stdout
    assert box.fingerprint() == before
    host = post.lines[0].split()[0]
    for options in (("-L", "9000:127.0.0.1:2222"), ("-R", "9001:127.0.0.1:2222")):
        done = post.ssh(
            f"fetch {NAME} none none none", *options, "-o", "ExitOnForwardFailure=yes"
        )
        if options[0] == "-R":
            assert b"TAILGIT" not in done.stdout
    done = post.ssh("x", "-W", "127.0.0.1:2222")
    assert b"SSH-2.0" not in done.stdout
    assert host in done.args[-2]
    copied = post.laptop.run(
        *("scp", "-P", "2222", "-o", "StrictHostKeyChecking=no"),
        *("-o", "UserKnownHostsFile=/dev/null", "-i", f"/etc/tailgit/{NAME}/pull.key"),
        *(f"tailgit@{host}:/etc/passwd", "/run/stolen"),
        check=False,
    )
    assert copied.returncode != 0
    assert not post.laptop.path("/run/stolen").exists()


def test_no_other_key_may_fetch(post: Post, box: Node) -> None:
    """The controller's and an observer's key are told so; the device is the key's."""
    post.deposit(post.own(5))
    for flags in ((), ("--observe",)):
        for words in ("none none none", f"none none none {LAPTOP}"):
            answer = box.serve(f"fetch {NAME} {words}", *flags)
            assert answer.error == "bad-request", answer.fields
    assert box.serve(f"deposit {NAME} {LAPTOP}", "--observe").error == "read-only"
    for arguments in (["--fetch"], ["--fetch", NAME], ["--fetch", NAME, LAPTOP, "x"]):
        assert box.run(SELF, "serve", *arguments, check=False).returncode == 64


def test_keys_come_and_go_with_the_generation(post: Post, box: Node) -> None:
    """A lost laptop's key opens nothing once a generation leaves it out; a failed
    activation gives back what was; other lines of the file stay."""
    others = box.read(AUTHORIZED).splitlines()
    assert sum(line.endswith(f" tailgit:{NAME}:pull") for line in others) == 1
    foreign = f'restrict,command="x" {KEY} tailgit:other:pull\n'
    box.write(AUTHORIZED, box.read(AUTHORIZED) + foreign, 0o644)
    with_key = box.read(AUTHORIZED)
    broken = parcel(box.public, post.signer, 20, node="box", mailbox=f"db-1 {KEY}\n")
    box.write("/usr/local/sbin/wg", FAILING_WG, 0o755)
    number = box.stage(broken)["generation"]
    assert box.activate(number).error == "activation-failed"
    box.path("/usr/local/sbin/wg").unlink()
    assert sorted(box.read(AUTHORIZED).splitlines()) == sorted(with_key.splitlines())
    box.apply(parcel(box.public, post.signer, 21, node="box", mailbox=f"db-1 {KEY}\n"))
    lines = box.read(AUTHORIZED)
    assert f'"{SELF} serve --fetch {NAME} db-1" {KEY} tailgit:{NAME}:pull\n' in lines
    assert post.pull_key not in lines
    assert foreign in lines
    assert f" tailgit:{NAME}\n" in lines
    assert b"TAILGIT" not in post.ssh(f"fetch {NAME} none none none").stdout
    assert box.request("fetch", NAME, "none", "none", "none", LAPTOP).error == (
        "not-a-mailbox"
    )
    box.apply(parcel(box.public, post.signer, 22, node="box"))
    assert "--fetch acme" not in box.read(AUTHORIZED)
    post.open_boxes(second=23)
    assert b"TAILGIT" in post.ssh(f"fetch {NAME} none none none").stdout
    box.run(SELF, "down", NAME)
    assert "--fetch acme" not in box.read(AUTHORIZED)
    assert foreign in box.read(AUTHORIZED)
    box.run(SELF, "boot", NAME)
    assert b"TAILGIT" in post.ssh(f"fetch {NAME} none none none").stdout


def test_who_is_no_mailbox_has_nothing_to_write(post: Post, box: Node) -> None:
    """With a key file that can't be written an activation that changes no pull key
    goes on, and one that does fails and leaves what ran."""
    box.sh(f"mount --bind {Path(AUTHORIZED).parent} {Path(AUTHORIZED).parent}")
    box.sh(f"mount -o remount,bind,ro {Path(AUTHORIZED).parent}")
    try:
        post.open_boxes(second=30)
        other = parcel(box.public, post.signer, 31, node="box")
        number = box.stage(other)["generation"]
        answer = box.activate(number)
        assert answer.error == "activation-failed", answer.fields
        assert "pull keys" in answer["message"]
        assert box.observe()["peers"] == "ok"
        assert b"TAILGIT" in post.ssh(f"fetch {NAME} none none none").stdout
    finally:
        box.sh(f"umount {Path(AUTHORIZED).parent}")


FAILING_WG = """#!/bin/sh
case $1 in syncconf) grep -q 'tailgit-never' || exit 1 ;; esac
exec /usr/bin/wg "$@"
"""

BAD_FILES = [
    ("mailbox", f"{LAPTOP} ssh-ed25519\n"),
    ("mailbox", f"{LAPTOP} {KEY} comment\n"),
    ("mailbox", f"{LAPTOP}  {KEY}\n"),
    ("mailbox", f'{LAPTOP} ssh-ed25519 AAAA",permitopen="x\n'),
    ("mailbox", f'x"y {KEY}\n'),
    ("mailbox", f"../x {KEY}\n"),
    ("mailbox", f"{LAPTOP} {KEY.replace('ssh-ed25519', 'ssh-dss')}\n"),
    ("mailbox", f"b {KEY}\na {KEY}\n"),
    ("mailbox", f"a {KEY}\na {KEY}\n"),
    ("mailboxes", f"203.0.113.1 {KEY}\n"),
    ("mailboxes", f"203.0.113.1 0 {KEY}\n"),
    ("mailboxes", f"203.0.113.1 65536 {KEY}\n"),
    ("mailboxes", f"-oProxyCommand=x 22 {KEY}\n"),
    ("mailboxes", f"a@b 22 {KEY}\n"),
    ("mailboxes", f"203.0.113.1 22 {KEY} x\n"),
    ("mailboxes", f"*.acme.com 22 {KEY}\n"),
]


@pytest.mark.parametrize(("name", "text"), BAD_FILES)
def test_the_grammar_of_both_files(refusing: Node, name: str, text: str) -> None:
    """A key line can't be given options or another command, nor ssh an option."""
    made = Parcel([refusing.public], refusing.signer, files={**FILES, name: text})
    answer = refusing.stage(made)
    assert answer.error == "bad-grammar", answer.fields
    assert answer["message"].startswith(f"{name}:")
    assert not refusing.path(f"{STATE}/generations/1").exists()
