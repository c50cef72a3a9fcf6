"""From a path and a revision to a tailnet that commands may act on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailgit.errors import InvalidTailnet, Refused, SourceError, UsageError

if TYPE_CHECKING:
    from tailgit.check import Surroundings
    from tailgit.check.together import Checked
    from tailgit.load import Loaded
    from tailgit.load.source import Source
    from tailgit.model.findings import Finding
    from tailgit.model.tailnet import Device, Tailnet

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

_LATER = "`check` only warns of it; take it out to put the rest on nodes"

MOST_TAILNETS = 100
"""Of one check. Each costs a load, and a stranger's branch may hold any number."""


def examined(
    path: Path,
    revision: str | None = None,
    *,
    tests: bool = True,
    surroundings: Surroundings | None = None,
) -> tuple[Loaded, tuple[Finding, ...]]:
    """What lies at `path` (in `revision`, else in the files) and all findings.

    The policy's own `tests:` count as findings; they are run once nothing else is
    wrong, since a test of a broken policy fails for a reason that is already said.
    Without `tests` they are left out: whoever asks why one fails must get an answer.
    Without `surroundings` it is judged at the present time.
    """
    from tailgit.load import load

    loaded = load(path, revision)
    return loaded, _findings(loaded, surroundings, tests=tests)


def examined_all(
    source: Source, folder: str, path: Path, surroundings: Surroundings
) -> tuple[Checked, ...]:
    """Every tailnet that `path` (`folder` in the source) means, with all findings."""
    from tailgit.check.together import Checked, together
    from tailgit.load import load_from
    from tailgit.load.source import every_root, root_of

    # Where there is none, root_of says so.
    roots = every_root(source, folder) or (root_of(source, folder, path),)
    if len(roots) > MOST_TAILNETS:
        raise UsageError(
            f"{len(roots)} tailnets, and one check takes {MOST_TAILNETS}",
            "name a folder that holds fewer",
        )
    loaded = (load_from(source, root) for root in roots)
    return together(Checked(each, _findings(each, surroundings)) for each in loaded)


def _findings(
    loaded: Loaded, surroundings: Surroundings | None, *, tests: bool = True
) -> tuple[Finding, ...]:
    from tailgit.access import run_tests
    from tailgit.check import examine
    from tailgit.cli.surroundings import surroundings as present
    from tailgit.model.findings import in_order

    findings = examine(loaded, surroundings or present())
    if tests and loaded.tailnet and not any(finding.is_error for finding in findings):
        findings = in_order((*findings, *run_tests(loaded.tailnet)))
    return findings


def valid(
    path: Path,
    revision: str | None = None,
    *,
    tests: bool = True,
    for_nodes: bool = False,
    passed_over: Collection[str] = (),
) -> Loaded:
    """The tailnet of `path`, without any finding of level error.

    Those with a code that is `passed_over` don't count. `for_nodes`, what git-only
    commands judge and nodes don't get yet is an error, too: half of it must not reach
    a node. `InvalidTailnet` carries all findings, warnings too.
    """
    from tailgit.model.findings import Severity

    loaded, findings = examined(path, revision, tests=tests)
    findings = tuple(each for each in findings if each.code not in passed_over)
    if for_nodes:
        findings = tuple(
            replace(each, severity=Severity.ERROR, help=_LATER)
            if each.code == "not-applied"
            else each
            for each in findings
        )
    if any(finding.is_error for finding in findings):
        raise InvalidTailnet(findings, loaded.commit)
    return loaded


def valid_tailnet(
    path: Path,
    revision: str | None = None,
    *,
    tests: bool = True,
    for_nodes: bool = False,
) -> Tailnet:
    """The same for commands that need nothing but the tailnet."""
    tailnet = valid(path, revision, tests=tests, for_nodes=for_nodes).tailnet
    if tailnet is None:
        raise SourceError(f"{path} has no tailnet")
    return tailnet


def device_of(tailnet: Tailnet, name: str) -> Device:
    """The device of that name; a `UsageError` that may know a better one."""
    from tailgit.model.near import meant
    from tailgit.model.text import shown

    found = tailnet.devices.get(name)
    if found is None:
        raise UsageError(
            f"{tailnet.name} has no device `{shown(name)}`",
            meant(name, tailnet.devices)
            or f"declare it first: tailgit device add {shown(name)}",
        )
    if found.disabled:
        raise Refused(f"{name} is disabled", "take `disabled: true` out first")
    return found
