"""What the product says about a policy, in the shape that `score.py` asks for.

A question is {id, topology, policy}; the answer says whether the policy is rejected,
else what every node gets. Policy text goes through the product's loader, everything
else through its access engine; nothing here knows a case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv6Address,
    collapse_addresses,
    ip_network,
)
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tailgit.access import Relation, run_tests
from tailgit.access.capabilities import Held, capabilities
from tailgit.access.filters import packet_filter
from tailgit.access.routes import EXIT_ROUTES, approvals
from tailgit.check import check
from tailgit.load import load
from tailgit.model.addresses import Network
from tailgit.model.codes import CODES
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import NodeAttr
from tailgit.model.ports import ALL, Ports
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Route, Tailnet, User
from tests.conformance.answers_ssh import answer_node_attrs, answer_ssh

Json = dict[str, Any]

NOWHERE = Place("topology")

FAILED = "test(s) failed"
"""Tailscale's sentence for all that is wrong with a test, but for a destination that
no ssh test can have: that has its own."""

_OF_TESTS = ("bad-test", "test-of-nobody", "bad-ssh-test", "ssh-test-failed")


def answer(question: Json) -> Json:
    """The answer to one question."""
    topology = question["topology"]
    tailnet, wrong = read_policy(question["policy"], topology)
    if tailnet is None or wrong:
        return {"error": True, "error_text": "\n".join(wrong)}
    given = {
        node["name"]: tuple(map(ip_network, node["approved_routes"]))
        for node in topology["nodes"]
    }
    relation = Relation.of(tailnet, approved=given)
    names = [node["name"] for node in topology["nodes"]]
    return {
        "error": False,
        "per_node": {name: literal(relation, name) for name in names},
        "approved_routes": {
            name: [str(route) for route in routes]
            for name, routes in approvals(tailnet).items()
        },
        "peers": {
            name: {
                peer: [str(each) for each in ips]
                for peer, ips in relation.peers(name).items()
            }
            for name in names
        },
        "caps": {
            name: [_capability(each) for each in capabilities(relation, name)]
            for name in names
        },
        "ssh": answer_ssh(tailnet),
        "node_attrs": answer_node_attrs(tailnet),
    }


# What goes in


def read_policy(policy: Any, topology: Json) -> tuple[Tailnet | None, list[str]]:
    """The policy with the topology's devices, or Tailscale's sentences about it."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "policy.hujson").write_text(json.dumps(policy), "utf-8")
        loaded = load(Path(folder))
    wrong = _rejections(loaded.findings)
    tailnet = loaded.tailnet or loaded.partial
    if tailnet is None:
        return None, wrong
    if policy.get("randomizeClientPort"):  # a nodeAttr under another name (§1)
        everybody = (Selector(Kind.ANY, "*"),)
        random = NodeAttr(everybody, NOWHERE, ("randomize-client-port",))
        tailnet = replace(tailnet, node_attrs=(*tailnet.node_attrs, random))
    whole = replace(
        tailnet,
        devices=devices(topology),
        users=users(topology),
        email_domains=tuple(topology["tailnet_domains"]),
    )
    wrong += _rejections(check(whole))
    if not wrong and run_tests(whole):
        wrong.append(FAILED)
    return whole, wrong


def _rejections(findings: Iterable[Finding]) -> list[str]:
    """What Tailscale rejects too; the rest is our own, stricter."""
    return [
        FAILED
        if each.code in _OF_TESTS and not each.message.startswith("SSH tests dst")
        else each.message
        for each in findings
        if each.is_error and CODES[each.code].layer == "policy"
    ]


def devices(topology: Json) -> Mapping[str, Device]:
    """The nodes as devices; the order of joining is the order of routers."""
    return {node["name"]: _device(node) for node in topology["nodes"]}


def _device(node: Json) -> Device:
    routes = [ip_network(text) for text in node["routes"]]
    return Device(
        name=node["name"],
        ipv4=IPv4Address(node["ipv4"]),
        ipv6=IPv6Address(node["ipv6"]),
        listen_port=1,
        place=NOWHERE,
        owner=None if node["tags"] else node["user"],
        tags=tuple(sorted(node["tags"])),
        public_key=node["name"],
        routes=tuple(
            Route(route, NOWHERE, priority=node["join_order"])
            for route in routes
            if route not in EXIT_ROUTES
        ),
        exit_node=any(route in EXIT_ROUTES for route in routes),
        attributes=tuple(sorted(node.get("attributes", {}).items())),
    )


def users(topology: Json) -> Mapping[str, User]:
    return {
        user["email"]: User(
            user["email"], NOWHERE, user["name"], user.get("role", "member")
        )
        for user in topology["users"]
    }


# What comes out


def literal(relation: Relation, node: str) -> list[Json]:
    """The filter as the control plane writes it."""
    return [
        row
        for box in packet_filter(relation, node)
        for row in _rows(box.src, box.dst, box.ports)
    ]


def _rows(src: Iterable[Network], dst: Iterable[Network], ports: Ports) -> list[Json]:
    """One row for each range of ports: protocols that have it are named together."""
    protocols: dict[tuple[int, int], list[int]] = {}
    for protocol, first, last in ports.ranges:
        protocols.setdefault((first, last), []).append(protocol)
    sources, targets = _texts(src), _texts(dst)
    return [
        {
            "src": sources,
            "dst": [{"ip": ip, "ports": _ports(*span)} for ip in targets],
            "proto": listed,
        }
        for span, listed in protocols.items()
    ]


def _ports(first: int, last: int) -> str:
    if (first, last) == ALL:
        return "*"
    return str(first) if first == last else f"{first}-{last}"


def _capability(held: Held) -> Json:
    return {
        "cap": held.capability,
        "src": _texts(held.src),
        "dst": _texts(held.dst),
        "values": [json.loads(value) for value in held.values],
    }


def _texts(networks: Iterable[Network]) -> list[str]:
    """As few prefixes as cover the same, IPv4 first; a single address is written so."""
    listed = list(networks)
    found: list[Network] = []
    found += collapse_addresses(n for n in listed if n.version == 4)
    found += collapse_addresses(n for n in listed if n.version == 6)
    return [
        str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n)
        for n in found
    ]
