"""What to call the ends of a box: as its rule calls them, as far as that is all of it.

A selector of the rule names an end where everything that it stands for is in the box.
The rest is called by the largest groups and tags, people, and at last devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from tailgit.access.extents import NONE, Carried, Extent, Numbers, tidy
from tailgit.access.lines import OWN
from tailgit.access.parties import Parties, Party
from tailgit.access.routes import prefix_order
from tailgit.model.addresses import Network
from tailgit.model.selectors import Kind
from tailgit.review.boxes import Box, RuleSet, Sources
from tailgit.review.exact import Exact
from tailgit.review.witnesses import AHEAD
from tailgit.review.world import Bits


@dataclass(frozen=True, slots=True)
class Target:
    """What a destination term stands for."""

    atoms: Bits
    places: frozenset[int]


class Names:
    """The names of one side of a difference; `unreal` are its devices that are none."""

    def __init__(
        self, found: Exact, rules: RuleSet, unreal: frozenset[str] = frozenset()
    ) -> None:
        self._found = found
        self._world = found.world
        self._side = rules.side
        self._rules = rules
        self._unreal = unreal
        self.relation = found.world.sides[rules.side]
        self._parties: dict[object, Party] = {}
        self._numbers: dict[Bits, Numbers] = {}
        self._targets: dict[int, Target] = {}

    @cached_property
    def parties(self) -> Parties:
        return Parties(self.relation)

    def source(self, box: Box) -> Party:
        key = ("src", box.rules[0], box.sources)
        if key not in self._parties:
            self._parties[key] = self._source(box)
        return self._parties[key]

    def target(self, box: Box) -> Party:
        key = ("dst", box.rules[0], box.atoms, box.places, box.is_self)
        key += (bool(box.sources[0]), bool(box.sources[1]))
        if key not in self._parties:
            self._parties[key] = self._target(box)
        return self._parties[key]

    # Sources

    def _source(self, box: Box) -> Party:
        each = self._rules.rules[box.rules[0]]
        terms = self.relation.rules.selectors
        four, six = left = self._both_families(box.sources)
        whole: list[int] = []
        for term in each.self_sources if box.is_self else each.sources:
            mine = self._of_source(term, of_self=box.is_self)
            inside = not mine[0] & ~four and not mine[1] & ~six
            if inside and (mine[0] & left[0] or mine[1] & left[1]):
                whole.append(term)
                left = (left[0] & ~mine[0], left[1] & ~mine[1])
        names = [str(terms[term].selector) for term in whole]
        names += self._rest(self._extent(left)) if any(left) else []
        kind = terms[whole[0]].selector.kind if len(names) == len(whole) == 1 else None
        asks = terms[each.sources[0]].posture if whole else ()
        return self._party(names, kind, self._extent((four, six)), asks=asks)

    def _both_families(self, sources: Sources) -> Sources:
        """Where the destination has one family only, nobody asks by which they come."""
        devices = (1 << len(self._world.atoms)) - 1
        four, six = sources
        return four or six & devices, six or four & devices

    def _of_source(self, term: int, *, of_self: bool) -> Sources:
        four, six = (self._world.source(self._side, v, term) for v in (4, 6))
        if of_self:
            # A selector of people is whole with those who have devices of their own.
            own = self._owned
            return four & own, six & own
        return four, six

    @cached_property
    def _owned(self) -> Bits:
        masks = self._found.owners.masks[self._side]
        found = 0
        for devices in masks.values():
            if len(devices) > 1:
                for identity in devices:
                    found |= 1 << self._world.atom_of[identity]
        return found

    def _extent(self, sources: Sources) -> Extent:
        four, six = (self._of_atoms(bits) for bits in sources)
        carried: dict[Network, Numbers] = {}
        for number, region in self._world.regions.items():
            if sources[region.version == 6] >> number & 1:
                carried.update(dict.fromkeys(region.prefixes(), NONE))
        return Extent(four, six, tidy(carried))

    # Destinations

    def _target(self, box: Box) -> Party:
        extent = self._reached(box.atoms, box.places, box.sources)
        if box.is_self:
            return self._party([OWN], Kind.SELF, extent)
        each = self._rules.rules[box.rules[0]]
        terms = self.relation.rules.selectors
        atoms, places = box.atoms, box.places
        whole: list[int] = []
        for term in each.targets:
            mine = self._of_target(term)
            if mine.atoms & ~box.atoms or not mine.places <= box.places:
                continue
            if mine.atoms & atoms or mine.places & places:
                whole.append(term)
                atoms, places = atoms & ~mine.atoms, places - mine.places
        names = [str(terms[term].selector) for term in whole]
        if atoms or places:
            names += self._rest(self._reached(atoms, places, box.sources))
        kind = terms[whole[0]].selector.kind if len(names) == len(whole) == 1 else None
        via = each.rule.via if box.places else ()
        return self._party(names, kind, extent, via=via)

    def _of_target(self, term: int) -> Target:
        if term not in self._targets:
            atoms = 0
            classes = self.relation.classes
            for number, atom in enumerate(self._world.atoms):
                each = atom.classes[self._side]
                if each is not None and term in classes[each].address_ids:
                    atoms |= 1 << number
            places = (
                row.number
                for row in self._found.places
                if term in row.terms[self._side]
            )
            self._targets[term] = Target(atoms, frozenset(places))
        return self._targets[term]

    def _reached(self, atoms: Bits, places: Iterable[int], sources: Sources) -> Extent:
        devices = self._of_atoms(atoms)
        four, six = (devices if bits else NONE for bits in sources)
        carried: dict[Network, Numbers] = {}
        for number in places:
            place = self._found.places[number].place
            assert place is not None
            router = NONE
            if not isinstance(place.behind, str):
                at = self._world.number(place.behind, self._side)
                router = NONE if at is None else frozenset((at,))
            for prefix in place.region.prefixes():
                carried[prefix] = carried.get(prefix, NONE) | router
        ordered = sorted(carried, key=prefix_order)
        listed: Carried = tuple((prefix, carried[prefix]) for prefix in ordered)
        return Extent(four, six, listed)

    # Both

    def _of_atoms(self, bits: Bits) -> Numbers:
        if bits not in self._numbers:
            found = (
                self._world.number(identity, self._side)
                for number, atom in enumerate(self._world.atoms)
                if bits >> number & 1
                for identity in atom.members
            )
            self._numbers[bits] = frozenset(n for n in found if n is not None)
        return self._numbers[bits]

    def _rest(self, extent: Extent) -> list[str]:
        found = self.parties.part(extent)
        return [self._plain(name) for name in found.names]

    def _plain(self, name: str) -> str:
        """A device that is none goes by what it stands for."""
        return name.partition(AHEAD)[0]

    def _party(
        self,
        names: list[str],
        kind: Kind | None,
        extent: Extent,
        *,
        asks: tuple[str, ...] = (),
        via: tuple[str, ...] = (),
    ) -> Party:
        found = self.parties.party(
            tuple(dict.fromkeys(names)), kind, extent, asks=asks, via=via
        )
        members = tuple(m for m in found.members if m.name not in self._unreal)
        devices = self.relation.devices
        real = (n for n in extent.devices if devices[n].name not in self._unreal)
        owners = {devices[n].owner for n in real if not devices[n].tags}
        return replace(
            found,
            members=members,
            people=len(owners),
        )
