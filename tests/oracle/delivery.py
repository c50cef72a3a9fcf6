"""What each rule means at each device: POLICY.md read aloud, as lists of boxes.

The lower half of the naive judge: which devices, rules and routes count, and which
boxes (sources, destinations, ports) are delivered where. Every selector becomes a list
of networks; there are no classes, sets or speed. The sections of POLICY.md are named
where they decide something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_network

from tailgit.model.addresses import Address, Network
from tailgit.model.policy import Rule
from tailgit.model.ports import Range
from tailgit.model.selectors import Kind, Selector, parse_selector
from tailgit.model.tailnet import Device, Tailnet
from tests.oracle.meanings import INTERNET, holds

ICMP_PROTOCOLS = (1, 58)
EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))

Networks = tuple[Network, ...]


@dataclass(frozen=True)
class Box:
    """Packets from any of `sources` to any of `destinations` in any of `ports`.

    Without ports it lets nothing pass and only shows the ends to each other.
    """

    sources: Networks
    destinations: Networks
    ports: tuple[Range, ...]
    via: bool = False
    is_default: bool = False

    def names(self, src: Address, dst: Address) -> bool:
        return inside(src, self.sources) and inside(dst, self.destinations)

    def opens(self, protocol: int, port: int) -> bool:
        """Ports count for what has ports; ICMP passes wherever anything does (§5)."""
        if protocol in ICMP_PROTOCOLS:
            return len(self.ports) > 0
        return any(
            protocol == listed and first <= port <= last
            for listed, first, last in self.ports
        )


@dataclass(frozen=True)
class Delivered:
    """One tailnet at a time, or of all times; it remembers what it worked out, for the
    tests' patience."""

    tailnet: Tailnet
    at: int | None = None
    _boxes: dict[str, list[Box]] = field(default_factory=dict)
    _approved: dict[str, Networks] = field(default_factory=dict)
    _own: dict[str, Networks] = field(default_factory=dict)

    @cached_property
    def devices(self) -> Mapping[str, Device]:
        """The devices that count: none that is disabled or over, or a user's who is."""
        off = {
            user.login
            for user in self.tailnet.users.values()
            if user.disabled or self._is_over(user.expires)
        }
        return {
            name: device
            for name, device in sorted(self.tailnet.devices.items())
            if not device.disabled
            and not self._is_over(device.expires)
            and not (device.owner is not None and device.owner in off)
        }

    @cached_property
    def rules(self) -> list[Rule]:
        """The rules that count."""
        return [
            rule
            for rule in self.tailnet.rules
            if not rule.disabled and not self._is_over(rule.expires)
        ]

    def _is_over(self, deadline: int | None) -> bool:
        return self.at is not None and deadline is not None and self.at >= deadline

    # Routes

    def approved(self, node: str) -> Networks:
        """The subnets of `node` with an approver at an equal or wider prefix (§5)."""
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

    def is_exit(self, node: str) -> bool:
        """Whether `node` offers to be an exit node and `exitNode` approves it (§5)."""
        device = self.devices[node]
        return device.exit_node and any(
            self._is(device, self._selector(approver))
            for approver in self.tailnet.auto_approvers.exit_node
        )

    def carriers(self, route: Network) -> list[str]:
        """The approved routers of a route, the primary first: by priority, by name."""
        found = [name for name in self.devices if route in self.approved(name)]
        return sorted(found, key=lambda name: self._rank(name, route))

    def _rank(self, name: str, route: Network) -> tuple[float, str]:
        for each in self.devices[name].routes:
            if each.prefix == route and each.priority is not None:
                return each.priority, name
        return float("inf"), name

    # Rules

    def boxes(self, node: str) -> list[Box]:
        """What the rules mean at one device: those that are delivered to it (§0.3)."""
        if node not in self._boxes:
            device = self.devices[node]
            self._boxes[node] = [
                box
                for rule in self.rules
                for selector in rule.dst
                for box in self._of_rule(rule, selector, device)
            ]
        return self._boxes[node]

    def _of_rule(self, rule: Rule, dst: Selector, device: Device) -> Iterator[Box]:
        if dst.kind is Kind.SELF:
            if not rule.via:
                yield from self._self(rule, device)
            return
        sources = tuple(n for s in rule.src for n in self._sources(rule, s))
        wide = dst.kind in (Kind.ANY, Kind.INTERNET) or any(
            network.prefixlen == 0 for network in self.networks(dst)
        )
        if rule.via:
            targets = self._through(rule, dst, device)
            is_default = dst.kind is Kind.INTERNET
        else:
            targets = self._delivered(dst, device)
            is_default = wide
        if targets:
            yield Box(sources, targets, rule.ports.ranges, bool(rule.via), is_default)

    def _delivered(self, dst: Selector, device: Device) -> Networks:
        """The destination, literally, if the device has part of it (§0.3)."""
        exit_node = self.is_exit(device.name)
        if dst.kind is Kind.INTERNET:
            return INTERNET if exit_node else ()
        networks = EVERYWHERE if dst.kind is Kind.ANY else self.networks(dst)
        public = any(_contains(whole, n) for n in networks for whole in INTERNET)
        literal = dst.kind in (Kind.PREFIX, Kind.HOST, Kind.IPSET)
        if overlap(networks, self.own(device)) or (exit_node and literal and public):
            return networks
        return ()

    def _through(self, rule: Rule, dst: Selector, device: Device) -> Networks:
        """§4: only routers with one of the tags, only what they carry; `*` is all of
        that and nothing else."""
        if not set(rule.via) & set(device.tags):
            return ()
        routes = self.approved(device.name)
        if dst.kind is Kind.INTERNET:
            return INTERNET if self.is_exit(device.name) else ()
        if dst.kind is Kind.ANY:
            return routes
        if dst.kind not in (Kind.PREFIX, Kind.HOST, Kind.IPSET):
            return ()
        networks = self.networks(dst)
        return networks if overlap(networks, routes) else ()

    def _self(self, rule: Rule, device: Device) -> Iterator[Box]:
        """§3: src cut to the owner's devices that are in src, dst the owner's devices.

        A tagged device has no owner, so it neither gets such a rule nor is in one.
        """
        if not _is_owned(device):
            return
        mine = [
            other
            for other in self.devices.values()
            if _is_owned(other) and other.owner == device.owner
        ]
        in_src = [
            other
            for other in mine
            if any(s.kind is Kind.ANY or self._is(other, s) for s in rule.src)
            and self._fits(rule, other)
        ]
        if in_src:
            yield Box(addresses(in_src), addresses(mine), rule.ports.ranges)

    def _sources(self, rule: Rule, selector: Selector) -> Networks:
        """What a source stands for; with a posture, devices that meet it alone."""
        if rule.posture or self.tailnet.default_src_posture:
            return tuple(
                ip_network(address)
                for device in self.devices.values()
                if self._fits(rule, device)
                for address in device.addresses
                if selector.kind is Kind.ANY or inside(address, self.networks(selector))
            )
        if selector.kind is Kind.ANY:
            routes = (r for name in self.devices for r in self.approved(name))
            ranges = self.tailnet.everybody or (self.tailnet.ipv4, self.tailnet.ipv6)
            return (*ranges, *routes)
        return self.networks(selector)

    def networks(self, selector: Selector) -> Networks:
        """An address selector is its prefixes; an identity, its devices' addresses."""
        if selector.kind is Kind.PREFIX:
            assert selector.prefix is not None
            return (selector.prefix,)
        if selector.kind is Kind.HOST:
            return (self.tailnet.hosts[selector.value].prefix,)
        if selector.kind is Kind.IPSET:
            return self.tailnet.ipsets[selector.value].prefixes
        if selector.kind is Kind.DANGER_ALL:
            return EVERYWHERE
        if selector.kind in (Kind.INTERNET, Kind.ANY):
            return ()  # depends on the side and the node
        return addresses(d for d in self.devices.values() if self._is(d, selector))

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
        if kind is Kind.ROLE:
            user = self.tailnet.users.get(device.owner or "")
            if user is None or device.tags:
                return False
            wanted = value.removeprefix("autogroup:")
            return user.role == wanted or (user.role, wanted) == ("owner", "admin")
        if kind is Kind.DOMAIN:
            domain = value.removeprefix("user:*@")
            return _is_owned(device) and str(device.owner).split("@")[-1] == domain
        if kind is Kind.SHARED:
            return False
        raise AssertionError(f"{selector} names no devices")

    def _fits(self, rule: Rule, device: Device) -> bool:
        """Whether the device has one of the postures that the rule asks for (§1)."""
        names = rule.posture or self.tailnet.default_src_posture
        attributes = dict(device.attributes)
        return not names or any(
            all(holds(c, attributes) for c in self.tailnet.postures[name].conditions)
            for name in names
        )

    def _selector(self, text: str) -> Selector:
        tailnet = self.tailnet
        return parse_selector(text, devices=tailnet.devices, hosts=tailnet.hosts)

    def own(self, device: Device) -> Networks:
        """What a device stands for: its addresses and its approved subnets."""
        if device.name not in self._own:
            own = addresses([device]) + self.approved(device.name)
            self._own[device.name] = own
        return self._own[device.name]


def _is_owned(device: Device) -> bool:
    """A tagged device has no user, whoever put it there (§0.6)."""
    return device.owner is not None and not device.tags


def addresses(devices: Iterable[Device]) -> Networks:
    return tuple(ip_network(a) for device in devices for a in device.addresses)


def inside(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _contains(outer: Network, inner: Network) -> bool:
    return (
        outer.version == inner.version
        and inner.network_address in outer
        and inner.broadcast_address in outer
    )


def overlap(some: Networks, others: Networks) -> bool:
    return any(_contains(a, b) or _contains(b, a) for a in some for b in others)
