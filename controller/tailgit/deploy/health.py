"""Whether a node that was just switched is well, before it is told to keep that.

The node judges what it loaded by itself when it is asked to confirm. What it can't
know is how things were before: a node that had sessions and, with the interface made
anew, gets none of them back is cut off, however right its files are.
"""

from __future__ import annotations

from tailgit.plan.observed import Observed
from tailgit.plan.standing import ALIVE


def had_sessions(seen: Observed) -> bool:
    """Whether any peer spoke to the node lately."""
    return any(_alive(peer.handshake, seen.time) for peer in seen.peers)


def lonely(before: Observed, now: Observed) -> bool:
    """Whether all sessions are gone that were there and should have stayed."""
    stayed = {peer.public_key for peer in now.peers}
    alive = {
        peer.public_key
        for peer in before.peers
        if _alive(peer.handshake, before.time) and peer.public_key in stayed
    }
    back = {peer.public_key for peer in now.peers if peer.handshake}
    return bool(alive) and not alive & back


def _alive(handshake: int, time: int) -> bool:
    return bool(handshake) and time - handshake <= ALIVE
