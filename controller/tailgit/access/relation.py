"""The relation: who may reach whom, kept between selectors and classes.

What holds for a device follows from the set of selectors that match it, so every
answer is computed once for each distinct set and shared by all devices of it: a
*view* is the part of the tailnet that a group of nodes sees alike, and the unit for
which `compile` makes text. No step walks pairs of devices.

Packets are judged within their family: a rule from an IPv4 literal to an IPv6 literal
opens nothing. Who sees whom is not: there the two become peers all the same, and a
route is handed out, as in Tailscale (POLICY.md §5; the corpus case
routes-r8-mixed-ipv4-ipv6-coverage shows it). The filter decides what passes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network

from tailgit.access.classes import DeviceClass, Ids, classify
from tailgit.access.openings import Opening, Openings
from tailgit.access.routes import (
    approved_routes,
    overlaps,
    prefix_order,
    primaries,
)
from tailgit.access.rules import RuleIndex
from tailgit.access.selectors import active_devices
from tailgit.model.addresses import Address, Network
from tailgit.model.ports import ICMP, ICMPV6, Ports
from tailgit.model.tailnet import Device, Tailnet

Table = Mapping[int, Sequence[int]]
"""Selector id -> the classes that it matches."""


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
        self._rules = RuleIndex(tailnet)
        self.classes: tuple[DeviceClass, ...] = classify(
            tailnet, self.devices, self._rules.selectors, self._approved
        )
        self._openings = Openings(
            self._rules,
            self.classes,
            (tailnet.ipv4, tailnet.ipv6, *self._primaries),
        )
        self._class_of = {
            member: number
            for number, each in enumerate(self.classes)
            for member in each.members
        }
        self._gates: dict[tuple[View, int, bool], tuple[Opening, ...]] = {}

    @classmethod
    def of(cls, tailnet: Tailnet) -> Relation:
        return cls(tailnet)

    # What a node sees

    def view(self, node: str) -> View:
        """The view of a node; `KeyError` if it is not an active device."""
        number = self.position[node]
        device = self.devices[number]
        person = None if device.tags else device.owner
        return View(
            self._class_of[number],
            person if person in self._rules.self_ports else None,
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
        other_end = self._rules.other_end(self.classes[view.class_id].ids)
        return self._devices_at(other_end, self._at_all, view.person)

    def reach_numbers(self, view: View) -> tuple[int, ...]:
        """Devices that a node of the view may reach by an own address, ascending."""
        reached = self._rules.reached_from(self.classes[view.class_id].ids)
        return self._devices_at(reached, self._at_address, view.person)

    def routes_through(self, view: View) -> Mapping[int, tuple[Network, ...]]:
        """Subnets that nodes of the view send to each router, by its number.

        A route is handed out whole if any rule lets the view's nodes reach part of
        it or part of it reach them, and only by its primary (POLICY.md §5 a).
        """
        other_end = self._rules.other_end(self.classes[view.class_id].ids)
        found: dict[int, list[Network]] = defaultdict(list)
        for prefix, router in self._primaries.items():
            if other_end & self._touching[prefix]:
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

    # One packet

    def accepts(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """Whether `node` lets a new flow from a peer in; `dst` as the sender wrote it.

        Ports count for TCP, UDP and SCTP. ICMP passes wherever any rule joins the two
        addresses (POLICY.md §5, enforcement).
        """
        return _passes(self._ports(node, dst, src, inward=True), protocol, port)

    def sends(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """Whether `node` lets a new flow out towards the tailnet."""
        return _passes(self._ports(node, src, dst, inward=False), protocol, port)

    def ports_in(self, node: str, src: Address, dst: Address) -> Ports | None:
        """What `src` may do to `dst` at `node`, as the rules list it; None: nothing.

        A rule always lists some port, so nothing at all means that no rule joins the
        two addresses.
        """
        return self._ports(node, dst, src, inward=True)

    def _ports(
        self, node: str, here: Address, there: Address, *, inward: bool
    ) -> Ports | None:
        device = self.devices[self.position[node]]
        if here.version != there.version or not (
            here in device.addresses
            or any(here in route for route in self.approved(node))
        ):
            return None
        ranges = [
            span
            for opening in self._gate(self.view(node), here.version, inward=inward)
            if (opening.here is None or here in opening.here)
            and self._covers(opening, there)
            for span in opening.ports.ranges
        ]
        return Ports.of(ranges) if ranges else None

    def _covers(self, opening: Opening, address: Address) -> bool:
        number = self._number_of_address.get(address)
        return number in opening.devices or any(
            address in prefix for prefix in opening.prefixes
        )

    # What is kept

    def _gate(self, view: View, version: int, *, inward: bool) -> tuple[Opening, ...]:
        key = (view, version, inward)
        if key not in self._gates:
            self._gates[key] = self._make_gate(view, version, inward=inward)
        return self._gates[key]

    def _make_gate(
        self, view: View, version: int, *, inward: bool
    ) -> tuple[Opening, ...]:
        each = self.classes[view.class_id]
        here: Network | None = None
        if each.routes:
            me = self.devices[each.members[0]]
            here = ip_network(me.ipv4 if version == 4 else me.ipv6)
            found = list(self._openings.of_router(each, here, inward=inward))
        else:
            found = list(self._openings.of_host(each, version, inward=inward))
        if view.person is not None:
            mine = self._devices_of_person[view.person]
            ports = self._rules.self_ports[view.person]
            found.append(Opening(ports, mine, (), here))
        return tuple(found)

    def _devices_at(
        self, ids: Iterable[int], table: Table, person: str | None
    ) -> tuple[int, ...]:
        """The devices behind selectors, and the person's own ones, ascending."""
        near = {number for selector in ids for number in table.get(selector, ())}
        found = [member for number in near for member in self.classes[number].members]
        if person is not None:
            found = list({*found, *self._devices_of_person[person]})
        return tuple(sorted(found))

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
    def _touching(self) -> Mapping[Network, Ids]:
        """For each approved prefix the selectors that stand for part of it."""
        return {
            route: self._rules.any
            | {
                n
                for n, prefix in self._rules.prefixes.items()
                if overlaps(prefix, route)
            }
            for route in self._primaries
        }

    @cached_property
    def _at_address(self) -> Table:
        return _table(each.address_ids for each in self.classes)

    @cached_property
    def _at_all(self) -> Table:
        return _table(each.ids for each in self.classes)


def _table(ids_of_class: Iterable[Ids]) -> Table:
    table: dict[int, list[int]] = defaultdict(list)
    for number, ids in enumerate(ids_of_class):
        for selector in ids:
            table[selector].append(number)
    return table


def _passes(ports: Ports | None, protocol: int, port: int) -> bool:
    return ports is not None and (
        protocol in (ICMP, ICMPV6) or ports.allows(protocol, port)
    )
