"""Openings: what a node's end of the tunnel lets through, in canonical form.

Sources (inward) or destinations (outward) are grouped by exactly the ports they have
and the deadline of those, in the order of device names. Policies that are written
differently and mean the same give equal openings, hence equal bytes on the nodes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses

from tailgit.access.classes import DeviceClass
from tailgit.access.deadlines import Until, deadline_order, first_of
from tailgit.access.routes import overlaps, prefix_order
from tailgit.access.rules import NOTHING, Ids, Mask, PortSet, RuleIndex
from tailgit.access.selectors import EVERYTHING, prefixes_of
from tailgit.model.addresses import Network
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Tailnet


@dataclass(frozen=True, slots=True)
class Opening:
    """What some peers may do (inward) or what may be done to them (outward).

    `devices` are indices into `Relation.devices`, by their own addresses; `prefixes`
    are literal, collapsed and of one family. `here` narrows this node's end: None
    means its own address and its approved routes. It holds before `until`.
    """

    ports: Ports
    devices: tuple[int, ...] = ()
    prefixes: tuple[Network, ...] = ()
    here: Network | None = None
    until: Until = None


Scopes = dict[Network | None, set[int]]
"""Terms by the part of a node's end for which they stand; None is all of it."""


class Openings:
    """Makes the openings of classes; each distinct set of terms is grouped once."""

    def __init__(
        self,
        tailnet: Tailnet,
        rules: RuleIndex,
        classes: Sequence[DeviceClass],
        everybody: Iterable[Network],
        deadlines: Mapping[int, Until],
        beyond: Mapping[int, tuple[Network, ...]],
    ) -> None:
        """`everybody` is `*` as a source; `deadlines` are those of devices that end;
        `beyond` is what destinations stand for that only some devices carry."""
        self._tailnet = tailnet
        self._rules = rules
        self._classes = classes
        self._everybody = tuple(everybody)
        self._deadlines = deadlines
        self._beyond = beyond
        self._grouped: dict[tuple[Ids, int, bool], tuple[Opening, ...]] = {}
        self._members: dict[int, dict[int, list[int]]] = {
            4: defaultdict(list),
            6: defaultdict(list),
        }
        for number, each in enumerate(classes):
            for version in (4, 6):
                for term in each.own[version]:
                    self._members[version][term].append(number)

    def of_host(
        self, each: DeviceClass, version: int, *, inward: bool
    ) -> tuple[Opening, ...]:
        """For devices without routes: their end is always their own address."""
        return self._group(each.own[version], version, inward=inward)

    def of_router(
        self, each: DeviceClass, address: Network, *, inward: bool
    ) -> Iterator[Opening]:
        """For a device with approved routes, in the family of its `address`.

        Its own address, the literals that touch its routes and `*` are judged each
        for itself: only `*` opens all of its end at once.
        """
        version, prefixes = address.version, self._rules.prefixes
        routes = [route for route in each.routes if route.version == version]
        scopes: Scopes = defaultdict(set)
        scopes[None] |= self._rules.any
        for term in each.own[version] - self._rules.any:
            wide = any(p.prefixlen == 0 for p in prefixes.get(term, ()))
            scopes[None if wide else address].add(term)
        for term in each.carried & prefixes.keys():
            for prefix in prefixes[term]:
                if any(overlaps(prefix, route) for route in routes):
                    scopes[prefix if prefix.prefixlen else None].add(term)
        for term in each.carried & self._rules.via.keys():
            selector = self._rules.via[term].selector
            if selector.kind is Kind.ANY:
                for route in routes:
                    scopes[route].add(term)
            elif selector.kind is not Kind.INTERNET:
                for prefix in prefixes_of(self._tailnet, selector):
                    if any(overlaps(prefix, route) for route in routes):
                        scopes[prefix].add(term)
        yield from self._scoped(scopes, version, inward=inward)

    def of_exit(self, each: DeviceClass, version: int) -> Iterator[Opening]:
        """What may go through an exit node: its end is the internet, or part of it."""
        scopes: Scopes = defaultdict(set)
        scopes[None] |= self._rules.any | self._rules.internet
        for term in each.carried & self._rules.via.keys():
            if self._rules.via[term].selector.kind is Kind.INTERNET:
                scopes[None].add(term)
        for term, prefixes in self._rules.prefixes.items():
            for prefix in prefixes:
                if prefix.version == version and term in each.ids:
                    scopes[prefix if prefix.prefixlen else None].add(term)
        yield from self._scoped(scopes, version, inward=True)

    def of_self(
        self, masks: Mapping[int, Mask], here: Network | None
    ) -> Iterator[Opening]:
        """What single devices have at each other, by device."""
        yield from (
            Opening(each.ports, tuple(devices), (), here, each.until)
            for each, devices, _ in self._by_ports(masks, {})
        )

    def _scoped(
        self, scopes: Scopes, version: int, *, inward: bool
    ) -> Iterator[Opening]:
        for here, ids in sorted(scopes.items(), key=_scope_order):
            if here is not None and here.version != version:
                continue
            for each in self._group(frozenset(ids), version, inward=inward):
                if here is None:
                    yield each
                else:
                    ends = each.devices, each.prefixes
                    yield Opening(each.ports, *ends, here, each.until)

    def _group(self, ids: Ids, version: int, *, inward: bool) -> tuple[Opening, ...]:
        """Everything at the other end of `ids`, in one family."""
        key = (ids, version, inward)
        if key not in self._grouped:
            of_class, of_prefix = self._collect(ids, version, inward=inward)
            of_device = {
                number: mask
                for each, mask in of_class.items()
                for number in self._classes[each].members
            }
            self._grouped[key] = tuple(
                Opening(
                    each.ports, tuple(devices), _collapsed(prefixes), None, each.until
                )
                for each, devices, prefixes in self._by_ports(of_device, of_prefix)
            )
        return self._grouped[key]

    def _by_ports(
        self, of_device: Mapping[int, Mask], of_prefix: Mapping[Network, Mask]
    ) -> Iterator[tuple[PortSet, list[int], list[Network]]]:
        """Devices and prefixes that have the same ports until the same deadline.

        Different masks may be the same ports: {80} with {22,80} is {22,80}.
        """
        devices: dict[PortSet, list[int]] = defaultdict(list)
        prefixes: dict[PortSet, list[Network]] = defaultdict(list)
        for number, mask in of_device.items():
            for each in self._spans(mask, self._deadlines.get(number)):
                devices[each].append(number)
        for prefix, mask in of_prefix.items():
            for each in self._rules.spans(mask):
                prefixes[each].append(prefix)
        for each in sorted(devices.keys() | prefixes.keys(), key=_ports_order):
            yield each, sorted(devices.get(each, ())), prefixes.get(each, [])

    def _spans(self, mask: Mask, until: Until) -> Iterable[PortSet]:
        """What a device has that ends itself, at the latest, with `until`."""
        spans = self._rules.spans(mask)
        if until is None:
            return spans
        ports: dict[Until, Ports] = {}
        for each in spans:
            end = first_of((each.until, until))
            ports[end] = ports[end] | each.ports if end in ports else each.ports
        return [PortSet(each, end) for end, each in ports.items()]

    def _collect(
        self, ids: Ids, version: int, *, inward: bool
    ) -> tuple[dict[int, Mask], dict[Network, Mask]]:
        """What is open by class and by literal prefix at the other end."""
        rules = self._rules
        index = rules.backward if inward else rules.forward
        of_term: dict[int, Mask] = {}
        for term in ids:
            for other, mask in index.get(term, NOTHING).items():
                if mask & rules.opening:
                    of_term[other] = of_term.get(other, 0) | mask & rules.opening
        of_class: dict[int, Mask] = {}
        of_prefix: dict[Network, Mask] = {}
        everybody = 0
        for other, mask in of_term.items():
            literal = rules.prefixes.get(other, ())
            if other in rules.any:
                everybody = mask
                literal = self._everybody if inward else EVERYTHING
            elif not inward and other in self._beyond:
                literal = self._beyond[other]
            for prefix in literal:
                if prefix.version == version:
                    of_prefix[prefix] = of_prefix.get(prefix, 0) | mask
            if not literal:
                for number in self._members[version].get(other, ()):
                    of_class[number] = of_class.get(number, 0) | mask
        if everybody:
            # What everybody may do, these devices may do through the ranges of `*`.
            of_class = {n: mask for n, mask in of_class.items() if mask & ~everybody}
        return of_class, of_prefix


def _collapsed(prefixes: Iterable[Network]) -> tuple[Network, ...]:
    """Merged and sorted: an nft interval set takes no overlapping elements."""
    listed = list(prefixes)
    if len(listed) < 2:
        return tuple(listed)
    found: list[Network] = []
    found.extend(collapse_addresses(p for p in listed if p.version == 4))
    found.extend(collapse_addresses(p for p in listed if p.version == 6))
    return tuple(sorted(found, key=prefix_order))


def _ports_order(
    each: PortSet,
) -> tuple[tuple[tuple[int, int, int], ...], tuple[bool, int]]:
    ended, end = deadline_order(each.until)
    return each.ports.ranges, (not ended, end)


def _scope_order(
    scope: tuple[Network | None, set[int]],
) -> tuple[bool, tuple[int, int, int]]:
    here = scope[0]
    return here is not None, prefix_order(here) if here is not None else (0, 0, 0)
