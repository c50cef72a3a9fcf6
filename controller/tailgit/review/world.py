"""Both revisions in one numbering, so that they can be compared as sets of bits.

What the rules of both sides treat alike is one *atom*: devices that are one class
before and one class after, or a region of addresses that lies in the same prefixes
before and after. Sets of atoms are integers, bit N for atom N; that makes the union of
what a rule names one machine operation, however many devices there are, and nothing
here walks pairs of devices.

Device atoms come first and mean both addresses of their devices; regions follow, each
of one family. A device of the `split` people is an atom of its own: what their own
devices may do to each other (`autogroup:self`) is no matter of classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tailgit.access.deadlines import Until, device_deadline
from tailgit.access.relation import Relation
from tailgit.access.rules import NOTHING
from tailgit.access.selectors import everybody
from tailgit.model.addresses import Network
from tailgit.model.ports import ICMP, ICMPV6, Range
from tailgit.model.tailnet import Device
from tailgit.review.identity import Identities
from tailgit.review.space import Region, cut

Bits = int
"""A set of atoms."""

NEVER, ALWAYS = 0, 1 << 62
"""Times before and after every deadline: what was not open, and what does not end."""

Opened = tuple[tuple[Range, ...], int]
"""Ports that a rule opens, and until when."""

Inflow = Mapping[Opened, Bits]
"""What may come in at one end, by what it may do there."""

Mark = tuple[int, str, int]
"""What a prefix is on a side: a term, everybody until some time, its own range."""

PING: Range = (ICMP, 0, 65535)
"""Stands for ICMP of either family: it passes wherever any rule opens anything."""

SIDES = OLD, NEW = 0, 1


@dataclass(frozen=True, slots=True)
class Atom:
    """Devices that both sides treat alike; `ends` are their deadlines on each side."""

    members: tuple[int, ...]
    classes: tuple[int | None, int | None]
    ends: tuple[int, int]


_Alike = tuple[tuple[int | None, int | None], tuple[int, int], int]
"""Classes and deadlines on both sides, and the device where it stands alone."""


class World:
    """The atoms of two relations, and what each term of a rule means in them."""

    def __init__(
        self,
        old: Relation,
        new: Relation,
        identities: Identities,
        split: frozenset[str] = frozenset(),
    ) -> None:
        self.sides = (old, new)
        self.identities = identities
        self._class_of = tuple(_classes(relation) for relation in self.sides)
        self._ends = tuple(_deadlines(relation) for relation in self.sides)
        self.atoms: Sequence[Atom] = self._atoms(split)
        self.atom_of = {n: a for a, each in enumerate(self.atoms) for n in each.members}
        self.regions: dict[int, Region] = {}
        """Source regions by the number of their atom."""
        self._terms: tuple[list[dict[int, Bits]], ...] = ([], [])
        self._ending: tuple[dict[int, Bits], dict[int, Bits]] = ({}, {})
        """Regions that `*` stands for until some time only."""
        self._fill()
        self._opened = tuple(_opened(relation) for relation in self.sides)
        self._inflows: dict[tuple[int, int, int], Inflow] = {}

    # Atoms

    def number(self, identity: int, side: int) -> int | None:
        """The number of a device in one relation, if it is active there."""
        return self.identities.pairs[identity][side]

    def device(self, identity: int, side: int) -> Device | None:
        number = self.number(identity, side)
        return None if number is None else self.sides[side].devices[number]

    def _atoms(self, split: frozenset[str]) -> list[Atom]:
        found: dict[_Alike, list[int]] = defaultdict(list)
        for identity, (old, new) in enumerate(self.identities.pairs):
            classes = self._of_class(OLD, old), self._of_class(NEW, new)
            ends = self._end_of(OLD, old), self._end_of(NEW, new)
            alone = bool(split) and any(
                person_of(self.device(identity, side)) in split for side in SIDES
            )
            found[classes, ends, identity if alone else -1].append(identity)
        return [
            Atom(tuple(members), classes, ends)
            for (classes, ends, _), members in found.items()
        ]

    def _of_class(self, side: int, number: int | None) -> int | None:
        return None if number is None else self._class_of[side][number]

    def _end_of(self, side: int, number: int | None) -> int:
        return NEVER if number is None else self._ends[side].get(number, ALWAYS)

    @cached_property
    def ends(self) -> tuple[Mapping[int, Bits], Mapping[int, Bits]]:
        """Atoms with a deadline by it, on each side."""
        found: tuple[dict[int, Bits], dict[int, Bits]] = ({}, {})
        for number, atom in enumerate(self.atoms):
            for side in SIDES:
                end = atom.ends[side]
                if end not in (NEVER, ALWAYS):
                    found[side][end] = found[side].get(end, 0) | 1 << number
        return found

    @cached_property
    def moved(self) -> Bits:
        """Atoms that are on both sides and have other deadlines there."""
        return sum(
            1 << number
            for number, atom in enumerate(self.atoms)
            if NEVER not in atom.ends and atom.ends[OLD] != atom.ends[NEW]
        )

    # Terms

    def _fill(self) -> None:
        for side, relation in enumerate(self.sides):
            first = self._of_devices(side, 4)
            alike = all(each.own[4] == each.own[6] for each in relation.classes)
            second = dict(first) if alike else self._of_devices(side, 6)
            self._terms[side].extend((first, second))
        for version in (4, 6):
            marked = self._marks(version)
            for marks, region in cut(marked, version).items():
                self._add_region(version, marks, region)

    def _of_devices(self, side: int, version: int) -> dict[int, Bits]:
        relation = self.sides[side]
        terms = relation.rules.selectors
        sources = [term.side == "src" for term in terms]
        found: dict[int, Bits] = {}
        for each, bits in self._by_class(side).items():
            for term in relation.classes[each].own[version]:
                if sources[term]:
                    found[term] = found.get(term, 0) | bits
        return found

    def _by_class(self, side: int) -> Mapping[int, Bits]:
        """The atoms of each class of one side."""
        found: dict[int, Bits] = {}
        for number, atom in enumerate(self.atoms):
            each = atom.classes[side]
            if each is not None:
                found[each] = found.get(each, 0) | 1 << number
        return found

    def _marks(self, version: int) -> dict[Network, set[Mark]]:
        """Prefixes that sources stand for, and the tailnets' own ranges."""
        marked: dict[Network, set[Mark]] = defaultdict(set)
        for side, relation in enumerate(self.sides):
            for term, prefixes in _source_prefixes(relation):
                for prefix in prefixes:
                    marked[prefix].add((side, "term", term))
            for prefix, until in self._everybody(side):
                marked[prefix].add((side, "everybody", until))
            for pool in (relation.tailnet.ipv4, relation.tailnet.ipv6):
                marked[pool].add((side, "own", 0))
        return {
            prefix: each for prefix, each in marked.items() if prefix.version == version
        }

    def _everybody(self, side: int) -> Iterator[tuple[Network, int]]:
        """What `*` is as a source, and until when: a route ends with its routers."""
        relation = self.sides[side]
        if not _any_sources(relation):
            return
        for prefix in everybody(relation.tailnet):
            yield prefix, ALWAYS
        for each in relation.classes:
            for route in each.routes:
                for number in each.members:
                    yield route, self._ends[side].get(number, ALWAYS)

    def _add_region(self, version: int, marks: frozenset[Mark], region: Region) -> None:
        """Addresses in a tailnet's own range that no device has are nobody's."""
        number = len(self.atoms) + len(self.regions)
        for side in SIDES:
            mine = {(kind, value) for at, kind, value in marks if at == side}
            if ("own", 0) in mine:
                continue
            bits = self._terms[side][version == 6]
            terms = {value for kind, value in mine if kind == "term"}
            until = max(
                (value for kind, value in mine if kind == "everybody"), default=0
            )
            if until:
                terms |= _any_sources(self.sides[side])
                if until != ALWAYS:
                    ending = self._ending[side]
                    ending[until] = ending.get(until, 0) | 1 << number
            for term in terms:
                self.regions[number] = region
                bits[term] = bits.get(term, 0) | 1 << number

    def source(self, side: int, version: int, term: int) -> Bits:
        """The atoms that a source term stands for."""
        return self._terms[side][version == 6].get(term, 0)

    def target(self, side: int, term: int) -> Bits:
        """The device atoms that a destination term stands for, in either family."""
        return self._targets[side].get(term, 0)

    @cached_property
    def _targets(self) -> tuple[Mapping[int, Bits], Mapping[int, Bits]]:
        found: tuple[dict[int, Bits], dict[int, Bits]] = ({}, {})
        for side, relation in enumerate(self.sides):
            terms = relation.rules.selectors
            for each, bits in self._by_class(side).items():
                for term in relation.classes[each].address_ids:
                    if terms[term].side == "dst":
                        found[side][term] = found[side].get(term, 0) | bits
        return found

    # Flows

    def inflow(self, side: int, version: int, term: int) -> Inflow:
        """What comes in at a destination term."""
        key = (side, version, term)
        if key not in self._inflows:
            found: dict[Opened, Bits] = {}
            rules, opened = self.sides[side].rules, self._opened[side]
            for source, mask in rules.backward.get(term, NOTHING).items():
                bits = self.source(side, version, source)
                for each in opened_by(mask & rules.opening, opened) if bits else ():
                    parts = (
                        self._by_end(side, each, bits) if source in rules.any else ()
                    )
                    for key_, part in parts or ((each, bits),):
                        found[key_] = found.get(key_, 0) | part
            self._inflows[key] = found
        return self._inflows[key]

    def _by_end(
        self, side: int, opened: Opened, bits: Bits
    ) -> Iterator[tuple[Opened, Bits]]:
        """What `*` may do: through routers that end, only as long as they are there."""
        ranges, until = opened
        for end, ending in self._ending[side].items():
            if bits & ending:
                yield (ranges, min(until, end)), bits & ending
                bits &= ~ending
        yield opened, bits

    def opened(self, side: int, mask: int) -> Iterator[Opened]:
        """The port sets of a mask."""
        return opened_by(mask & self.sides[side].rules.opening, self._opened[side])


def each_of(bits: Bits) -> Iterator[int]:
    """The numbers of a set, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def opened_by(mask: int, opened: Sequence[Opened]) -> Iterator[Opened]:
    while mask:
        low = mask & -mask
        yield opened[low.bit_length() - 1]
        mask ^= low


def effective(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Ports as nodes judge them: ICMP, of either family, with everything else."""
    kept = [each for each in ranges if each[0] not in (ICMP, ICMPV6)]
    return (PING, *kept)


def moment(until: Until) -> int:
    return ALWAYS if until is None else until


def person_of(device: Device | None) -> str | None:
    return None if device is None or device.tags else device.owner


def _opened(relation: Relation) -> list[Opened]:
    return [
        (effective(each.ports.ranges), moment(each.until))
        for each in relation.rules.ports
    ]


def _classes(relation: Relation) -> dict[int, int]:
    return {
        member: number
        for number, each in enumerate(relation.classes)
        for member in each.members
    }


def _deadlines(relation: Relation) -> dict[int, int]:
    users = relation.tailnet.users.values()
    ending = {user.login for user in users if user.expires is not None}
    ends = {
        number: device_deadline(relation.tailnet, each)
        for number, each in enumerate(relation.devices)
        if each.expires is not None or each.owner in ending
    }
    return {number: end for number, end in ends.items() if end is not None}


def _source_prefixes(
    relation: Relation,
) -> Iterator[tuple[int, tuple[Network, ...]]]:
    rules = relation.rules
    for term, prefixes in rules.prefixes.items():
        if rules.selectors[term].side == "src":
            yield term, prefixes


def _any_sources(relation: Relation) -> set[int]:
    """`*` as a source of any device or route."""
    rules = relation.rules
    return {term for term in rules.any if rules.selectors[term].side == "src"}
