"""`tailgit test`: the policy's own tests, and where each failing packet would go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailgit.cli.tailnet import Commit, examined_all
from tailgit.errors import Exit

if TYPE_CHECKING:
    from tailgit.check.together import Checked
    from tailgit.load.source import Source
    from tailgit.model.findings import Place
    from tailgit.report.testing import Run

_FAILED = frozenset({"test-failed", "ssh-test-failed"})
"""What check says of tests that do not hold; here they are shown at length."""


def policy_tests(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A tailnet's folder, or one above several."
        ),
    ] = Path(),
    output: Annotated[
        Literal["text", "json", "junit"],
        typer.Option("--format", help="For people, programs or CI servers."),
    ] = "text",
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Leave out what is over at this time: a day (its end) or RFC 3339.",
        ),
    ] = None,
    commit: Commit = None,
) -> Exit:
    """Run the policy's own tests.

    Runs `tests` and `sshTests` of every tailnet that PATH means, as check does, and
    shows each failure with the way that its packet takes: from which device, by which
    rule or past which, over which router, to which device. The comment above a test
    is its name.

    Like check it judges everything that is written, whatever has expired; with --at,
    what is over by then is left out.

    Exits 0 if all hold, also if there are none; 3 if one fails or a tailnet is not
    valid.

    \b
    Examples:
      tailgit test
      tailgit test infra/staging --commit origin/main
      tailgit test --at 2027-01-31
      tailgit test --format junit > ../tests.xml

    \b
    A test in a tailnet's file:
      tests:
        # The data team reads, and has no shell.
        - {src: group:data, accept: ["db-1:5432"], deny: ["db-1:22"]}
    """
    from tailgit.cli.surroundings import moment, surroundings
    from tailgit.load.source import open_source
    from tailgit.report.testing import as_json, as_junit, as_text

    source, folder = open_source(path, commit)
    when = moment(at) if at is not None else None
    checked = examined_all(source, folder, path, surroundings(at))
    runs = [_run(source, each, when) for each in checked]
    if output == "json":
        print(as_json(runs, source.commit))
    elif output == "junit":
        print(as_junit(runs))
    else:
        print(as_text(runs))
    return Exit.DONE if all(run.holds for run in runs) else Exit.INVALID


def _run(source: Source, checked: Checked, at: int | None) -> Run:
    from tailgit.access.trials import try_all
    from tailgit.report.testing import Run

    name = checked.name or ""
    errors = tuple(
        each for each in checked.findings if each.is_error and each.code not in _FAILED
    )
    if errors or checked.tailnet is None:
        return Run(name, checked.root, (), errors)
    tried = try_all(checked.tailnet, at)
    names = _names(source, [each.place for each in tried])
    return Run(name, checked.root, tried, (), names)


def _names(source: Source, places: Iterable[Place]) -> dict[Place, str]:
    """The comments above tests."""
    from tailgit.load.located import Map
    from tailgit.load.remarks import comment_above
    from tailgit.load.unite import Document

    listed = list(places)
    files = sorted({place.file for place in listed})
    documents = {
        file: Document(
            file, Map(file, 0), data.decode("utf-8-sig", "replace").split("\n")
        )
        for file, data in source.read(files).items()
    }
    found = {each: comment_above(documents[each.file], each) for each in listed}
    return {place: name for place, name in found.items() if name}
