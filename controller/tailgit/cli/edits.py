"""What the commands that edit the repository share: show, ask, write, say it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailgit.cli.fleet import agreed
from tailgit.errors import InvalidTailnet, TailgitError, UsageError
from tailgit.model.text import shown

if TYPE_CHECKING:
    from tailgit.edit.change import Change

FORMAT_VERSION = 1

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the diff and write nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask before writing.")]


@contextmanager
def would_break(what: str) -> Iterator[None]:
    """New errors that an edit would bring are said as that: they are not there yet."""
    try:
        yield
    except InvalidTailnet as error:
        from tailgit.report.findings import as_text

        print(as_text(error.findings), file=sys.stderr)
        said = TailgitError(
            f"{shown(what)}: {error.message}",
            "nothing was written; mend these first (lines are as the edit moves them)",
        )
        said.exit = error.exit
        raise said from None


def carry_out(
    change: Change,
    *,
    dry_run: bool,
    question: str = "",
    yes: bool = True,
    output: Literal["text", "json"] = "text",
    notes: Iterable[str] = (),
    summary: Callable[[], Iterable[str]] = tuple,
) -> None:
    """Writes a proven change, or shows it; asks first where there is a question."""
    notes = list(notes)
    if output == "text":
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    if dry_run:
        _show(change, output, notes, written=False)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "nobody is here to say yes", "give --yes, or --dry-run to see the diff"
            )
        sys.stderr.write(change.diff())
        agreed(question)
    change.write()
    if output == "json":
        _show(change, output, notes, written=True)
        return
    for each in change.files:
        print(f"{each.word:8} {shown(each.file)}")
    for line in summary():
        print(line)


def _show(
    change: Change,
    output: Literal["text", "json"],
    notes: list[str],
    *,
    written: bool,
) -> None:
    if output == "text":
        sys.stdout.write(change.diff())
        return
    print(
        json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "written": written,
                "files": [
                    {"file": shown(each.file), "change": each.word}
                    for each in change.files
                ],
                "notes": notes,
                "diff": change.diff(),
            },
            indent=2,
        )
    )


def seen_by(others: tuple[str, ...]) -> list[str]:
    """A note about other tailnets that read a changed file."""
    if not others:
        return []
    names = ", ".join(shown(root) or "the top folder" for root in others)
    return [f"a changed file is also read by the tailnet in {names}, which stays valid"]
