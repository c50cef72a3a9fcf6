"""Who still trusts a key that was revoked, as far as anybody can tell.

A device is off only when the last node has let go of its key. A node that answered is
judged by the peers that it runs and by what it starts with at the next boot; one that
did not, or that nobody can ask, is taken to trust the key if it ever may have had it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tailgit.compile.bundle import Bundle
from tailgit.errors import NodeError
from tailgit.model.tailnet import Delivery
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
    before: Mapping[str, Bundle],
    keys: Collection[str],
) -> tuple[Trusting, ...]:
    """The nodes of `plan` (which takes `keys` away) that may still trust one of them.

    `bundles` are what the nodes shall have, `before` what they would have if nothing
    were revoked.
    """
    found = []
    for row in plan.rows:
        had, wanted = before.get(row.node), bundles.get(row.node)
        if wanted is None or had is None or not _has(had, keys):
            continue
        one = seen.get(row.node)
        if not isinstance(one, Observed) or not _let_go(one, wanted, keys):
            found.append(_trusting(row, deliveries[row.node]))
    return tuple(found)


def _has(bundle: Bundle, keys: Collection[str]) -> bool:
    text = dict(bundle.files).get("wireguard.conf", b"").decode()
    return any(f"PublicKey = {key}\n" in text for key in keys)


def _let_go(one: Observed, wanted: Bundle, keys: Collection[str]) -> bool:
    """Whether a node has no such peer now, and won't at its next start."""
    if any(peer.public_key in keys for peer in one.peers):
        return False
    if one.record is None:
        return not one.damaged and one.pending is None
    return one.record.manifest == wanted.digest


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
