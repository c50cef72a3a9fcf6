"""tailgit suspend and resume: nodes that take nothing new for a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.carrying import Yes, must_ask, who
from tailgit.cli.fleet import (
    Field,
    Identity,
    Parallel,
    SshConfig,
    Ways,
    agreed,
    field,
    progress,
)
from tailgit.cli.nodes import command, observed, reached
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit, Locked, UsageError
from tailgit.model.codes import OF_TESTS

if TYPE_CHECKING:
    from tailgit.deploy.suspension import Answered, Suspending
    from tailgit.errors import NodeError
    from tailgit.plan.observed import Observed

Which = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NODE|TAG]...", help="The nodes; --all for all of them."),
]
All = Annotated[bool, typer.Option("--all", help="All nodes.")]
Reason = Annotated[
    str, typer.Option(metavar="TEXT", help="Why; every plan shows it, and the node.")
]
Until = Annotated[
    str,
    typer.Option(
        metavar="WHEN",
        help="A length of time (2h, 3d), a date (that whole day, UTC) or an RFC 3339 "
        "time; 30 days at most.",
    ),
]


def suspend(
    nodes: Which = None,
    repo: Repo = Path(),
    all_nodes: All = False,
    reason: Reason = "",
    until: Until = "",
    yes: Yes = False,
    format: Format = "text",  # noqa: A002
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Let nodes take nothing new until a time that you name.

    They go on with what they run. Every apply, from wherever, is refused by the node
    itself, and pulling nodes skip their turn. What is pending there may still be
    confirmed or given up. A revocation is not enforced on them either until they are
    resumed; deadlines are, since nodes keep them by their own clock. It ends by itself.

    Exit: 0 done, 1 the answer was no, 3 the tailnet is not valid, 5 a node was not
    reached or said no, 6 somebody is applying to one of them (nothing was changed), 64
    nobody is there to be asked.

    Example: tailgit suspend db-1 --reason "disk is being replaced" --until 4h
    """
    from tailgit.deploy.suspension import TEXT, Suspending, end_of, one_line
    from tailgit.model.deadline import deadline_text

    _some(nodes, all_nodes=all_nodes)
    if not reason or not until:
        raise UsageError(
            "a suspension has a reason and an end",
            'give --reason "TEXT" and --until WHEN (2h, 3d, 2026-12-31)',
        )
    must = _must_ask(yes)
    end = end_of(until, int(time.time()))
    by = who(repo).encode()[:TEXT].decode(errors="ignore")
    asked = Suspending(end, by, one_line("--reason", reason))
    with field(
        repo, None, Ways(identity, ssh_config, parallel), passed_over=OF_TESTS
    ) as site:
        seen, failed = _free(site, nodes or ())
        for node, one in seen.items():
            _said_before(node, one)
        if seen:
            print(
                f"Until {deadline_text(end)} no apply reaches: {', '.join(seen)}.\n"
                "What runs there goes on. A revocation is not enforced there either "
                "until they are resumed.",
                file=sys.stderr,
            )
        if seen and must:
            agreed(f"Suspend {_count(seen)}?")
        done = _ask(site, list(seen), asked)
    follow = command(["resume", *(nodes or ["--all"])], repo)
    return _told(done, failed, format, "suspended", f"To end it:  {follow}")


def resume(
    nodes: Which = None,
    repo: Repo = Path(),
    all_nodes: All = False,
    yes: Yes = False,
    format: Format = "text",  # noqa: A002
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """End the suspension of nodes before its time.

    Nothing is applied by that; the next apply brings them what they missed.

    Exit: 0 done, 1 the answer was no, 3 the tailnet is not valid, 5 a node was not
    reached or said no, 6 somebody is applying to one of them (nothing was changed), 64
    nobody is there to be asked.

    Example: tailgit resume db-1
    """
    _some(nodes, all_nodes=all_nodes)
    must = _must_ask(yes)
    with field(
        repo, None, Ways(identity, ssh_config, parallel), passed_over=OF_TESTS
    ) as site:
        seen, failed = _free(site, nodes or ())
        held = {node: one for node, one in seen.items() if one.suspended is not None}
        for node, one in seen.items():
            _said_before(node, one)
        if held and must:
            agreed(f"Let {_count(held)} take applies again?")
        done = _ask(site, list(held), None)
    follow = command(["plan"], repo)
    text = f"To see what they missed:  {follow}"
    if not held and not failed and format == "text":
        print("none of these nodes is suspended", file=sys.stderr)
    return _told(done, failed, format, "resumed", text)


def _some(nodes: Sequence[str] | None, *, all_nodes: bool) -> None:
    if bool(nodes) == all_nodes:
        raise UsageError(
            "which nodes?" if not nodes else "--all and nodes by name",
            "name nodes (db-1), tags (tag:db), or give --all",
        )


def _must_ask(yes: bool) -> bool:
    try:
        return must_ask(yes)
    except UsageError as error:
        raise UsageError(error.message, "give --yes") from None


def _free(
    site: Field, words: Sequence[str]
) -> tuple[Mapping[str, Observed], Mapping[str, NodeError]]:
    """What the nodes say; raises `Locked` if somebody is at work on one of them."""
    from tailgit.deploy.stage import locked
    from tailgit.errors import NodeRefused

    seen, failed = observed(site, reached(site, words))
    for node, one in seen.items():
        if one.hold is not None:
            raise _busy(locked(NodeRefused(node, "locked", str(one.hold))))
    return seen, failed


def _busy(error: Locked) -> Locked:
    return Locked(
        error.message,
        "wait until they are done; if they are gone for good, the next apply breaks "
        "that lock with --break-lock",
    )


def _said_before(node: str, seen: Observed) -> None:
    from tailgit.model.deadline import deadline_text

    said = seen.suspended
    if said is not None:
        until = deadline_text(said.until)
        progress(node, f"is suspended until {until} by {said.by}: {said.reason}")


def _ask(
    site: Field, nodes: Sequence[str], asked: Suspending | None
) -> tuple[Answered, ...]:
    from tailgit.deploy.suspension import ask_all

    return site.runner.run(ask_all(site.fleet, nodes, asked, progress))


def _told(
    done: Sequence[Answered],
    failed: Mapping[str, NodeError],
    format: str,  # noqa: A002
    word: str,
    follow: str,
) -> Exit:
    """Print what became of each node, and how the command exits."""
    from tailgit.report.logs import acts_json, acts_text

    errors = {**failed, **{each.node: each.error for each in done if each.error}}
    nodes = [each.node for each in done if each.error is None]
    text = acts_text(word, nodes, errors, follow if nodes else "")
    sys.stdout.write(acts_json(word, nodes, errors) if format == "json" else text)
    if any(each.locked for each in done):
        return Exit.LOCKED
    return Exit.INCOMPLETE if errors else Exit.DONE


def _count(nodes: Mapping[str, object]) -> str:
    return "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
