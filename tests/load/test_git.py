"""Plain git: revisions, heights, ancestors, and failures in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.errors import SourceError
from tailgit.load.git import Repo
from tests.load.files import committed, git, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with three commits, the last on a branch `side`."""
    folder = committed(tmp_path / "repo", {"a": "1", "sub/b": "2"})
    for number, branch in ((2, None), (3, "side")):
        if branch:
            git(folder, "checkout", "-qb", branch)
        write(folder, {"a": str(number)})
        git(folder, "commit", "-qam", f"Number {number}\n\nWith a body")
    return folder


def test_revisions_and_heights(folder: Path) -> None:
    """A revision is any name git knows; a height counts commits."""
    repo = Repo(folder / "sub")
    assert repo.toplevel == folder.resolve()
    assert repo.resolve("side") == git(folder, "rev-parse", "side")
    assert repo.resolve("side~1") == repo.resolve("main")
    assert repo.resolve(repo.resolve("main")[:10]) == repo.resolve("main")
    assert [repo.height(repo.resolve(r)) for r in ("main~1", "main", "side")] == [
        1,
        2,
        3,
    ]
    assert repo.subject("side") == "Number 3"
    assert not repo.is_shallow()


def test_ancestors(folder: Path) -> None:
    """A commit is its own ancestor; a later one is not an earlier one's."""
    repo = Repo(folder)
    main, side = repo.resolve("main"), repo.resolve("side")
    assert repo.is_ancestor(main, side)
    assert repo.is_ancestor(main, main)
    assert not repo.is_ancestor(side, main)


def test_shallow_clones_are_known(folder: Path, tmp_path: Path) -> None:
    """Their heights would be wrong, so callers have to ask."""
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{folder}", "shallow")
    assert Repo(tmp_path / "shallow").is_shallow()


@pytest.mark.parametrize(
    "revision",
    ["", "--output=/tmp/x", "-h", "nothing", "HEAD:a", "main..side", "a\nb", "\x1b[0m"],
)
def test_what_is_no_revision(folder: Path, revision: str) -> None:
    """Options, files, ranges and control characters are refused in one sentence."""
    odd = not revision.isprintable() or not revision or revision.startswith("-")
    said = "is not a revision" if odd else "no revision"  # git is not even asked
    with pytest.raises(SourceError, match=said) as raised:
        Repo(folder).resolve(revision)
    assert "\x1b" not in str(raised.value)
    assert raised.value.help


def test_no_commit_yet(tmp_path: Path) -> None:
    """A fresh repository has no HEAD; the help asks about it."""
    git(tmp_path, "init", "-q")
    with pytest.raises(SourceError, match="no revision `HEAD`") as raised:
        Repo(tmp_path).resolve("HEAD")
    assert "commit" in raised.value.help


def test_no_repository(tmp_path: Path) -> None:
    """A folder outside of git is named."""
    with pytest.raises(SourceError, match="not in a git repository") as raised:
        Repo(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_git_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git there is a sentence, not a traceback."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SourceError, match="git is not installed"):
        Repo(folder)


def test_a_missing_object_is_an_error(folder: Path) -> None:
    """A damaged or partial clone stops the reading."""
    repo = Repo(folder)
    blob = git(folder, "rev-parse", "HEAD:a")
    (folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(SourceError, match="missing"):
        repo.blobs([blob])


def test_identity(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who git says is working: from the environment or the configuration."""
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ana Lima")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ana@acme.com")
    assert Repo(folder).identity() == "Ana Lima <ana@acme.com>"
    monkeypatch.delenv("GIT_COMMITTER_NAME")
    monkeypatch.delenv("GIT_COMMITTER_EMAIL")
    git(folder, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    with pytest.raises(SourceError, match="who you are") as raised:
        Repo(folder).identity()
    assert "git config" in raised.value.help


def test_repository_configuration_runs_nothing(folder: Path) -> None:
    """A stranger's .git/config names programs; none of them is started."""
    trap = folder / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {folder}/sprung\n")
    trap.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "diff.external",
        "gpg.program",
        "filter.x.smudge",
    ):
        git(folder, "config", key, str(trap))
    git(folder, "config", "log.showSignature", "true")
    unsigned = git(folder, "cat-file", "commit", "HEAD")
    head, _, message = unsigned.partition("\n\n")
    signature = (
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    )
    (folder / "signed").write_text(f"{head}\n{signature}\n\n{message}\n")
    signed = git(folder, "hash-object", "-t", "commit", "-w", "signed")
    git(folder, "update-ref", "HEAD", signed)
    (folder / ".git/info/attributes").write_text("* filter=x diff=x\n")
    repo = Repo(folder)
    sha = repo.resolve("HEAD")
    repo.subject(sha)
    repo.height(sha)
    assert repo.blobs([entry.sha for entry in repo.tree(sha)])
    assert not (folder / "sprung").exists()
