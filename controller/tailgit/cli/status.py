"""tailgit status: which nodes have the commit, and which are well."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.fleet import Identity, Parallel, SshConfig, Ways, field, observation
from tailgit.cli.nodes import Nodes, chosen, command
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit
from tailgit.model.codes import OF_TESTS

if TYPE_CHECKING:
    from tailgit.plan.standing import Status

Commit = Annotated[
    str | None, typer.Option(help="The git revision to compare with; else HEAD.")
]


def status(
    nodes: Nodes = None,
    repo: Repo = Path(),
    commit: Commit = None,
    format: Format = "text",  # noqa: A002
    detailed_exitcode: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode",
            help="Exit 2 if a node lacks the commit or is not well.",
        ),
    ] = False,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Say which nodes have the commit, and which are well.

    These are two answers. `commit` is what it has, seen from the commit that is asked
    about: in sync, older (and how many commits it lacks), newer, another. A node whose
    files are the same in both is in sync, whatever it recorded. `health` counts what is
    wrong there: interface, filter, peers, addresses, routes, names, guard, clock, disk,
    a generation that nobody confirmed. Below the table stands what it is, who holds
    a node's lock, and who suspended it until when.

    `peers alive` are those that made a handshake in the last three minutes, and the
    age of the newest. A peer that has nothing to say makes none: that is no fault.

    Exit: 0 done, 2 a node is not in sync or not well (--detailed-exitcode), 3 the
    tailnet is not valid, 5 a node could not be read.

    Example: tailgit status tag:db --format json
    """
    from tailgit.deploy.standings import standings
    from tailgit.report.status import status_json, status_text

    with field(
        repo, commit, Ways(identity, ssh_config, parallel), passed_over=OF_TESTS
    ) as asked:
        found = asked.runner.run(
            standings(
                repo,
                asked.tailnet,
                asked.commit,
                asked.fleet,
                observation,
                lambda devices: chosen(devices, nodes or ()),
            )
        )
    text = status_text(found, _next(found, repo, commit))
    sys.stdout.write(status_json(found) if format == "json" else text)
    if not found.complete:
        return Exit.INCOMPLETE
    bad = not (found.in_sync and found.healthy)
    return Exit.CHANGES if detailed_exitcode and bad else Exit.DONE


def _next(found: Status, repo: Path, commit: str | None) -> str:
    """What to look at next; "" where there is nothing to do."""
    drifted = [
        each.node
        for each in found.standings
        if each.seen is not None and each.seen.drift
    ]
    if drifted:
        return command(["drift", *(drifted if len(drifted) < 5 else [])], repo)
    read = [each for each in found.asked if each.seen is not None]
    if any(each.faults for each in read) or (read and not found.in_sync):
        return command(["plan"], repo, commit)
    return ""
