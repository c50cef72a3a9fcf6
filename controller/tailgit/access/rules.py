"""The rules as two indices between selectors, ready to be walked from either end.

Selectors and port sets are numbered once; what joins two selectors is a bit mask of
port sets, so that later work is on integers alone.
`autogroup:self` is kept apart. It may only come from people, so for one person it
opens the same ports between all their untagged devices, whatever the source selector
was (POLICY.md §3): a port set for each person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tailgit.access.classes import Ids
from tailgit.access.selectors import prefix_of
from tailgit.model.addresses import Network
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Rule, Tailnet

Mask = int
"""Port sets of the policy as bits: bit N is `RuleIndex.ports[N]`."""

Index = dict[int, dict[int, Mask]]
"""Selector id -> selector id at the other end -> the port sets between them."""

NOTHING: Mapping[int, Mask] = {}


class RuleIndex:
    """What each selector opens (`forward`) and who may come to it (`backward`)."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.forward: Index = defaultdict(dict)
        self.backward: Index = defaultdict(dict)
        self.self_ports: dict[str, Ports] = {}
        self._groups = {name: group.members for name, group in tailnet.groups.items()}
        self._people = {
            device.owner
            for device in tailnet.devices.values()
            if device.owner is not None and not device.tags
        }
        ids: dict[Selector, int] = {}
        ports: dict[Ports, int] = {}
        for rule in tailnet.rules:
            if not rule.disabled:
                self._add(rule, ids, 1 << ports.setdefault(rule.ports, len(ports)))
        self.selectors: Sequence[Selector] = tuple(ids)
        self.ports: Sequence[Ports] = tuple(ports)
        self.any: Ids = frozenset(
            number
            for number, selector in enumerate(self.selectors)
            if selector.kind is Kind.ANY
        )
        self.prefixes: Mapping[int, Network] = {
            number: prefix
            for number, selector in enumerate(self.selectors)
            if (prefix := prefix_of(tailnet, selector)) is not None
        }
        self._unions: dict[Mask, Ports] = {}

    def _add(self, rule: Rule, ids: dict[Selector, int], bit: Mask) -> None:
        sources = [ids.setdefault(selector, len(ids)) for selector in rule.src]
        for selector in rule.dst:
            if selector.kind is Kind.SELF:
                self._open_self(rule.src, rule.ports)
                continue
            target = ids.setdefault(selector, len(ids))
            for source in sources:
                mask = self.forward[source].get(target, 0) | bit
                self.forward[source][target] = self.backward[target][source] = mask

    def _open_self(self, sources: Iterable[Selector], ports: Ports) -> None:
        for source in sources:
            match source.kind:
                case Kind.ANY | Kind.MEMBER:
                    people: Iterable[str] = self._people
                case Kind.GROUP:
                    people = self._groups.get(source.value, ())
                case Kind.USER:
                    people = (source.value,)
                case _:
                    people = ()
            for person in people:
                before = self.self_ports.get(person)
                self.self_ports[person] = before | ports if before else ports

    def union(self, mask: Mask) -> Ports:
        """The port sets of a mask together."""
        if mask not in self._unions:
            self._unions[mask] = Ports.of(
                span
                for number, ports in enumerate(self.ports)
                if mask >> number & 1
                for span in ports.ranges
            )
        return self._unions[mask]

    def other_end(self, ids: Ids) -> set[int]:
        """Selectors that a rule joins to any of `ids`, in either direction."""
        return self.reached_from(ids) | self._walk(ids, self.backward)

    def reached_from(self, ids: Ids) -> set[int]:
        """Selectors that a rule lets any of `ids` reach."""
        return self._walk(ids, self.forward)

    @staticmethod
    def _walk(ids: Ids, index: Index) -> set[int]:
        found: set[int] = set()
        for selector in ids:
            found.update(index.get(selector, NOTHING))
        return found
