"""The difference worked out packet by packet, by the naive judge alone.

A packet has a source (a device, or an address that is no device's), a node that it
comes to and a destination there (the node itself, or an address behind it). Devices are
named by what they are called in the new tailnet, so that a device that got another
name or address is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from tailgit.model.addresses import Address
from tailgit.model.tailnet import Tailnet
from tests.oracle.meanings import INTERNET
from tests.oracle.naive import Box, Judge
from tests.oracle.packets import NOWHERE, PUBLIC, _hosts_in, probes

Flow = list[Box]
"""What rules let pass between two ends, at one time on one side."""


@dataclass(frozen=True, slots=True)
class End:
    """A device by its own address of one family, or an address that is nobody's."""

    device: tuple[str | None, str | None] | None
    version: int
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    src: End
    node: tuple[str | None, str | None]
    dst: End
    protocol: int
    port: int


Names = tuple[str | None, str | None]


def pairs_of(old: Tailnet, new: Tailnet) -> list[Names]:
    """Old and new name of every device, said again in the plainest words."""
    found: list[Names] = []
    left = set(old.devices)
    for name, device in new.devices.items():
        former = [name, *device.formerly]
        former += [o for o, d in old.devices.items() if name in d.formerly]
        known = [
            each
            for each in former
            if each in left and (each == name or each not in new.devices)
        ]
        found.append((known[0] if known else None, name))
        left -= set(known[:1])
    return found + [(name, None) for name in sorted(left)]


def passes(flow: Flow, packet: Packet) -> bool:
    return any(box.opens(packet.protocol, packet.port) for box in flow)


def _deadlines(tailnet: Tailnet) -> set[int]:
    known = (*tailnet.rules, *tailnet.devices.values(), *tailnet.users.values())
    return {each.expires for each in known if each.expires is not None}


class Brute:
    """Two tailnets, judged naively at some times."""

    def __init__(self, old: Tailnet, new: Tailnet) -> None:
        self.tailnets = (old, new)
        self.times = (1, *sorted(_deadlines(old) | _deadlines(new)))
        self.judges = {at: (Judge(old, at), Judge(new, at)) for at in self.times}
        self._asked = sorted({p for each in self.tailnets for p in probes(each)})
        self._last: object = None
        self._flows: list[tuple[int, Flow, Flow]] = []
        self.pairs = pairs_of(old, new)

    def packets(self) -> Iterator[Packet]:
        """Between all ends, on both sides of each bound of what rules open."""
        for ends in self.ends():
            yield from self.between(ends)

    def between(self, ends: Packet) -> Iterator[Packet]:
        """The packets between two ends; the first is a ping."""
        yield ends
        for protocol, port in self._asked:
            yield replace(ends, protocol=protocol, port=port)

    def ends(self) -> Iterator[Packet]:
        """A ping from everywhere to everywhere."""
        outside = self._outside()
        for node in self.pairs:
            targets = [End(node, 4), End(node, 6)]
            targets += [End(None, a.version, a) for a in self._behind(node)]
            sources = [
                End(pair, version)
                for pair in self.pairs
                if pair != node
                for version in (4, 6)
            ]
            sources += [End(None, a.version, a) for a in outside]
            for dst in targets:
                for src in sources:
                    if src.version == dst.version and src != dst:
                        ping = 1 if src.version == 4 else 58
                        yield Packet(src, node, dst, ping, 0)

    def differs(self, ends: Packet) -> bool:
        """Whether any rule between two ends is another before and after."""
        return any(
            {box.ports for box in one} != {box.ports for box in other}
            for _, one, other in self.passing(ends)
        )

    def _outside(self) -> list[Address]:
        """A few addresses outside of the tailnet's own ranges, at edges of prefixes."""
        found = [*map(ip_address, (*NOWHERE, *PUBLIC))]
        for judge in self.judges[1]:
            for name in judge.devices:
                found += _hosts_in(judge, judge.approved(name))
        return [each for each in dict.fromkeys(found) if not self._is_own(each)]

    def _behind(self, node: Names) -> list[Address]:
        found = [*map(ip_address, PUBLIC)]
        for judge, name in zip(self.judges[1], node, strict=True):
            if name in judge.devices:
                found += _hosts_in(judge, judge.approved(str(name)))
        return [each for each in dict.fromkeys(found) if not self._is_own(each)]

    def _is_own(self, address: Address) -> bool:
        return any(
            address in pool
            for tailnet in self.tailnets
            for pool in (tailnet.ipv4, tailnet.ipv6)
        )

    def passing(self, packet: Packet) -> list[tuple[int, Flow, Flow]]:
        """What the ends of a packet may do at each time, before and after."""
        ends = (packet.src, packet.node, packet.dst)
        if ends != self._last:
            self._last = ends
            self._flows = [
                (at, self._flow(0, packet, at), self._flow(1, packet, at))
                for at in self.times
            ]
        return self._flows

    def _flow(self, side: int, packet: Packet, at: int) -> Flow:
        judge = self.judges[at][side]
        node = packet.node[side]
        src, dst = (self._address(judge, e, side) for e in (packet.src, packet.dst))
        if node is None or src is None or dst is None:
            return []
        if packet.dst.device is None and not self._carries(judge, node, dst):
            return []
        if node not in judge.devices:
            return []
        # Such a packet is in the node's own: what else `allows` would ask. A rule that
        # goes through routers gives no access to the routers themselves (POLICY.md §4),
        # also where an ipset of it has prefixes around their addresses.
        return [
            box
            for box in judge.boxes(node)
            if box.names(src, dst) and not (box.via and packet.dst.device is not None)
        ]

    def _carries(self, judge: Judge, node: str, address: Address) -> bool:
        if node not in judge.devices:
            return False
        return any(address in each for each in judge.approved(node)) or (
            judge.is_exit(node) and any(address in each for each in INTERNET)
        )

    def _address(self, judge: Judge, end: End, side: int) -> Address | None:
        if end.device is None:
            return end.address
        device = judge.devices.get(end.device[side] or "")
        if device is None:
            return None
        return device.ipv4 if end.version == 4 else device.ipv6
