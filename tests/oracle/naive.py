"""Who may reach what, one packet at a time, as literally as the policy is written.

This is the oracle of the access engine: POLICY.md read aloud, without classes, sets
or speed. Every selector becomes a list of networks, every rule a list of boxes
(sources, destinations, ports) at one device, and a packet is allowed if it lies in a
box. The sections of POLICY.md are named where they decide something.

What is left out on purpose: exit nodes, `via`, `app`, postures, roles, ipsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_network

from tailgit.model.addresses import Address, Network
from tailgit.model.ports import Range
from tailgit.model.selectors import Kind, Selector, parse_selector
from tailgit.model.tailnet import Device, Rule, Tailnet

ICMP_PROTOCOLS = (1, 58)
EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))

Networks = tuple[Network, ...]


def allows(
    tailnet: Tailnet, node: str, src: Address, dst: Address, protocol: int, port: int
) -> bool:
    """Whether a new flow's packet that the tunnel brings to `node` may pass there."""
    return Judge(tailnet).allows(node, src, dst, protocol, port)


def may_send(
    tailnet: Tailnet, node: str, src: Address, dst: Address, protocol: int, port: int
) -> bool:
    """Whether `node` may let a new flow's packet out into the tunnel."""
    return Judge(tailnet).may_send(node, src, dst, protocol, port)


def peers(tailnet: Tailnet, node: str) -> dict[str, frozenset[Network]]:
    """The devices `node` has as WireGuard peers, each with its AllowedIPs."""
    return Judge(tailnet).peers(node)


@dataclass(frozen=True)
class Box:
    """Packets from any of `sources` to any of `destinations` in any of `ports`."""

    sources: Networks
    destinations: Networks
    ports: tuple[Range, ...]

    def names(self, src: Address, dst: Address) -> bool:
        return _inside(src, self.sources) and _inside(dst, self.destinations)

    def opens(self, protocol: int, port: int) -> bool:
        """Ports count for what has ports; ICMP passes wherever anything does (§5)."""
        if protocol in ICMP_PROTOCOLS:
            return True
        return any(
            protocol == listed and first <= port <= last
            for listed, first, last in self.ports
        )

    def joins(self, sources: Networks, destinations: Networks) -> bool:
        """Whether some source and some destination lie, at least partly, in the box."""
        return overlap(self.sources, sources) and overlap(
            self.destinations, destinations
        )


@dataclass(frozen=True)
class Judge:
    """One tailnet's judge; it remembers what it worked out, for the tests' patience."""

    tailnet: Tailnet
    _boxes: dict[str, list[Box]] = field(default_factory=dict)
    _named: dict[tuple[str, Address, Address], list[Box]] = field(default_factory=dict)
    _approved: dict[str, Networks] = field(default_factory=dict)
    _own: dict[str, Networks] = field(default_factory=dict)

    @cached_property
    def devices(self) -> Mapping[str, Device]:
        """The devices that count: a disabled one, or one of a disabled user, isn't."""
        off = {user.login for user in self.tailnet.users.values() if user.disabled}
        return {
            name: device
            for name, device in sorted(self.tailnet.devices.items())
            if not device.disabled
            and not (device.owner is not None and device.owner in off)
        }

    def approved(self, node: str) -> Networks:
        """The routes of `node` with an approver at an equal or wider prefix (§5)."""
        if node not in self._approved:
            device = self.devices[node]
            self._approved[node] = tuple(
                route.prefix
                for route in device.routes
                if self._may_carry(device, route.prefix)
            )
        return self._approved[node]

    def _may_carry(self, device: Device, route: Network) -> bool:
        return any(
            _contains(prefix, route) and self._is(device, self._selector(approver))
            for prefix, approvers in self.tailnet.auto_approvers.routes
            for approver in approvers
        )

    def primary(self, route: Network) -> str | None:
        """Who carries a route for everybody: the first by name that may."""
        return next(
            (name for name in self.devices if route in self.approved(name)), None
        )

    def allows(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """At the receiver: the destination is its own and a rule's box holds it."""
        device = self.devices.get(node)
        if device is None or not _inside(dst, self.own(device)):
            return False
        key = (node, src, dst)
        if key not in self._named:
            self._named[key] = [box for box in self.boxes(node) if box.names(src, dst)]
        return any(box.opens(protocol, port) for box in self._named[key])

    def may_send(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """At the sender: the source is its own, and some other device that has the
        destination (as address or inside an approved route) would let it in.

        Both ends judge the original direction by the same relation, so nothing may
        leave that would be refused on arrival, and all may that would be accepted.
        """
        device = self.devices.get(node)
        if device is None or not _inside(src, self.own(device)):
            return False
        return any(
            self.allows(other, src, dst, protocol, port)
            for other in self.devices
            if other != node
        )

    def belongs_to_another(self, node: str, address: Address) -> bool:
        """Whether a device other than `node` has the address or a route to it."""
        return any(
            _inside(address, self.own(other))
            for other in self.devices.values()
            if other.name != node
        )

    def peers(self, node: str) -> dict[str, frozenset[Network]]:
        """Who is a peer, with which AllowedIPs (§5); both ends need a key."""
        devices = self.devices
        here = devices.get(node)
        if here is None or here.public_key is None:
            return {}
        return {
            there.name: frozenset(self._allowed_ips(here, there))
            for there in devices.values()
            if there.name != node
            and there.public_key is not None
            and (self._reaches(here, there) or self._reaches(there, here))
        }

    def boxes(self, node: str) -> list[Box]:
        """What the rules mean at one device; only `autogroup:self` depends on it."""
        if node not in self._boxes:
            device = self.devices[node]
            self._boxes[node] = [
                box
                for rule in self.tailnet.rules
                if not rule.disabled
                for box in (self._plain(rule), self._self(rule, device))
                if box is not None
            ]
        return self._boxes[node]

    def _plain(self, rule: Rule) -> Box | None:
        destinations = [s for s in rule.dst if s.kind is not Kind.SELF]
        if not destinations:
            return None
        return Box(
            tuple(n for s in rule.src for n in self._sources(s)),
            tuple(n for s in destinations for n in self._destinations(s)),
            rule.ports.ranges,
        )

    def _self(self, rule: Rule, device: Device) -> Box | None:
        """§3: src cut to the owner's devices that are in src, dst the owner's devices.

        A tagged device has no owner, so it neither gets such a rule nor is in one.
        """
        if not any(s.kind is Kind.SELF for s in rule.dst) or not _is_owned(device):
            return None
        mine = [
            other
            for other in self.devices.values()
            if _is_owned(other) and other.owner == device.owner
        ]
        in_src = [
            other
            for other in mine
            if any(s.kind is Kind.ANY or self._is(other, s) for s in rule.src)
        ]
        return Box(_addresses(in_src), _addresses(mine), rule.ports.ranges)

    def _sources(self, selector: Selector) -> Networks:
        if selector.kind is Kind.ANY:
            routes = (r for name in self.devices for r in self.approved(name))
            return (self.tailnet.ipv4, self.tailnet.ipv6, *routes)
        return self.networks(selector)

    def _destinations(self, selector: Selector) -> Networks:
        if selector.kind is Kind.ANY:
            return EVERYWHERE
        return self.networks(selector)

    def networks(self, selector: Selector) -> Networks:
        """An address selector is that prefix; an identity, its devices' addresses."""
        if selector.kind is Kind.PREFIX:
            assert selector.prefix is not None
            return (selector.prefix,)
        if selector.kind is Kind.HOST:
            return (self.tailnet.hosts[selector.value].prefix,)
        return _addresses(d for d in self.devices.values() if self._is(d, selector))

    def _is(self, device: Device, selector: Selector) -> bool:
        """Whether an identity selector names the device (§2)."""
        kind, value = selector.kind, selector.value
        if kind is Kind.USER:
            return _is_owned(device) and device.owner == value
        if kind is Kind.GROUP:
            group = self.tailnet.groups[value]
            return _is_owned(device) and device.owner in group.members
        if kind is Kind.TAG:
            return value in device.tags
        if kind is Kind.DEVICE:
            return device.name == value
        if kind is Kind.MEMBER:
            return _is_owned(device)
        if kind is Kind.TAGGED:
            return len(device.tags) > 0
        raise AssertionError(f"{selector} names no devices")

    def _selector(self, text: str) -> Selector:
        tailnet = self.tailnet
        return parse_selector(text, devices=tailnet.devices, hosts=tailnet.hosts)

    def own(self, device: Device) -> Networks:
        """What a device stands for: its addresses and its approved routes."""
        if device.name not in self._own:
            own = _addresses([device]) + self.approved(device.name)
            self._own[device.name] = own
        return self._own[device.name]

    def _reaches(self, here: Device, there: Device) -> bool:
        return any(
            box.joins(self.own(here), self.own(there)) for box in self.boxes(there.name)
        )

    def _allowed_ips(self, here: Device, there: Device) -> Iterator[Network]:
        """§5 (a) and (b). Families are not looked at, as the control plane doesn't: a
        rule from a route to an IPv6 prefix hands out its IPv4 route (corpus r8). A
        co-router is one whose own route counts, so an approved one.
        """
        yield from _addresses([there])
        mine = self.own(here)
        for route in self.approved(there.name):
            if self.primary(route) != there.name:
                continue
            towards = any(b.joins(mine, (route,)) for b in self.boxes(there.name))
            back = any(b.joins((route,), mine) for b in self.boxes(here.name))
            shared = route in self.approved(here.name)
            if towards or back or shared:
                yield route


def _is_owned(device: Device) -> bool:
    """A tagged device has no user, whoever put it there (§0.6)."""
    return device.owner is not None and not device.tags


def _addresses(devices: Iterable[Device]) -> Networks:
    return tuple(ip_network(a) for device in devices for a in device.addresses)


def _inside(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _contains(outer: Network, inner: Network) -> bool:
    return (
        outer.version == inner.version
        and inner.network_address in outer
        and inner.broadcast_address in outer
    )


def overlap(some: Networks, others: Networks) -> bool:
    return any(_contains(a, b) or _contains(b, a) for a in some for b in others)
