"""`tailgit init` as a newcomer types it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.edit.beginning import wrong
from tailgit.errors import Exit
from tailgit.load.yaml import read_yaml

FLAGS = ("--name", "acme", "--domain", "acme.internal", "--user", "ana@acme.com")
FILES = ["people.yaml", "policy.yaml", "tailnet.yaml"]


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def test_the_first_files_are_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What init writes has no findings, and it makes a repository around it."""
    folder = tmp_path / "net"
    assert run(["init", str(folder), *FLAGS]) == Exit.DONE
    said = capsys.readouterr().out
    assert visible(folder) == FILES
    assert f"tailgit device add laptop --owner ana@acme.com --repo {folder}" in said
    assert git(folder, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert run(["check", str(folder), "--no-local"]) == Exit.DONE
    assert "no findings" in capsys.readouterr().out
    assert run(["fmt", "--check", str(folder)]) == Exit.DONE


def test_two_tailnets_never_get_one_range(tmp_path: Path) -> None:
    """The IPv6 prefix is random, a /48 of fd00::/8."""
    ranges = set()
    for number in range(5):
        folder = tmp_path / str(number)
        assert run(["init", str(folder), *FLAGS]) == Exit.DONE
        text = (folder / "tailnet.yaml").read_text()
        ranges.add(text.split("ipv6: ")[1].strip())
    assert len(ranges) == 5
    assert all(each.startswith("fd") and each.endswith("::/48") for each in ranges)


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_exists_is_touched(tmp_path: Path, name: str) -> None:
    """One file that is there already, and none is written."""
    (tmp_path / name).write_text("mine")
    assert run(["init", str(tmp_path), *FLAGS]) == Exit.REFUSED
    assert visible(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_pipeline_that_exists_stays(tmp_path: Path) -> None:
    """`--ci` refuses as a whole where the forge's file is there already."""
    (tmp_path / ".gitlab-ci.yml").write_text("mine")
    assert run(["init", str(tmp_path), *FLAGS, "--ci", "gitlab"]) == Exit.REFUSED
    assert visible(tmp_path) == []
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "mine"


@pytest.mark.parametrize(
    ("forge", "file"),
    [("github", ".github/workflows/tailgit.yaml"), ("gitlab", ".gitlab-ci.yml")],
)
def test_pipelines(tmp_path: Path, forge: str, file: str) -> None:
    """The pipeline stands at the top of the repository and names the folder."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    folder = tmp_path / "infra" / "net"
    assert run(["init", str(folder), *FLAGS, "--ci", forge]) == Exit.DONE
    text = (tmp_path / file).read_text()
    assert "tailgit check infra/net --" in text
    assert "trunk" in text or forge == "gitlab"
    findings: list[object] = []
    assert read_yaml(text.encode(), file, findings)
    assert [f.code for f in findings if f.code != "yaml-key"] == []
    assert not (folder / ".git").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--name", "Acme"), "--name: `Acme` is not a tailnet name"),
        (("--name", "acme-far-too-long"), "--name: "),
        (("--name", "no"), "--name: "),
        (("--domain", "internal"), "is a whole top-level domain"),
        (("--domain", "acme..x"), "--domain: "),
        (("--user", "ana"), "--user: `ana` is not a user"),
        (("--user", "a@b: {role: owner}"), "--user: "),
        (("--ipv4", "100.64.0.0"), "can't be the tailnet's range"),
        (("--ipv4", "100.64.0.1/10"), "--ipv4: "),
        (("--ipv4", "224.0.0.0/8"), "can't be the tailnet's range"),
        (("--ipv6", "fd00::/96"), "can't be the tailnet's range"),
        (("--ci", "bitbucket"), "no pipeline for `bitbucket`"),
    ],
)
def test_wrong_answers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    sentence: str,
) -> None:
    """A flag that can't stand is a usage error, and nothing is written."""
    folder = tmp_path / "net"
    assert run(["init", str(folder), *FLAGS, *flags]) == Exit.USAGE
    assert sentence in capsys.readouterr().err
    assert not folder.exists()


def test_without_a_terminal_nothing_is_guessed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The flags that are missing are named."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(["init", str(tmp_path / "net"), "--name", "acme"]) == Exit.USAGE
    assert "nobody is here to ask: give --domain, --user" in capsys.readouterr().err


def test_it_asks_on_a_terminal(tmp_path: Path) -> None:
    """Three questions; the folder's name is offered, a wrong answer asked again."""
    ours, theirs = pty.openpty()
    folder = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-m", "tailgit", "init", str(folder)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, b"\n\nana\nana@acme.com\n")
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:
        pass  # the terminal is closed with its last program
    os.close(ours)
    assert process.wait(30) == 0
    assert b"What is the tailnet called? [home]" in said
    assert b"`ana` is not a user" in said
    text = (folder / "tailnet.yaml").read_text()
    assert "name: home" in text
    assert "domain: home.internal" in text
    assert "ana@acme.com" in (folder / "people.yaml").read_text()


@pytest.mark.parametrize("word", ["yes", "null", "on"])
def test_words_that_yaml_reads_otherwise(word: str) -> None:
    """Such a name would be text here and a truth value to the next tool."""
    assert wrong("name", word)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link that somebody committed does not lead the new files elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "net"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".github").symlink_to(elsewhere)
    assert run(["init", str(folder), *FLAGS, "--ci", "github"]) == Exit.REFUSED
    (folder / ".tailgit").symlink_to(elsewhere)
    assert run(["init", str(folder), *FLAGS]) == Exit.REFUSED
    assert list(elsewhere.iterdir()) == []
    assert visible(folder) == []


def test_a_folder_that_looks_like_a_repository_is_none(tmp_path: Path) -> None:
    """HEAD, objects, refs and a config that points elsewhere can be committed."""
    git(tmp_path, "init", "-q", "clone")
    false = tmp_path / "clone" / "infra"
    for name in ("objects", "refs"):
        (false / name).mkdir(parents=True)
    (false / "HEAD").write_text("ref: refs/heads/main\n")
    victim = tmp_path / "victim"
    victim.mkdir()
    (false / "config").write_text(f"[core]\n\tbare = false\n\tworktree = {victim}\n")
    assert run(["init", str(false / "net"), *FLAGS, "--ci", "github"]) == Exit.DONE
    assert list(victim.iterdir()) == []
    assert (tmp_path / "clone" / ".github" / "workflows" / "tailgit.yaml").exists()


def test_a_second_tailnet_gets_a_range_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tailnets of one repository never meet in one address."""
    git(tmp_path, "init", "-q")
    for name in ("prod", "staging"):
        flags = ("--name", name, *FLAGS[2:])
        assert run(["init", str(tmp_path / name), *flags]) == Exit.DONE
    assert "in use by another tailnet" in capsys.readouterr().err
    assert run(["check", str(tmp_path), "--no-local", "--strict"]) == Exit.DONE
