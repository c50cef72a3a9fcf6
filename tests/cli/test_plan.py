"""What plan says before it asks anybody, and how a question is answered."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailgit import cli
from tailgit.errors import Exit
from tests.house.project import ROOT

Capture = pytest.CaptureFixture[str]


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=Ana Lima", "-c", "user.email=ana@acme.com")
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True)


@pytest.fixture
def committed(acme: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tailnet in a folder of a repository, committed, nothing enrolled."""
    # What the repository is must not hang on where the tests run.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    top = acme.parent
    git(top, "init", "-q", "-b", "main")
    (top / "notes.yaml").write_text("1\n")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "Start")
    return acme


def said(capsys: Capture, *words: str) -> str:
    """Standard error of a command that is refused, since nothing is enrolled."""
    assert cli.run(words) == Exit.REFUSED
    return capsys.readouterr().err


def test_changes_that_are_not_committed_are_said(
    committed: Path, capsys: Capture
) -> None:
    """Only files of the tailnet count, and only where HEAD is what is planned."""
    plan = ("plan", "--repo", str(committed))
    assert "note:" not in said(capsys, *plan)
    (committed / "README.md").write_text("hello\n")
    (committed / "change.tgplan").write_text("{}\n")
    (committed.parent / "notes.yaml").write_text("2\n")
    assert "note:" not in said(capsys, *plan)
    (committed / "policy.yaml").write_text("grants: []\n")
    note = "changes that are not committed; HEAD is what counts\n"
    assert f"note: policy.yaml has {note}" in said(capsys, *plan)
    (committed / "devices.yaml").rename(committed / "machines.yaml")
    (committed / "sub").mkdir()
    (committed / "sub" / "new file.yml").write_text("{}\n")
    text = said(capsys, *plan)
    assert f"note: devices.yaml and 3 more have {note}" in text
    assert "note:" not in said(capsys, *plan, "--commit", "main")
    assert "note: devices.yaml" in said(capsys, "apply", "--yes", *plan[1:])
    git(committed, "add", "-A")
    assert f"note: devices.yaml and 3 more have {note}" in said(capsys, *plan)


def test_a_bare_repository_has_no_working_tree(
    committed: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Capture
) -> None:
    """A server's clone is planned from as any other."""
    outside = tmp_path_factory.mktemp("mirror")
    bare = outside / "bare.git"
    git(outside, "clone", "-q", "--bare", str(committed.parent), str(bare))
    text = said(capsys, "plan", "--repo", str(bare))
    assert "note:" not in text
    assert "no device of this tailnet is enrolled" in text


def test_a_tailnet_without_nodes_names_the_next_command(
    committed: Path, capsys: Capture
) -> None:
    """What is refused is refused with the way on."""
    text = said(capsys, "plan", "--repo", str(committed))
    assert "begin with `tailgit device enroll ana-laptop`" in text


def test_the_help_explains_its_words(capsys: Capture) -> None:
    """Hot, warm, cold, generation, order and guards stand in every plan."""
    cli.run(["plan", "--help"])
    text = capsys.readouterr().out
    for word in ("hot", "warm", "cold", "generation", "canary", "--allow GUARD=REASON"):
        assert word in text


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--canary", "db-9"), "--canary db-9: there is no such device"),
        (("--wave-size", "0"), "--wave-size 0: neither a number of nodes nor a share"),
        (("--wave-size", "101%"), "--wave-size 101%: neither a number"),
        (("--only", "db-9"), "--only db-9: no such device, and no device has such a"),
        (("--only", "tag:x"), "--only tag:x: no such device"),
        (("--only", "db-1", "--only", "db-9"), "--only db-9: no such device"),
        (("--allow", "all=yes"), "there is no guard `all`"),
        (("--allow", "lockout"), "--allow lockout needs a reason"),
    ],
)
def test_an_option_that_means_nothing_here_is_refused(
    committed: Path, capsys: Capture, command: str, words: tuple[str, ...], message: str
) -> None:
    """Before any node is asked: a typo must not widen or narrow what is written to."""
    more = ("--yes",) if command == "apply" else ()
    assert cli.run((command, "--repo", str(committed), *more, *words)) == Exit.USAGE
    assert message in capsys.readouterr().err


def test_options_that_mean_something_are_taken(
    committed: Path, capsys: Capture
) -> None:
    """A tag, a device, a share, a guard with its reason."""
    words = ("--only", "tag:db", "--canary", "db-1", "--wave-size", "10%")
    words += ("--allow", "lockout=a key in the safe")
    text = said(capsys, "plan", "--repo", str(committed), *words)
    assert "no device of this tailnet is enrolled" in text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"", "is not a plan: "),
        (b"\xff", "is not a plan: it is not UTF-8"),
        (b'{"format_version": 1}', "is not a plan: `"),
        (b'{"format_version": 2}', "it has format 2, this tailgit reads 1"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(
    committed: Path, capsys: Capture, content: bytes | None, why: str
) -> None:
    """An empty or missing plan is an error, never nothing to do."""
    file = committed / "x.tgplan"
    if content is not None:
        file.write_bytes(content)
    assert cli.run(("apply", str(file), "--repo", str(committed))) == Exit.USAGE
    assert why in capsys.readouterr().err


def test_a_plan_that_is_refused_is_not_kept(committed: Path, capsys: Capture) -> None:
    """There is no file then that a pipeline could go on with."""
    file = committed.parent / "x.tgplan"
    said(capsys, "plan", "--repo", str(committed), "--out", str(file))
    assert list(committed.parent.glob("*x.tgplan*")) == []


def test_nobody_there_to_say_yes_is_no_yes(committed: Path, capsys: Capture) -> None:
    """Without a terminal it wants to be told what was agreed on."""
    assert cli.run(("apply", "--repo", str(committed))) == Exit.USAGE
    text = capsys.readouterr().err
    assert "nobody is here to say yes" in text
    assert "give a PLANFILE, --compiled DIGEST or --yes" in text


_QUESTION = """
import sys, types
from tailgit import cli
from tailgit.cli.fleet import agreed
module = types.ModuleType("tailgit.cli.try_")
def function():
    agreed("Shall it be?")
    print("done")
module.function = function
sys.modules["tailgit.cli.try_"] = module
cli.COMMANDS["try"] = ("try_:function", "Try.")
cli.main(["try"])
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A command that asks, on a pseudo-terminal; what to type goes into its end."""
    main, end = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _QUESTION],
        stdin=end,
        stdout=end,
        stderr=end,
        env={**os.environ, "PYTHONPATH": str(ROOT / "controller")},
        start_new_session=True,
        preexec_fn=_own_the_terminal,
    )
    os.close(end)
    yield main, process
    process.kill()
    process.wait(10)
    os.close(main)


def _own_the_terminal() -> None:
    """Make standard input the controlling terminal: else Ctrl-C is only a byte."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(
    ("typed", "code", "last"),
    [
        (b"y\n", Exit.DONE, "done"),
        (b"n\n", Exit.FAILED, "tailgit: error: nothing was changed"),
        (b"\n", Exit.FAILED, "tailgit: error: nothing was changed"),
        (b"\x03", 130, ""),
    ],
)
def test_a_question_is_answered_by_yes_no_or_ctrl_c(
    typed: bytes,
    code: int,
    last: str,
    terminal: tuple[int, subprocess.Popen[bytes]],
) -> None:
    """No is a sentence and 1, Ctrl-C is 130 as everywhere; 64 is for nobody there."""
    main, process = terminal
    shown = b""
    while b"[y/N]: " not in shown:
        shown += os.read(main, 4096)
    os.write(main, typed)
    for _ in range(20):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
        # A Ctrl-C between the prompt and the reading of a line is heard with the next
        # key (readline's way); a person presses it again.
        os.write(main, b"\x03" if typed == b"\x03" else b"")
    assert process.poll() == code
    while True:
        try:
            shown += os.read(main, 4096)
        except OSError:
            break
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    assert lines[-1] == ""
    assert lines[-2].endswith(last)
    assert "Traceback" not in shown.decode()
