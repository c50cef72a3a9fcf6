"""Who still trusts a key that was revoked, as far as anybody can tell.

A device is off only when the last node has let go of its key. A node that answered is
judged by the peers that it runs and by what it starts with at the next boot; one that
did not, or that nobody can ask, is taken to trust the key if it ever may have had it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tailgit.compile.bundle import Bundle
from tailgit.errors import NodeError
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.plan.observed import Observed
from tailgit.plan.plan import Plan
from tailgit.plan.row import Row, State


@dataclass(frozen=True, slots=True)
class Trusting:
    """A node that has, or may have, a revoked key as a peer: why, and what to do.

    `again` says that trying it again may help.
    """

    node: str
    why: str
    todo: str = ""
    again: bool = False


def trusting(
    plan: Plan,
    bundles: Mapping[str, Bundle],
    deliveries: Mapping[str, Delivery],
    seen: Mapping[str, Observed | NodeError],
    before: Collection[Mapping[str, Bundle]],
    keys: Collection[str],
) -> tuple[Trusting, ...]:
    """The nodes of `plan` (which takes `keys` away) that may still trust one of them.

    `bundles` are what the nodes shall have. `before` are all that they may have as far
    as is known: what they would have if nothing were revoked, and what older commits
    brought them. The newest may have taken the key from a node that it never reached.
    """
    found = []
    for row in plan.rows:
        wanted = bundles.get(row.node)
        if wanted is None:
            continue
        had = [each[row.node] for each in before if row.node in each]
        if _trusts(seen.get(row.node), wanted, had, keys):
            way = deliveries.get(row.node, Delivery.SSH)  # who leaves has none now
            found.append(_trusting(row, way))
    return tuple(found)


def keys_of(
    names: Collection[str], owner: str, head: Tailnet, older: Iterable[Tailnet]
) -> frozenset[str]:
    """The keys that go with the devices `names` of `head`, and with all that `owner`
    had: those of older commits, too, since a node may know a device by one of them."""
    names = {old for n in names for old in (n, *head.devices[n].formerly)} | {*names}
    others = {
        key
        for device in head.devices.values()
        if device.name not in names
        for key in _keys(device)
    }
    found = {
        key
        for tailnet in (head, *older)
        for device in tailnet.devices.values()
        if device.name in names or (owner and device.owner == owner)
        for key in _keys(device)
    }
    return frozenset(found - others)


def _keys(device: Device) -> Iterator[str]:
    return (key for key in (device.public_key, device.next_public_key) if key)


def _has(bundle: Bundle, keys: Collection[str]) -> bool:
    text = dict(bundle.files).get("wireguard.conf", b"").decode()
    return any(f"PublicKey = {key}\n" in text for key in keys)


def _trusts(
    one: Observed | NodeError | None,
    wanted: Bundle,
    had: Collection[Bundle],
    keys: Collection[str],
) -> bool:
    """Whether a node has such a peer now or at its next start, or may have one."""
    may = any(_has(each, keys) for each in had)
    if not isinstance(one, Observed):
        return may
    if any(peer.public_key in keys for peer in one.peers):
        return True
    if one.record is None:
        return may and (one.damaged or one.pending is not None)
    if one.record.manifest == wanted.digest:
        return False
    recorded = [each for each in had if each.digest == one.record.manifest]
    return any(_has(each, keys) for each in recorded) if recorded else may


def _trusting(row: Row, delivery: Delivery) -> Trusting:
    why = "; ".join(row.notes)
    match delivery:
        case Delivery.PULL:
            why = "fetches its files by itself"
            todo = "wait for its next turn, or start one there: tailgit-node pull"
            return Trusting(row.node, why, todo)
        case Delivery.FILE | Delivery.WG_QUICK:
            quick = " --wg-quick" if delivery is Delivery.WG_QUICK else ""
            why = "gets its files by hand, so nobody can see whether it has these"
            todo = f"bring it the output of: tailgit render {row.node}{quick}"
            return Trusting(row.node, why, todo)
        case _:
            pass
    match row.state:
        case State.SUSPENDED:
            return Trusting(row.node, why, f"tailgit resume {row.node}")
        case State.LEFT_OUT:
            return Trusting(row.node, why, "tailgit apply")
        case State.NOT_ENROLLED:
            todo = f"tailgit device enroll {row.node}"
            return Trusting(row.node, why, todo)
        case _:
            todo = "it lets go of the key as soon as it is reached"
            return Trusting(row.node, why or "not applied there yet", todo, again=True)
