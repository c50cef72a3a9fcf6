"""The rules as two indices between terms, ready to be walked from either end.

A *term* is a selector on one side of rules, with what else is asked there: a posture of
the source, a router that the rule goes through. Terms and port sets are numbered once;
what joins two terms is a bit mask of port sets, so that later work is on integers
alone. A port set with a deadline is another bit than the same one without; the empty
port set of a grant that only has `app` makes two ends see each other and opens nothing.

`autogroup:self` is kept apart. It may only come from people, and joins the devices of
one person that its source names to all untagged devices of that person (POLICY.md §3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tailgit.access.deadlines import Until, deadline_order, last_of
from tailgit.access.postures import wanted_postures
from tailgit.access.selectors import is_identity_of, prefixes_of
from tailgit.model.addresses import Network
from tailgit.model.policy import Rule
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Tailnet

Ids = frozenset[int]
"""Terms by number."""

Side = Literal["src", "dst"]

Mask = int
"""Port sets of the policy as bits: bit N is `RuleIndex.ports[N]`."""

Index = dict[int, dict[int, Mask]]
"""Term -> term at the other end -> the port sets between them."""

NOTHING: Mapping[int, Mask] = {}

WITH_A_SELF = frozenset(
    {Kind.ANY, Kind.USER, Kind.GROUP, Kind.MEMBER, Kind.ROLE, Kind.DOMAIN}
)
"""Sources that `autogroup:self` may follow."""


@dataclass(frozen=True, slots=True)
class Term:
    """A selector on one side of rules, and what else they ask of a device there."""

    side: Side
    selector: Selector
    posture: tuple[str, ...] = ()
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortSet:
    """What a rule opens, and until when."""

    ports: Ports
    until: Until = None


class RuleIndex:
    """What each term opens (`forward`) and who may come to it (`backward`)."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.forward: Index = defaultdict(dict)
        self.backward: Index = defaultdict(dict)
        self.to_self: dict[int, Mask] = {}
        """By source term what it opens at its own person's devices."""
        self._tailnet = tailnet
        ids: dict[Term, int] = {}
        ports: dict[PortSet, int] = {}
        for rule in tailnet.rules:
            if not rule.disabled:
                opened = PortSet(rule.ports, rule.expires)
                self._add(rule, ids, 1 << ports.setdefault(opened, len(ports)))
        self.selectors: Sequence[Term] = tuple(ids)
        self.numbers: Mapping[Term, int] = ids
        self.ports: Sequence[PortSet] = tuple(ports)
        self.opening: Mask = self._mask(each for each in ports if each.ports.ranges)
        self._unions: dict[Mask, Ports] = {}
        self._spans: dict[Mask, tuple[PortSet, ...]] = {}

    def _add(self, rule: Rule, ids: dict[Term, int], bit: Mask) -> None:
        posture = wanted_postures(self._tailnet, rule)
        sources = [
            ids.setdefault(Term("src", selector, posture), len(ids))
            for selector in rule.src
        ]
        for selector in rule.dst:
            if selector.kind is Kind.SELF:
                if not rule.via:  # no router carries somebody's own devices
                    self._open_self(rule.src, sources, bit)
                continue
            target = ids.setdefault(Term("dst", selector, via=rule.via), len(ids))
            for source in sources:
                mask = self.forward[source].get(target, 0) | bit
                self.forward[source][target] = self.backward[target][source] = mask

    def _open_self(
        self, selectors: Iterable[Selector], sources: Iterable[int], bit: Mask
    ) -> None:
        for selector, source in zip(selectors, sources, strict=True):
            if selector.kind in WITH_A_SELF:
                self.to_self[source] = self.to_self.get(source, 0) | bit

    def _mask(self, some: Iterable[PortSet]) -> Mask:
        wanted = set(some)
        return sum(1 << n for n, each in enumerate(self.ports) if each in wanted)

    # Kinds of terms

    @cached_property
    def any(self) -> Ids:
        """`*`, on either side, for every device and every router."""
        return self._ids(lambda term: term.selector.kind is Kind.ANY)

    @cached_property
    def internet(self) -> Ids:
        """`autogroup:internet` as a destination."""
        return self._ids(lambda term: term.selector.kind is Kind.INTERNET)

    def _ids(self, holds: Callable[[Term], bool]) -> Ids:
        return frozenset(
            number
            for number, term in enumerate(self.selectors)
            if not term.posture and not term.via and holds(term)
        )

    @cached_property
    def prefixes(self) -> Mapping[int, tuple[Network, ...]]:
        """What address terms stand for, whoever has the addresses.

        A term with a posture stands for devices only: what is behind a router, or
        nobody's, has no attributes.
        """
        return {
            number: prefixes
            for number, term in enumerate(self.selectors)
            if not term.posture
            and not term.via
            and term.selector.kind is not Kind.INTERNET
            and (prefixes := prefixes_of(self._tailnet, term.selector))
        }

    @cached_property
    def via(self) -> Mapping[int, Term]:
        """Destinations that only routers with a tag carry."""
        return {n: term for n, term in enumerate(self.selectors) if term.via}

    @cached_property
    def self_ports(self) -> Mapping[str, Ports]:
        """What `autogroup:self` opens for each person, postures left aside."""
        people: dict[str, Ports] = {}
        for device in self._tailnet.devices.values():
            if device.tags or device.owner is None or device.owner in people:
                continue
            mask = 0
            for source, bits in self.to_self.items():
                selector = self.selectors[source].selector
                if selector.kind is Kind.ANY or is_identity_of(
                    self._tailnet, selector, device
                ):
                    mask |= bits
            if mask:
                people[device.owner] = self.union(mask)
        return people

    # Masks

    def union(self, mask: Mask) -> Ports:
        """The port sets of a mask together, whenever they end."""
        if mask not in self._unions:
            self._unions[mask] = Ports.of(
                span for each in self._in(mask) for span in each.ports.ranges
            )
        return self._unions[mask]

    def spans(self, mask: Mask) -> tuple[PortSet, ...]:
        """The same by deadline: what lasts longest first, then what ends before that
        and is not in it."""
        if mask not in self._spans:
            found: list[PortSet] = []
            kept = Ports(())
            listed = self._in(mask)
            for until in sorted(
                {each.until for each in listed}, key=deadline_order, reverse=True
            ):
                ports = Ports.of(
                    span
                    for each in listed
                    if each.until == until
                    for span in each.ports.ranges
                )
                left = without(ports, kept)
                if left.ranges:
                    found.append(PortSet(left, until))
                    kept |= left
            self._spans[mask] = tuple(found)
        return self._spans[mask]

    def outlasting(self, until: Until) -> Mask:
        """The port sets that hold until a deadline, or longer."""
        order = deadline_order(until)
        return self._mask(
            each for each in self.ports if deadline_order(each.until) >= order
        )

    def until(self, mask: Mask) -> Until:
        """When the last of a mask's port sets ends."""
        return last_of(each.until for each in self._in(mask))

    def _in(self, mask: Mask) -> list[PortSet]:
        return [each for n, each in enumerate(self.ports) if mask >> n & 1]

    # Walks

    def other_end(self, ids: Iterable[int], among: Mask = -1) -> set[int]:
        """Terms that a rule joins to any of `ids`, in either direction.

        `among` says by which port sets; all of them if left out.
        """
        listed = tuple(ids)
        return self.reached_from(listed, among) | _walk(listed, self.backward, among)

    def reached_from(self, ids: Iterable[int], among: Mask = -1) -> set[int]:
        """Terms that a rule lets any of `ids` reach."""
        return _walk(ids, self.forward, among)


def _walk(ids: Iterable[int], index: Index, among: Mask) -> set[int]:
    found: set[int] = set()
    for term in ids:
        others = index.get(term, NOTHING)
        if among == -1:
            found.update(others)
        else:
            found.update(other for other, mask in others.items() if mask & among)
    return found


def without(ports: Ports, others: Ports) -> Ports:
    """What of `ports` is not in `others`."""
    left = list(ports.ranges)
    for protocol, first, last in others.ranges:
        cut = []
        for each in left:
            number, low, high = each
            if number != protocol or high < first or last < low:
                cut.append(each)
                continue
            if low < first:
                cut.append((number, low, first - 1))
            if last < high:
                cut.append((number, last + 1, high))
        left = cut
    return Ports.of(left)
