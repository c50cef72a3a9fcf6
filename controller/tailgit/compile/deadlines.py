"""The deadlines of a node: which peers and routes end, and when.

The filter ends rules by itself (`compile.firewall`). A peer in WireGuard and a route in
the kernel stay until somebody takes them out; this list says when the node's own timer
is to do that, also when the controller is long gone. A bundle without deadlines has no
such file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailgit.access import Relation, View
from tailgit.model.addresses import Network
from tailgit.model.deadline import Deadline


@dataclass(frozen=True, slots=True, order=True)
class Ending:
    """A peer that ends, or the route to a subnet behind it."""

    at: Deadline
    peer: int
    route: str = ""


def endings(relation: Relation, view: View) -> tuple[Ending, ...]:
    """What ends for the nodes of a view, in order of time."""
    found = [Ending(at, number) for number, at in relation.peer_deadlines(view).items()]
    routes: dict[tuple[int, Network], Deadline] = dict(relation.route_deadlines(view))
    found += [Ending(at, peer, str(route)) for (peer, route), at in routes.items()]
    return tuple(sorted(found))


def deadline_lines(
    listed: Sequence[Ending], keys: Sequence[str | None], without: int
) -> bytes:
    """`EPOCH peer KEY` and `EPOCH route KEY PREFIX`; the node itself is left out."""
    lines = [
        f"{each.at} route {key} {each.route}\n"
        if each.route
        else f"{each.at} peer {key}\n"
        for each in listed
        if each.peer != without and (key := keys[each.peer]) is not None
    ]
    return "".join(lines).encode()
