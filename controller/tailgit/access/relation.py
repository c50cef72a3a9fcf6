"""The relation: who may reach whom, kept between terms of rules and classes of devices.

What holds for a device follows from the set of terms that match it, so every answer is
computed once for each distinct set and shared by all devices of it: a *view* is the
part of the tailnet that a group of nodes sees alike, and the unit for which `compile`
makes text. No step walks pairs of devices.

Packets are judged within their family: a rule from an IPv4 literal to an IPv6 literal
opens nothing. Who sees whom is not: there the two become peers all the same, and a
route is handed out, as in Tailscale (POLICY.md §5; the corpus case
routes-r8-mixed-ipv4-ipv6-coverage shows it). The filter decides what passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network

from tailgit.access.attributes import node_attributes
from tailgit.access.classes import DeviceClass, classify
from tailgit.access.deadlines import (
    Until,
    as_of,
    device_deadline,
    first_of,
    last_of,
)
from tailgit.access.index import TermIndex
from tailgit.access.openings import Opening, Openings
from tailgit.access.people import People
from tailgit.access.routes import (
    EXIT_ROUTES,
    Approvals,
    approvals,
    carriers,
    exits_of,
    subnets_of,
)
from tailgit.access.rules import RuleIndex
from tailgit.access.selectors import active_devices, everybody
from tailgit.access.visibility import Visibility
from tailgit.model.addresses import INTERNET, Address, Network
from tailgit.model.deadline import Deadline
from tailgit.model.ports import ICMP, ICMPV6, Ports
from tailgit.model.tailnet import Device, Tailnet


@dataclass(frozen=True, slots=True)
class View:
    """Nodes that see the same: a class and, where self rules apply, a person."""

    class_id: int
    person: str | None = None


class Relation:
    """Who may reach whom in one tailnet. Build it with `Relation.of`."""

    def __init__(self, tailnet: Tailnet, approved: Approvals | None = None) -> None:
        self.tailnet = tailnet
        self.devices: tuple[Device, ...] = tuple(active_devices(tailnet).values())
        self.position = {d.name: number for number, d in enumerate(self.devices)}
        given = approvals(tailnet) if approved is None else approved
        self.approvals: Approvals = {
            name: routes for name, routes in given.items() if name in self.position
        }
        self._approved = subnets_of(self.approvals)
        self.exits = exits_of(self.approvals)
        self.rules = RuleIndex(tailnet)
        self.index = TermIndex(tailnet, self.rules.selectors)
        self.classes: tuple[DeviceClass, ...] = classify(
            tailnet, self.devices, self.rules.selectors, self.approvals, self.index
        )
        self._visible = Visibility(
            tailnet,
            self.rules,
            self.classes,
            self.index,
            {
                prefix: tuple(self.position[name] for name in names)
                for prefix, names in carriers(tailnet, self._approved).items()
            },
        )
        self._class_of = {
            member: number
            for number, each in enumerate(self.classes)
            for member in each.members
        }
        self.everybody = (*everybody(tailnet), *self._visible.routers)
        """What `*` stands for as a source."""
        self._openings = Openings(
            tailnet,
            self.rules,
            self.classes,
            self.everybody,
            self._deadlines,
            self._visible.beyond,
        )
        self.people = People(
            self.rules,
            self.devices,
            lambda number: self.classes[self._class_of[number]].address_ids,
        )
        self._gates: dict[tuple[View, int, bool], tuple[Opening, ...]] = {}

    @classmethod
    def of(
        cls,
        tailnet: Tailnet,
        at: Deadline | None = None,
        approved: Approvals | None = None,
    ) -> Relation:
        """The relation at a time, or of everything that has not been taken out.

        `approved` replaces what `autoApprovers` says, for who keeps approvals.
        """
        return cls(as_of(tailnet, at), approved)

    # What a node sees

    def view(self, node: str) -> View:
        """The view of a node; `KeyError` if it is not an active device."""
        number = self.position[node]
        device = self.devices[number]
        person = None if device.tags else device.owner
        return View(
            self._class_of[number], person if person in self.people.masks else None
        )

    def inward(self, view: View, version: int) -> tuple[Opening, ...]:
        """What may come in at the nodes of a view, in one family."""
        return self._gate(view, version, inward=True)

    def outward(self, view: View, version: int) -> tuple[Opening, ...]:
        """What the nodes of a view may reach, in one family."""
        return self._gate(view, version, inward=False)

    def through_exit(self, view: View, version: int) -> tuple[Opening, ...]:
        """What may go to the internet through the nodes of a view: exit nodes."""
        each = self.classes[view.class_id]
        return tuple(self._openings.of_exit(each, version)) if each.is_exit else ()

    def approved(self, node: str) -> tuple[Network, ...]:
        """The approved subnets of a node, sorted; IPv4 first."""
        return self._approved.get(node, ())

    def peer_numbers(self, view: View) -> tuple[int, ...]:
        """Devices that may reach a node of the view or be reached, ascending.

        The nodes of the view may be among them; keys are not looked at.
        """
        each = self.classes[view.class_id]
        mine = self.people.peers(view.person, each.address_ids)
        return tuple(sorted({*self._visible.peers(each.ids), *mine}))

    def peer_deadlines(self, view: View) -> Mapping[int, Deadline]:
        """When peers end to be any, by number; those that don't end are left out."""
        if not (self._deadlines or self._visible.has_deadlines):
            return {}
        each = self.classes[view.class_id]
        found = self._visible.peer_deadlines(each.ids)
        mine = self.people.mask(each.address_ids)
        for number, mask in self.people.masks.get(view.person or "", {}).items():
            if mine | mask:
                until = self.rules.until(mine | mask)
                seen = found.get(number, until)
                found[number] = last_of((seen, until))
        ends = ((n, self._first(n, until)) for n, until in sorted(found.items()))
        return {number: end for number, end in ends if end is not None}

    def reach_numbers(self, view: View) -> tuple[int, ...]:
        """Devices that a node of the view may reach by an own address, ascending."""
        each = self.classes[view.class_id]
        mine = self.people.reached(view.person, each.address_ids)
        return tuple(sorted({*self._visible.reached(each.ids), *mine}))

    def routes_through(self, view: View) -> Mapping[int, tuple[Network, ...]]:
        """Subnets that nodes of the view send to each router, by its number.

        A route is handed out whole if any rule lets the view's nodes reach part of
        it or part of it reach them, by its primary (POLICY.md §5 a), or by the router
        that a rule goes through (c). A router is not handed another's copy of its own
        prefix: on plain Linux that route would shadow its LAN.
        """
        each = self.classes[view.class_id]
        return self._visible.routes(each.ids, leave_out=each.routes)

    def route_deadlines(self, view: View) -> Mapping[tuple[int, Network], Deadline]:
        """When routes end to be handed out; those that don't end are left out."""
        if not (self._deadlines or self._visible.has_deadlines):
            return {}
        each = self.classes[view.class_id]
        found = self._visible.route_deadlines(each.ids, leave_out=each.routes)
        ends = ((key, self._first(key[0], until)) for key, until in found.items())
        return {key: end for key, end in ends if end is not None}

    def peers(self, node: str) -> Mapping[str, tuple[Network, ...]]:
        """The peers of a node and their AllowedIPs, by name, as Tailscale has them.

        Both addresses of a peer, the routes handed out, and 0.0.0.0/0 and ::/0 of exit
        nodes; of two routers of one prefix each has it from the primary (POLICY.md
        §5 b). A device that awaits its key has no peers and is nobody's.
        """
        me = self.position[node]
        if self.devices[me].public_key is None:
            return {}
        view = self.view(node)
        ids = self.classes[view.class_id].ids
        routes = self._visible.routes(
            ids, shared=[route.prefix for route in self.devices[me].routes]
        )
        exits = self._visible.exits(ids)
        return {
            device.name: (
                *self._addresses(self.devices[me], device),
                *routes.get(number, ()),
                *(EXIT_ROUTES if number in exits else ()),
            )
            for number in self.peer_numbers(view)
            if number != me and (device := self.devices[number]).public_key is not None
        }

    def _addresses(self, me: Device, other: Device) -> tuple[Network, ...]:
        if me.name in self._without_ipv4 or other.name in self._without_ipv4:
            return (ip_network(other.ipv6),)
        return tuple(ip_network(address) for address in other.addresses)

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

        An opening always lists some port, so nothing at all means that no rule joins
        the two addresses.
        """
        return self._ports(node, dst, src, inward=True)

    def _ports(
        self, node: str, here: Address, there: Address, *, inward: bool
    ) -> Ports | None:
        if here.version != there.version:
            return None
        device, view, version = self.device(node), self.view(node), here.version
        gates: list[Opening] = []
        if here in device.addresses or any(
            here in route for route in self.approved(node)
        ):
            gates.extend(self._gate(view, version, inward=inward))
        if inward and node in self.exits and any(here in each for each in INTERNET):
            gates.extend(self.through_exit(view, version))
        ranges = [
            span
            for opening in gates
            if (opening.here is None or here in opening.here)
            and self._covers(opening, there)
            for span in opening.ports.ranges
        ]
        return Ports.of(ranges) if ranges else None

    def _covers(self, opening: Opening, address: Address) -> bool:
        return self.number_of_address.get(address) in opening.devices or any(
            address in prefix for prefix in opening.prefixes
        )

    # What is kept

    def device(self, node: str) -> Device:
        return self.devices[self.position[node]]

    def class_of(self, node: str) -> DeviceClass:
        return self.classes[self._class_of[self.position[node]]]

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
            ids = each.address_ids
            ends = self.people.ends(view.person, ids, inward=inward)
            found += self._openings.of_self(ends, here)
        return tuple(found)

    def _first(self, number: int, until: Until) -> Until:
        return first_of((until, self._deadlines.get(number)))

    @cached_property
    def _deadlines(self) -> Mapping[int, Until]:
        """When devices end, by number; those that don't are left out."""
        found = (
            (number, device_deadline(self.tailnet, device))
            for number, device in enumerate(self.devices)
        )
        return {number: until for number, until in found if until is not None}

    @cached_property
    def number_of_address(self) -> Mapping[Address, int]:
        return {
            address: number
            for number, device in enumerate(self.devices)
            for address in device.addresses
        }

    @cached_property
    def _without_ipv4(self) -> frozenset[str]:
        """Devices that `disable-ipv4` leaves their IPv6 address only."""
        if not self.tailnet.node_attrs:
            return frozenset()
        given = node_attributes(self.tailnet)
        return frozenset(name for name in given if "disable-ipv4" in given[name])


def _passes(ports: Ports | None, protocol: int, port: int) -> bool:
    return ports is not None and (
        protocol in (ICMP, ICMPV6) or ports.allows(protocol, port)
    )
