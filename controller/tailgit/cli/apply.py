"""tailgit apply: bring a commit to the nodes, exactly as planned."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.carrying import (
    BreakLock,
    ConfirmTimeout,
    Manner,
    Probed,
    SigningKey,
    Yes,
    carry_out,
    must_ask,
    refused,
    who,
)
from tailgit.cli.fleet import (
    SHARE,
    Allow,
    Canary,
    Commit,
    Identity,
    Only,
    Parallel,
    SshConfig,
    WaveSize,
    Ways,
    field,
    order_of,
)
from tailgit.cli.plan import Asked, apply_command
from tailgit.cli.recording import RecordAt, before, written
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit, Refused, UsageError

if TYPE_CHECKING:
    from tailgit.plan.plan import Plan


def apply(
    planfile: Annotated[
        Path | None,
        typer.Argument(metavar="PLANFILE", help="A plan of `tailgit plan --out`."),
    ] = None,
    repo: Repo = Path(),
    commit: Commit = None,
    yes: Yes = False,
    compiled: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="Go on only if the commit compiles to this (whole) digest, the one "
            "that was reviewed.",
        ),
    ] = None,
    format: Format = "text",  # noqa: A002
    only: Only = None,
    canary: Canary = "",
    wave_size: WaveSize = SHARE,
    allow: Allow = None,
    probe: Probed = False,
    confirm_timeout: ConfirmTimeout = 90,
    break_lock: BreakLock = None,
    record: RecordAt = "",
    signing_key: SigningKey = None,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Bring a commit to the nodes, exactly as planned.

    On a terminal it shows the plan and asks. Elsewhere it wants a PLANFILE (refused
    if the commit, its compiled form or a node is not what was planned), --compiled
    DIGEST or --yes. One signature covers all nodes.

    Every node gets and checks its files before one of them is switched. Then a canary
    is, then wave after wave; a wave that does not end well is the last one. A switched
    node goes back by itself unless it is confirmed over a new connection. Ctrl-C
    finishes the nodes that are under way and begins no other; a second one leaves at
    once, and the nodes under way go back by themselves. What was applied is kept in
    git (`tailgit history`); --record shares that.

    Exit: 0 every node has the commit, 1 the answer was no, 3 the tailnet is not
    valid, 4 refused, nothing was changed (--format json prints the plan that was),
    5 a node was not reached, not applied or rolled back, or the record was not
    written, 6 somebody else applies,
    64 nobody is there to be asked.

    Example: tailgit apply --commit main --compiled "$REVIEWED" --format json
    """
    from tailgit.plan.file import dumps, resumed
    from tailgit.plan.file import order_of as order_of_file
    from tailgit.report.plan import applied_json, applied_text, plan_text

    kept = _read(planfile) if planfile else None
    options = Asked(only or (), canary, wave_size, allow or ())
    if kept and (commit is not None or options.words):
        raise UsageError(
            "a PLANFILE names its commit, its nodes, its order and its overrides",
            "give those options to `tailgit plan`",
        )
    asked = must_ask(kept or compiled or yes)
    ways = Ways(identity, ssh_config, parallel)
    with field(repo, kept.commit.sha if kept else commit, ways) as nodes:
        order = (
            order_of_file(kept)
            if kept
            else order_of(
                nodes.tailnet,
                only=only,
                canary=canary,
                wave_size=wave_size,
                allow=allow,
            )
        )
        name = nodes.tailnet.name
        known = before(repo, name, record, for_commit=nodes.commit)
        found = nodes.survey(order)
        command = apply_command(repo, commit, planfile, options, record)
        objection = _objection(found.plan, kept, compiled)
        if kept and not objection:
            found = replace(found, plan=resumed(kept, found.plan))
        sys.stderr.write(plan_text(found.plan, command))
        if objection is not None:
            if format == "json":
                because = found.plan.refusals or (objection.message,)
                sys.stdout.write(dumps(replace(found.plan, refusals=because)))
            raise objection
        manner = Manner(asked, signing_key, confirm_timeout, break_lock or (), probe)
        applied, signer = carry_out(nodes, found, manner)
    text = applied_text(
        applied, apply_command(repo, commit, None, options, record), signer
    )
    sys.stdout.write(applied_json(applied) if format == "json" else text)
    return written(known, applied, who(repo))


def _read(file: Path) -> Plan:
    from tailgit.plan.file import loads

    try:
        return loads(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not a plan: it is not UTF-8") from None


def _objection(plan: Plan, kept: Plan | None, compiled: str | None) -> Refused | None:
    """Why this is not what was planned or reviewed; None if it is."""
    from tailgit.plan.file import stale_because

    if plan.refusals:
        return refused(plan.refusals)
    stale = (kept.refusals or stale_because(kept, plan)) if kept else ()
    if stale:
        return Refused(f"the plan is stale: {stale[0]}", "look at a new `tailgit plan`")
    if compiled is not None and compiled != plan.compiled:
        return Refused(
            f"the commit compiles to {plan.compiled}, not to what was reviewed",
            "review that, or name the whole digest of what was reviewed",
        )
    return None
