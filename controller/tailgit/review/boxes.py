"""The exact difference in as few boxes as its rules suggest: who, where, which ports.

Whatever is gained some rule of the new side lets pass, whatever is lost some rule of
the old one did. So the difference is taken rule by rule: of each rule's own box, the
part that changed. Of a new rule that is the rule itself, as it is written; of somebody
who joins a group it is that person, once for each rule that names the group. Together
the boxes are exactly the difference: each lies inside of it, and no part of it is in
none of them.

What ICMP may do follows from other ports, so it is kept in boxes of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tailgit.model.ports import Ports, Range
from tailgit.review.exact import Changed, Exact
from tailgit.review.named import RuleEnds, RuleSet
from tailgit.review.pieces import Piece
from tailgit.review.rows import ANYBODY, Row
from tailgit.review.world import NEW, PING, Bits, person_of

Sources = tuple[Bits, Bits]
"""Who comes from where, by IPv4 and by IPv6."""


@dataclass(frozen=True, slots=True)
class Box:
    """From `sources` to `atoms` and `places` on `ports`, held until `was` before and
    until `until` after.

    With `is_self` only devices of one person meet. No device meets itself. `rules` are
    numbers into `RuleSet.rules` of the side that lets it pass.
    """

    rules: tuple[int, ...]
    ports: Ports
    was: int
    until: int
    sources: Sources
    atoms: Bits = 0
    places: frozenset[int] = frozenset()
    is_self: bool = False

    @property
    def is_ping(self) -> bool:
        return self.ports.ranges == (PING,)


def boxes(found: Exact, rules: RuleSet) -> list[Box]:
    """What is gained, for the rules of the new side, or what is lost."""
    gathered = _Gathered(found, rules)
    for each in found.changed:
        gathered.add(each)
    return _tidied(gathered.boxes())


_Key = tuple[int, Ports, int, int]


class _Gathered:
    """Parts of rules that changed, by rule, ports and time."""

    def __init__(self, found: Exact, rules: RuleSet) -> None:
        self._found = found
        self._rules = rules
        self._alone = {
            number: atom.members[0]
            for number, atom in enumerate(found.world.atoms)
            if len(atom.members) == 1
        }
        self._own: dict[_Key, dict[int, list[Bits]]] = defaultdict(dict)
        self._mine: dict[_Key, dict[int, list[Bits]]] = defaultdict(dict)
        self._beyond: dict[_Key, dict[int, Row]] = defaultdict(dict)
        self._bits: dict[tuple[_Key, int], Bits] = {}
        behind = {row.place.behind for row in found.places if row.place is not None}
        self._tags = {each for each in behind if isinstance(each, str)} - {ANYBODY}

    def add(self, changed: Changed) -> None:
        row, side = changed.row, self._rules.side
        some = [p for p in changed.pieces if p.is_gain == (side == NEW)]
        if not some:
            return
        # In a policy alone, who carries things for a tag does so for its rules only.
        is_tag = row.place is not None and row.place.behind in self._tags
        for number in self._rules.towards(row.terms[side]):
            if is_tag and not self._rules.rules[number].rule.via:
                continue
            bits = self._rules.sources(number, row.version)
            self._add(row, number, bits, some)
        person = self._person(row)
        if person is not None:
            own = self._of_person(person)
            for number in self._rules.to_self:
                bits = self._rules.sources(number, row.version, of_self=True) & own
                self._add(row, number, bits, some, of_self=True)

    def _person(self, row: Row) -> str | None:
        if row.atom is None or row.atom not in self._alone:
            return None
        identity = self._alone[row.atom]
        return person_of(self._found.world.device(identity, self._rules.side))

    def _of_person(self, person: str) -> Bits:
        world, masks = self._found.world, self._found.owners.masks[self._rules.side]
        found = 0
        for identity in masks.get(person, ()):
            found |= 1 << world.atom_of[identity]
        return found

    def _add(
        self,
        row: Row,
        number: int,
        bits: Bits,
        some: list[Piece],
        *,
        of_self: bool = False,
    ) -> None:
        each = self._rules.rules[number]
        for ports, was, until, part in _parts(each, bits, some, self._rules.side):
            key = (number, ports, was, until)
            if row.atom is None:
                self._beyond[key][row.number] = row
                held_ = self._bits.get((key, row.number), 0)
                self._bits[key, row.number] = held_ | part
            else:
                table = self._mine if of_self else self._own
                held = table[key].setdefault(row.atom, [0, 0])
                held[row.version == 6] |= part

    # Boxes

    def boxes(self) -> Iterator[Box]:
        for key in sorted(
            {*self._own, *self._mine, *self._beyond}, key=lambda k: (k[0], k[1].ranges)
        ):
            yield from self._of_own(key)
            yield from self._of_people(key)

    def _of_own(self, key: _Key) -> Iterator[Box]:
        number, ports, was, until = key
        alike = self._alike(number, self._own.get(key, {}))
        beyond: dict[tuple[int, Bits], set[int]] = defaultdict(set)
        for place, row in self._beyond.get(key, {}).items():
            beyond[row.version, self._bits[key, place]].add(place)
        for sources, atoms in alike.items():
            # What lies behind devices joins them where the same sources reach it.
            places = [
                beyond.pop((v, b), set()) for v, b in zip((4, 6), sources, strict=True)
            ]
            held = frozenset(p for each in places for p in each)
            yield Box((number,), ports, was, until, sources, atoms, held)
        for four in [b for v, b in beyond if v == 4]:
            yield from self._of_places(key, beyond, four)
        for (_, bits), places_ in beyond.items():
            held = frozenset(places_)
            yield Box((number,), ports, was, until, (0, bits), 0, held)

    def _of_places(
        self, key: _Key, beyond: dict[tuple[int, Bits], set[int]], four: Bits
    ) -> Iterator[Box]:
        """Places of both families in one box where the same devices reach them."""
        number, ports, was, until = key
        devices = (1 << len(self._found.world.atoms)) - 1
        places = beyond.pop((4, four))
        six = next(
            (b for v, b in beyond if v == 6 and b & devices == four & devices), 0
        )
        if six:
            places |= beyond.pop((6, six))
        held = frozenset(places)
        yield Box((number,), ports, was, until, (four, six), 0, held)

    def _alike(self, number: int, held: dict[int, list[Bits]]) -> dict[Sources, Bits]:
        """Destinations by their sources. Where one device is a destination alone, it
        does not matter whether it is a source, too: it does not meet itself."""
        whole = tuple(self._rules.sources(number, v) for v in (4, 6))
        found: dict[Sources, Bits] = {}
        doubtful = []
        for atom, (four, six) in held.items():
            if atom in self._alone and (whole[0] | whole[1]) >> atom & 1:
                doubtful.append((atom, four, six))
            else:
                found[four, six] = found.get((four, six), 0) | 1 << atom
        for atom, four, six in doubtful:
            itself = 1 << atom
            more = (
                four | itself if four and whole[0] & itself else four,
                six | itself if six and whole[1] & itself else six,
            )
            # Only where that makes for fewer boxes, or all that the rule names.
            use = (four, six) not in found and (more in found or more == whole)
            key = more if use else (four, six)
            found[key] = found.get(key, 0) | itself
        return found

    def _of_people(self, key: _Key) -> Iterator[Box]:
        """One box for all people whose own devices meet in the same way."""
        number, ports, was, until = key
        held = self._mine.get(key, {})
        by_person: dict[str, list[int]] = defaultdict(list)
        for atom in held:
            identity = self._alone[atom]
            device = self._found.world.device(identity, self._rules.side)
            by_person[person_of(device) or ""].append(atom)
        sources, targets = [0, 0], 0
        for atoms in by_person.values():
            four, six = _union(held[atom] for atom in atoms)
            even = all(held[a] == [four & ~(1 << a), six & ~(1 << a)] for a in atoms)
            if even:
                sources = [sources[0] | four, sources[1] | six]
                targets |= sum(1 << atom for atom in atoms)
                continue
            for atom in atoms:
                bits = (held[atom][0], held[atom][1])
                yield Box((number,), ports, was, until, bits, 1 << atom)
        if targets:
            both = (sources[0], sources[1])
            yield Box((number,), ports, was, until, both, targets, is_self=True)


def _union(held: Iterable[list[Bits]]) -> tuple[Bits, Bits]:
    four = six = 0
    for each in held:
        four, six = four | each[0], six | each[1]
    return four, six


def _parts(
    rule: RuleEnds, bits: Bits, some: list[Piece], side: int
) -> Iterator[tuple[Ports, int, int, Bits]]:
    """What changed of a rule's own: sources with the same ports in one."""
    cells: list[tuple[Bits, tuple[tuple[int, int, Range], ...]]] = [(bits, ())]
    for piece in some:
        end = piece.until if side == NEW else piece.was
        if not piece.bits & bits or end > rule.until or not _opens(rule, piece.ports):
            continue
        about = (piece.was, piece.until, piece.ports)
        if piece.ports == PING:
            yield Ports((PING,)), piece.was, piece.until, piece.bits & bits
            continue
        cut = []
        for held, ports in cells:
            if held & piece.bits:
                cut.append((held & piece.bits, (*ports, about)))
            if held & ~piece.bits:
                cut.append((held & ~piece.bits, ports))
        cells = cut
    for held, ports in cells:
        for was, until in dict.fromkeys((w, u) for w, u, _ in ports):
            spans = (each for w, u, each in ports if (w, u) == (was, until))
            yield Ports.of(spans), was, until, held


def _opens(rule: RuleEnds, span: Range) -> bool:
    protocol, first, last = span
    return any(p == protocol and a <= first and last <= b for p, a, b in rule.ranges)


# Fewer boxes


def _tidied(found: Iterable[Box]) -> list[Box]:
    """Boxes of the same ends in one, and none that lies inside of another."""
    merged: dict[tuple[object, ...], Box] = {}
    for box in found:
        ends = (box.sources, box.atoms, box.places)
        key = (*ends, box.was, box.until, box.is_self, box.is_ping)
        seen = merged.get(key)
        if seen is not None:
            rules = tuple(dict.fromkeys((*seen.rules, *box.rules)))
            box = replace(seen, ports=seen.ports | box.ports, rules=rules)
        merged[key] = box
    kept: list[Box] = []
    at: dict[tuple[object, ...], list[Box]] = defaultdict(list)
    for box in sorted(merged.values(), key=_size, reverse=True):
        where = _where(box)
        if any(_inside(box, other) for other in at[where[0]]):
            continue
        kept.append(box)
        for each in where:
            at[each].append(box)
    return kept


def _where(box: Box) -> list[tuple[object, ...]]:
    """Its destinations one by one, with what must be equal in a wider box."""
    same = (box.was, box.until, box.is_self, box.is_ping)
    found: list[tuple[object, ...]] = [(*same, "at", place) for place in box.places]
    bits = box.atoms
    while bits:
        low = bits & -bits
        found.append((*same, "of", low))
        bits ^= low
    return found


def _size(box: Box) -> tuple[int, int, int]:
    atoms = box.atoms.bit_count() + len(box.places)
    sources = max(each.bit_count() for each in box.sources)
    return atoms * sources, sum(b - a for _, a, b in box.ports.ranges), -box.rules[0]


def _inside(box: Box, other: Box) -> bool:
    return (
        not box.atoms & ~other.atoms
        and box.places <= other.places
        and not any(a & ~b for a, b in zip(box.sources, other.sources, strict=True))
        and (box.ports | other.ports) == other.ports
    )
