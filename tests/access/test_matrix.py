"""Lines of access are the relation, in few words: expanded, they give it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hypothesis import given, settings

from tailgit.access import Relation
from tailgit.access.ends import read_selector
from tailgit.access.lines import Line
from tailgit.access.matrix import matrix, policy_lines, reach, reached_by
from tailgit.model.addresses import Address
from tailgit.model.ports import ICMP, ICMPV6, TCP
from tailgit.model.tailnet import Tailnet
from tests.oracle.generate import tailnets
from tests.oracle.packets import probes

Packet = tuple[str, Address, Address]
"""A node that a packet comes to, its source and its destination."""


def packets(relation: Relation) -> Iterator[Packet]:
    """Every pair of devices' addresses and hosts behind routers, at its node."""
    places = [
        (device.name, address)
        for device in relation.devices
        for address in here(relation, device.name)
    ]
    for one, src in places:
        for other, dst in places:
            if one != other and src.version == dst.version:
                yield other, src, dst


def here(relation: Relation, node: str) -> list[Address]:
    """A node's own addresses and a few at the edges of what it carries for others."""
    inside = [
        address
        for prefix in relation.approved(node)
        for address in {prefix[0], prefix[-1], prefix[min(5, prefix.num_addresses - 1)]}
    ]
    return [*relation.device(node).addresses, *inside]


def holds(relation: Relation, line: Line, packet: Packet) -> bool:
    """Whether a packet is between the two parties of a line, as the line is printed."""
    node, src, dst = packet
    if line.is_self and person(relation, src) != person(relation, dst):
        return False
    at = {m.name for m in line.dst.members} | {
        router for subnet in line.dst.subnets for router in subnet.routers
    }
    return (
        node in at
        and stands_for(relation, line.src.extent, src)
        and stands_for(relation, line.dst.extent, dst)
    )


def person(relation: Relation, address: Address) -> object:
    number = relation.number_of_address.get(address)
    device = relation.devices[number] if number is not None else None
    return device.owner if device is not None and not device.tags else object()


def stands_for(relation, extent, address) -> bool:
    number = relation.number_of_address.get(address)
    own = extent.four if address.version == 4 else extent.six
    return number in own or any(address in prefix for prefix, _ in extent.carried)


def passes(lines: Iterable[Line], protocol: int, port: int) -> bool:
    return any(
        line.ports.ranges
        and (protocol in (ICMP, ICMPV6) or line.ports.allows(protocol, port))
        for line in lines
    )


def wrong(tailnet: Tailnet, relation: Relation, lines: Iterable[Line]) -> list[object]:
    """Packets about which the lines say something else than the nodes do."""
    listed = tuple(lines)
    found = []
    asked = [*probes(tailnet), (ICMP, 0), (ICMPV6, 0)]
    for packet in packets(relation):
        mine = [line for line in listed if holds(relation, line, packet)]
        for protocol, port in asked:
            if (protocol == ICMP and packet[1].version == 6) or (
                protocol == ICMPV6 and packet[1].version == 4
            ):
                continue
            accepts = relation.accepts(*packet, protocol, port)
            if accepts != passes(mine, protocol, port):
                found.append((packet, protocol, port, accepts))
    return found


@settings(max_examples=40, deadline=None)
@given(tailnets())
def test_the_lines_of_the_policy_are_the_relation(tailnet):
    """Every packet that nodes let in lies in a line, and no other does."""
    relation = Relation.of(tailnet)
    assert wrong(tailnet, relation, policy_lines(relation)) == []


@settings(max_examples=25, deadline=None)
@given(tailnets())
def test_each_matrix_is_the_relation(tailnet):
    """By group, tag, user and device the same access comes out, whole."""
    relation = Relation.of(tailnet)
    for by in ("group", "tag", "user", "device"):
        lines = [line for answer in matrix(relation, by) for line in answer.lines]
        assert wrong(tailnet, relation, lines) == [], by


@settings(max_examples=25, deadline=None)
@given(tailnets())
def test_answers_about_one_party_are_its_part_of_the_relation(tailnet):
    """What a party may reach, and who may reach it, are those packets and no others."""
    relation = Relation.of(tailnet)
    names = [*tailnet.groups, *tailnet.users, *tailnet.devices, "tag:db", "*"]
    names += [str(r.prefix) for d in tailnet.devices.values() for r in d.routes]
    for name in names:
        selector = read_selector(tailnet, name)
        forth, back = reach(relation, selector), reached_by(relation, selector)
        for packet in packets(relation):
            _, src, dst = packet
            for answer, end in ((forth, src), (back, dst)):
                mine = [x for x in answer.lines if holds(relation, x, packet)]
                accepted = relation.accepts(*packet, TCP, 22)
                inside = stands_for(relation, answer.party.extent, end)
                assert passes(mine, TCP, 22) == (accepted and inside), (name, packet)
