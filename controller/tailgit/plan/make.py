"""Make a plan: from what is wanted, what is there and what was applied last.

Three versions go in (what the commit says, what the nodes answered, what was applied
according to git and to the nodes' records), a sorted value comes out; nothing here
asks a node, a clock or git.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tailgit.compile import compiled_digest
from tailgit.compile.bundle import Bundle
from tailgit.errors import NodeError
from tailgit.guard.guard import Guard, allowed, most
from tailgit.guard.limits import limits
from tailgit.guard.lockout import lockout
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.plan.observed import Observed
from tailgit.plan.order import waves
from tailgit.plan.plan import Commit, Desired, History, Lineage, Order, Plan
from tailgit.plan.pulled import UNHEARD, Pulled, pulled
from tailgit.plan.pulled import lacking as lacking_in
from tailgit.plan.refusals import refusals, stopped
from tailgit.plan.row import Post, Row, State, Wanted, row_of

_WITHOUT = frozenset(
    {State.FIRST, State.NOT_ENROLLED, State.NOT_DELIVERED, State.LEAVING}
)
"""States of devices that can't lose anything: a thousand laptops that get files must
not make a share of all devices a number that no server park has."""


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
    base = base_of(desired, seen, history)
    before = history.before.get(base, {})
    made = (
        row_of(device, wanted, seen.get(name), now)
        for name, device, wanted in _wanted(desired, seen, history, before, order)
    )
    rows = tuple(_selected(row, order) for row in made if row is not None)
    controller = _controller(tailnet)
    guards = allowed(
        (
            *limits(history.declared.get(base), tailnet, before, bundles),
            *_guards(desired, seen, history, rows, order),
            _unknown_base(rows, commit, history, base),
            lockout(
                tailnet,
                (node for node in _at_stake(tailnet, rows) if node in bundles),
                history.declared.get(base),
            ),
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


def _controller(tailnet: Tailnet) -> str | None:
    return tailnet.controller.device if tailnet.controller else None


def _at_stake(tailnet: Tailnet, rows: Iterable[Row]) -> Iterator[str]:
    """Nodes that a change may lock the controller out of: who is written to and, where
    the way there changes, who is asleep or needs nothing itself, too."""
    rows = [row for row in rows if row.state not in _WITHOUT or row.written]
    written = {row.node for row in rows if row.written}
    own = tailnet.devices.get(_controller(tailnet) or "")
    routers = {name for name, each in tailnet.devices.items() if each.routes}
    # One that is brought its files by hand may get them at any time.
    by_hand = own is not None and own.delivery is not Delivery.SSH
    ways = routers | ({own.name} if own else set())
    everybody = own is not None and written and (by_hand or ways & written)
    return (row.node for row in rows if everybody or row.written)


def base_of(
    desired: Desired, seen: Mapping[str, Observed | NodeError], history: History
) -> str:
    """The commit that a change is measured against; "" for none that is known here.

    It is the newest that a node records which is still to be changed: after half an
    apply the first nodes record the new commit, and measured against itself it would
    change nothing. Where nothing is left to change it is the newest of all. The fleet's
    record counts where it is newer; it stands still while one node sleeps, and what was
    removed since would be counted again with each change.
    """
    wanted = {**desired.bundles, **desired.farewells}
    records = {
        (record.manifest != getattr(wanted.get(name), "digest", ""), record)
        for name, one in seen.items()
        if isinstance(one, Observed) and (record := one.record)
        if record.commit in history.declared
    }
    found = max(records, key=lambda r: (r[0], r[1].height, r[1].commit), default=None)
    kept = history.applied if history.applied in history.declared else ""
    if found is None or (kept and found[1].height < history.height):
        return kept
    return found[1].commit


def _wanted(
    desired: Desired,
    seen: Mapping[str, Observed | NodeError],
    history: History,
    before: Mapping[str, Bundle],
    order: Order,
) -> Iterator[tuple[str, Device, Wanted]]:
    """Every device with what it shall have, bytewise by name."""
    devices = {**desired.tailnet.devices, **desired.leaving}
    heard = _Mail.of(desired, seen)
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
                surely=history.applied in history.before,
                post=heard.post(name),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Mail:
    """The mailboxes that answered, and what they say of devices that pull."""

    mailboxes: tuple[str, ...]
    bundles: Mapping[str, Bundle]
    seen: Mapping[str, Observed | NodeError]
    said: Mapping[str, Pulled]

    @staticmethod
    def of(desired: Desired, seen: Mapping[str, Observed | NodeError]) -> _Mail:
        """Judged once for all devices, since each mailbox speaks of many."""
        boxes = tuple(
            name
            for name, device in desired.tailnet.devices.items()
            if device.mailbox and isinstance(seen.get(name), Observed)
        )
        return _Mail(boxes, desired.bundles, seen, pulled(seen))

    def post(self, name: str) -> Post | None:
        bundle = self.bundles.get(name)
        if bundle is None:
            return None
        lacking = lacking_in(name, bundle.digest, self.mailboxes, self.seen)
        heard = self.said.get(name)
        return Post(self.mailboxes, lacking, heard.sentence if heard else UNHEARD)


def _selected(row: Row, order: Order) -> Row:
    """The row, unless it would be written to and was not asked for."""
    if not row.acts:
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
    """Nodes that lose something, of those that have something over SSH."""
    known = [row for row in rows if row.state not in _WITHOUT]
    nodes = [row.node for row in known if row.state is State.CHANGE and row.loses]
    return Guard("nodes-losing", tuple(nodes), len(known), most(len(known)))


def _unknown_base(
    rows: Iterable[Row], commit: Commit, history: History, base: str
) -> Guard:
    """Nodes that have something, where no limit could be counted for want of a base.

    Commits that git does not know at all are refused anyway.
    """
    older = [r for r in rows if r.written and r.commit not in ("", commit.sha)]
    sighted = (Lineage.ANCESTOR, Lineage.DESCENDANT)
    blind = [
        row for row in older if not base and history.lineage.get(row.commit) in sighted
    ]
    nodes = tuple(row.node for row in blind)
    which = sorted({row.commit[:7] for row in blind})
    why = tuple(
        f"this tailgit can't compile {one}, which was applied last" for one in which
    )
    return Guard("unknown-base", nodes, len(older), 0, why)


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
