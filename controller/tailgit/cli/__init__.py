"""The commands: parse flags, call one function, print, exit.

`main` finds the command in a table and imports its module alone: `tailgit --help`
is printed from the table, so it costs neither typer nor any library behind a
command. A command is a plain function (or a typer app where it has subcommands); it
returns None or an `Exit`, and raises `TailgitError` where it can't go on. What the
process prints about an error and how it exits is decided here for all of them.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from tailgit.errors import Exit, InvalidTailnet, TailgitError

if TYPE_CHECKING:
    import typer

__all__ = ["COMMANDS", "main", "run", "top_help", "typer_app"]

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init:init", "Begin a tailnet: write its first files."),
    "check": ("check:check", "Say everything that is wrong with a tailnet."),
    "test": ("testing:policy_tests", "Run the policy's own tests."),
    "fmt": ("fmt:fmt", "Write YAML in the one canonical way."),
    "pin": ("pin:pin", "Write down addresses and relay slots that need it."),
    "access": ("access:access", "Say who may reach what."),
    "explain": ("explain:explain", "Say why a connection is allowed, or why not."),
    "diff": ("diff:diff", "Say who gains and who loses access to what."),
    "render": ("render:render", "Show or write the files that nodes would get."),
    "plan": ("plan:plan", "Show what applying a commit would change on nodes."),
    "apply": ("apply:apply", "Bring a commit to the nodes, exactly as planned."),
    "status": ("status:status", "Say which nodes have the commit, and which are well."),
    "drift": ("drift:drift", "Say what nodes run other than what was applied to them."),
    "suspend": (
        "suspending:suspend",
        "Let nodes take nothing new until a time that you name.",
    ),
    "resume": ("suspending:resume", "End the suspension of nodes before its time."),
    "log": ("logs:log", "Show what was done on a node, from its own log."),
    "history": ("logs:history", "Show who applied what when, from git."),
    "rollback": (
        "rollback:rollback",
        "Bring the fleet, or one node, back to what it had before.",
    ),
    "revoke": (
        "revoke:revoke",
        "Take all access from a device or a person, everywhere.",
    ),
    "schema": ("schema:schema", "Print the format as one JSON Schema, for editors."),
    "device": ("device:app", "Add, enroll, join, rotate, rename and remove machines."),
    "user": ("user:app", "Remove people, with all their traces."),
    "import": (
        "importing:app",
        "Begin from what you have: a policy or WireGuard files.",
    ),
    "export": (
        "exporting:app",
        "Write the policy in Tailscale's form, or a parcel to carry.",
    ),
    "lab": ("lab:app", "Run a whole tailnet in namespaces on this machine."),
}
"""Command -> (module below tailgit.cli:attribute, its line in the help)."""

_USAGE = "Usage: tailgit COMMAND [OPTIONS] [ARGUMENTS]"
_INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
_PIPE_CLOSED = 141  # the same for one that wrote to a closed pipe


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (default: the process's own) and exit."""
    # A command makes much that lives until its end; looking through it costs 7 %.
    gc.set_threshold(50_000)
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run one command line and return the exit code; nothing is raised."""
    for stream in (sys.stdout, sys.stderr):
        # A locale without the character must not turn a result into an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(list(argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        code = _PIPE_CLOSED
    except InvalidTailnet as error:
        _report_findings(error)
        code = error.exit
    except TailgitError as error:
        code = _fail(error.message, error.help, error.exit)
    except OSError as error:
        _show_traceback()
        what = f"{error.filename}: " if error.filename else ""
        code = _fail(f"{what}{error.strerror or error}")
    except Exception as error:
        _show_traceback()
        code = _fail(
            f"a fault in tailgit: {type(error).__name__}: {error}",
            "TAILGIT_DEBUG=1 shows where; please report it",
        )
    if code == _PIPE_CLOSED:
        # Else the interpreter tries to flush once more on its way out, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(code)


def top_help() -> str:
    """The text of `tailgit --help`."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            _USAGE,
            "",
            "  Private networks as code: a git repository of YAML becomes WireGuard,",
            "  nftables and names on every node, over SSH.",
            "",
            "Commands:",
            *(f"  {name:{width}}  {line}" for name, (_, line) in COMMANDS.items()),
            "",
            "Options:",
            "  --version  Print the version and exit.",
            "  --help     Show this and exit; after a command: more, with examples.",
        ]
    )


def _dispatch(argv: list[str]) -> int:
    name = argv[0] if argv else ""
    if name in COMMANDS:
        return _run_command(name, argv[1:])
    if name in ("--help", "-h", "help"):
        print(top_help())
        return Exit.DONE
    if name == "--version":
        from tailgit import __version__

        print(f"tailgit {__version__}")
        return Exit.DONE
    if not name:
        print(top_help(), file=sys.stderr)
        return Exit.USAGE
    if name.startswith("-"):
        return _fail(f"no such option: {name}", "tailgit --help", Exit.USAGE)
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `{close[0]}`?" if close else "tailgit --help lists them all"
    return _fail(f"no command `{name}`", hint, Exit.USAGE)


def _run_command(name: str, arguments: list[str]) -> int:
    import typer

    try:
        result = typer_app(name)(
            args=[name, *arguments], prog_name="tailgit", standalone_mode=False
        )
    except typer.TyperException as error:
        # typer exits 2 on a mistyped flag, which CI would read as "changes pending".
        usage = error.exit_code == 2
        message = error.format_message()
        if message.startswith("Usage:"):  # a group of commands without a command
            print(message, file=sys.stderr)
            return Exit.USAGE
        return _fail(
            message,
            f"tailgit {name} --help" if usage else "",
            Exit.USAGE if usage else Exit.FAILED,
        )
    except typer.Abort:  # Ctrl-C at a question
        print(file=sys.stderr)
        return _INTERRUPTED
    except SystemExit as error:
        # How typer ends a command whose output pipe was closed.
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise
    return result if isinstance(result, int) else Exit.DONE


def typer_app(name: str) -> typer.Typer:
    """A typer app that has one command of the table, whatever that is made of."""
    from importlib import import_module

    import typer

    # Plain text puts no box around a path, and rich alone would cost more than typer.
    app = typer.Typer(
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    module, attribute = COMMANDS[name][0].split(":")
    command: Any = getattr(import_module(f"tailgit.cli.{module}"), attribute)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)
        app.callback()(lambda: None)  # else typer drops the command's name
    return app


def _report_findings(error: InvalidTailnet) -> None:
    from tailgit.report.findings import as_text

    print(as_text(error.findings), file=sys.stderr)
    _fail(error.message, error.help)


def _fail(message: str, help: str = "", code: int = Exit.FAILED) -> int:  # noqa: A002
    from tailgit.model.text import shown

    lines = [f"tailgit: error: {shown(message)}"]
    if help:
        lines.append(f"  help: {shown(help)}")
    print("\n".join(lines), file=sys.stderr)
    return code


def _show_traceback() -> None:
    if os.environ.get("TAILGIT_DEBUG"):
        import traceback

        traceback.print_exc()
