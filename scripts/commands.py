"""Writes docs/commands.md from the commands' own help (`make docs`).

A test compares the two, so the page can't tell another story than the program.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import typer.main

from tailgit.cli import COMMANDS, run, typer_app
from tailgit.errors import Exit

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"

MEANING = {
    Exit.DONE: "Done what was asked.",
    Exit.FAILED: "Could not: a file, git, SSH, one single node, or a fault in tailgit.",
    Exit.CHANGES: "Changes are pending; only with `--detailed-exitcode`.",
    Exit.INVALID: "The tailnet has errors, a test of the policy failed, packets and "
    "policy differ, or `explain --exit-code` says no. Wins over 4.",
    Exit.REFUSED: "Refused by a guard: an older commit, a stale plan, a folder that "
    "is not tailgit's. Nothing was changed.",
    Exit.INCOMPLETE: "Some nodes were not reached or not applied; they are named.",
    Exit.LOCKED: "Somebody else is applying.",
    Exit.USAGE: "The command line asks for something that does not exist.",
}

HEAD = """\
# Commands

What `tailgit COMMAND --help` prints, command by command. `make docs` writes this page.

Standard output is the result, standard error the progress and what went wrong.
`--format json` prints one document and nothing else. Colour follows `NO_COLOR`.
`TAILGIT_DEBUG=1` adds the traceback to an unexpected error.

## Exit codes

| Code | Meaning |
|---:|---|
"""


def document() -> str:
    """The whole page; `COLUMNS` decides how wide its help texts are."""
    parts = [HEAD]
    parts += [f"| {code.value} | {MEANING[code]} |\n" for code in Exit]
    parts.append("| 130 | Interrupted (Ctrl-C). |\n")
    parts.append("| 141 | The program that read our output went away. |\n")
    for words in [(), *paths()]:
        title = " ".join(("tailgit", *words))
        parts.append(f"\n## {title}\n\n```\n{_help(*words)}\n```\n")
    return "".join(parts)


def paths() -> Iterator[tuple[str, ...]]:
    """Every command, then each of its subcommands, by the words one types."""
    for name in COMMANDS:
        yield (name,)
        group = typer.main.get_command(typer_app(name))
        command = group.commands[name]  # type: ignore[attr-defined]
        for sub in getattr(command, "commands", {}):
            yield name, sub


def _help(*words: str) -> str:
    output = io.StringIO()
    with redirect_stdout(output):
        code = run([*words, "--help"])
    if code != Exit.DONE:
        raise SystemExit(f"tailgit {' '.join(words)} --help exits {code}")
    return output.getvalue().rstrip()


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    PAGE.write_text(document())
