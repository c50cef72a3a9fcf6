"""Suspensions, a node's log and hostile answers, over real sshd with played answers."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from tailgit import cli
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.identity import identity
from tailgit.deploy.ssh import AsyncSsh
from tailgit.deploy.suspension import (
    LONGEST,
    Answered,
    Suspending,
    ask_all,
    end_of,
    one_line,
)
from tailgit.errors import Exit, UsageError
from tests.deploy.frames import error, frame, observation, ok
from tests.deploy.sshd import Node, public

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
DAY = 86400

TAILNET = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
users: {{ana@acme.com: {{name: Ana}}}}
tagOwners: {{tag:db: [ana@acme.com]}}
devices:
  db-1:
    tags: [tag:db]
    publicKey: 6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=
    endpoints: ["203.0.113.10:51820"]
    ssh: {{host: 127.0.0.1, port: {port}, user: {user}, hostKey: {host}}}
grants: []
"""
KEY = "6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E="


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2h", NOW + 7200),
        ("90m", NOW + 5400),
        ("3d", NOW + 3 * DAY),
        ("1d12h", NOW + DAY + 43200),
        ("30d", NOW + LONGEST),
        ("2027-01-15", NOW - 8 * 3600 + DAY),
        ("2027-01-15T09:00:00Z", NOW + 3600),
        ("2027-01-15T09:00:00+01:00", None),
        ("30d1s", None),
        ("2027-03-01", None),
        ("0s", None),
        ("-2h", None),
        ("2", None),
        ("2027-01-15T09:00:00", None),
        ("", None),
        ("d", None),
        ("9999d", None),
        ("tomorrow", None),
    ],
)
def test_when_a_suspension_ends(text: str, end: int | None) -> None:
    """A length of time, a day or a time with its offset; later than now, 30 days at
    most."""
    if end is not None:
        assert end_of(text, NOW) == end
        return
    with pytest.raises(UsageError, match="--until"):
        end_of(text, NOW)


@pytest.mark.parametrize("text", ["", " ", "a\nby root", "a\tb", "\x1b[2J", "x" * 201])
def test_a_reason_is_one_line(text: str) -> None:
    """Else it could say something else in the request, or be cut by the node."""
    with pytest.raises(UsageError, match="--reason"):
        one_line("--reason", text)


@pytest.mark.live
def test_what_is_asked_of_a_node(node: Node) -> None:
    """`suspend` brings two lines, `resume` none; a refusal is that node's own."""
    node.answers("suspend", ok("suspend", "acme"), before="cat >said\n")
    node.answers("resume", error("resume", "acme", "locked", "Ben works here"))
    asked = Suspending(NOW, "Ana Lima <ana@acme.com>", "the disk — today")

    async def both() -> list[tuple[Answered, ...]]:
        fleet = Fleet(AsyncSsh(identity(node.controller)), "acme")
        fleet.call([node.login()])
        try:
            return [
                await ask_all(fleet, ["db-1"], what, lambda *_: None)
                for what in (asked, None)
            ]
        finally:
            await fleet.close()

    ((suspended,), (resumed,)) = asyncio.run(both())
    assert (suspended.error, suspended.locked) == (None, False)
    assert resumed.locked
    assert node.requests == [f"suspend acme {NOW} none", "resume acme none"]
    said = (node.folder / "said").read_text()
    assert said == "by Ana Lima <ana@acme.com>\nreason the disk — today\n"


@pytest.fixture
def repo(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tailnet with one device: the played node."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    root = tmp_path / "repo"
    root.mkdir()
    user = pwd.getpwuid(os.geteuid()).pw_name
    text = TAILNET.format(port=node.port, user=user, host=public(node.host))
    (root / "tailnet.yaml").write_text(text)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "Start")):
        git(root, *words)
    return root


def git(root: Path, *words: str) -> None:
    ident = ("-c", "user.name=Ana", "-c", "user.email=ana@acme.com")
    subprocess.run(["git", "-C", str(root), *ident, *words], check=True)


def run(
    repo: Path, node: Node, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    capsys.readouterr()
    place = ("--repo", str(repo), "--identity", str(node.controller))
    code = cli.run([*words, *place])
    said = capsys.readouterr()
    return code, said.out, said.err


EVIL = "\x1b[2J\u202e" + "x" * 300


@pytest.mark.live
def test_a_hostile_node_can_not_paint_the_screen(
    node: Node, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it says is escaped and cut to its column, in every command."""
    record = [("commit", "1" * 40), ("height", "1"), ("kind", "apply"), ("by", EVIL)]
    record += [("at", "2026-11-22T13:00:00Z"), ("envelope", "e" * 64)]
    record += [("manifest", "f" * 64)]
    until = "253402300799"
    more = [("suspended", until), ("suspendedBy", EVIL), ("suspendedReason", EVIL)]
    more += [("foreign", EVIL), ("drift", f"peers + {EVIL}"), ("drift", EVIL)]
    more += [("lock", f"{'a' * 16} {'1' * 40} 2026-11-22T13:00:00Z 5 {EVIL}")]
    states = ("up", *("differs",) * 5, "absent")
    said = observation(
        public_keys=[KEY], record=record, current="3", states=states, more=more
    )
    node.answers("observe", said)
    node.answers("log", frame(log_lines(f"2026\tstage\t1\tok\t{EVIL}", EVIL, "")))
    for words, code in (
        (("status",), Exit.DONE),
        (("status", "--format", "json"), Exit.DONE),
        (("drift",), Exit.DONE),
        (("log", "db-1"), Exit.DONE),
        (("suspend", "db-1", "--reason", "x", "--until", "2h", "--yes"), Exit.LOCKED),
        (("resume", "--all", "--yes"), Exit.LOCKED),
    ):
        found, out, err = run(repo, node, capsys, *words)
        assert found == code, err
        assert "\x1b" not in out + err, words
        assert "\u202e" not in out + err, words
        if "json" not in words:
            # A command to copy is never broken over lines.
            lines = [line for line in out.splitlines() if "--repo" not in line]
            assert max(map(len, lines), default=0) <= 100, words
    assert not [each for each in node.requests if each.split()[0] == "suspend"]


def log_lines(*lines: str) -> list[tuple[str, str]]:
    head = [("verb", "log"), ("tailnet", "acme"), ("result", "ok")]
    return [*head, *(("line", line) for line in lines)]


@pytest.mark.live
def test_who_is_suspended_beyond_all_time_can_be_resumed(
    node: Node, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that can't be read for that could never be let go from here."""
    more = [("suspended", "9" * 20), ("suspendedBy", "x"), ("suspendedReason", "y")]
    node.answers("observe", observation(public_keys=[KEY], more=more))
    node.answers("resume", ok("resume", "acme"))
    code, out, err = run(repo, node, capsys, "status")
    assert code == Exit.DONE, err
    assert "suspended until 9999-12-31" in out
    code, _, err = run(repo, node, capsys, "resume", "db-1", "--yes")
    assert code == Exit.DONE, err


@pytest.mark.live
def test_a_time_that_no_calendar_has_is_no_answer(
    node: Node, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would end the command with a fault; so the node is a row that was not read."""
    more = [("lock", f"{'a' * 16} {'1' * 40} 2026-99-99T13:00:00Z 5 x")]
    node.answers("observe", observation(public_keys=[KEY], more=more))
    for verb in ("status", "drift"):
        code, out, _ = run(repo, node, capsys, verb)
        assert (code, "not read" in out) == (Exit.INCOMPLETE, True)
        assert "is not understood: " in " ".join(out.split())


@pytest.mark.live
def test_status_knows_who_leaves(
    node: Node, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device of the fleet's record that the commit does not have any more is asked
    all the same, and is not in sync."""
    git(repo, "update-ref", "refs/tailgit/acme/applied", "HEAD")
    text = (repo / "tailnet.yaml").read_text()
    (repo / "tailnet.yaml").write_text(text[: text.index("devices:")] + "grants: []\n")
    git(repo, "commit", "-qam", "Without db-1")
    node.answers("observe", observation(public_keys=[KEY]))
    code, out, err = run(repo, node, capsys, "status", "--detailed-exitcode")
    assert (code, "db-1  leaves  " in out) == (Exit.CHANGES, True), err
    assert "an apply takes it off" in out
    git(repo, "update-ref", "-d", "refs/tailgit/acme/applied")
    code, out, err = run(repo, node, capsys, "status", "--detailed-exitcode")
    assert (code, "No node of these is reached over SSH." in out) == (Exit.DONE, True)


@pytest.mark.live
def test_who_is_not_reached_is_not_suspended(
    node: Node, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, exit 5, and nothing is claimed about it."""
    node.close()
    words = ("suspend", "--all", "--reason", "disk", "--until", "2h", "--yes")
    code, out, err = run(repo, node, capsys, *words)
    assert (code, "no apply reaches" in err) == (Exit.INCOMPLETE, False)
    assert out.startswith("x db-1  not suspended: 127.0.0.1 port ")
    assert "To end it" not in out


@pytest.mark.live
def test_a_log_is_a_table_and_a_document(
    node: Node, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five fields; a line of another form is kept whole."""
    lines = ("2026-11-22T13:00:00Z\tstage\t4\tok\tcommit x by Ana\\tb", "odd")
    node.answers("log", frame(log_lines(*lines)))
    code, out, err = run(repo, node, capsys, "log", "db-1", "-n", "7")
    assert code == Exit.DONE, err
    assert node.requests == ["log acme 7"]
    assert "2026-11-22T13:00:00Z  stage  4    ok       commit x by Ana\\tb\n" in out
    _, out, _ = run(repo, node, capsys, "log", "db-1", "--format", "json")
    first, second = json.loads(out)["lines"]
    assert first == {
        "time": "2026-11-22T13:00:00Z",
        "verb": "stage",
        "generation": "4",
        "outcome": "ok",
        "details": "commit x by Ana\\tb",
    }
    assert second["details"] == "odd"
    node.answers("log", frame(log_lines()))
    _, out, _ = run(repo, node, capsys, "log", "db-1")
    assert out == "db-1 has written nothing down yet.\n"
    node.close()
    code, out, err = run(repo, node, capsys, "log", "db-1")
    assert (code, out) == (Exit.INCOMPLETE, "")
    assert "tailgit: error: db-1: " in err


@pytest.mark.live
def test_a_lock_that_comes_in_between_is_exit_6(
    node: Node, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody held it when it was observed; the node itself has the last word."""
    node.answers("observe", observation(public_keys=[KEY]))
    node.answers("suspend", error("suspend", "acme", "locked", "Ben works here"))
    words = ("suspend", "db-1", "--reason", "disk", "--until", "2h", "--yes")
    code, out, err = run(repo, node, capsys, *words)
    assert (code, out) == (Exit.LOCKED, "x db-1  not suspended: Ben works here\n"), err
    code, out, _ = run(repo, node, capsys, *words, "--format", "json")
    found = json.loads(out)
    assert (code, found["suspended"]) == (Exit.LOCKED, [])
    assert found["failed"][0]["node"] == "db-1"
