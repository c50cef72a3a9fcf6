"""Make a plan: from what is wanted, what is there and what was applied last.

Three versions go in (what the commit says, what the nodes answered, what was applied
according to git and to the nodes' records), a sorted value comes out; nothing here
asks a node, a clock or git.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from tailgit.compile import compiled_digest
from tailgit.compile.bundle import Bundle
from tailgit.errors import NodeError
from tailgit.guard.guard import Guard, allowed, most
from tailgit.guard.limits import limits
from tailgit.guard.lockout import lockout
from tailgit.model.tailnet import Device
from tailgit.plan.observed import Observed
from tailgit.plan.order import waves
from tailgit.plan.plan import Commit, Desired, History, Order, Plan
from tailgit.plan.refusals import refusals, stopped
from tailgit.plan.row import Row, State, Wanted, row_of


def make(
    desired: Desired,
    seen: Mapping[str, Observed | NodeError],
    commit: Commit,
    history: History,
    order: Order,
    now: int,
) -> Plan:
    """The plan that brings `desired` to the nodes that were asked (`seen`).

    `now` is epoch seconds. Raises `UsageError` where the order makes no sense.
    """
    tailnet, bundles = desired.tailnet, desired.bundles
    base = base_of(seen, history)
    before = history.before.get(base, {})
    made = (
        row_of(device, wanted, seen.get(name), now)
        for name, device, wanted in _wanted(desired, seen, history, before, order)
    )
    rows = tuple(_selected(row, order) for row in made if row is not None)
    controller = tailnet.controller.device if tailnet.controller else None
    guards = allowed(
        (
            *limits(history.declared.get(base), tailnet, before, bundles),
            *_guards(desired, seen, history, rows, order),
            lockout(tailnet, (r.node for r in rows if r.written and r.node in bundles)),
        ),
        order.allow,
    )
    return Plan(
        tailnet.name,
        commit,
        compiled_digest(bundles),
        rows,
        (
            *refusals(tailnet, rows, seen, commit, history, order),
            *(stopped(guard) for guard in guards if guard.stops),
        ),
        waves(rows, order.pace, controller),
        guards,
        order.kind,
        base,
    )


def base_of(seen: Mapping[str, Observed | NodeError], history: History) -> str:
    """The commit that a change is measured against: the fleet's record, else the
    newest that a node records and that could be read here; "" for none."""
    if history.applied in history.declared:
        return history.applied
    records = {
        (one.record.height, one.record.commit)
        for one in seen.values()
        if isinstance(one, Observed) and one.record
    }
    known = [commit for _, commit in sorted(records) if commit in history.declared]
    return known[-1] if known else ""


def _wanted(
    desired: Desired,
    seen: Mapping[str, Observed | NodeError],
    history: History,
    before: Mapping[str, Bundle],
    order: Order,
) -> Iterator[tuple[str, Device, Wanted]]:
    """Every device with what it shall have, bytewise by name."""
    devices = {**desired.tailnet.devices, **desired.leaving}
    for name in sorted(devices, key=str.encode):
        leaves = name in desired.leaving
        one = seen.get(name)
        record = one.record.commit if isinstance(one, Observed) and one.record else ""
        yield (
            name,
            devices[name],
            Wanted(
                (desired.farewells if leaves else desired.bundles).get(name),
                before.get(name),
                history.before.get(record, {}).get(name),
                leaves=leaves,
                trusts="damaged-record" in order.allow,
            ),
        )


def _selected(row: Row, order: Order) -> Row:
    """The row, unless it would be written to and was not asked for."""
    if not row.written:
        return row
    notes = row.notes
    if order.only is not None and row.node not in order.only:
        return replace(row, state=State.LEFT_OUT, switch=None)
    if order.only_losses and _gains(row):
        if row.loses:
            notes = (*notes, "it would gain something, too; nothing is taken from it")
        return replace(row, state=State.LEFT_OUT, switch=None, notes=notes)
    return row


def _gains(row: Row) -> bool:
    """Whether a row gives anybody anything; what is not known may be anything."""
    if row.state in (State.LEAVING, State.REPAIR):
        return False
    return row.difference is None or row.difference.gives


def _guards(
    desired: Desired,
    seen: Mapping[str, Observed | NodeError],
    history: History,
    rows: tuple[Row, ...],
    order: Order,
) -> tuple[Guard, ...]:
    """Guards about what nodes have; a revocation takes from many, and passes over
    those with a trouble of their own."""
    if order.only_losses:
        return ()
    records = _lost_records(desired, seen, history), _damaged_records(seen)
    return _losing(rows), *records


def _losing(rows: Iterable[Row]) -> Guard:
    """Nodes that lose something; what is only mended or new does not count."""
    known = [row for row in rows if row.state not in (State.FIRST, State.NOT_ENROLLED)]
    nodes = [row.node for row in known if row.state is State.CHANGE and row.loses]
    return Guard("nodes-losing", tuple(nodes), len(known), most(len(known)))


def _lost_records(
    desired: Desired, seen: Mapping[str, Observed | NodeError], history: History
) -> Guard:
    """Nodes that have nothing although the fleet's record says that they got it."""
    got = history.before.get(history.applied, {})
    nodes = sorted(
        name
        for name, one in seen.items()
        if isinstance(one, Observed) and one.record is None and not one.damaged
        if name in got and name in desired.bundles
    )
    why = tuple(
        f"{name}: {history.applied[:7]} was applied to it, and it has nothing; made "
        "anew, restored, or another machine?"
        for name in nodes
    )
    return Guard("missing-record", tuple(nodes), len(seen), 0, why)


def _damaged_records(seen: Mapping[str, Observed | NodeError]) -> Guard:
    """Nodes whose current generation can't be read."""
    nodes = sorted(
        name for name, one in seen.items() if isinstance(one, Observed) and one.damaged
    )
    why = tuple(f"{name}: see the disk of that machine" for name in nodes)
    return Guard("damaged-record", tuple(nodes), len(seen), 0, why)
