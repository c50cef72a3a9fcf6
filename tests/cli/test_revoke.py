"""What revoke writes and refuses before a node is asked; rotations that can't be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tailgit import cli
from tailgit.errors import Exit

Capture = pytest.CaptureFixture[str]

FILES = {
    "tailnet.yaml": """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
""",
    "people.yaml": """\
users:
  ana@acme.com: {name: Ana Lima}   # on call
  ben@acme.com: {}
tagOwners: {tag:db: []}
""",
    "devices.yaml": """\
devices:
  db-1:   # the only one
    tags: [tag:db]
    publicKey: 6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=
    delivery: pull
  laptop:
    owner: ana@acme.com
    publicKey: bmXOC+F1FxEMF9dyiK2H5/1SUtzH0JuVo51h2wPfgyo=
  desk: {owner: ana@acme.com}
""",
    "policy.yaml": """\
grants:
  - {src: [ana@acme.com], dst: [db-1], ip: ["tcp:5432"]}
tests:
  - {src: laptop, proto: tcp, accept: ["db-1:5432"]}
""",
}


def git(repo: Path, *words: str) -> str:
    identity = ("-c", "user.name=Ana Lima", "-c", "user.email=ana@acme.com")
    done = subprocess.run(
        ["git", "-C", str(repo), *identity, *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.rstrip("\n")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed tailnet of three devices."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ana Lima")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ana@acme.com")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ana Lima")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "ana@acme.com")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Start")
    return tmp_path


def revoke(repo: Path, *words: str) -> int:
    return cli.run(["revoke", *words, "--yes", "--no-apply", "--repo", str(repo)])


def test_one_line_in_one_file_in_one_commit(repo: Path, capsys: Capture) -> None:
    """What lies beside it, staged or not, stays as it is; comments stay, too."""
    (repo / "people.yaml").write_text("not: [yaml\n")
    (repo / "notes.txt").write_text("x\n")
    git(repo, "add", "notes.txt")
    assert revoke(repo, "db-1", "--reason", "its disk\nwas copied") == Exit.DONE
    changed = git(repo, "diff", "--unified=0", "HEAD~1", "HEAD").splitlines()
    assert [line for line in changed if line[0] in "+-"] == [
        "--- a/devices.yaml",
        "+++ b/devices.yaml",
        "+    disabled: true",
    ]
    message = git(repo, "log", "-1", "--format=%an%n%B").splitlines()
    assert message == [
        "Ana Lima",
        "Revoke db-1",
        "",
        "Devices: db-1",
        "Reason: its disk was copied",
    ]
    status = git(repo, "status", "--porcelain").splitlines()
    assert status == ["A  notes.txt", " M people.yaml"]
    said = capsys.readouterr()
    assert "Push it soon: git push." in said.out
    head = git(repo, "rev-parse", "HEAD")
    assert revoke(repo, "db-1") == Exit.DONE
    assert git(repo, "rev-parse", "HEAD") == head
    assert "db-1 is revoked already in HEAD" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "ana@acme.com",
            "  ana@acme.com: {name: Ana Lima, disabled: true}   # on call",
        ),
        ("ben@acme.com", "  ben@acme.com: {disabled: true}"),
    ],
)
def test_a_person_is_switched_off_with_all_their_devices(
    repo: Path, capsys: Capture, name: str, line: str
) -> None:
    """The person's own entry says it; a test of the policy that fails by it is a note
    and stops nothing."""
    assert revoke(repo, name) == Exit.DONE
    assert line in (repo / "people.yaml").read_text().splitlines()
    said = capsys.readouterr().err
    devices = "desk, laptop" if name == "ana@acme.com" else "no device"
    assert f"revoked: {devices}\n" in said
    assert ("note: this test fails from now on: policy.yaml:" in said) == (
        name == "ana@acme.com"
    )


def test_no_hook_stands_in_the_way(repo: Path) -> None:
    """Neither one that refuses nor one that would say something else."""
    for hook in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit"):
        file = repo / ".git" / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text("#!/bin/sh\ntouch hooked\nexit 1\n")
        file.chmod(0o755)
    assert revoke(repo, "laptop") == Exit.DONE
    assert not (repo / "hooked").exists()


def test_a_file_that_somebody_is_editing_is_not_committed(
    repo: Path, capsys: Capture
) -> None:
    """Their half-done work would get into the commit, staged or not."""
    file = repo / "devices.yaml"
    edited = file.read_text() + "  # db-2 comes soon\n"
    head = git(repo, "rev-parse", "HEAD")
    for stage in (False, True):
        file.write_text(edited)
        if stage:
            git(repo, "add", "-A")
        assert revoke(repo, "laptop") == Exit.REFUSED
        assert "devices.yaml has changes that are not committed" in (
            capsys.readouterr().err
        )
        assert file.read_text() == edited
    assert git(repo, "rev-parse", "HEAD") == head


def test_a_commit_on_no_branch_would_get_lost(repo: Path, capsys: Capture) -> None:
    """So it is not made, and nothing is written."""
    git(repo, "checkout", "-q", "--detach")
    assert revoke(repo, "laptop") == Exit.REFUSED
    assert "HEAD is on no branch" in capsys.readouterr().err
    assert git(repo, "status", "--porcelain") == ""


def test_a_commit_that_git_refuses_leaves_the_file_as_it_was(
    repo: Path, capsys: Capture
) -> None:
    """Here for want of the key that the repository signs commits with."""
    git(repo, "config", "commit.gpgSign", "true")
    git(repo, "config", "gpg.program", "false")
    assert revoke(repo, "laptop") == Exit.FAILED
    assert "git commit failed" in capsys.readouterr().err
    assert git(repo, "status", "--porcelain") == ""


def test_who_is_not_there_is_a_slip(repo: Path, capsys: Capture) -> None:
    """With the nearest name; off a terminal somebody has to say yes first."""
    assert revoke(repo, "latpop") == Exit.USAGE
    assert "acme has no device or user `latpop`" in capsys.readouterr().err
    assert cli.run(["revoke", "laptop", "--repo", str(repo)]) == Exit.USAGE
    assert "nobody is here to say yes" in capsys.readouterr().err


def test_a_device_that_is_needed_is_refused_with_the_places(
    repo: Path, capsys: Capture
) -> None:
    """An exit node that somebody uses: who decides what comes instead is a person."""
    file = repo / "devices.yaml"
    text = file.read_text().replace(
        "delivery: pull", "delivery: pull\n    exitNode: true"
    )
    file.write_text(text.replace("{owner: ana@acme.com}", USES))
    policy = "autoApprovers: {exitNode: [tag:db]}\n"
    (repo / "policy.yaml").write_text(policy + FILES["policy.yaml"])
    git(repo, "commit", "-qam", "An exit")
    assert revoke(repo, "db-1") == Exit.INVALID
    said = capsys.readouterr().err
    assert "db-1 can't be switched off" in said
    assert "`db-1` can't be the exit node: it is disabled" in said
    assert git(repo, "status", "--porcelain") == ""


USES = "{owner: ana@acme.com, useExitNode: db-1}"


def rotate(repo: Path, *words: str) -> int:
    return cli.run(["device", "rotate", *words, "--repo", str(repo)])


NEXT = "y0V6gkVpvRD3q0MkJh63n3ti/gLr/zDdg1bnyn3qzFs="


def test_a_device_without_ssh_names_its_next_key_by_hand(
    repo: Path, capsys: Capture
) -> None:
    """Staged, taken back, staged again, finished; every comment stays."""
    file = repo / "devices.yaml"
    before = file.read_text()
    assert rotate(repo, "db-1") == Exit.REFUSED
    said = capsys.readouterr().err
    assert "db-1 has delivery: pull, so it can't be asked for a key" in said
    assert "tailgit device rotate db-1 --public-key KEY" in said
    assert rotate(repo, "db-1", "--public-key", NEXT) == Exit.DONE
    assert f"    nextPublicKey: {NEXT}\n" in file.read_text()
    assert rotate(repo, "db-1", "--abort") == Exit.DONE
    assert file.read_text() == before
    assert rotate(repo, "db-1", "--abort") == Exit.REFUSED
    assert rotate(repo, "db-1", "--finish") == Exit.REFUSED
    assert rotate(repo, "db-1", "--public-key", NEXT) == Exit.DONE
    capsys.readouterr()
    assert rotate(repo, "db-1", "--finish") == Exit.DONE
    assert "db-1 was not asked whether it has that key" in capsys.readouterr().out
    old = "6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E="
    assert file.read_text() == before.replace(old, NEXT)


def test_keys_that_can_not_be_a_next_one(repo: Path, capsys: Capture) -> None:
    """One that somebody has, one that is none, a second one, a device without any."""
    taken = "bmXOC+F1FxEMF9dyiK2H5/1SUtzH0JuVo51h2wPfgyo="
    assert rotate(repo, "db-1", "--public-key", taken) == Exit.INVALID
    assert rotate(repo, "db-1", "--public-key", "short") == Exit.INVALID
    assert rotate(repo, "desk") == Exit.REFUSED
    assert "desk has no key yet" in capsys.readouterr().err
    assert rotate(repo, "db-1", "--public-key", NEXT) == Exit.DONE
    other = "r8li2zpV71wX0YPgwjF2vOSgKJd45oP7/qlFsjKsE2o="
    assert rotate(repo, "db-1", "--public-key", other) == Exit.REFUSED
    assert "tailgit device rotate db-1 --abort, then again" in capsys.readouterr().err
