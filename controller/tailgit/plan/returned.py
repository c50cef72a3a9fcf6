"""What a rollback gives back: what was taken away since, and comes into force again.

Going back is the one change that can undo a revocation without anybody meaning it, so
this is said first, before everything else that the plan says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tailgit.plan.plan import Plan
from tailgit.plan.row import Row, State


@dataclass(frozen=True, slots=True)
class Returned:
    """`peers` (by name) with the nodes that trust them again, `filters` with the lines
    that come back on a node, `unknown` nodes of which nobody here knows what they
    have; everything in bytewise order."""

    peers: Mapping[str, tuple[str, ...]]
    filters: Mapping[str, int]
    unknown: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.peers or self.filters or self.unknown)


def returned(plan: Plan) -> Returned:
    """What comes back on the nodes that the plan writes to."""
    peers: dict[str, list[str]] = {}
    filters, unknown = {}, []
    for row in plan.steps:
        if row.difference is None and row.state is State.CHANGE:
            unknown.append(row.node)
        for name in _peers(row):
            peers.setdefault(name, []).append(row.node)
        if lines := _filter_lines(row):
            filters[row.node] = lines
    order = sorted(peers, key=str.encode)
    return Returned(
        {name: tuple(peers[name]) for name in order}, filters, tuple(unknown)
    )


def _peers(row: Row) -> tuple[str, ...]:
    what = row.difference
    if what is None:
        return ()
    return (*what.peers_added, *what.peers_changed, *what.peers_rekeyed)


def _filter_lines(row: Row) -> int:
    what = row.difference
    if what is None or row.state is State.FIRST:
        return 0
    return sum(lines.added for lines in what.lines if lines.what == "filter")
