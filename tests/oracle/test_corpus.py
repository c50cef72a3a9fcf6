"""The naive judge against verdicts of the real control plane, where it may speak.

A judge that shares its author's misunderstandings with the engine proves little, so
it stands trial itself: every case of the policy corpus (`TAILGIT_CORPUS`, default
`../shared/corpus` beside the checkout) that uses nothing but what the judge covers.
The corpus is not part of the project; without it the test is skipped, visibly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tailgit.model.addresses import Network
from tailgit.model.findings import Place
from tailgit.model.ports import WITH_PORTS, parse_acl, parse_ip
from tailgit.model.selectors import Selector, parse_selector, split_destination
from tailgit.model.tailnet import (
    AutoApprovers,
    Device,
    Group,
    Host,
    Route,
    Rule,
    Tailnet,
    User,
)
from tests.oracle.generate import public_key
from tests.oracle.naive import Judge
from tests.oracle.packets import inbound

CORPUS = Path(
    os.environ.get("TAILGIT_CORPUS", Path(__file__).parents[3] / "shared" / "corpus")
)
NOWHERE = Place("case")
EXIT = (ip_network("0.0.0.0/0"), ip_network("::/0"))
NOT_OURS = ("autogroup:internet", "autogroup:danger-all", "user:*@", "ipset:", "svc:")
ROLES = ("owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor")

Case = dict[str, Any]


def _cases() -> Iterator[Case]:
    with (CORPUS / "cases.jsonl").open(encoding="utf-8") as lines:
        for case in map(json.loads, lines):
            if not case["expect"]["error"] and _is_ours(case["policy"]):
                yield case


def _is_ours(policy: Any) -> bool:
    if not isinstance(policy, dict) or "nodeAttrs" in policy:
        return False
    grants = policy.get("grants") or []
    text = json.dumps([policy.get("acls"), grants])
    words = [*NOT_OURS, *(f"autogroup:{role}" for role in ROLES)]
    odd = any(rule.get("via") or rule.get("app") for rule in grants)
    return not odd and not any(word in text for word in words)


def _tailnet(case: Case) -> Tailnet:
    """The case as a tailnet; names begin with the join order, which decides primaries
    there as the name does here."""
    topology, policy = case["topology"], case["policy"]
    emails = [user["email"] for user in topology["users"]]
    devices = {}
    approvers: dict[Network, tuple[str, ...]] = {}
    for node in topology["nodes"]:
        name = _name(node)
        devices[name] = Device(
            name=name,
            ipv4=IPv4Address(node["ipv4"]),
            ipv6=IPv6Address(node["ipv6"]),
            listen_port=1,
            place=NOWHERE,
            owner=None if node["tags"] else node["user"],
            tags=tuple(node["tags"]),
            public_key=public_key(name),
            routes=tuple(Route(net, NOWHERE) for net in _subnets(node["routes"])),
        )
        for net in _subnets(node["approved_routes"]):
            approvers[net] = (*approvers.get(net, ()), name)
    return Tailnet(
        name="case",
        domain="case.internal",
        ipv4=IPv4Network("100.64.0.0/10"),
        ipv6=IPv6Network("fd7a:115c:a1e0::/48"),
        place=NOWHERE,
        users={email: User(email, NOWHERE) for email in emails},
        groups={
            name: Group(name, tuple(members), NOWHERE)
            for name, members in policy.get("groups", {}).items()
        },
        hosts={
            name: Host(name, ip_network(prefix, strict=False), NOWHERE)
            for name, prefix in policy.get("hosts", {}).items()
        },
        devices=devices,
        auto_approvers=AutoApprovers(tuple(approvers.items())),
        rules=tuple(_rules(policy)),
    )


def _name(node: Case) -> str:
    return f"{node['join_order']:03}-{node['name']}"


def _subnets(prefixes: Iterable[str]) -> list[Network]:
    return [net for net in map(ip_network, prefixes) if net not in EXIT]


def _rules(policy: Case) -> Iterator[Rule]:
    hosts = policy.get("hosts", {})

    def selectors(texts: Iterable[str]) -> tuple[Selector, ...]:
        return tuple(parse_selector(t, devices=(), hosts=hosts) for t in texts)

    if "acls" not in policy and "grants" not in policy:
        yield Rule(selectors("*"), selectors("*"), parse_ip("*"), NOWHERE)
    for acl in policy.get("acls") or []:
        for text in acl["dst"]:
            dst, ports = split_destination(text)
            opened = parse_acl(acl.get("proto"), ports)
            yield Rule(selectors(acl["src"]), selectors([dst]), opened, NOWHERE, "acls")
    for grant in policy.get("grants") or []:
        for entry in grant["ip"]:
            src, targets = selectors(grant["src"]), selectors(grant["dst"])
            yield Rule(src, targets, parse_ip(entry), NOWHERE)


def _captured(rules: list[Case], judge: Judge) -> Judge:
    """A judge whose only rules are the literal boxes that the control plane sent."""
    written = []
    for rule in rules:
        src = [parse_selector(s, devices=(), hosts=()) for s in _cidrs(rule["src"])]
        for dst in rule["dst"]:
            for protocol in rule["proto"] or (1, 6, 17, 58):
                target = parse_selector(dst["ip"], devices=(), hosts=())
                named = dst["ports"] if protocol in WITH_PORTS else "*"
                ports = parse_acl(str(protocol), named)
                written.append(Rule(tuple(src), (target,), ports, NOWHERE))
    return Judge(replace(judge.tailnet, rules=tuple(written)))


def _cidrs(texts: Iterable[str]) -> Iterator[str]:

    for text in texts:
        if "-" not in text:
            yield text
            continue
        first, last = map(ip_address, text.split("-"))
        yield from map(str, summarize_address_range(first, last))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    if not (CORPUS / "cases.jsonl").is_file():
        pytest.skip(f"no policy corpus at {CORPUS} (TAILGIT_CORPUS)")
    return list(_cases())


def test_judge_has_the_peers_of_the_control_plane(cases: list[Case]) -> None:
    """Peers and AllowedIPs are those captured, exit routes apart."""
    entries = 0
    for case in cases:
        if "peers" not in case["checks"]:
            continue
        judge = Judge(_tailnet(case))
        names = {node["name"]: _name(node) for node in case["topology"]["nodes"]}
        for node, captured in case["expect"]["peers"].items():
            right = {
                names[peer]: frozenset(_subnets(ips)) for peer, ips in captured.items()
            }
            entries += len(right)
            assert judge.peers(names[node]) == right, f"{case['id']}: {node}"
    assert entries > 5000


def test_judge_lets_the_captured_packets_pass(cases: list[Case]) -> None:
    """At each node exactly the packets pass that the captured filter lets pass."""
    packets = 0
    for case in cases:
        if "per_node" not in case["checks"]:
            continue
        judge = Judge(_tailnet(case))
        missing = case["expect"].get("not_captured", ())
        for node in case["topology"]["nodes"]:
            if node["name"] in missing:
                continue
            name = _name(node)
            other = _captured(case["expect"]["per_node"][node["name"]], judge)
            for p in islice(inbound(judge, name), 0, None, 7):
                packets += 1
                right = other.allows(name, p.src, p.dst, p.protocol, p.port)
                found = judge.allows(name, p.src, p.dst, p.protocol, p.port)
                assert found == right, f"{case['id']}: {node['name']} {p}"
    assert packets > 50_000
