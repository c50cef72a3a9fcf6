"""The commands of daily work against machines that run the true script over sshd:
status, drift, suspend, resume, log, history and apply --record."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailgit.errors import Exit
from tests.deploy.machine import Machine
from tests.deploy.sshd import make_key
from tests.deploy.test_real_node import DEVICES, POLICY, TAILNET, Fleet

pytestmark = pytest.mark.live

OTHER = POLICY.replace("5432", "5433")


class Site(Fleet):
    """The fleet, and its commands with the operator's key."""

    def ask(self, verb: str, *words: str) -> tuple[int, str, str]:
        return self.tailgit(verb, *words, "--identity", str(self.controller))

    def found(self, verb: str, *words: str) -> tuple[int, dict[str, object]]:
        """Exit code and JSON document."""
        code, out, err = self.ask(verb, *words, "--format", "json")
        assert out, err
        return code, json.loads(out)


@pytest.fixture
def site(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Site]:
    """Two machines, enrolled and applied, and a bare remote `origin`."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    machines = {name: Machine(tmp_path / name) for name in ("db-1", "web-1")}
    try:
        made = Site(
            tmp_path / "repo",
            machines,
            make_key(tmp_path / "controller"),
            make_key(tmp_path / "signer"),
            capsys,
        )
        made.repo.mkdir()
        made.git("init", "-q", "-b", "main")
        made.git("config", "user.name", "Ana Lima")
        made.git("config", "user.email", "ana@acme.com")
        origin = tmp_path / "origin.git"
        subprocess.run(["git", "init", "-q", "--bare", origin], check=True)
        made.git("remote", "add", "origin", str(origin))
        ports = {"db": machines["db-1"].port, "web": machines["web-1"].port}
        made.commit(
            "Start",
            tailnet_yaml=TAILNET,
            devices_yaml=DEVICES.format(**ports),
            policy_yaml=POLICY,
        )
        for name in machines:
            code, _, err = made.enroll(name)
            assert code == Exit.DONE, err
        made.commit("Enrol")
        code, _, err = made.apply("--yes")
        assert code == Exit.DONE, err
        yield made
    finally:
        for machine in machines.values():
            machine.close()


def row(document: dict[str, object], name: str) -> dict[str, object]:
    nodes = document["nodes"]
    assert isinstance(nodes, list)
    (found,) = (node for node in nodes if node["node"] == name)
    assert isinstance(found, dict)
    return found


def test_status_answers_two_questions(site: Site) -> None:
    """Has it the commit, and is it well: each changes without the other, and a machine
    that is gone is a row."""
    new = site.git("rev-parse", "HEAD")
    code, out, err = site.ask("status", "--detailed-exitcode")
    assert code == Exit.DONE, err
    assert f'acme against {new[:7]} "Enrol"' in out
    assert "\n=  db-1      in sync" in out
    assert "\n.  ana-desk  not delivered: delivery: file\n" in out
    assert "2 of 2 nodes answered: 2 in sync; all that answered are well." in out
    assert "Ana Lima <ana@acme.com>" in out
    assert "Next:" not in out
    assert max(map(len, out.splitlines())) <= 100
    code, found = site.found("status")
    assert (found["in_sync"], found["healthy"]) == (True, True)

    site.commit("Ping", policy_yaml=OTHER)
    code, out, err = site.ask("status", "--detailed-exitcode")
    assert (code, f"older {new[:7]} -1  well" in out) == (Exit.CHANGES, True), out
    assert "Next:  tailgit plan --repo" in out
    code, out, err = site.ask("status", "--detailed-exitcode", "--commit", new)
    assert (code, "2 in sync" in out) == (Exit.DONE, True), out

    site.machines["db-1"].run("ip", "addr", "flush", "dev", "tg-acme")
    code, found = site.found("status", "--commit", new, "--detailed-exitcode")
    assert code == Exit.CHANGES
    assert (found["in_sync"], found["healthy"]) == (True, False)
    sick = row(found, "db-1")
    assert (sick["sync"], sick["healthy"]) == ("in-sync", False)
    # The kernel may have put its link-local address back meanwhile, or not yet.
    assert str(sick["faults"]).startswith("['addresses "), sick["faults"]
    code, out, _ = site.ask("status", "db-1", "--commit", new)
    assert code == Exit.DONE
    assert "web-1" not in out
    assert "\n!  db-1  in sync" in out
    assert "\ndb-1\n  - addresses " in out
    assert "Next:  tailgit drift db-1 --repo" in out

    site.machines["web-1"].close()
    code, out, err = site.ask("status", "--commit", new)
    assert code == Exit.INCOMPLETE
    assert "\n?  web-1     not read  ?\n" in out
    assert "\nweb-1\n  - 127.0.0.1 port" in out
    assert "1 of 2 nodes answered" in out
    code, out, err = site.ask("status", "tag:nothing")
    assert (code, "no device or tag `tag:nothing`" in err) == (Exit.USAGE, True)


def test_status_in_a_shallow_clone_and_with_a_damaged_record(
    site: Site, tmp_path: Path
) -> None:
    """At three in the morning it answers all the same; it just can't tell ages."""
    site.commit("Ping", policy_yaml=OTHER)
    file = site.repo / ".git/refs/tailgit/acme/applied"
    whole = file.read_text()
    file.write_text("")
    code, out, err = site.ask("status")
    assert (code, "2 older" in out) == (Exit.DONE, True), err
    assert "note: the ref refs/tailgit/acme/applied of this clone can't be read" in out
    file.write_text(whole)
    shallow = tmp_path / "shallow"
    words = ["git", "clone", "-q", "--depth", "1", f"file://{site.repo}", shallow]
    subprocess.run(words, check=True)
    site.repo = shallow
    code, out, err = site.ask("status")
    assert (code, "2 another" in out) == (Exit.DONE, True), err
    assert "can't tell whether its commit is older or newer" in " ".join(out.split())


def test_drift_says_what_was_changed_by_hand(site: Site) -> None:
    """Lines of what is there and of what is gone, what it departs from, what an apply
    does with it; commits that wait play no part."""
    site.commit("Ping", policy_yaml=OTHER)
    code, out, err = site.ask("drift", "--detailed-exitcode")
    assert code == Exit.DONE, err
    assert out == "2 of 2 nodes answered: all that answered run what was applied.\n"

    machine = site.machines["db-1"]
    machine.run("ip", "addr", "add", "192.0.2.7/32", "dev", "tg-acme")
    peer = machine.run("wg", "show", "tg-acme", "peers").split()[0]
    machine.run("wg", "set", "tg-acme", "peer", peer, "remove")
    code, out, err = site.ask("drift", "--detailed-exitcode")
    assert code == Exit.CHANGES, err
    old = site.git("rev-parse", "HEAD~1")[:7]
    said = " ".join(out.split())
    assert "! db-1 is not as generation 1, " in said
    assert f"{old}, applied by Ana Lima <ana@acme.com> at 2" in said
    assert "    addresses differs\n      + " in out
    assert "192.0.2.7/32" in out
    assert "    peers " in out
    assert f"      - {peer}" in out or peer in out
    assert "it did not come through tailgit" in said
    assert "To overwrite:  tailgit apply --only db-1 --repo" in out
    assert "web-1" not in out
    code, found = site.found("drift", "web-1", "db-1")
    assert (code, found["drift"]) == (Exit.DONE, True)
    parts = {part["name"]: part for part in row(found, "db-1")["parts"]}
    assert {line["sign"] for line in parts["addresses"]["lines"]} == {"+"}
    assert {line["sign"] for line in parts["peers"]["lines"]} == {"-"}
    assert row(found, "web-1")["found"] is False

    code, _, err = site.apply("--yes")
    assert code == Exit.DONE, err
    assert "192.0.2.7" not in machine.run("ip", "addr", "show", "dev", "tg-acme")
    site.machines["web-1"].close()
    code, out, err = site.ask("drift", "--detailed-exitcode")
    assert (code, "? web-1  not read: " in out) == (Exit.INCOMPLETE, True), err
    code, _, err = site.ask("drift", "ana-desk")
    assert (code, "ana-desk is not reached over SSH" in err) == (Exit.USAGE, True)


def test_a_suspended_node_takes_nothing_until_it_is_resumed(site: Site) -> None:
    """Who, why and until when stand in status and plan; the others are brought forward,
    the fleet's record stays; resumed, the next apply finishes it."""
    first = site.git("rev-parse", "refs/tailgit/acme/applied")
    code, _, err = site.ask("suspend", "db-1", "--reason", "disk", "--until", "4h")
    assert (code, "nobody is here to say yes" in err) == (Exit.USAGE, True)
    assert "give --yes" in err
    words = ("suspend", "db-1", "--reason", "its disk is replaced", "--yes", "--until")
    for until, said in (
        ("31d", "longer than 30 days"),
        ("2020-01-01", "over already"),
        ("soon", "neither a length of time, a date nor a time"),
    ):
        code, _, err = site.ask(*words, until)
        assert (code, said in err) == (Exit.USAGE, True), err
    for refused in (("suspend",), ("suspend", "--all", "db-1"), ("resume",)):
        code, _, err = site.ask(*refused, "--yes")
        assert (code, "give --all" in err) == (Exit.USAGE, True), err
    code, out, err = site.ask(*words, "4h")
    assert code == Exit.DONE, err
    assert "A revocation is not enforced there either" in err
    assert out.startswith("suspended:  db-1\nTo end it:  tailgit resume db-1 --repo")

    site.commit("Ping", policy_yaml=OTHER)
    reason = "by Ana Lima <ana@acme.com>: its disk is replaced"
    code, out, _ = site.ask("status")
    assert "well, suspended" in out
    assert "\ndb-1\n  - suspended until " in out
    assert reason in out
    _, out, _ = site.plan()
    assert reason in " ".join(out.split())
    code, out, err = site.apply("--yes")
    assert code == Exit.DONE, err
    assert "1 suspended" in out
    assert site.git("rev-parse", "refs/tailgit/acme/applied") == first
    code, out, err = site.ask(*words, "1d")
    assert (code, reason in err) == (Exit.DONE, True), err

    code, out, err = site.ask("resume", "--all", "--yes")
    assert (code, "resumed:  db-1\n" in out) == (Exit.DONE, True), err
    assert "web-1" not in out
    code, out, err = site.ask("resume", "--all", "--yes")
    assert (code, "none of these nodes is suspended" in err) == (Exit.DONE, True)
    code, out, err = site.apply("--yes")
    assert (code, "+ db-1   applied" in out) == (Exit.DONE, True), err
    assert site.git("rev-parse", "refs/tailgit/acme/applied") != first

    _, out, _ = site.ask("log", "db-1", "-n", "50")
    verbs = [line.split()[1] for line in out.splitlines()[1:]]
    assert verbs.count("suspend") == 2
    assert verbs.count("resume") == 1
    assert max(map(len, out.splitlines())) <= 100
    code, found = site.found("log", "db-1", "-n", "1")
    (line,) = found["lines"]
    assert (code, line["verb"], line["outcome"]) == (Exit.DONE, "confirm", "ok")


def test_who_suspends_waits_for_who_applies(site: Site) -> None:
    """A held lock is exit 6 with its holder, nothing is changed anywhere, and status
    names the holder, too."""
    held = "/run/tailgit/acme/held"
    machine = site.machines["web-1"]
    commit = site.git("rev-parse", "HEAD")
    text = f"token {'a' * 16}\ncommit {commit}\nat 2026-11-22T13:00:00Z\nby Ben\n"
    (machine.root / held.lstrip("/")).write_text(text)
    uptime = machine.run("cat", "/proc/uptime").split(".")[0]
    (machine.root / "run/tailgit/acme/seen").write_text(f"{uptime}\n")
    before = site.everything()
    words = ("--all", "--yes")
    for verb in (("suspend", "--reason", "x", "--until", "2h"), ("resume",)):
        code, out, err = site.ask(*verb, *words)
        assert (code, out) == (Exit.LOCKED, ""), err
        assert "web-1: Ben holds it since 2026-11-22T13:00:00Z" in err
    assert site.everything() == before
    _, out, _ = site.ask("status")
    assert "well, locked" in out
    assert "\nweb-1\n  - locked: Ben holds it since" in out


def test_two_controllers_share_a_record(site: Site, tmp_path: Path) -> None:
    """What one applied with --record the other sees before it plans: an older commit
    is refused, also where no node that answers knows better; history has both."""
    code, out, err = site.apply("--yes", "--record", "origin")
    assert (code, "2 unchanged" in out) == (Exit.DONE, True), err
    first = site.git("rev-parse", "HEAD")
    assert site.git("ls-remote", "origin", "refs/tailgit/acme/applied") == (
        f"{first}\trefs/tailgit/acme/applied"
    )
    site.git("push", "-q", "origin", "main")
    here, other = site.repo, tmp_path / "other"
    subprocess.run(
        [
            "git",
            "clone",
            "-q",
            "-b",
            "main",
            site.git("remote", "get-url", "origin"),
            other,
        ],
        check=True,
    )
    new = site.commit("Ping", policy_yaml=OTHER)
    code, out, err = site.apply("--yes", "--record", "origin")
    assert code == Exit.DONE, err
    assert site.git("ls-remote", "origin", "refs/tailgit/acme/applied").startswith(new)

    site.repo = other
    code, out, err = site.apply("--yes", "--record", "origin")
    assert code == Exit.REFUSED, out
    assert f"applied is {new[:7]}, which is newer than" in " ".join(err.split())
    code, out, err = site.tailgit("history", "--record", "origin")
    assert code == Exit.DONE, err
    assert f"acme: every node got {new[:7]}" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("20")]
    assert [words[2] for words in rows] == [new[:7], first[:7], first[:7]]
    assert [words[4:6] for words in rows] == [
        *(["2", "applied"], ["2", "unchanged"], ["2", "applied"]),
    ]
    code, out, err = site.tailgit("history", "-n", "1", "--format", "json")
    (entry,) = json.loads(out)["entries"]
    assert (entry["commit"], entry["counts"], entry["whole"]) == (
        new,
        {"applied": 2},
        True,
    )

    site.repo = here
    site.commit("Back", policy_yaml=POLICY)
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'only the release job' >&2\nexit 1\n")
    hook.chmod(0o755)
    code, out, err = site.apply("--yes", "--record", "origin")
    assert (code, "2 applied" in out) == (Exit.INCOMPLETE, True), err
    assert "origin did not take the record: only the release job" in err
    hook.unlink()
    code, out, err = site.apply("--yes", "--record", "origin")
    assert (code, "2 unchanged" in out) == (Exit.DONE, True), err
    assert site.git("rev-parse", "refs/tailgit/acme/applied") == site.git(
        "rev-parse", "HEAD"
    )

    site.machines["web-1"].close()
    site.commit("Ping again", policy_yaml=OTHER)
    code, out, err = site.apply("--yes")
    assert code == Exit.INCOMPLETE, err
    code, out, err = site.tailgit("history")
    assert "  x web-1 (unreachable)\n" in out
