"""`tailgit check`: everything that is wrong with a tailnet, all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import Commit, Format, examined
from tailgit.errors import Exit

if TYPE_CHECKING:
    from tailgit.model.findings import Finding
    from tailgit.model.tailnet import Tailnet


def check(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="The folder that holds tailnet.yaml."),
    ] = Path(),
    commit: Commit = None,
    output: Format = "text",
) -> Exit:
    """Say everything that is wrong with a tailnet.

    Reads the files below PATH (or, with --commit, a git revision of them), and
    reports every finding with its file, line and column: syntax, references,
    addresses, routes and the policy's own tests. It talks to no node and runs
    nothing that the repository brings, so it is safe on a stranger's branch.

    Exits 0 if the tailnet is valid (warnings allowed), 3 if not.

    \b
    Examples:
      tailgit check
      tailgit check infra/staging --commit origin/main
      tailgit check --format json > findings.json
    """
    from tailgit.report.findings import as_json, as_text

    loaded, findings = examined(path, commit)
    if output == "json":
        print(as_json(findings))
    elif findings:
        print(as_text(findings))
    failed = any(finding.is_error for finding in findings)
    if output == "text" and loaded.tailnet is not None:
        print(_summary(loaded.tailnet, findings))
    return Exit.INVALID if failed else Exit.DONE


def _summary(tailnet: Tailnet, findings: tuple[Finding, ...]) -> str:
    errors = sum(finding.is_error for finding in findings)
    said = [
        _count(number, noun)
        for number, noun in ((errors, "error"), (len(findings) - errors, "warning"))
        if number
    ]
    return (
        f"{tailnet.name}: {_count(len(tailnet.devices), 'device')}, "
        f"{_count(len(tailnet.rules), 'rule')}, {_count(len(tailnet.tests), 'test')}, "
        f"{', '.join(said) or 'no findings'}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
