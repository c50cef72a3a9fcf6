"""What nodes don't get yet: judged by git-only commands, refused by those for nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit
from tests.load.files import HEAD, committed

RELAY = """\
users: {ana@acme.com: {}}
grants: []
devices: {vps: {owner: ana@acme.com, relay: true, endpoints: ["203.0.113.9:51820"]}}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return committed(tmp_path / "net", {"tailnet.yaml": HEAD, "a.yaml": RELAY})


@pytest.mark.parametrize(
    "words", [("check", "{}"), ("access", "--repo", "{}"), ("test", "{}")]
)
def test_git_only_commands_go_on(repo: Path, words: tuple[str, ...]) -> None:
    """It can be written, reviewed and merged."""
    assert run([word.format(repo) for word in words]) == Exit.DONE


@pytest.mark.parametrize(
    "words",
    [
        ("render", "--repo", "{}"),
        ("plan", "--repo", "{}"),
        ("apply", "--repo", "{}", "--yes"),
        ("lab", "up", "{}"),
    ],
    ids=lambda words: words[0],
)
def test_commands_for_nodes_refuse(
    repo: Path,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of what is written must not reach a node; the place is named."""
    monkeypatch.setattr("tailgit.lab.Lab.up", None)  # else a failure leaves a lab
    assert run([word.format(repo) for word in words]) == Exit.INVALID
    printed = capsys.readouterr()
    assert "a.yaml:3:38: error[not-applied]: `relay` can't be put on nodes" in (
        printed.err
    )
    assert "1 error" in printed.err
    assert printed.out == ""


def test_a_failing_test_does_not_stop_looking(tmp_path: Path) -> None:
    """After a revocation a test may name nobody: whoever is on call still has to see
    what nodes run; only an apply waits for the mending."""
    broken = "tests: [{src: ana@acme.com, deny: ['db-1:22']}]\ngrants: []\n"
    users = (
        "users: {ana@acme.com: {}, ben@acme.com: {}}\n"
        "devices: {db-1: {owner: ben@acme.com}}\n"
    )
    net = committed(tmp_path / "net", {"tailnet.yaml": HEAD, "a.yaml": users + broken})
    assert run(["plan", "--repo", str(net)]) == Exit.INVALID
    assert run(["status", "--repo", str(net)]) == Exit.DONE
