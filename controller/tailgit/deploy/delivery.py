"""What the nodes of one apply are sent: one signature, a parcel for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tailgit.compile.bundle import Bundle
from tailgit.deploy.parcel import Envelope, order, parcel
from tailgit.errors import NodeRefused, Refused
from tailgit.plan.plan import Plan

Signer = Callable[[bytes], bytes]
"""Makes the signature over a statement."""

INSTANT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Delivery:
    """The parts of one node's parcel."""

    node: str
    envelope: bytes
    statement: bytes
    signature: bytes
    path: bytes
    bundle: Bundle

    def parcel(self) -> bytes:
        """The parcel, packed when it is its turn: a fleet's would fill the memory."""
        try:
            return parcel(
                envelope=self.envelope,
                statement=self.statement,
                signature=self.signature,
                path=self.path,
                bundle=self.bundle.tar(),
            )
        except ValueError as error:
            raise NodeRefused(self.node, "bad-parcel", str(error)) from None


def deliveries(
    plan: Plan,
    bundles: Mapping[str, Bundle],
    newest: Mapping[str, str],
    *,
    by: str,
    at: datetime,
    sign: Signer,
) -> dict[str, Delivery]:
    """What the plan's steps send; one signature covers all of it.

    `newest` is the time of the latest order that each node has: it takes none from
    before, so one that is ahead of our clock gets its own time and a second.
    Raises `Refused` if a bundle is not the planned one, `SigningError`.
    """
    rows = (*plan.steps, *plan.deposits)
    if not rows:
        return {}
    for row in rows:
        if bundles[row.node].digest != row.manifest:
            raise Refused(f"{row.node}: what was compiled is not what was planned")
    commit = plan.commit
    envelopes = {
        row.node: Envelope(
            plan.tailnet,
            row.node,
            commit.sha,
            commit.height,
            by,
            instant_after(at, newest.get(row.node, "")),
            plan.kind,
        ).text()
        for row in rows
    }
    signed = order(
        {node: (text, bundles[node].manifest) for node, text in envelopes.items()}
    )
    signature = sign(signed.statement)
    return {
        node: Delivery(
            node,
            envelope,
            signed.statement,
            signature,
            signed.paths[node],
            bundles[node],
        )
        for node, envelope in envelopes.items()
    }


def instant_after(at: datetime, newest: str) -> str:
    """`at` as envelopes write it, or the second after `newest` where that is later."""
    if not newest or at.strftime(INSTANT) > newest:
        return at.strftime(INSTANT)
    later = datetime.strptime(newest, INSTANT).replace(tzinfo=UTC) + timedelta(
        seconds=1
    )
    return later.strftime(INSTANT)
