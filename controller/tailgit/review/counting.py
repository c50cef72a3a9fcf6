"""Pairs of devices that gain, lose or keep access, counted without walking them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from tailgit.review.boxes import Box
from tailgit.review.exact import Exact
from tailgit.review.world import NEW, OLD, SIDES, Bits, person_of


@dataclass(frozen=True, slots=True)
class Counts:
    """Ordered pairs of devices, by their own addresses. One that gains a port and
    loses another is in both; `unchanged` are those that have access and no change."""

    gain: int
    lose: int
    unchanged: int


class Counting:
    """Counts with each atom as often as it has devices that are there."""

    def __init__(self, found: Exact, unreal: frozenset[str]) -> None:
        self._found = found
        self._unreal = unreal
        self.sizes = [
            sum(not self._is_unreal(n) for n in atom.members)
            for atom in found.world.atoms
        ]

    def _is_unreal(self, identity: int) -> bool:
        device = self._found.world.device(identity, NEW)
        device = device or self._found.world.device(identity, OLD)
        return device is not None and device.name in self._unreal

    @cached_property
    def _digits(self) -> list[Bits]:
        """Atoms whose size has a binary digit: a sum in a few operations."""
        found: list[Bits] = [0] * max(1, max(self.sizes, default=0).bit_length())
        for number, size in enumerate(self.sizes):
            for digit in range(size.bit_length()):
                if size >> digit & 1:
                    found[digit] |= 1 << number
        return found

    def weight(self, bits: Bits) -> int:
        return sum(
            (bits & each).bit_count() << n for n, each in enumerate(self._digits)
        )

    def at(self, atom: int, sources: Bits) -> int:
        """Pairs from some sources to the devices of an atom."""
        size = self.sizes[atom]
        itself = size if sources >> atom & 1 else 0
        return self.weight(sources) * size - itself if size else 0

    def pairs(self, box: Box) -> int:
        """Pairs of a box."""
        sources = box.sources[0] | box.sources[1]
        if box.is_self:
            return self._of_people(box, sources)
        found, bits = 0, box.atoms
        while bits:
            low = bits & -bits
            found += self.at(low.bit_length() - 1, sources)
            bits ^= low
        return found

    def _of_people(self, box: Box, sources: Bits) -> int:
        world = self._found.world
        people: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for number, atom in enumerate(world.atoms):
            if not (sources | box.atoms) >> number & 1 or not self.sizes[number]:
                continue
            side = NEW if world.number(atom.members[0], NEW) is not None else OLD
            if box.until < box.was:
                side = OLD
            count = people[person_of(world.device(atom.members[0], side)) or ""]
            is_src, is_dst = sources >> number & 1, box.atoms >> number & 1
            count[0] += is_src
            count[1] += is_dst
            count[2] += is_src & is_dst
        return sum(src * dst - both for src, dst, both in people.values())

    def counts(self) -> Counts:
        gains: dict[int, Bits] = defaultdict(int)
        losses: dict[int, Bits] = defaultdict(int)
        for changed in self._found.changed:
            atom = changed.row.atom
            if atom is not None:
                for piece in changed.pieces:
                    (gains if piece.is_gain else losses)[atom] |= piece.bits
        gain = sum(self.at(atom, bits) for atom, bits in gains.items())
        lose = sum(self.at(atom, bits) for atom, bits in losses.items())
        same = 0
        for atom, bits in self._found.reach.items():
            same += self.at(atom, bits & ~(gains[atom] | losses[atom]))
        return Counts(gain, lose, same + self._of_self(gains, losses))

    def _of_self(self, gains: dict[int, Bits], losses: dict[int, Bits]) -> int:
        """Pairs of one person's devices that no rule but one to self joins."""
        world, owners, reach = self._found.world, self._found.owners, self._found.reach
        found = 0
        for person in owners.people:
            pairs: set[tuple[int, int]] = set()
            for side in SIDES:
                masks = owners.masks[side].get(person, {})
                opening = world.sides[side].rules.opening
                sources = [n for n, mask in masks.items() if mask & opening]
                pairs.update((s, d) for s in sources for d in masks if s != d)
            for one, other in pairs:
                src, dst = world.atom_of[one], world.atom_of[other]
                seen = reach.get(dst, 0) | gains.get(dst, 0) | losses.get(dst, 0)
                if not seen >> src & 1 and not (
                    self._is_unreal(one) or self._is_unreal(other)
                ):
                    found += 1
        return found
