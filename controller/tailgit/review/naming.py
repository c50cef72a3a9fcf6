"""What to call the ends of a box: as its rule calls them, as far as that is all of it.

A selector of the rule names an end where everything that it stands for is in the box.
The rest is called by the largest groups and tags, people, and at last devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from tailgit.access.deadlines import device_deadline
from tailgit.access.extents import NONE, Carried, Extent, Numbers, tidy
from tailgit.access.lines import OWN
from tailgit.access.parties import Member, Parties, Party, Subnet
from tailgit.access.routes import prefix_order
from tailgit.model.addresses import Network
from tailgit.model.selectors import Kind
from tailgit.review.boxes import Box, Sources
from tailgit.review.exact import Exact
from tailgit.review.named import RuleSet
from tailgit.review.witnesses import AHEAD, NOBODY
from tailgit.review.world import Bits, each_of, person_of

_MOST_RANGES = 12
"""Prefixes that a name may be made of; what is cut out of everything has dozens."""


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
        self._members: dict[int, Member] = {}

    @cached_property
    def parties(self) -> Parties:
        return Parties(self.relation)

    def source(self, box: Box) -> Party:
        key = ("src", box.rules[0], box.sources)
        if key not in self._parties:
            self._parties[key] = self._source(box)
        return self._parties[key]

    def target(self, box: Box) -> Party:
        families = tuple(map(bool, box.sources))
        ends = (box.rules[0], box.atoms, box.places)
        key = ("dst", *ends, box.is_self, families)
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
            atoms = self._world.target(self._side, term)
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
            world = self._world
            found = (
                world.number(identity, self._side)
                for atom in each_of(bits & ((1 << len(world.atoms)) - 1))
                for identity in world.atoms[atom].members
            )
            self._numbers[bits] = frozenset(n for n in found if n is not None)
        return self._numbers[bits]

    def _rest(self, extent: Extent) -> list[str]:
        both = extent.four & extent.six
        names = self._cover(both)
        alone = replace(extent, four=extent.four - both, six=extent.six - both)
        beyond = list(self.parties.part(alone).names) if alone else []
        if len(beyond) > _MOST_RANGES:
            beyond = [f"{len(beyond)} ranges of addresses"]
        return [name.partition(AHEAD)[0] for name in (*names, *beyond)]

    def _cover(self, devices: Numbers) -> list[str]:
        """The largest tags and groups that lie inside, then people, then devices."""
        unreal = devices & self._unreal_ones
        real = devices - unreal or devices
        left, found = set(real), []
        inside: dict[str, int] = {}
        for number in devices:
            for name in self._names_of.get(number, ()):
                inside[name] = inside.get(name, 0) + 1
        whole = [n for n, count in inside.items() if count == len(self._named[n])]
        for name in sorted(whole, key=self._rank):
            if self._is_worth(name, left, real):
                found.append(name)
                left -= self._named[name]
        listed = self.relation.devices
        names = [*found, *sorted(listed[number].name for number in left)]
        return [*names, *self._still_unnamed(real, unreal)]

    def _is_worth(self, name: str, left: set[int], real: Numbers) -> bool:
        """A person is a name for one device; a group or tag for several of several."""
        shared = self._named[name] & left
        if "@" in name:
            return bool(shared)
        owners = {self.relation.devices[n].owner for n in self._named[name] & real}
        return len(shared) > 1 and (name.startswith("tag:") or len(owners) > 1)

    def _still_unnamed(self, real: Numbers, unreal: Numbers) -> list[str]:
        """Devices to come of a name of which no device is among those named."""
        if not unreal or not real.isdisjoint(unreal):
            return []
        known = {name for number in real for name in self._names_of.get(number, ())}
        labels = (self.relation.devices[n].name.partition(AHEAD)[0] for n in unreal)
        return sorted({each for each in labels if each not in known})

    def _rank(self, name: str) -> tuple[object, ...]:
        is_person = "@" in name
        return is_person, -len(self._named[name]), not name.startswith("tag:"), name

    @cached_property
    def _named(self) -> dict[str, Numbers]:
        """Devices by tag, group and owner."""
        people: dict[str, set[int]] = {}
        for number, device in enumerate(self.relation.devices):
            if (login := person_of(device)) is not None:
                people.setdefault(login, set()).add(number)
        found = {n: each for n, each in people.items() if not n.startswith(NOBODY)}
        for name, group in self.relation.tailnet.groups.items():
            members = (people.get(login, set()) for login in group.members)
            found[name] = {number for each in members for number in each}
        for number, device in enumerate(self.relation.devices):
            for tag in device.tags:
                if tag != f"tag:{NOBODY}":
                    found.setdefault(tag, set()).add(number)
        return {name: frozenset(numbers) for name, numbers in found.items()}

    @cached_property
    def _names_of(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for name, numbers in self._named.items():
            for number in numbers:
                found.setdefault(number, []).append(name)
        return found

    def _party(
        self,
        names: list[str],
        kind: Kind | None,
        extent: Extent,
        *,
        asks: tuple[str, ...] = (),
        via: tuple[str, ...] = (),
    ) -> Party:
        subnets: tuple[Subnet, ...] = ()
        if extent.carried:
            alone = Extent(carried=extent.carried)
            subnets = self.parties.party((), None, alone).subnets
        devices = self.relation.devices
        real = sorted(extent.devices - self._unreal_ones)
        both = extent.four == extent.six
        return Party(
            tuple(dict.fromkeys(names)),
            kind,
            extent,
            tuple(self._member(n, None if both else extent) for n in real),
            subnets,
            len({devices[n].owner for n in real if not devices[n].tags}),
            asks,
            via,
        )

    @cached_property
    def _unreal_ones(self) -> Numbers:
        position = self.relation.position
        return frozenset(position[name] for name in self._unreal & position.keys())

    def _member(self, number: int, extent: Extent | None) -> Member:
        if number not in self._members:
            device = self.relation.devices[number]
            until = device_deadline(self.relation.tailnet, device)
            gateway = device.gateway or ""
            self._members[number] = Member(device.name, (4, 6), until, gateway)
        if extent is None:
            return self._members[number]
        held = ((4, extent.four), (6, extent.six))
        versions = tuple(version for version, numbers in held if number in numbers)
        return replace(self._members[number], versions=versions)
