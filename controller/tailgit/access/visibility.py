"""Who sees whom, and which routes go with it: WireGuard's side of the relation.

Two devices see each other if a rule, on any port or none, joins something of one with
something of the other. A subnet is handed out whole, by its primary, to whoever a rule
joins with part of it; a rule that goes through tagged routers shows those alone, and
its routes come from the first of them, unless a plain rule hands the route out anyway
(POLICY.md §5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from tailgit.access.classes import DeviceClass
from tailgit.access.deadlines import Until, deadline_order
from tailgit.access.index import TermIndex
from tailgit.access.routes import covers, overlaps, prefix_order
from tailgit.access.rules import Ids, Mask, RuleIndex
from tailgit.access.selectors import EVERYTHING, prefixes_of
from tailgit.model.addresses import INTERNET, Network
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Tailnet

Table = Mapping[int, Sequence[int]]
"""Term -> the classes that it matches."""

Routers = Mapping[Network, Sequence[int]]
"""Who carries each approved subnet, by number; the primary first."""

ALL: Mask = -1


class Visibility:
    """Peers and routes of one tailnet by the terms that a node's class has."""

    def __init__(
        self,
        tailnet: Tailnet,
        rules: RuleIndex,
        classes: Sequence[DeviceClass],
        index: TermIndex,
        routers: Routers,
    ) -> None:
        self.routers = routers
        self._tailnet = tailnet
        self._rules = rules
        self._classes = classes
        self._index = index
        deadlines = {each.until for each in rules.ports}
        self.has_deadlines = bool(deadlines - {None})
        last_first = sorted(deadlines, key=deadline_order, reverse=True)
        self.levels: tuple[tuple[Until, Mask], ...] = tuple(
            (until, rules.outlasting(until)) for until in last_first
        )
        """Deadlines, last first, each with the port sets that hold until then."""

    # Peers

    def peers(self, ids: Ids, among: Mask = ALL) -> set[int]:
        """Devices that may reach a class with these terms, or be reached by it."""
        return self._members(self._rules.other_end(ids, among), self._at_all)

    def reached(self, ids: Ids) -> set[int]:
        """Devices that the class may reach by an own address, on some port."""
        ends = self._rules.reached_from(ids, self._rules.opening)
        return self._members(ends, self._at_address)

    def peer_deadlines(self, ids: Ids) -> dict[int, Until]:
        """The same peers, each with the deadline of the last rule for it."""
        found: dict[int, Until] = {}
        for until, among in self.levels:
            for number in self.peers(ids, among):
                found.setdefault(number, until)
        return found

    def _members(self, ids: Iterable[int], table: Table) -> set[int]:
        near = {number for term in ids for number in table.get(term, ())}
        return {member for each in near for member in self._classes[each].members}

    # Routes

    def routes(
        self,
        ids: Ids,
        among: Mask = ALL,
        *,
        leave_out: Iterable[Network] = (),
        shared: Iterable[Network] = (),
    ) -> Mapping[int, tuple[Network, ...]]:
        """Subnets that a class with these terms sends to each router, by its number.

        `shared` are those that a device advertises itself: it has them from their
        primary without any rule.
        """
        left_out, own = set(leave_out), set(shared)
        ends = self._rules.other_end(ids, among)
        found: dict[int, list[Network]] = defaultdict(list)
        handed: set[Network] = set()
        for prefix, routers in self.routers.items():
            if prefix in own or ends & self._touching[prefix]:
                handed.add(prefix)
                if prefix not in left_out:
                    found[routers[0]].append(prefix)
        reached = self._rules.reached_from(ids, among) & self._rules.via.keys()
        for prefix, router in self._first_of(reached).items():
            if prefix not in handed and prefix not in left_out:
                found[router].append(prefix)
        return {
            number: tuple(sorted(prefixes, key=prefix_order))
            for number, prefixes in sorted(found.items())
        }

    def route_deadlines(
        self, ids: Ids, *, leave_out: Iterable[Network] = ()
    ) -> dict[tuple[int, Network], Until]:
        """The same routes by router and prefix, each with its deadline."""
        found: dict[tuple[int, Network], Until] = {}
        for until, among in self.levels:
            routes = self.routes(ids, among, leave_out=leave_out)
            for number, prefixes in routes.items():
                for prefix in prefixes:
                    found.setdefault((number, prefix), until)
        return found

    @cached_property
    def _touching(self) -> Mapping[Network, Ids]:
        """For each approved prefix the terms that stand for part of it."""
        return {
            route: self._rules.any | self._index.touching(route)
            for route in self.routers
        }

    def _first_of(self, terms: Iterable[int]) -> Mapping[Network, int]:
        """For each prefix behind rules that go through routers, the first of these."""
        found: dict[Network, int] = {}
        for term in terms:
            for prefix, router in self._through[term].items():
                rank = self.routers[prefix].index
                if prefix not in found or rank(router) < rank(found[prefix]):
                    found[prefix] = router
        return found

    @cached_property
    def _through(self) -> Mapping[int, Mapping[Network, int]]:
        """By term that goes through routers, the first of those for each prefix."""
        found: dict[int, dict[Network, int]] = {}
        for term in self._rules.via:
            eligible = self._members((term,), self._at_all)
            touched = self._of_via(term)
            found[term] = {
                prefix: next(number for number in routers if number in eligible)
                for prefix, routers in self.routers.items()
                if not eligible.isdisjoint(routers)
                and any(overlaps(prefix, each) for each in touched)
            }
        return found

    # The internet

    def exits(self, ids: Ids) -> frozenset[int]:
        """Exit nodes that a class with these terms may use, by number.

        Everything or `autogroup:internet` opens all of them, an exit node's tag in
        `via` those that have it; a public prefix alone hands out no default route.
        """
        reached = self._rules.reached_from(ids)
        found: set[int] = set()
        if reached & self._default:
            found.update(
                n for each in self._classes if each.is_exit for n in each.members
            )
        for term in reached & self._rules.via.keys():
            if self._rules.via[term].selector.kind is Kind.INTERNET:
                found |= self._members((term,), self._at_all)
        return frozenset(found)

    @cached_property
    def _default(self) -> Ids:
        """Destinations that are all of the internet."""
        wide = {
            term
            for term, prefixes in self._rules.prefixes.items()
            if any(prefix.prefixlen == 0 for prefix in prefixes)
        }
        return self._rules.any | self._rules.internet | wide

    @cached_property
    def beyond(self) -> Mapping[int, tuple[Network, ...]]:
        """What destinations stand for that only some devices carry: the internet
        behind exit nodes, the part of a prefix behind the routers of a rule."""
        found: dict[int, tuple[Network, ...]] = {}
        for term in (*self._rules.internet, *self._rules.via):
            carrying = [self._classes[n] for n in self._at_all.get(term, ())]
            if self._rules.selectors[term].selector.kind is Kind.INTERNET:
                found[term] = INTERNET if carrying else ()
                continue
            found[term] = tuple(
                narrower(route, prefix)
                for each in carrying
                for route in each.routes
                for prefix in self._of_via(term)
                if overlaps(route, prefix)
            )
        return found

    def _of_via(self, term: int) -> tuple[Network, ...]:
        selector = self._rules.via[term].selector
        if selector.kind is Kind.ANY:
            return EVERYTHING
        if selector.kind is Kind.INTERNET:
            return ()
        return prefixes_of(self._tailnet, selector)

    # Tables

    @cached_property
    def _at_address(self) -> Table:
        return _table(each.address_ids for each in self._classes)

    @cached_property
    def _at_all(self) -> Table:
        return _table(each.ids for each in self._classes)


def narrower(one: Network, other: Network) -> Network:
    """What two prefixes that overlap have in common."""
    return other if covers(one, other) else one


def _table(ids_of_class: Iterable[Ids]) -> Table:
    table: dict[int, list[int]] = defaultdict(list)
    for number, ids in enumerate(ids_of_class):
        for term in ids:
            table[term].append(number)
    return table
