"""The relation: who may reach whom on what, kept between selectors and classes.

Rules become two indices, from a source selector to what it opens and from a
destination selector to who may come. What holds for a device follows from the set of
selectors that match it, so every answer is computed once for each distinct set and
shared by all devices of it: a *view* is the part of the tailnet that a group of nodes
sees alike, and the unit for which `compile` makes text.

An answer is canonical: sources (or destinations) are grouped by exactly the ports
they have, in the order of device names. Rules that are written differently and mean
the same give equal values, hence equal bytes.

Families are kept apart: a rule from an IPv4 literal to an IPv6 literal opens nothing.
`autogroup:self` is not part of the classes. It may only come from people, so for one
person it opens the same ports between all their untagged devices: a port set for each
person, applied on top (POLICY.md §3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import collapse_addresses, ip_network

from tailgit.access.classes import DeviceClass, Ids, classify
from tailgit.access.routes import (
    approved_routes,
    overlaps,
    prefix_order,
    primaries,
)
from tailgit.access.selectors import active_devices, prefix_of
from tailgit.model.addresses import Address, Network
from tailgit.model.ports import EVERYTHING, ICMP, ICMPV6, Ports
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet

Index = dict[int, dict[Ports, set[int]]]
"""Selector id -> ports -> ids of the selectors at the other end."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What some peers may do (inward) or what may be done to them (outward).

    `devices` are indices into `Relation.devices`, by their own addresses; `prefixes`
    are literal, collapsed and of one family. `here` narrows this node's end: None
    means its own address and approved routes.
    """

    ports: Ports
    devices: tuple[int, ...] = ()
    prefixes: tuple[Network, ...] = ()
    here: Network | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Nodes that see the same: a class and, where self rules apply, a person."""

    class_id: int
    person: str | None = None


class Relation:
    """Who may reach whom in one tailnet. Build it with `Relation.of`."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.tailnet = tailnet
        self.devices: tuple[Device, ...] = tuple(active_devices(tailnet).values())
        self.position = {d.name: number for number, d in enumerate(self.devices)}
        self._approved = approved_routes(tailnet)
        self._primaries = primaries(self._approved)
        self._selectors: list[Selector] = []
        self._forward: Index = defaultdict(dict)
        self._backward: Index = defaultdict(dict)
        self._self_ports: dict[str, Ports] = {}
        self._read_rules()
        self.classes: tuple[DeviceClass, ...] = classify(
            tailnet, self.devices, self._selectors, self._approved
        )
        self._class_of = {
            member: number
            for number, each in enumerate(self.classes)
            for member in each.members
        }
        self._openings: dict[tuple[Ids, bool], tuple[Opening, ...]] = {}
        self._gates: dict[tuple[View, int, bool], tuple[Opening, ...]] = {}
        self._unions: dict[frozenset[Ports], Ports] = {}

    @classmethod
    def of(cls, tailnet: Tailnet) -> Relation:
        return cls(tailnet)

    # What a node sees ---------------------------------------------------------

    def view(self, node: str) -> View:
        """The view of a node; `KeyError` if it is not an active device."""
        number = self.position[node]
        device = self.devices[number]
        person = None if device.tags else device.owner
        return View(
            self._class_of[number], person if person in self._self_ports else None
        )

    def inward(self, view: View, version: int) -> tuple[Opening, ...]:
        """What may come in at the nodes of a view, in one family."""
        return self._gate(view, version, inward=True)

    def outward(self, view: View, version: int) -> tuple[Opening, ...]:
        """What the nodes of a view may reach, in one family."""
        return self._gate(view, version, inward=False)

    def approved(self, node: str) -> tuple[Network, ...]:
        """The approved routes of a node, sorted; IPv4 first."""
        return self._approved.get(node, ())

    def peer_numbers(self, view: View) -> tuple[int, ...]:
        """Devices that may reach a node of the view or be reached, ascending.

        The nodes of the view may be among them; keys are not looked at.
        """
        found = set(self._class_peers[view.class_id])
        if view.person is not None:
            found.update(self._devices_of_person[view.person])
        return tuple(sorted(found))

    def reach_numbers(self, view: View) -> tuple[int, ...]:
        """Devices that a node of the view may reach by an own address, ascending."""
        mine = self.classes[view.class_id].presence
        found: set[int] = set()
        for version in (4, 6):
            there = self._other_end(mine[version], self._forward)
            for number in self._classes_at(there, version, own=True):
                found.update(self.classes[number].members)
        if view.person is not None:
            found.update(self._devices_of_person[view.person])
        return tuple(sorted(found))

    def routes_through(self, view: View) -> Mapping[int, tuple[Network, ...]]:
        """Subnets that nodes of the view send to each router, by its number.

        A route is handed out whole if any rule lets the view's nodes reach part of
        it or part of it reach them, and only by its primary (POLICY.md §5 a).
        """
        mine = self.classes[view.class_id].presence
        found: dict[int, list[Network]] = defaultdict(list)
        for prefix, router in self._primaries.items():
            there = self._other_end(mine[prefix.version], self._forward)
            there |= self._other_end(mine[prefix.version], self._backward)
            if there & self._touching[prefix]:
                found[self.position[router]].append(prefix)
        return {
            number: tuple(sorted(prefixes, key=prefix_order))
            for number, prefixes in sorted(found.items())
        }

    def peers(self, node: str) -> Mapping[str, tuple[Network, ...]]:
        """The WireGuard peers of a node and their AllowedIPs, by name.

        Both addresses of a peer, then the routes handed out. A device that awaits
        its key has no peers and is nobody's.
        """
        me = self.position[node]
        if self.devices[me].public_key is None:
            return {}
        view = self.view(node)
        routes = self.routes_through(view)
        return {
            device.name: (
                *(ip_network(address) for address in device.addresses),
                *routes.get(number, ()),
            )
            for number in self.peer_numbers(view)
            if number != me and (device := self.devices[number]).public_key is not None
        }

    # One packet -----------------------------------------------------------------

    def accepts(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """Whether `node` lets a new flow from a peer in; `dst` as the sender wrote it.

        Ports count for TCP, UDP and SCTP. ICMP passes wherever any rule joins the two
        addresses (POLICY.md §5, enforcement).
        """
        return self._judge(node, dst, src, protocol, port, inward=True)

    def sends(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """Whether `node` lets a new flow out towards the tailnet."""
        return self._judge(node, src, dst, protocol, port, inward=False)

    def ports_in(self, node: str, src: Address, dst: Address) -> Ports | None:
        """What `src` may do to `dst` at `node`, as the rules list it; None: nothing.

        A rule always lists some port, so nothing at all means that no rule joins the
        two addresses.
        """
        return self._ports(node, dst, src, inward=True)

    def _judge(
        self,
        node: str,
        here: Address,
        there: Address,
        protocol: int,
        port: int,
        *,
        inward: bool,
    ) -> bool:
        ports = self._ports(node, here, there, inward=inward)
        return ports is not None and (
            protocol in (ICMP, ICMPV6) or ports.allows(protocol, port)
        )

    def _ports(
        self, node: str, here: Address, there: Address, *, inward: bool
    ) -> Ports | None:
        device = self.devices[self.position[node]]
        if here.version != there.version or not (
            here in device.addresses
            or any(here in route for route in self.approved(node))
        ):
            return None
        found = {
            opening.ports
            for opening in self._gate(self.view(node), here.version, inward=inward)
            if (opening.here is None or here in opening.here)
            and self._covers(opening, there)
        }
        return self._union(found) if found else None

    def _covers(self, opening: Opening, address: Address) -> bool:
        number = self._number_of_address.get(address)
        return number in opening.devices or any(
            address in prefix for prefix in opening.prefixes
        )

    # How it is built --------------------------------------------------------------

    def _read_rules(self) -> None:
        ids: dict[Selector, int] = {}
        for rule in self.tailnet.rules:
            if rule.disabled:
                continue
            sources = [ids.setdefault(selector, len(ids)) for selector in rule.src]
            for selector in rule.dst:
                if selector.kind is Kind.SELF:
                    self._open_self(rule.src, rule.ports)
                    continue
                target = ids.setdefault(selector, len(ids))
                self._backward[target].setdefault(rule.ports, set()).update(sources)
                for source in sources:
                    self._forward[source].setdefault(rule.ports, set()).add(target)
        self._selectors = list(ids)

    def _open_self(self, sources: Iterable[Selector], ports: Ports) -> None:
        """Let each person behind `sources` reach their own untagged devices."""
        for source in sources:
            match source.kind:
                case Kind.ANY | Kind.MEMBER:
                    people: Iterable[str] = self._devices_of_person
                case Kind.GROUP if source.value in self.tailnet.groups:
                    people = self.tailnet.groups[source.value].members
                case Kind.USER:
                    people = (source.value,)
                case _:
                    people = ()
            for person in people:
                if person in self._devices_of_person:
                    before = self._self_ports.get(person)
                    self._self_ports[person] = before | ports if before else ports

    @cached_property
    def _devices_of_person(self) -> Mapping[str, tuple[int, ...]]:
        found: dict[str, list[int]] = defaultdict(list)
        for number, device in enumerate(self.devices):
            if device.owner is not None and not device.tags:
                found[device.owner].append(number)
        return {person: tuple(numbers) for person, numbers in found.items()}

    @cached_property
    def _number_of_address(self) -> Mapping[Address, int]:
        return {
            address: number
            for number, device in enumerate(self.devices)
            for address in device.addresses
        }

    @cached_property
    def _prefixes(self) -> Mapping[int, Network]:
        """The address selectors among all, by id."""
        return {
            number: prefix
            for number, selector in enumerate(self._selectors)
            if (prefix := prefix_of(self.tailnet, selector)) is not None
        }

    @cached_property
    def _any(self) -> Ids:
        return frozenset(
            n for n, selector in enumerate(self._selectors) if selector.kind is Kind.ANY
        )

    @cached_property
    def _touching(self) -> Mapping[Network, Ids]:
        """For each approved prefix the selectors that stand for part of it."""
        return {
            route: self._any
            | {n for n, prefix in self._prefixes.items() if overlaps(prefix, route)}
            for route in self._primaries
        }

    @cached_property
    def _members(self) -> dict[tuple[int, bool], dict[int, list[int]]]:
        """(version, own addresses only?) -> selector id -> classes it matches."""
        tables: dict[tuple[int, bool], dict[int, list[int]]] = {}
        for version in (4, 6):
            for own in (True, False):
                table = tables[version, own] = defaultdict(list)
                for number, each in enumerate(self.classes):
                    for selector in (each.own if own else each.presence)[version]:
                        table[selector].append(number)
        return tables

    @cached_property
    def _class_peers(self) -> tuple[tuple[int, ...], ...]:
        """For each class the devices that it reaches or that reach it."""
        result = []
        for each in self.classes:
            near: set[int] = set()
            for version in (4, 6):
                mine = each.presence[version]
                there = self._other_end(mine, self._forward)
                there |= self._other_end(mine, self._backward)
                near.update(self._classes_at(there, version, own=False))
            result.append(
                tuple(
                    member for number in near for member in self.classes[number].members
                )
            )
        return tuple(result)

    def _classes_at(self, ids: set[int], version: int, *, own: bool) -> set[int]:
        table = self._members[version, own]
        return {number for selector in ids for number in table.get(selector, ())}

    @staticmethod
    def _other_end(ids: Ids, index: Index) -> set[int]:
        return {
            other
            for selector in ids
            for others in index.get(selector, {}).values()
            for other in others
        }

    def _gate(self, view: View, version: int, *, inward: bool) -> tuple[Opening, ...]:
        key = (view, version, inward)
        if key not in self._gates:
            self._gates[key] = tuple(self._build_gate(view, version, inward=inward))
        return self._gates[key]

    def _build_gate(
        self, view: View, version: int, *, inward: bool
    ) -> Iterable[Opening]:
        each = self.classes[view.class_id]
        own = each.own[version]
        if not each.routes:
            yield from self._open(own, version, inward=inward)
        else:
            # A router judges its own address, the literals that touch its routes and
            # `*` each for itself: only `*` opens both ends of it at once.
            me = self.devices[each.members[0]]
            address = ip_network(me.ipv4 if version == 4 else me.ipv6)
            scopes: list[tuple[Network | None, Ids]] = [
                (None, self._any),
                (address, own - self._any),
            ]
            scopes += (
                (self._prefixes[selector], frozenset({selector}))
                for selector in sorted(each.presence[version] - own - self._any)
            )
            scopes += (
                (self._prefixes[selector], frozenset({selector}))
                for selector in sorted(own & self._prefixes.keys())
                if any(
                    overlaps(self._prefixes[selector], route) for route in each.routes
                )
            )
            for here, ids in scopes:
                for opening in self._open(ids, version, inward=inward):
                    yield replace(opening, here=here)
        if view.person is not None:
            mine = self._devices_of_person[view.person]
            here = None
            if each.routes:
                here = address
            yield Opening(self._self_ports[view.person], mine, (), here)

    def _open(self, ids: Ids, version: int, *, inward: bool) -> Iterable[Opening]:
        """The openings of one family for a node end that `ids` match."""
        key = (ids, inward)
        if key not in self._openings:
            self._openings[key] = self._group(ids, inward=inward)
        for opening in self._openings[key]:
            prefixes = tuple(p for p in opening.prefixes if p.version == version)
            if opening.devices or prefixes:
                yield replace(opening, prefixes=prefixes)

    def _group(self, ids: Ids, *, inward: bool) -> tuple[Opening, ...]:
        """Everything at the other end, grouped by exactly the ports it has."""
        index = self._backward if inward else self._forward
        ports_of_class: dict[int, set[Ports]] = defaultdict(set)
        ports_of_prefix: dict[Network, set[Ports]] = defaultdict(set)
        everybody: set[Ports] = set()
        members = self._members[4, True]
        for selector in ids:
            for ports, others in index.get(selector, {}).items():
                for other in others:
                    if other in self._any:
                        everybody.add(ports)
                    elif other in self._prefixes:
                        ports_of_prefix[self._prefixes[other]].add(ports)
                    else:
                        for number in members.get(other, ()):
                            ports_of_class[number].add(ports)
        for prefix in self._all_prefixes(inward=inward) if everybody else ():
            ports_of_prefix[prefix] |= everybody
        devices: dict[Ports, list[int]] = defaultdict(list)
        for number, sets in ports_of_class.items():
            # What everybody may do, these devices may do through the ranges of `*`.
            if not sets <= everybody:
                devices[self._union(sets)].extend(self.classes[number].members)
        prefixes: dict[Ports, list[Network]] = defaultdict(list)
        for prefix, sets in ports_of_prefix.items():
            prefixes[self._union(sets)].append(prefix)
        return tuple(
            Opening(
                ports,
                tuple(sorted(devices.get(ports, ()))),
                _collapsed(prefixes.get(ports, ())),
            )
            for ports in sorted(devices.keys() | prefixes.keys(), key=_ports_order)
        )

    def _all_prefixes(self, *, inward: bool) -> Iterable[Network]:
        """What `*` stands for: in src this tailnet and its subnets, in dst all."""
        if not inward:
            return (ip_network("0.0.0.0/0"), ip_network("::/0"))
        return (self.tailnet.ipv4, self.tailnet.ipv6, *self._primaries)

    def _union(self, sets: set[Ports]) -> Ports:
        key = frozenset(sets)
        if key not in self._unions:
            merged = Ports(())
            for ports in key:
                merged = merged | ports
            self._unions[key] = merged
        return self._unions[key]


def _collapsed(prefixes: Iterable[Network]) -> tuple[Network, ...]:
    """Merged and sorted: an nft interval set takes no overlapping elements."""
    found: list[Network] = []
    listed = list(prefixes)
    found.extend(collapse_addresses(p for p in listed if p.version == 4))
    found.extend(collapse_addresses(p for p in listed if p.version == 6))
    return tuple(sorted(found, key=prefix_order))


def _ports_order(ports: Ports) -> tuple[bool, Ports | tuple[tuple[int, int, int], ...]]:
    return ports != EVERYTHING, ports.ranges
