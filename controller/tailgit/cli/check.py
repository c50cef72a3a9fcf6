"""`tailgit check`: everything that is wrong with a tailnet, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.reports import Form, hand_over, wanted
from tailgit.cli.surroundings import surroundings
from tailgit.cli.tailnet import Commit, examined_all
from tailgit.errors import Exit, UsageError

if TYPE_CHECKING:
    from tailgit.check.together import Checked


def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A tailnet's folder, or one above several."
        ),
    ] = Path(),
    commit: Commit = None,
    output: Annotated[
        Form | None,
        typer.Option(
            "--format", help="What is printed: text for people, or for programs."
        ),
    ] = None,
    report: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORM=FILE",
            help="Write a form to a file (- is standard output), too. Repeatable.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 for warnings, too.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Judge expiry at this time, not now: a day (its end) or RFC 3339.",
        ),
    ] = None,
    no_local: Annotated[
        bool,
        typer.Option(
            "--no-local", help="Don't compare ranges with this machine's own routes."
        ),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Check again whenever a file changes.")
    ] = False,
) -> Exit:
    """Say everything that is wrong with a tailnet.

    Reads the files below PATH (or, with --commit, a git revision of them), and
    reports every finding with its file, line and column: syntax, references,
    addresses, routes and the policy's own tests. Where several tailnets lie below
    PATH it checks them all, and whether they get in each other's way. It talks to no
    node and runs nothing that the repository brings, so it is safe on a stranger's
    branch.

    Forms: text; json; github (annotations, and the job's summary); gitlab (Code
    Quality); sarif; junit. A JSON file inside a tailnet's folder would become a part
    of it: write reports elsewhere, or to a name that begins with a dot.

    Exits 0 if every tailnet is valid (warnings allowed, unless --strict), 3 if not.

    \b
    Examples:
      tailgit check
      tailgit check infra/staging --commit origin/main
      tailgit check --watch
      tailgit check --at 2027-01-31
      tailgit check --format json > ../findings.json
      tailgit check --format github --report sarif=../tailgit.sarif
      tailgit check --no-local --strict --report junit=../tailgit.xml
    """
    reports = wanted(output, report or ())
    if watch:
        if commit is not None or report or output not in (None, "text"):
            raise UsageError(
                "--watch prints text about the files as they are",
                "leave out --commit, --report and --format",
            )
        from tailgit.cli.watching import watching

        watching(path, lambda: surroundings(at, local=not no_local))
    from tailgit.load.source import open_source

    judged_at = surroundings(at, local=not no_local)
    checked = examined_all(*open_source(path, commit), path, judged_at)
    hand_over(checked, reports)
    return _verdict(checked, strict=strict)


def _verdict(checked: Sequence[Checked], *, strict: bool) -> Exit:
    wrong = any(each.errors or (strict and each.warnings) for each in checked)
    return Exit.INVALID if wrong else Exit.DONE
