"""Extents: exactly who stands at one end of access, without any name.

An extent has own addresses of devices by number, and prefixes of what lies beyond
them, each with the devices that carry it. Extents are met and united like sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tailgit.access.routes import covers, overlaps, prefix_order
from tailgit.access.visibility import narrower
from tailgit.model.addresses import Network

Numbers = frozenset[int]
"""Devices by their place in `Relation.devices`."""

Carried = tuple[tuple[Network, Numbers], ...]
"""Prefixes beyond devices' own addresses, each with the devices that carry it."""

NONE: Numbers = frozenset()


@dataclass(frozen=True, slots=True)
class Extent:
    """Exactly who: devices by their IPv4 and IPv6 addresses, and prefixes."""

    four: Numbers = NONE
    six: Numbers = NONE
    carried: Carried = ()

    def __bool__(self) -> bool:
        return bool(self.four or self.six or self.carried)

    @property
    def devices(self) -> Numbers:
        return self.four | self.six

    def __and__(self, other: Extent) -> Extent:
        """What both have; the routers of a prefix are those of `other`, if it says."""
        shared: dict[Network, Numbers] = {}
        for one, mine in self.carried:
            for two, theirs in other.carried:
                if overlaps(one, two):
                    prefix = narrower(one, two)
                    routers = (mine & theirs if mine else theirs) if theirs else mine
                    shared[prefix] = shared.get(prefix, NONE) | routers
        return Extent(self.four & other.four, self.six & other.six, tidy(shared))

    def __or__(self, other: Extent) -> Extent:
        both: dict[Network, Numbers] = dict(self.carried)
        for prefix, routers in other.carried:
            both[prefix] = both.get(prefix, NONE) | routers
        return Extent(self.four | other.four, self.six | other.six, tidy(both))

    def holds(self, other: Extent) -> bool:
        """Whether all of the other lies in this one."""
        return (
            self.four >= other.four
            and self.six >= other.six
            and all(
                any(covers(mine, prefix) for mine, _ in self.carried)
                for prefix, _ in other.carried
            )
        )


def extent_of(numbers: Numbers) -> Extent:
    """Devices by both their addresses."""
    return Extent(numbers, numbers)


def union(extents: Iterable[Extent]) -> Extent:
    found = Extent()
    for each in extents:
        if each:
            found = found | each if found else each
    return found


def tidy(carried: dict[Network, Numbers]) -> Carried:
    """Sorted, without what lies inside another prefix of the same routers."""
    kept: list[tuple[Network, Numbers]] = []
    for prefix in sorted(carried, key=prefix_order):
        routers = carried[prefix]
        if not any(covers(p, prefix) and routers <= r for p, r in kept[-8:]):
            kept.append((prefix, routers))
    return tuple(kept)
