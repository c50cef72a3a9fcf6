"""`autogroup:self` on both sides: whose own devices may do what to each other.

A rule to self joins devices of one person, which is finer than any class. So people
are looked at one by one, their devices by class; only those for whom it matters get
atoms of their own (`World`, `split`): whose rules to self differ, and those between
whose devices something else changes that self may hide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

from tailgit.review.world import SIDES, Bits, Inflow, Opened, World, person_of


class Owners:
    """The people with a rule to self on either side of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        identity_of: list[dict[int, int]] = [{}, {}]
        for identity, pair in enumerate(world.identities.pairs):
            for side in SIDES:
                number = pair[side]
                if number is not None:
                    identity_of[side][number] = identity
        self.masks: tuple[Mapping[str, Mapping[int, int]], ...] = tuple(
            {
                person: {identity_of[side][n]: mask for n, mask in masks.items()}
                for person, masks in relation.people.masks.items()
            }
            if relation.rules.to_self
            else {}
            for side, relation in enumerate(world.sides)
        )
        """On each side by person, what each of their devices may do to the others."""

    @property
    def people(self) -> set[str]:
        return {person for side in SIDES for person in self.masks[side]}

    def differing(self) -> frozenset[str]:
        """Those whose rules to self, or whose devices, are not the same."""
        return frozenset(p for p in self.people if self._differs(p))

    def _differs(self, person: str) -> bool:
        old, new = (self.masks[side].get(person, {}) for side in SIDES)
        if old.keys() != new.keys():
            return True
        moved = self._world.moved
        return any(
            moved >> self._world.atom_of[each] & 1
            or self._ports(0, old[each]) != self._ports(1, new[each])
            for each in old
        )

    def _ports(self, side: int, mask: int) -> frozenset[Opened]:
        key = (side, mask)
        if key not in self._known:
            self._known[key] = frozenset(self._world.opened(side, mask))
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[int, int], frozenset[Opened]]:
        return {}

    @cached_property
    def _at(self) -> Mapping[int, int]:
        """Atoms with the people (as bits) of whom they have devices."""
        numbers = {person: n for n, person in enumerate(sorted(self.people))}
        found: dict[int, int] = defaultdict(int)
        for person, number in numbers.items():
            for side in SIDES:
                for identity in self.masks[side].get(person, ()):
                    found[self._world.atom_of[identity]] |= 1 << number
        return found

    def between(self, atom: int, sources: Bits) -> int:
        """People (as bits) with devices both in an atom and among the sources."""
        mine = self._at.get(atom, 0)
        return mine & self._among(sources) if mine else 0

    def _among(self, sources: Bits) -> int:
        if sources not in self._sums:
            found = 0
            for atom, people in self._at.items():
                if sources >> atom & 1:
                    found |= people
            self._sums[sources] = found
        return self._sums[sources]

    @cached_property
    def _sums(self) -> dict[Bits, int]:
        return {}

    def named(self, people: int) -> Iterable[str]:
        return (
            person
            for number, person in enumerate(sorted(self.people))
            if people >> number & 1
        )

    def inflow(self, side: int, identity: int) -> Inflow:
        """What may come in at a device from its person's others."""
        device = self._world.device(identity, side)
        masks = self.masks[side].get(person_of(device) or "", {})
        found: dict[Opened, Bits] = {}
        for other, mask in masks.items():
            if other != identity:
                bit = 1 << self._world.atom_of[other]
                for each in self._world.opened(side, mask):
                    found[each] = found.get(each, 0) | bit
        return found
