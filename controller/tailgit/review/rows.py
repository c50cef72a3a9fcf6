"""Where flows may end: devices' own addresses, and what lies behind each of them.

A *row* is a destination that both sides treat alike, in one family: the devices of an
atom, or addresses that one router or exit node carries. A policy alone has no routers;
there, what it says of addresses counts for whoever carries them: one place for rules
that go through nobody in particular and one for each tag that a rule goes through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tailgit.access.classes import DeviceClass
from tailgit.access.relation import Relation
from tailgit.access.rules import Ids, RuleIndex
from tailgit.access.selectors import EVERYTHING, prefixes_of
from tailgit.model.addresses import INTERNET, Network
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import BARE
from tailgit.review.space import Region, cut
from tailgit.review.world import ALWAYS, NEVER, SIDES, World

NO_IDS: Ids = frozenset()

ANYBODY = "*"
"""The place of a policy alone for rules that go through nobody in particular."""

Mark = tuple[int, str, object]


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses behind a device (by its identity), or in a policy alone behind a tag
    or anybody."""

    behind: int | str
    region: Region


@dataclass(frozen=True, slots=True)
class Row:
    """A destination in one family with the terms that hold it on each side.

    Places are numbered in the order in which they come.
    """

    version: int
    terms: tuple[Ids, Ids]
    ends: tuple[int, int]
    atom: int | None = None
    place: Place | None = None
    number: int = -1


def rows(world: World) -> Iterator[Row]:
    yield from _own(world)
    beyond = (row for v in (4, 6) for row in _Beyond(world, v).rows())
    for number, row in enumerate(beyond):
        yield replace(row, number=number)


def _own(world: World) -> Iterator[Row]:
    for number, atom in enumerate(world.atoms):
        for version in (4, 6):
            four, six = (
                _own_terms(world.sides[side], atom.classes[side], version)
                for side in SIDES
            )
            yield Row(version, (four, six), atom.ends, atom=number)


def _own_terms(relation: Relation, each: int | None, version: int) -> Ids:
    if each is None:
        return NO_IDS
    found = relation.classes[each]
    own = found.own[version]
    if found.is_exit:
        # An exit node with an address in the internet is part of what it carries.
        device = relation.devices[found.members[0]]
        address = device.ipv4 if version == 4 else device.ipv6
        if any(address in prefix for prefix in INTERNET):
            own |= _of_internet(relation, found.carried)
    return own


def _of_internet(relation: Relation, carried: Ids) -> Ids:
    rules = relation.rules
    through = (
        term
        for term in carried & rules.via.keys()
        if rules.via[term].selector.kind is Kind.INTERNET
    )
    return rules.any | rules.internet | frozenset(through)


class _Beyond:
    """The places behind devices, in one family."""

    def __init__(self, world: World, version: int) -> None:
        self._world = world
        self._version = version
        self._bare = [each.tailnet.domain == BARE for each in world.sides]
        self._routed: list[dict[int, set[Network]]] = []
        self._exits: list[set[int]] = []
        for side in SIDES:
            routed, exits = self._carriers(side)
            self._routed.append(routed)
            self._exits.append(exits)

    def _carriers(self, side: int) -> tuple[dict[int, set[Network]], set[int]]:
        """Routes of this family by the identity of their router, and exit nodes."""
        relation = self._world.sides[side]
        routed: dict[int, set[Network]] = {}
        exits: set[int] = set()
        carrying = {
            member: each
            for each in relation.classes
            if each.routes or each.is_exit
            for member in each.members
        }
        for identity, pair in enumerate(self._world.identities.pairs):
            each = carrying.get(-1 if pair[side] is None else pair[side] or 0)
            if each is not None:
                routed[identity] = {
                    r for r in each.routes if r.version == self._version
                }
                if each.is_exit:
                    exits.add(identity)
        return routed, exits

    def rows(self) -> Iterator[Row]:
        carriers = sorted({i for side in SIDES for i in self._routed[side]})
        tags = self._tags()
        if not carriers and not any(self._bare):
            return
        regions = cut(self._marks(), self._version)
        for behind in (*carriers, *([ANYBODY, *tags] if any(self._bare) else ())):
            merged: dict[tuple[Ids | None, ...], list[Region]] = defaultdict(list)
            for marks, region in regions.items():
                key = tuple(self._terms(side, behind, marks) for side in SIDES)
                if any(key):
                    merged[key].append(region)
            for (old, new), parts in merged.items():
                spans = sorted(span for each in parts for span in each.spans)
                place = Place(behind, Region(self._version, tuple(spans)))
                ends = tuple(
                    NEVER if terms is None else self._end(side, behind)
                    for side, terms in enumerate((old, new))
                )
                terms = (old or NO_IDS, new or NO_IDS)
                yield Row(self._version, terms, (ends[0], ends[1]), place=place)

    def _end(self, side: int, behind: int | str) -> int:
        if isinstance(behind, str):
            return ALWAYS
        return self._world.atoms[self._world.atom_of[behind]].ends[side]

    def _tags(self) -> list[str]:
        """What rules of a policy alone go through."""
        return sorted(
            {
                tag
                for side in SIDES
                if self._bare[side]
                for term in self._world.sides[side].rules.via.values()
                for tag in term.via
            }
        )

    # Regions

    def _marks(self) -> dict[Network, set[Mark]]:
        found: dict[Network, set[Mark]] = defaultdict(set)
        for side, relation in enumerate(self._world.sides):
            rules = relation.rules
            for term, prefixes in rules.prefixes.items():
                if rules.selectors[term].side == "dst":
                    _mark(found, prefixes, (side, "term", term))
            for term, about in rules.via.items():
                if about.selector.kind is not Kind.INTERNET:
                    prefixes = prefixes_of(relation.tailnet, about.selector)
                    _mark(found, prefixes, (side, "term", term))
            for routes in self._routed[side].values():
                for route in routes:
                    _mark(found, (route,), (side, "route", route))
            if self._exits[side] or self._bare[side]:
                _mark(found, INTERNET, (side, "internet", None))
            if self._bare[side]:
                _mark(found, EVERYTHING, (side, "anywhere", None))
            pools = relation.tailnet.ipv4, relation.tailnet.ipv6
            _mark(found, pools, (side, "own", None))
        return found

    def _terms(
        self, side: int, behind: int | str, marks: frozenset[Mark]
    ) -> Ids | None:
        """The terms that let flows to such addresses in there; None if it carries
        none of them."""
        mine = [(kind, value) for at, kind, value in marks if at == side]
        if ("own", None) in mine:
            return None
        terms = {term for kind, term in mine if kind == "term"}
        is_public = ("internet", None) in mine
        if isinstance(behind, str):
            if not self._bare[side]:
                return None
            return self._alone(side, behind, terms, is_public=is_public)
        routes = self._routed[side].get(behind)
        if routes is None:
            return None
        is_routed = any(kind == "route" and value in routes for kind, value in mine)
        is_out = is_public and behind in self._exits[side]
        if not is_routed and not is_out:
            return None
        found = self._routed_terms(side, behind, terms) if is_routed else set()
        if is_out:
            found |= self._out_terms(side, behind, terms)
        return frozenset(found)

    def _class(self, side: int, behind: int) -> DeviceClass:
        world, relation = self._world, self._world.sides[side]
        number = world.atoms[world.atom_of[behind]].classes[side]
        assert number is not None
        return relation.classes[number]

    def _routed_terms(self, side: int, behind: int, terms: set[object]) -> set[int]:
        """Terms for addresses in an approved route."""
        rules, each = self._world.sides[side].rules, self._class(side, behind)
        through = {
            term
            for term in each.carried & rules.via.keys()
            if rules.via[term].selector.kind is Kind.ANY or term in terms
        }
        return {*rules.any, *_plain(rules, terms), *through}

    def _out_terms(self, side: int, behind: int, terms: set[object]) -> set[int]:
        """Terms for addresses in the internet, at an exit node."""
        relation, each = self._world.sides[side], self._class(side, behind)
        listed = _plain(relation.rules, terms) & each.ids
        return {*_of_internet(relation, each.carried), *listed}

    def _alone(
        self, side: int, behind: str, terms: set[object], *, is_public: bool
    ) -> Ids:
        """Terms for addresses in a policy alone: whoever may carry them."""
        rules = self._world.sides[side].rules
        found: set[int] = {*rules.any, *_plain(rules, terms)}
        if is_public:
            found |= rules.internet
        for number, term in rules.via.items():
            kind = term.selector.kind
            if behind in term.via and (
                number in terms
                or kind is Kind.ANY
                or (kind is Kind.INTERNET and is_public)
            ):
                found.add(number)
        return frozenset(found)


def _plain(rules: RuleIndex, terms: set[object]) -> set[int]:
    """Those of the terms that hold for any router, not for tagged ones alone."""
    return {t for t in terms if isinstance(t, int) and t in rules.prefixes}


def _mark(
    found: dict[Network, set[Mark]], prefixes: tuple[Network, ...], mark: Mark
) -> None:
    for prefix in prefixes:
        found[prefix].add(mark)
