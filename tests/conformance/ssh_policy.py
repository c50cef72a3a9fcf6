"""A policy as plain JSON and a topology, as a Tailnet: the sections `ssh` needs.

Written apart from `tailgit.load`, so that a case about who may log in says nothing of
how a file is read, and stays small enough to be believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from typing import Any

from tailgit.model.findings import Place
from tailgit.model.policy import Condition, NodeAttr, Posture, SshRule, SshTest
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Group, Host, Route, TagOwner, Tailnet, User

Json = Mapping[str, Any]

IPV4 = IPv4Network("100.64.0.0/10")
IPV6 = IPv6Network("fd7a:115c:a1e0::/48")
PLACE = Place("policy.hujson")
ROLES = ("owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor")


def tailnet_of(topology: Json, policy: Json) -> Tailnet:
    """The tailnet; a node without addresses gets them from its place in the list."""
    devices = {
        node["name"]: _device(number, node)
        for number, node in enumerate(topology["nodes"], start=1)
    }
    hosts = policy.get("hosts", {})

    def selectors(texts: list[str] | None) -> tuple[Selector, ...]:
        return tuple(_selector(text, devices, hosts) for text in texts or ())

    return Tailnet(
        "corpus",
        "corpus.internal",
        IPV4,
        IPV6,
        PLACE,
        users={
            each["email"]: User(
                each["email"],
                PLACE,
                role=each["role"],
                disabled=each.get("disabled", False),
            )
            for each in topology["users"]
        },
        groups={
            name: Group(name, tuple(members), PLACE)
            for name, members in policy.get("groups", {}).items()
        },
        hosts={
            name: Host(name, ip_network(prefix), PLACE)
            for name, prefix in hosts.items()
        },
        tag_owners={
            name: TagOwner(name, tuple(owners), PLACE)
            for name, owners in policy.get("tagOwners", {}).items()
        },
        devices=devices,
        postures={
            name: Posture(name, tuple(map(_condition, lines)), PLACE)
            for name, lines in policy.get("postures", {}).items()
        },
        default_src_posture=tuple(policy.get("defaultSrcPosture", ())),
        ssh_rules=tuple(
            SshRule(
                rule["action"],
                selectors(rule.get("src")),
                selectors(rule.get("dst")),
                tuple(user.strip() for user in rule["users"]),
                Place("policy.hujson", number),
                check_period=_seconds(rule.get("checkPeriod")),
                accept_env=tuple(rule.get("acceptEnv", ())),
                posture=tuple(rule.get("srcPosture", ())),
                disabled=rule.get("disabled", False),
            )
            for number, rule in enumerate(policy.get("ssh", ()), start=1)
        ),
        ssh_tests=tuple(
            SshTest(
                _selector(test["src"], devices, hosts),
                selectors(test["dst"]),
                Place("policy.hujson", 100 + number),
                tuple(test.get("accept", ())),
                tuple(test.get("deny", ())),
                tuple(test.get("check", ())),
                tuple(test.get("srcPostureAttrs", {}).items()),
            )
            for number, test in enumerate(policy.get("sshTests", ()), start=1)
        ),
        node_attrs=tuple(
            NodeAttr(
                selectors(entry["target"]),
                PLACE,
                tuple(entry.get("attr", ())),
                tuple(ip_network(pool) for pool in entry.get("ipPool", ())),
            )
            for entry in (*policy.get("nodeAttrs", ()), *_top_level(policy))
        ),
    )


def _top_level(policy: Json) -> list[Json]:
    if not policy.get("randomizeClientPort"):
        return []
    return [{"target": ["*"], "attr": ["randomize-client-port"]}]


def _device(number: int, node: Json) -> Device:
    return Device(
        node["name"],
        IPv4Address(node["ipv4"]) if "ipv4" in node else IPV4[number],
        IPv6Address(node["ipv6"]) if "ipv6" in node else IPV6[number],
        20000 + number,
        PLACE,
        owner=node.get("user"),
        tags=tuple(sorted(node.get("tags", ()))),
        routes=tuple(
            Route(ip_network(route), PLACE)
            for route in node.get("routes", ())
            if ip_network(route).prefixlen
        ),
        disabled=node.get("disabled", False),
        attributes=tuple(sorted(node.get("attributes", {}).items())),
    )


def _selector(text: str, devices: Mapping[str, Device], hosts: Json) -> Selector:
    text = text.strip()
    for prefix, kind in (
        ("group:", Kind.GROUP),
        ("tag:", Kind.TAG),
        ("user:*@", Kind.DOMAIN),
    ):
        if text.startswith(prefix):
            return Selector(kind, text)
    if text.removeprefix("autogroup:") in ROLES:
        return Selector(Kind.ROLE, text)
    if text == "*" or text.startswith("autogroup:"):
        return Selector(Kind(text), text)
    if "@" in text:
        return Selector(Kind.USER, text)
    if text in devices:
        return Selector(Kind.DEVICE, text)
    if text in hosts:
        return Selector(Kind.HOST, text)
    return Selector(Kind.PREFIX, text, ip_network(text))


def _condition(line: str) -> Condition:
    attribute, operator, value = line.split()
    assert operator == "=="
    return Condition(attribute, "==", (value.strip("'"),))


def _seconds(period: str | None) -> int | None:
    if period is None or period == "always":
        return period and 0
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[u] for n, u in re.findall("([0-9]+)([hms])", period))
