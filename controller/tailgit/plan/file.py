"""A plan as JSON: one document that people review and `apply` reads back.

It holds digests, names and counts, nothing secret. Reading is strict: a plan that was
edited, cut or made by another format is no plan, since an apply that half understands
its orders is worse than one that asks for new ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from tailgit.errors import UsageError
from tailgit.guard.guard import Guard
from tailgit.plan.difference import Difference, Lines
from tailgit.plan.order import Wave
from tailgit.plan.plan import Commit, Order, Plan
from tailgit.plan.row import Row, State, Switch

FORMAT_VERSION = 1

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a document that is no plan makes of the attempt to read it as one."""


def document(plan: Plan) -> dict[str, object]:
    """The plan and what follows from it, ready for `json.dumps`."""
    return {
        "format_version": FORMAT_VERSION,
        "plan": plan.digest,
        "complete": plan.complete,
        "applyable": not plan.refusals,
        "counts": {str(state): count for state, count in plan.counts.items()},
        **asdict(plan),
    }


def dumps(plan: Plan) -> str:
    """The plan as a JSON text that `loads` reads."""
    return json.dumps(document(plan), indent=2) + "\n"


def loads(text: str, name: str) -> Plan:
    """The plan in `text`; `name` is the file's, for the sentence of a `UsageError`."""
    try:
        found = json.loads(text)
        version = found["format_version"]
        if version != FORMAT_VERSION:
            raise ValueError(f"it has format {version}, this tailgit reads 1")
        plan = _plan(found)
        # Also what follows from the rest: a count that is not true misleads who reads.
        if json.loads(dumps(plan)) != found:
            raise ValueError("it was changed after it was written")
        _check_waves(plan)
    except _UNREADABLE as error:
        why = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
        raise UsageError(
            f"{name} is not a plan: {why}", "write one with `tailgit plan --out FILE`"
        ) from None
    return plan


def _plan(found: dict[str, Any]) -> Plan:
    return Plan(
        tailnet=str(found["tailnet"]),
        commit=Commit(**found["commit"]),
        compiled=str(found["compiled"]),
        rows=tuple(_row(row) for row in found["rows"]),
        refusals=tuple(found["refusals"]),
        waves=tuple(
            Wave(each["kind"], tuple(each["nodes"])) for each in found["waves"]
        ),
        guards=tuple(map(_guard, found["guards"])),
        kind=found["kind"],
        base=str(found["base"]),
        tailgit=str(found["tailgit"]),
    )


def _check_waves(plan: Plan) -> None:
    """Every step has its turn, once: one without a wave would only be staged."""
    turns = sorted(node for wave in plan.waves for node in wave.nodes)
    if turns != sorted(row.node for row in plan.steps):
        raise ValueError("its waves are not its steps")


def _guard(found: dict[str, Any]) -> Guard:
    listed = {key: tuple(found[key]) for key in ("devices", "why")}
    return Guard(**{**found, **listed})


def _row(found: dict[str, Any]) -> Row:
    what = found["difference"]
    return Row(
        **{
            **found,
            "state": State(found["state"]),
            "switch": Switch(found["switch"]) if found["switch"] else None,
            "difference": _difference(what) if what else None,
            "notes": tuple(found["notes"]),
        }
    )


def _difference(found: dict[str, Any]) -> Difference:
    listed = {key: tuple(value) for key, value in found.items() if key != "own_key"}
    lines = tuple(Lines(**each) for each in found["lines"])
    whole: dict[str, Any] = {**found, **listed, "lines": lines}
    return Difference(**whole)


def stale_because(kept: Plan, now: Plan) -> tuple[str, ...]:
    """Why `kept` may not be applied any more, seen that `now` is the plan of today.

    A node that stopped answering is no reason: it is left alone and reported. Nor is
    one that has meanwhile what the plan brings: the same plan may finish its work.
    """
    if (kept.tailnet, kept.commit.sha) != (now.tailnet, now.commit.sha):
        return (f"it is for {_what(kept)}, not for {_what(now)}",)
    if kept.kind != now.kind:
        return (f"it is for {kept.kind}, not for {now.kind}",)
    if kept.compiled != now.compiled:
        return ("the commit compiles to something else here (another tailgit?)",)
    rows = {row.node: row for row in kept.rows}
    said = []
    for row in now.rows:
        before = rows.get(row.node)
        done = row.state is State.IN_SYNC or row.state is State.UNREACHABLE
        if before is None or not (done or _same(before, row)):
            said.append(f"{row.node} is not as it was when this was planned")
    return tuple(said)


def _what(plan: Plan) -> str:
    return f"{plan.tailnet} {plan.commit.sha[:7]}"


def _same(before: Row, now: Row) -> bool:
    return (before.state, before.manifest, before.observed) == (
        now.state,
        now.manifest,
        now.observed,
    )


def resumed(kept: Plan, now: Plan) -> Plan:
    """What is left to do of `kept`, which is not stale: its order, today's rows."""
    left = {row.node for row in now.steps}
    waves = (
        Wave(wave.kind, tuple(node for node in wave.nodes if node in left))
        for wave in kept.waves
    )
    return replace(now, waves=tuple(wave for wave in waves if wave.nodes))


def order_of(kept: Plan) -> Order:
    """What was asked for when `kept` was planned, to plan it again."""
    left_out = any(row.state is State.LEFT_OUT for row in kept.rows)
    return Order(
        kept.kind,
        only=frozenset(row.node for row in kept.steps) if left_out else None,
        allow={guard.name: guard.reason for guard in kept.guards if guard.reason},
    )
