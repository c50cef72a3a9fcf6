"""tailgit drift: what nodes run other than what was applied to them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tailgit.cli.fleet import Identity, Parallel, SshConfig, Ways, field
from tailgit.cli.nodes import Nodes, command, observed, reached
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit
from tailgit.model.codes import OF_TESTS


def drift(
    nodes: Nodes = None,
    repo: Repo = Path(),
    format: Format = "text",  # noqa: A002
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit 2 if there is any drift."),
    ] = False,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Say what nodes run other than what was applied to them.

    Each node compares what it runs with the generation that it was given last: `+` is
    there and was not applied, `-` was applied and is not there. Commits that are not
    applied yet play no part (`tailgit plan` and `tailgit status` are for them). Who
    made such a change is written down nowhere; said is who applied what it departs
    from, and that an apply overwrites it.

    Exit: 0 done, 2 there is drift (--detailed-exitcode), 3 the tailnet is not valid,
    5 a node could not be read.

    Example: tailgit drift db-1
    """
    from tailgit.plan.drift import drift_of
    from tailgit.report.drift import drift_json, drift_text

    with field(
        repo, None, Ways(identity, ssh_config, parallel), passed_over=OF_TESTS
    ) as asked:
        tailnet = asked.tailnet.name
        answered, failed = observed(asked, reached(asked, nodes or ()))
    # Of a node that never got anything there is nothing to say.
    drifts = [found for one in answered.values() if (found := drift_of(one))]
    names = [found.node for found in drifts if found.found]
    only = [word for name in names if len(names) < 5 for word in ("--only", name)]
    text = drift_text(tailnet, drifts, failed, command(["apply", *only], repo))
    sys.stdout.write(drift_json(tailnet, drifts, failed) if format == "json" else text)
    if failed:
        return Exit.INCOMPLETE
    return Exit.CHANGES if detailed_exitcode and names else Exit.DONE
