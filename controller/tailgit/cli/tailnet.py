"""From a path and a revision to a tailnet that commands may act on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailgit.errors import InvalidTailnet, SourceError

if TYPE_CHECKING:
    from tailgit.load import Loaded
    from tailgit.model.findings import Finding
    from tailgit.model.tailnet import Tailnet

Repo = Annotated[
    Path, typer.Option("--repo", help="The folder that holds tailnet.yaml.")
]
Commit = Annotated[
    str | None,
    typer.Option(help="Read this git revision, not the files of the folder."),
]
Format = Annotated[
    Literal["text", "json"],
    typer.Option("--format", help="For people or for programs."),
]


def examined(
    path: Path, revision: str | None = None, *, tests: bool = True
) -> tuple[Loaded, tuple[Finding, ...]]:
    """What lies at `path` (in `revision`, else in the files) and all findings.

    The policy's own `tests:` count as findings; they are run once nothing else is
    wrong, since a test of a broken policy fails for a reason that is already said.
    Without `tests` they are left out: whoever asks why one fails must get an answer.
    """
    from tailgit.access import run_tests
    from tailgit.check import examine
    from tailgit.load import load
    from tailgit.model.findings import in_order

    loaded = load(path, revision)
    findings = examine(loaded)
    if tests and loaded.tailnet and not any(finding.is_error for finding in findings):
        findings = in_order((*findings, *run_tests(loaded.tailnet)))
    return loaded, findings


def valid(path: Path, revision: str | None = None, *, tests: bool = True) -> Loaded:
    """The tailnet of `path`, without any finding of level error.

    `InvalidTailnet` carries all findings, warnings too.
    """
    loaded, findings = examined(path, revision, tests=tests)
    if any(finding.is_error for finding in findings):
        raise InvalidTailnet(findings)
    return loaded


def valid_tailnet(
    path: Path, revision: str | None = None, *, tests: bool = True
) -> Tailnet:
    """The same for commands that need nothing but the tailnet."""
    tailnet = valid(path, revision, tests=tests).tailnet
    if tailnet is None:
        raise SourceError(f"{path} has no tailnet")
    return tailnet
