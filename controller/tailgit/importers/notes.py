"""What an import says besides its files: everything that a person should know.

A note is never an error: the files are written all the same. What stops an import
(a file that can't be read) is a finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

NoteKind = Literal["left-out", "not-enforced", "mistake", "changed", "assumed"]
"""left-out: it is in no file now. not-enforced: it is written, and does nothing yet.
mistake: `check` refuses it, as it would have refused the original. changed: written in
another way. assumed: chosen by us, since the original does not say."""

_NOT_ENFORCED = ("not-yet", "not-applied", "not-used")


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence about one place of the original."""

    kind: NoteKind
    place: Place
    message: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """The files that an import makes, by name, and what there is to say about them."""

    files: dict[str, bytes]
    notes: tuple[Note, ...]


def of_findings(findings: Iterable[Finding], file: str) -> list[Note]:
    """Errors, and what is known and not enforced; other warnings can wait for `check`.

    `file` is how the person called the file that the findings are about.
    """
    found = []
    for each in findings:
        kind: NoteKind = "not-enforced" if each.code in _NOT_ENFORCED else "mistake"
        if kind == "mistake" and not each.is_error:
            continue
        at = Place(file, each.place.line, each.place.column)
        message = f"{each.message} [{each.code}]"
        found.append(Note(kind, at, message, each.help))
    return found


def in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    """By place; what is said of many places is said of the first, with their number.

    A policy in the older spelling has it in every rule. Mistakes are each their own.
    """
    first: dict[tuple[str, ...], Note] = {}
    times: Counter[tuple[str, ...]] = Counter()
    for each in sorted(set(notes), key=lambda n: (n.place, n.kind, n.message)):
        same: tuple[str, ...] = (each.kind, each.message, each.help)
        if each.kind == "mistake":
            same += (str(each.place),)
        first.setdefault(same, each)
        times[same] += 1
    return tuple(
        replace(each, message=f"{each.message} ({times[same]} times)")
        if times[same] > 1
        else each
        for same, each in first.items()
    )


def as_text(notes: Iterable[Note]) -> str:
    """One block a note, in the form of findings."""
    lines = []
    for each in notes:
        at = Place(shown(each.place.file), each.place.line, each.place.column)
        lines.append(f"{at}: {each.kind}: {shown(each.message)}")
        if each.help:
            lines.append(f"  help: {shown(each.help)}")
    return "\n".join(lines)


def as_data(notes: Iterable[Note]) -> list[dict[str, object]]:
    """The same for programs."""
    return [
        {
            "kind": each.kind,
            "file": shown(each.place.file),
            "line": each.place.line,
            "column": each.place.column,
            "message": shown(each.message),
            "help": shown(each.help),
        }
        for each in notes
    ]
