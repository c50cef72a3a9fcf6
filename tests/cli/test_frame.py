"""The frame around every command: what is printed, where, and the exit code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import typer

from tailgit import cli
from tailgit.errors import (
    Exit,
    Incomplete,
    Locked,
    Refused,
    SourceError,
    UsageError,
)
from tests.house.project import ROOT

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """`command(function)`: `tailgit try` runs the function."""

    def define(function: Any) -> None:
        module = ModuleType("tailgit.cli.try_")
        module.function = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tailgit.cli.try_", module)
        monkeypatch.setitem(cli.COMMANDS, "try", ("try_:function", "Try."))

    return define


def tailgit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailgit", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "controller"), **environment},
    )


def test_help_names_every_command_with_its_line(capsys: Capture) -> None:
    """`tailgit --help` is a result: on standard output, with exit code 0."""
    assert cli.run(["--help"]) == Exit.DONE
    printed = capsys.readouterr()
    width = max(map(len, cli.COMMANDS))
    for name, (_, line) in cli.COMMANDS.items():
        assert f"  {name:{width}}  {line}\n" in printed.out
    assert printed.err == ""


def test_no_command_is_a_usage_error(capsys: Capture) -> None:
    """A bare `tailgit` explains itself on standard error and exits 64."""
    assert cli.run([]) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Usage: tailgit COMMAND")


def test_misspelt_command_is_guessed(capsys: Capture) -> None:
    """A typing error is answered with the command that was probably meant."""
    assert cli.run(["rendr"]) == Exit.USAGE
    assert capsys.readouterr().err == (
        "tailgit: error: no command `rendr`\n  help: did you mean `render`?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--frob"], "no such option: --frob"),
        (["render", "--frob"], "No such option: --frob"),
        (["check", "--format", "xml"], "'xml' is not one of 'text', 'json'"),
        (["explain", "db-1"], "Missing argument 'DST[:PORT]'"),
        (["device"], "Missing command"),
    ],
)
def test_usage_errors_exit_64(
    arguments: list[str], sentence: str, capsys: Capture
) -> None:
    """A mistyped flag is 64: typer's own 2 would read as "changes pending"."""
    assert cli.run(arguments) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("tailgit: error: ")
    assert sentence in printed.err
    assert "  help: " in printed.err


def test_version(capsys: Capture) -> None:
    """`--version` prints the name and the version, for people and for scripts."""
    assert cli.run(["--version"]) == Exit.DONE
    assert capsys.readouterr().out == "tailgit 0.1.0\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError("no repository", "git init"), Exit.FAILED),
        (UsageError("no repository", "git init"), Exit.USAGE),
        (Refused("no repository", "git init"), Exit.REFUSED),
        (Incomplete("no repository", "git init"), Exit.INCOMPLETE),
        (Locked("no repository", "git init"), Exit.LOCKED),
    ],
)
def test_errors_are_one_sentence_and_a_code(
    error: Exception,
    code: Exit,
    command: Callable[[Any], None],
    capsys: Capture,
) -> None:
    """An error says what is wrong and what to do, and its class decides the code."""

    def fail() -> None:
        raise error

    command(fail)
    assert cli.run(["try"]) == code
    assert capsys.readouterr().err == (
        "tailgit: error: no repository\n  help: git init\n"
    )


def test_error_text_cannot_steer_the_terminal(
    command: Callable[[Any], None], capsys: Capture
) -> None:
    """Control, bidi and zero-width characters in a message are shown escaped."""

    def fail() -> None:
        raise SourceError("node said \x1b[2J\u202eok\u200b\r")

    command(fail)
    cli.run(["try"])
    assert capsys.readouterr().err == (
        "tailgit: error: node said \\x1b[2J\\u202eok\\u200b\\x0d\n"
    )


def test_result_of_a_command_is_its_exit_code(command: Callable[[Any], None]) -> None:
    """A command returns an `Exit`, nothing (done), or raises typer.Exit."""

    def leave() -> None:
        raise typer.Exit(Exit.CHANGES)

    command(lambda: Exit.INVALID)
    assert cli.run(["try"]) == 3
    command(lambda: None)
    assert cli.run(["try"]) == 0
    command(leave)
    assert cli.run(["try"]) == 2


def test_fault_is_one_line_unless_asked(
    command: Callable[[Any], None], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception hides its traceback until TAILGIT_DEBUG asks for it."""

    def fail() -> None:
        raise KeyError("surprise")

    command(fail)
    monkeypatch.delenv("TAILGIT_DEBUG", raising=False)
    assert cli.run(["try"]) == Exit.FAILED
    err = capsys.readouterr().err
    assert err.startswith("tailgit: error: a fault in tailgit: KeyError: 'surprise'\n")
    assert "Traceback" not in err
    monkeypatch.setenv("TAILGIT_DEBUG", "1")
    cli.run(["try"])
    assert "Traceback" in capsys.readouterr().err


def test_file_errors_name_the_file(
    command: Callable[[Any], None], capsys: Capture
) -> None:
    """An error of the system is its sentence and the path, not a Python repr."""
    command(lambda: open("/nonexistent/file"))  # noqa: PTH123, SIM115
    assert cli.run(["try"]) == Exit.FAILED
    assert capsys.readouterr().err == (
        "tailgit: error: /nonexistent/file: No such file or directory\n"
    )


def test_interrupt_exits_130(command: Callable[[Any], None]) -> None:
    """Ctrl-C is reported as a shell does, without a traceback."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    command(interrupt)
    assert cli.run(["try"]) == 130


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"]])
def test_closed_pipe_is_quiet(arguments: list[str], unbuffered: str) -> None:
    """A reader that went away (`| head`) gets no complaint, ours or Python's."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tailgit", *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            # Unbuffered, it is a write that fails; buffered, the flush at the end.
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "controller"),
                "PYTHONUNBUFFERED": unbuffered,
            },
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_output_survives_a_poor_locale(
    command: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A character that the terminal can't show is escaped, never an error."""
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="ascii"))
    command(lambda: print("Zoë"))
    assert cli.run(["try"]) == Exit.DONE
    assert screen.getvalue() == b"Zo\\xeb\n"


def test_nothing_is_coloured_where_nobody_looks() -> None:
    """Into a pipe, or with NO_COLOR, there are no escape sequences."""
    for arguments in (["--help"], ["check", "--help"], ["check", "--frob"]):
        done = tailgit(*arguments, NO_COLOR="1", FORCE_COLOR="")
        assert "\x1b" not in done.stdout + done.stderr


def test_help_loads_no_library() -> None:
    """`tailgit --help` imports neither typer nor anything behind a command."""
    code = (
        "import sys; from tailgit.cli import run; run(['--help'])\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} "
        "& {'typer', 'rich', 'asyncssh', 'git', 'jinja2', 'yaml', 'jsonschema'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "controller")},
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_of_a_command_loads_no_heavy_library(name: str) -> None:
    """A command's help costs typer, and not what the command works with."""
    code = (
        "import sys; from tailgit.cli import run\n"
        f"assert run(['{name}', '--help']) == 0\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} "
        "& {'asyncssh', 'git', 'jinja2', 'yaml', 'ruamel', 'jsonschema'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "controller")},
    )
    assert done.stdout.splitlines()[-1] == "[]"
