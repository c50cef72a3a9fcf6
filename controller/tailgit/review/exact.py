"""Exactly what two relations let happen that is not the same, as sets of atoms.

Of most destinations nothing changes. That is seen without looking at a port: what
comes in at a term of a rule is compared once, as a whole, and a destination whose terms
all have the same on both sides is done. The rest is compared port by port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tailgit.access.relation import Relation
from tailgit.access.rules import Ids
from tailgit.review.identity import Identities
from tailgit.review.owners import Owners
from tailgit.review.pieces import Held, Piece, pieces, union
from tailgit.review.rows import Row, rows
from tailgit.review.world import NEW, OLD, SIDES, Bits, Inflow, World


@dataclass(frozen=True, slots=True)
class Changed:
    """A destination at which something changes."""

    row: Row
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Exact:
    """All of the difference, and the atoms that it speaks of.

    `reach` has for each device atom the atoms that may reach it on either side,
    `places` are all destinations behind devices, changed or not.
    """

    world: World
    owners: Owners
    changed: tuple[Changed, ...]
    reach: Mapping[int, Bits]
    places: tuple[Row, ...]


def exact(old: Relation, new: Relation) -> Exact:
    """Compare two relations; people's own devices are told apart only where needed."""
    identities = Identities.of(old, new)
    first = _Comparison(World(old, new, identities))
    split = first.owners.differing() | first.hidden()
    if not split:
        return first.result()
    return _Comparison(World(old, new, identities, frozenset(split)), split).result()


class _Comparison:
    def __init__(self, world: World, split: Iterable[str] = ()) -> None:
        self.world = world
        self.owners = Owners(world)
        self._numbers: dict[frozenset[tuple[object, Bits]], int] = {}
        self._number_of: dict[tuple[int, int, int], int] = {}
        self._signed: dict[tuple[int, int, Ids], frozenset[int]] = {}
        self._inflow_of: dict[int, Inflow] = {}
        self._known: dict[object, list[Piece]] = {}
        self._alone = self._split_atoms(frozenset(split))
        self._unions: dict[frozenset[int], Bits] = {}
        self.reach: dict[int, Bits] = {}
        self.places: list[Row] = []
        self.changed = tuple(self._changed())

    def _split_atoms(self, split: frozenset[str]) -> dict[int, int]:
        """Atoms of one device each whose person's rules to self count, by number."""
        return {
            self.world.atom_of[identity]: identity
            for person in split
            for side in SIDES
            for identity in self.owners.masks[side].get(person, {})
        }

    def _changed(self) -> Iterable[Changed]:
        for row in rows(self.world):
            if row.place is not None:
                self.places.append(row)
            found = self._of_row(row)
            if found:
                yield Changed(row, tuple(found))

    def _of_row(self, row: Row) -> list[Piece]:
        signs = tuple(self._sign(side, row.version, row.terms[side]) for side in SIDES)
        if row.atom is not None:
            here = self._union(signs[OLD]) | self._union(signs[NEW])
            self.reach[row.atom] = self.reach.get(row.atom, 0) | here
        if row.atom in self._alone:
            return self._of_owned(row, signs)
        same_end = row.ends[OLD] == row.ends[NEW]
        if signs[OLD] == signs[NEW] and same_end and not self._is_moved(signs[OLD]):
            return []
        key = (signs, row.ends)
        if key not in self._known:
            flows = tuple(
                union(self._inflow_of[each] for each in signs[side]) for side in SIDES
            )
            self._known[key] = self._compared(row, flows)
        return self._without_itself(row, self._known[key])

    def _of_owned(self, row: Row, signs: tuple[frozenset[int], ...]) -> list[Piece]:
        assert row.atom is not None
        identity = self._alone[row.atom]
        flows = tuple(
            union(
                [
                    *(self._inflow_of[each] for each in signs[side]),
                    self.owners.inflow(side, identity),
                ]
            )
            for side in SIDES
        )
        for flow in flows:
            for bits in flow.values():
                self.reach[row.atom] |= bits
        return self._without_itself(row, self._compared(row, flows))

    def _compared(self, row: Row, flows: tuple[Inflow, ...]) -> list[Piece]:
        old, new = (
            Held(flows[side], row.ends[side], self.world.ends[side]) for side in SIDES
        )
        return pieces(old, new)

    def _without_itself(self, row: Row, found: list[Piece]) -> list[Piece]:
        """One device alone does not reach itself through a tunnel."""
        if row.atom is None or len(self.world.atoms[row.atom].members) > 1:
            return found
        itself = 1 << row.atom
        kept = (
            Piece(each.ports, each.was, each.until, each.bits & ~itself)
            for each in found
        )
        return [each for each in kept if each.bits]

    # What is the same

    def _sign(self, side: int, version: int, terms: Ids) -> frozenset[int]:
        """Numbers for what comes in at some terms; equal ones mean equal flows."""
        key = (side, version, terms)
        if key not in self._signed:
            backward = self.world.sides[side].rules.backward
            found = (
                self._number(side, version, term) for term in terms if term in backward
            )
            self._signed[key] = frozenset(n for n in found if n >= 0)
        return self._signed[key]

    def _number(self, side: int, version: int, term: int) -> int:
        """The number of what comes in at one term; -1 for nothing."""
        key = (side, version, term)
        if key not in self._number_of:
            inflow = self.world.inflow(side, version, term)
            content = frozenset(inflow.items())
            number = self._numbers.setdefault(content, len(self._numbers))
            self._inflow_of[number] = inflow
            self._number_of[key] = number if inflow else -1
        return self._number_of[key]

    def _is_moved(self, signs: frozenset[int]) -> bool:
        """Whether something comes in from devices whose deadlines differ."""
        return bool(self.world.moved and self._union(signs) & self.world.moved)

    def _union(self, signs: frozenset[int]) -> Bits:
        if signs not in self._unions:
            found = 0
            for sign in signs:
                for bits in self._inflow_of[sign].values():
                    found |= bits
            self._unions[signs] = found
        return self._unions[signs]

    # People

    def hidden(self) -> frozenset[str]:
        """People for whom a change is one only if self does not say the same."""
        found = 0
        if self.owners.people:
            for each in self.changed:
                if each.row.atom is not None:
                    sources = 0
                    for piece in each.pieces:
                        sources |= piece.bits
                    found |= self.owners.between(each.row.atom, sources)
        return frozenset(self.owners.named(found))

    def result(self) -> Exact:
        world, owners, places = self.world, self.owners, tuple(self.places)
        return Exact(world, owners, self.changed, self.reach, places)
