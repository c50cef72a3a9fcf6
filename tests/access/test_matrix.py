"""Lines of access are the relation, in few words: expanded, they give it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings

from tailgit.access import Relation
from tailgit.access.ends import read_selector
from tailgit.access.extents import Extent, extent_of
from tailgit.access.lines import Line
from tailgit.access.matrix import Answer, matrix, policy_lines, reach, reached_by
from tailgit.access.parties import Parties
from tailgit.errors import UsageError
from tailgit.load import load
from tailgit.model.addresses import Address
from tailgit.model.deadline import parse_deadline
from tailgit.model.ports import ICMP, ICMPV6, TCP
from tailgit.model.tailnet import Tailnet
from tests.compile.acme import acme
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
    outside = map(ip_address, ("8.8.8.8", "2600::1")) if node in relation.exits else ()
    return [*relation.device(node).addresses, *inside, *outside]


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


def stands_for(relation: Relation, extent: Extent, address: Address) -> bool:
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
    found: list[object] = []
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


@settings(max_examples=30, deadline=None)
@given(tailnets())
def test_the_lines_of_the_policy_are_the_relation(tailnet):
    """Every packet that nodes let in lies in a line, and no other does."""
    relation = Relation.of(tailnet)
    assert wrong(tailnet, relation, policy_lines(relation)) == []


@settings(max_examples=15, deadline=None)
@given(tailnets())
def test_each_matrix_is_the_relation(tailnet):
    """By group, tag, user and device the same access comes out, whole."""
    relation = Relation.of(tailnet)
    for by in ("group", "tag", "user", "device"):
        lines = [line for answer in matrix(relation, by) for line in answer.lines]
        assert wrong(tailnet, relation, lines) == [], by


@settings(max_examples=15, deadline=None)
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


TAILNET = """\
tailnet: {format: 1, name: t, domain: t.internal, ipv4: 100.64.0.0/10, ipv6: fd5c::/48}
users:
  ana@x.com: {}
  ben@x.com: {}
  kim@x.com: {expires: 2030-06-30}
groups:
  group:dev: [ana@x.com, ben@x.com]
  group:new: []
tagOwners: {tag:db: [], tag:gw: [], tag:exit: [], tag:none: []}
hosts: {printer: 10.20.0.9}
ipsets: {ipset:lan: ["add 10.20.0.0/16", "remove 10.20.1.0/24"]}
postures: {"posture:managed": ["custom:managed == true"]}
autoApprovers:
  routes: {10.20.0.0/16: [tag:gw], 10.30.0.0/16: [tag:gw]}
  exitNode: [tag:exit]
devices:
  ana-laptop: {owner: ana@x.com, attributes: {"custom:managed": true}}
  ana-phone: {owner: ana@x.com, gateway: gw-1}
  ben-laptop: {owner: ben@x.com}
  kim-laptop: {owner: kim@x.com}
  db-1: {tags: [tag:db]}
  db-2: {tags: [tag:db], expires: 2031-01-31}
  gw-1: {tags: [tag:gw], routes: [10.20.0.0/16, 10.30.0.0/16]}
  gw-2: {tags: [tag:gw, tag:db], routes: [10.20.0.0/16]}
  exit-1: {tags: [tag:exit], exitNode: true}
grants:
  # Developers read.
  - {src: [group:dev], dst: [tag:db], ip: ["tcp:5432"], name: read}
  - {src: [ana@x.com], dst: [tag:db], ip: ["tcp:22"], expires: 2027-01-31}
  - {src: [ana@x.com], dst: [tag:db], ip: ["tcp:5432"], expires: 2027-01-31}
  - {src: [group:dev], dst: [ipset:lan], ip: ["tcp:80"]}
  - {src: [autogroup:member], dst: [printer], ip: ["tcp:631"]}
  - {src: [autogroup:member], dst: [autogroup:internet], ip: ["*"]}
  - {src: [kim@x.com], dst: [10.30.0.0/24], ip: ["tcp:443"], via: [tag:gw]}
  - src: [autogroup:member]
    dst: [tag:db]
    ip: ["tcp:9"]
    srcPosture: ["posture:managed"]
  - {src: [autogroup:member], dst: [autogroup:self], ip: ["tcp:22"]}
  - {src: [group:new, tag:none], dst: [tag:db], ip: ["tcp:1"]}
  - {src: ["10.20.0.0/16"], dst: [tag:db], ip: ["tcp:25"]}
  - {src: ["8.8.8.0/24"], dst: [db-1], ip: ["tcp:26"]}
  - {src: [tag:db], dst: [tag:none], ip: ["tcp:2"]}
  - {src: [db-2], dst: ["8.8.8.0/24"], ip: ["tcp:53"]}
  - {src: [tag:db], dst: [tag:gw], app: {"x.com/cap": [{}]}}
"""


@pytest.fixture
def tailnet(tmp_path: Path) -> Tailnet:
    (tmp_path / "tailnet.yaml").write_text(TAILNET)
    loaded = load(tmp_path)
    assert loaded.tailnet is not None, loaded.findings
    return loaded.tailnet


def said(answer: Answer) -> list[str]:
    """Each line in short: who if not all, what, ports."""
    lines = []
    for line in answer.lines:
        here, other = (line.dst, line.src) if answer.inward else (line.src, line.dst)
        part = "" if line.is_whole else f"{here.name}: "
        lines.append(f"{part}{other.name} {line.ports or '-'}".rstrip())
    return lines


def test_routers_exits_postures_and_sets_are_in_the_lines_exactly(
    tailnet: Tailnet,
) -> None:
    """What only some devices carry or meet is not opened by a line for the others."""
    relation = Relation.of(tailnet)
    assert wrong(tailnet, relation, policy_lines(relation)) == []
    for by in ("group", "tag", "user", "device"):
        lines = [x for answer in matrix(relation, by) for x in answer.lines]
        assert wrong(tailnet, relation, lines) == [], by


def test_what_somebody_may_reach_is_named_as_the_policy_names_it(
    tailnet: Tailnet,
) -> None:
    """Groups and tags come whole, ports together; parts say for whom they hold."""
    relation = Relation.of(tailnet)
    assert said(reach(relation, read_selector(tailnet, "group:dev"))) == [
        "autogroup:self tcp:22",
        "tag:db tcp:5432",
        "printer tcp:631",
        "ipset:lan tcp:80",
        "autogroup:internet *",
        "ana-laptop: tag:db tcp:9",
        "ana@x.com: tag:db tcp:22,5432",
    ]


def test_a_shorter_end_is_not_said_again(tailnet: Tailnet) -> None:
    """Of one party, what ends earlier and holds longer anyway has one line; both rules
    stand behind it."""
    relation = Relation.of(tailnet)
    answer = reach(relation, read_selector(tailnet, "ana-phone"))
    lines = [line for line in answer.lines if line.dst.name == "tag:db"]
    assert [(str(x.ports), x.until) for x in lines] == [
        ("tcp:5432", None),
        ("tcp:22", parse_deadline("2027-01-31")),
    ]
    assert [len(line.reasons) for line in lines] == [2, 1]


def test_a_time_leaves_out_what_is_over(tailnet: Tailnet) -> None:
    """At a later time an ended rule, device or user is not there."""
    later = Relation.of(tailnet, parse_deadline("2032-01-01"))
    answer = reach(later, read_selector(later.tailnet, "ana@x.com"))
    assert not any(line.until for line in answer.lines)
    inward = reached_by(later, read_selector(later.tailnet, "*"))
    names = {
        m.name for line in inward.lines for m in (*line.src.members, *line.dst.members)
    }
    assert not names & {"kim-laptop", "db-2"}


def test_routes_are_named_with_their_routers(tailnet: Tailnet) -> None:
    """A subnet says behind whom it is: all its routers, or those of a rule's `via`."""
    relation = Relation.of(tailnet)
    lines = reach(relation, read_selector(tailnet, "kim@x.com")).lines
    found = {
        line.dst.name: [(each.prefix, each.routers) for each in line.dst.subnets]
        for line in lines
    }
    assert found["printer"] == [("10.20.0.9", ("gw-1", "gw-2"))]
    assert found["10.30.0.0/24"] == [("10.30.0.0/24", ("gw-1",))]
    assert found["autogroup:internet"] == [("the internet", ("exit-1",))]


def test_who_may_reach_a_host_behind_a_router(tailnet: Tailnet) -> None:
    """An address is reached by every rule whose destination holds it, and each reason
    says under which name."""
    relation = Relation.of(tailnet)
    answer = reached_by(relation, read_selector(tailnet, "10.20.0.9"))
    assert said(answer) == ["autogroup:member tcp:631", "group:dev tcp:80"]
    assert [line.reasons[0].through for line in answer.lines] == [
        ("printer",),
        ("ipset:lan",),
    ]
    assert (answer.devices, answer.subnets) == (4, 0)


def test_a_wide_prefix_is_answered_by_its_parts(tailnet: Tailnet) -> None:
    """What a rule opens of a prefix is named, not the whole of it; also where an exit
    node carries it."""
    relation = Relation.of(tailnet)
    answer = reached_by(relation, read_selector(tailnet, "10.0.0.0/8"))
    assert "10.20.0.9: autogroup:member tcp:631" in said(answer)
    assert "10.30.0.0/24: kim@x.com tcp:443" in said(answer)
    (line,) = [
        line
        for line in reach(relation, read_selector(tailnet, "db-2")).lines
        if line.dst.name == "8.8.8.0/24"
    ]
    assert [each.routers for each in line.dst.subnets] == [("exit-1",)]


def test_own_devices_are_reached_by_their_own_person(tailnet: Tailnet) -> None:
    """`autogroup:self` leads from a person's devices to the same person's only."""
    relation = Relation.of(tailnet)
    answer = reached_by(relation, read_selector(tailnet, "ana-phone"))
    (line,) = answer.lines
    assert line.is_self
    assert [m.name for m in line.src.members] == ["ana-laptop", "ana-phone"]
    assert [each.name for each in answer.carried] == ["ana-phone"]


def test_nobody_yet_is_answered_by_name(tailnet: Tailnet) -> None:
    """A group or tag without devices says what it would reach, and that it is empty."""
    relation = Relation.of(tailnet)
    for name in ("group:new", "tag:none"):
        answer = reach(relation, read_selector(tailnet, name))
        assert answer.party.is_empty
        assert said(answer) == ["tag:db tcp:1"]
    (line,) = reached_by(relation, read_selector(tailnet, "tag:none")).lines
    assert line.dst.is_empty


def test_apps_open_no_port(tailnet: Tailnet) -> None:
    """A grant of an app alone is a line without ports, after all that open some."""
    relation = Relation.of(tailnet)
    *_, last = reach(relation, read_selector(tailnet, "db-1")).lines
    assert (last.apps, last.ports.ranges) == (("x.com/cap",), ())


def test_parts_have_the_fewest_names(tailnet: Tailnet) -> None:
    """Whole tags and groups, then people, then single devices make up a part."""
    parties = Parties(Relation.of(tailnet))
    at = parties.relation.position

    def named(*names: str) -> tuple[str, ...]:
        return parties.part(extent_of(frozenset(at[name] for name in names))).names

    assert named("db-1", "db-2", "gw-2", "ana-phone") == ("tag:db", "ana-phone")
    assert named("ana-laptop", "ana-phone", "ben-laptop") == ("group:dev",)
    assert named("ana-laptop", "ana-phone", "db-1") == ("ana@x.com", "db-1")
    assert named(*(name for name in at if name[:2] in ("an", "be", "ki"))) == (
        "autogroup:member",
    )


def test_alike_share_a_row_and_nobody_is_missing(tailnet: Tailnet) -> None:
    """By device, those of one class are one party; every device is in exactly one."""
    relation = Relation.of(tailnet)
    rows = matrix(relation, "device")
    members = [m.name for row in rows for m in row.party.members]
    assert sorted(members) == sorted(relation.position)
    names = [row.party.names for row in matrix(Relation.of(fleet(2)), "device")]
    assert ("copy-0", "copy-1", "web-1") in names


def test_the_matrix_by_group_has_everybody(tailnet: Tailnet) -> None:
    """Groups come first, then who is in none, tags, routes and nobody's addresses."""
    rows = matrix(Relation.of(tailnet), "group")
    assert [row.party.name for row in rows] == [
        *("group:dev", "group:new", "kim@x.com", "tag:db", "tag:exit", "tag:gw"),
        *("tag:none", "10.20.0.0/16", "10.30.0.0/16", "8.8.8.0/24"),
    ]


def test_self_alone_is_no_question(tailnet: Tailnet) -> None:
    """`autogroup:self` does not say whose, so nobody can answer."""
    with pytest.raises(UsageError, match="does not say whose"):
        reach(Relation.of(tailnet), read_selector(tailnet, "autogroup:self"))


def test_a_hundred_devices_cost_no_pairs() -> None:
    """What is worked out depends on classes: twice the devices, the same lines."""
    few, many = (Relation.of(fleet(number)) for number in (20, 200))
    assert len(policy_lines(few)) == len(policy_lines(many))
    for by in ("group", "tag", "device"):
        one, two = matrix(few, by), matrix(many, by)
        assert sum(len(a.lines) for a in one) == sum(len(a.lines) for a in two), by


def fleet(number: int) -> Tailnet:
    """Copies of a web server beside a tailnet that has one."""
    tailnet = acme()
    pattern = tailnet.devices["web-1"]
    copies = {
        f"copy-{n}": replace(
            pattern,
            name=f"copy-{n}",
            ipv4=IPv4Address(f"100.99.0.{n + 1}"),
            ipv6=IPv6Address(int(tailnet.ipv6[0xFFFF0000 + n])),
        )
        for n in range(number)
    }
    return replace(tailnet, devices={**tailnet.devices, **copies})


def test_one_address_of_a_device_is_not_the_device(tailnet: Tailnet) -> None:
    """Who asks for an IPv4 address is told about that family alone, by name."""
    relation = Relation.of(tailnet)
    device = relation.device("ana-laptop")
    answer = reach(relation, read_selector(tailnet, str(device.ipv4)))
    (member,) = answer.party.members
    assert (member.name, member.versions) == ("ana-laptop", (4,))
    number = relation.position["ana-laptop"]
    part = Parties(relation).part(Extent(four=frozenset((number,))))
    assert part.names == ("ana-laptop by IPv4 only",)
