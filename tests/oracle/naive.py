"""Who may reach what, one packet at a time, as literally as the policy is written.

This is the oracle of the access engine: POLICY.md read aloud, without classes, sets
or speed. Every selector becomes a list of networks, every rule a list of boxes
(sources, destinations, ports) at one device, and a packet is allowed if it lies in a
box. The sections of POLICY.md are named where they decide something.

What is left out on purpose: `ssh`, `nodeAttrs`, and what an app's capability says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import (
    IPv4Address,
    ip_network,
    summarize_address_range,
)

from tailgit.model.addresses import Address, Network
from tailgit.model.ports import Range
from tailgit.model.selectors import Kind, Selector, parse_selector
from tailgit.model.tailnet import Attribute, Condition, Device, Rule, Tailnet

ICMP_PROTOCOLS = (1, 58)
EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))

Networks = tuple[Network, ...]

_PUBLIC = (
    ("0.0.0.0", "9.255.255.255"),
    ("11.0.0.0", "100.63.255.255"),
    ("100.128.0.0", "169.253.255.255"),
    ("169.255.0.0", "172.15.255.255"),
    ("172.32.0.0", "192.167.255.255"),
    ("192.169.0.0", "255.255.255.255"),
)
INTERNET: Networks = (
    *(
        network
        for first, last in _PUBLIC
        for network in summarize_address_range(IPv4Address(first), IPv4Address(last))
    ),
    ip_network("2000::/3"),
)
"""What autogroup:internet is, copied from POLICY.md §2."""


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
    """Packets from any of `sources` to any of `destinations` in any of `ports`.

    Without ports it lets nothing pass and only shows the ends to each other.
    """

    sources: Networks
    destinations: Networks
    ports: tuple[Range, ...]
    via: bool = False
    is_default: bool = False

    def names(self, src: Address, dst: Address) -> bool:
        return _inside(src, self.sources) and _inside(dst, self.destinations)

    def opens(self, protocol: int, port: int) -> bool:
        """Ports count for what has ports; ICMP passes wherever anything does (§5)."""
        if protocol in ICMP_PROTOCOLS:
            return len(self.ports) > 0
        return any(
            protocol == listed and first <= port <= last
            for listed, first, last in self.ports
        )


@dataclass(frozen=True)
class Judge:
    """One tailnet's judge at a time, or of all times; it remembers what it worked out,
    for the tests' patience."""

    tailnet: Tailnet
    at: int | None = None
    _boxes: dict[str, list[Box]] = field(default_factory=dict)
    _named: dict[tuple[str, Address, Address], list[Box]] = field(default_factory=dict)
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

    # Packets

    def allows(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """At the receiver: the destination is its own and a rule's box holds it."""
        device = self.devices.get(node)
        if device is None or not _inside(dst, self.own(device) + self._beyond(node)):
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
        """Whether a device other than `node` has the address or a subnet with it."""
        return any(
            _inside(address, self.own(other))
            for other in self.devices.values()
            if other.name != node
        )

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
            yield Box(_addresses(in_src), _addresses(mine), rule.ports.ranges)

    def _sources(self, rule: Rule, selector: Selector) -> Networks:
        """What a source stands for; with a posture, devices that meet it alone."""
        if rule.posture or self.tailnet.default_src_posture:
            return tuple(
                ip_network(address)
                for device in self.devices.values()
                if self._fits(rule, device)
                for address in device.addresses
                if selector.kind is Kind.ANY
                or _inside(address, self.networks(selector))
            )
        if selector.kind is Kind.ANY:
            routes = (r for name in self.devices for r in self.approved(name))
            ranges = self.tailnet.everybody or (self.tailnet.ipv4, self.tailnet.ipv6)
            return (*ranges, *routes)
        return self.networks(selector)

    def networks(self, selector: Selector) -> Networks:
        """An address selector is those prefixes; an identity, its devices' addresses."""
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
            all(_holds(c, attributes) for c in self.tailnet.postures[name].conditions)
            for name in names
        )

    def _selector(self, text: str) -> Selector:
        tailnet = self.tailnet
        return parse_selector(text, devices=tailnet.devices, hosts=tailnet.hosts)

    def own(self, device: Device) -> Networks:
        """What a device stands for: its addresses and its approved subnets."""
        if device.name not in self._own:
            own = _addresses([device]) + self.approved(device.name)
            self._own[device.name] = own
        return self._own[device.name]

    def _beyond(self, node: str) -> Networks:
        return INTERNET if self.is_exit(node) else ()

    # Peers

    def peers(self, node: str) -> dict[str, frozenset[Network]]:
        """Who is a peer, with which AllowedIPs (§5); both ends need a key."""
        here = self.devices.get(node)
        if here is None or here.public_key is None:
            return {}
        return {
            there.name: frozenset(self._allowed_ips(here, there))
            for there in self.devices.values()
            if there.name != node
            and there.public_key is not None
            and (self._reaches(here, there) or self._reaches(there, here))
        }

    def _reaches(self, here: Device, there: Device) -> bool:
        mine = self.own(here)
        return any(overlap(box.sources, mine) for box in self.boxes(there.name))

    def _allowed_ips(self, here: Device, there: Device) -> Iterator[Network]:
        """§5. Families are not looked at, as the control plane doesn't: a rule from a
        route to an IPv6 prefix hands out its IPv4 route (corpus r8)."""
        yield from _addresses([there])
        for route in self.approved(there.name):
            carriers = self.carriers(route)
            first = self.devices[carriers[0]]
            shared = any(route == mine.prefix for mine in here.routes)
            if shared or self._plainly(here, first, route):
                if there == first:
                    yield route  # (a), (b)
            elif self._via(here, route, carriers) == there.name:
                yield route  # (c)
        mine = self.own(here)
        if self.is_exit(there.name) and any(
            box.is_default and overlap(box.sources, mine)
            for box in self.boxes(there.name)
        ):
            yield from EVERYWHERE  # (d)

    def _plainly(self, here: Device, router: Device, route: Network) -> bool:
        """Whether a rule without via lets one reach part of the route, or the other
        way round."""
        mine = self.own(here)
        towards = any(
            overlap(box.sources, mine) and overlap(box.destinations, (route,))
            for box in self.boxes(router.name)
            if not box.via
        )
        back = any(
            overlap(box.sources, (route,))
            for box in self.boxes(here.name)
            if not box.via
        )
        return towards or back

    def _via(self, here: Device, route: Network, carriers: list[str]) -> str | None:
        """The first router of the route that a rule for `here` goes through."""
        mine = self.own(here)
        return next(
            (
                name
                for name in carriers
                if any(
                    box.via
                    and overlap(box.sources, mine)
                    and overlap(box.destinations, (route,))
                    for box in self.boxes(name)
                )
            ),
            None,
        )


def _holds(condition: Condition, attributes: Mapping[str, Attribute]) -> bool:
    """One condition; what can't be compared does not hold."""
    name, sign, wanted = condition.attribute, condition.operator, condition.values
    if sign == "NOT SET":
        return name not in attributes
    if name not in attributes:
        return False
    found = attributes[name]
    if sign == "IS SET":
        return True
    if any(type(each) is not type(found) for each in wanted) and sign != "IN":
        return False
    same = any(found == each and type(found) is type(each) for each in wanted)
    if sign in ("==", "IN"):
        return same
    if sign in ("!=", "NOT IN"):
        return not same
    numbers = [_version(each) for each in (found, wanted[0])]
    if None in numbers:
        return False
    one, other = (number or [] for number in numbers)
    width = max(len(one), len(other))
    one, other = (n + [0] * (width - len(n)) for n in (one, other))
    return {"<": one < other, "<=": one <= other, ">": one > other}.get(
        sign, one >= other
    )


def _version(value: Attribute) -> list[int] | None:
    if isinstance(value, bool):
        return None
    parts = str(value).split(".")
    return [int(p) for p in parts] if all(p.isdigit() for p in parts) else None


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
