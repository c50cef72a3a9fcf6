"""The packets worth judging in a tailnet: both sides of everything it writes down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from tailgit.model.addresses import Address, Network
from tailgit.model.ports import WITH_PORTS
from tailgit.model.tailnet import Tailnet
from tests.oracle.naive import Judge

NOWHERE = ("192.0.2.1", "2001:db8:ffff::1")
"""Addresses that no device and no route has."""
PUBLIC = ("8.8.8.8", "9.9.1.1", "2600:1::5")
"""Hosts in the internet that some rules name."""


@dataclass(frozen=True)
class Packet:
    """The first packet of a flow; `port` is 0 where the protocol has none."""

    src: Address
    dst: Address
    protocol: int
    port: int


def inbound(judge: Judge, node: str) -> Iterator[Packet]:
    """Packets that the tunnel can bring to `node`.

    Sources are another device's address, a host inside another's approved route, and
    strangers, which WireGuard lets through from an exit node only. Destinations are
    the node's own and a few that it must refuse.
    """
    here = judge.devices[node]
    sources = [*_of_others(judge, node), *map(ip_address, NOWHERE)]
    elsewhere = [d.ipv4 for d in judge.devices.values() if d.name != node][:1]
    destinations = [
        *here.addresses,
        *_hosts_in(judge, judge.approved(node)),
        *_hosts_in(judge, (route.prefix for route in here.routes))[:2],
        *elsewhere,
        *map(ip_address, (*NOWHERE, *PUBLIC)),
    ]
    yield from _packets(judge, sources, destinations)


def outbound(judge: Judge, node: str) -> Iterator[Packet]:
    """Packets that want to leave `node` through the tunnel.

    Sources are the node's own addresses and hosts behind it; destinations others'
    addresses and the hosts behind those, with a few that nobody has: unapproved
    routes, switched-off devices, the node itself.
    """
    here = judge.devices[node]
    sources = [*here.addresses, *_hosts_in(judge, judge.approved(node))]
    declared = judge.tailnet.devices.values()
    destinations = [
        *_of_others(judge, node),
        *_hosts_in(judge, (r.prefix for d in declared for r in d.routes))[:2],
        *[d.ipv6 for d in declared if d.name not in judge.devices][:1],
        *here.addresses,
        *map(ip_address, (*NOWHERE, *PUBLIC)),
    ]
    yield from _packets(judge, sources, destinations)


def probes(tailnet: Tailnet) -> list[tuple[int, int]]:
    """(protocol, port): both sides of every bound of every range, and what no rule
    mentions; ICMP, whose port means nothing, comes with the family."""
    found = {(6, 1), (17, 53), (132, 3868), (47, 0), (50, 0), (2, 0)}
    for rule in tailnet.rules:
        for protocol, first, last in rule.ports.ranges:
            if protocol in WITH_PORTS:
                near = (first - 1, first, last, last + 1)
                found |= {(protocol, p) for p in near if 0 <= p <= 65535}
            elif protocol not in (1, 58):
                found.add((protocol, 0))
    return sorted(found)


def _packets(
    judge: Judge, sources: Iterable[Address], destinations: Iterable[Address]
) -> Iterator[Packet]:
    ports = probes(judge.tailnet)
    targets = sorted(dict.fromkeys(destinations), key=_by_family)
    for src in sorted(dict.fromkeys(sources), key=_by_family):
        for dst in targets:
            if src.version != dst.version or src == dst:
                continue
            yield Packet(src, dst, 1 if src.version == 4 else 58, 0)
            for protocol, port in ports:
                yield Packet(src, dst, protocol, port)


def _by_family(address: Address) -> tuple[int, int]:
    return address.version, int(address)


def _of_others(judge: Judge, node: str) -> list[Address]:
    others = [d for d in judge.devices.values() if d.name != node]
    routes = [route for other in others for route in judge.approved(other.name)]
    return [a for d in others for a in d.addresses] + _hosts_in(judge, routes)


def _hosts_in(judge: Judge, routes: Iterable[Network]) -> list[Address]:
    """Up to four hosts of each route, at the edges of what the policy writes."""
    tailnet = judge.tailnet
    written = [host.prefix for host in tailnet.hosts.values()]
    for rule in tailnet.rules:
        written += [s.prefix for s in (*rule.src, *rule.dst) if s.prefix is not None]
    edges = {int(p.network_address) for p in written}
    edges |= {int(p.broadcast_address) + 1 for p in written}
    hosts: list[Address] = []
    for route in routes:
        low, high = int(route.network_address), int(route.broadcast_address)
        inside = sorted(e for e in edges if low <= e <= high)
        chosen = dict.fromkeys([low, high, *inside])
        make = type(route.network_address)
        hosts += [make(value) for value in list(chosen)[:4]]
    return hosts
