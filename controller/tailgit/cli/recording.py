"""`--record REMOTE`: the fleet's record before and after an apply."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.errors import Exit

if TYPE_CHECKING:
    from tailgit.deploy.record import FleetRecord
    from tailgit.plan.outcome import Applied

RecordAt = Annotated[
    str,
    typer.Option(
        "--record",
        metavar="REMOTE",
        help="Share the record of what was applied through this git remote: fetched "
        "before, pushed after. Needs refs/tailgit/* and refs/notes/tailgit/* there.",
    ),
]


def before(
    repo: Path, tailnet: str, remote: str = "", *, for_commit: str = ""
) -> FleetRecord:
    """The record, before a plan is made, so that the plan sees what others applied.

    `for_commit` is the one that is going to be applied; a plan that is only shown has
    none, and nobody is asked then whether we may push.
    """
    from tailgit.deploy.record import opened

    return opened(repo, tailnet, remote, for_commit=for_commit)


def written(
    kept: FleetRecord, applied: Applied, by: str, asked: Applied | None = None
) -> Exit:
    """Write down what became of a plan; the exit code of both.

    `asked` is the part of it that was asked for, where that is less: what became of
    the others is for the record and not for the exit code.

    What could not be written is said on stderr, and never hides how it ended for the
    nodes: a whole apply without its record is incomplete, everything else is worse.
    """
    from tailgit.deploy import record
    from tailgit.model.text import shown

    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    errors = record.written(kept, applied, by=by, at=at)
    for error in errors:
        print(f"tailgit: error: {shown(error.message)}", file=sys.stderr)
        print(f"  help: {shown(error.help)}", file=sys.stderr)
    code = (asked or applied).exit
    return Exit.INCOMPLETE if errors and code is Exit.DONE else code
