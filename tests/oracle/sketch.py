"""One small tailnet by hand, for cases whose answer can be worked out by reading."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from tailgit.model.findings import Place
from tailgit.model.policy import AutoApprovers, Rule
from tailgit.model.ports import parse_ip
from tailgit.model.selectors import parse_selector
from tailgit.model.tailnet import Device, Group, Host, Route, Tailnet, User
from tests.oracle.generate import public_key

PLACE = Place("tailnet.yaml")
NAMES = ("db", "gw", "lap", "old", "pad", "tv")
HOSTS = {"lan": "10.20.0.0/16", "disk": "10.20.0.9/32"}


def _device(name: str, owner: str | None = None, *tags: str, **more: object) -> Device:
    number = NAMES.index(name) + 1
    key = {"public_key": public_key(name)}
    return Device(
        name,
        IPv4Network("100.64.0.0/10")[number],
        IPv6Network("fd00:64::/48")[number],
        20000 + number,
        PLACE,
        owner,
        tags,
        **{**key, **more},  # type: ignore[arg-type]
    )


def sketch(*rules: str) -> Tailnet:
    """Ana's lap, pad and keyless tv; a database; a gateway with one approved route;
    Cy, who is switched off, with old. A rule is `src > dst on ip`."""
    routes = (
        Route(IPv4Network("10.20.0.0/16"), PLACE),
        Route(IPv4Network("10.30.0.0/16"), PLACE),
    )
    devices = (
        _device("db", None, "tag:db"),
        _device("gw", None, "tag:gw", routes=routes),
        _device("lap", "ana@x"),
        _device("old", "cy@x"),
        _device("pad", "ana@x"),
        _device("tv", "ana@x", public_key=None),
    )
    return Tailnet(
        "x",
        "x.internal",
        IPv4Network("100.64.0.0/10"),
        IPv6Network("fd00:64::/48"),
        PLACE,
        users={
            "ana@x": User("ana@x", PLACE),
            "cy@x": User("cy@x", PLACE, "", "", True),
        },
        groups={"group:a": Group("group:a", ("ana@x", "cy@x"), PLACE)},
        hosts={n: Host(n, ip_network(p), PLACE) for n, p in HOSTS.items()},
        devices={device.name: device for device in devices},
        auto_approvers=AutoApprovers(((IPv4Network("10.0.0.0/8"), ("tag:gw",)),))
        if "wide" in rules
        else AutoApprovers(((IPv4Network("10.20.0.0/16"), ("tag:gw",)),)),
        rules=tuple(_rule(text) for text in rules if text != "wide"),
    )


def _rule(text: str) -> Rule:
    src, rest = text.split(" > ")
    dst, ip = rest.split(" on ")
    return Rule(
        tuple(parse_selector(s, devices=NAMES, hosts=HOSTS) for s in src.split()),
        tuple(parse_selector(s, devices=NAMES, hosts=HOSTS) for s in dst.split()),
        parse_ip(ip),
        PLACE,
    )


def where(text: str) -> str:
    """A device's IPv4 address, its IPv6 one (`db6`), or an address as it stands."""
    name = text.removesuffix("6")
    if name not in NAMES:
        return text
    number = NAMES.index(name) + 1
    return f"fd00:64::{number}" if text.endswith("6") else f"100.64.0.{number}"


TCP, UDP, GRE, SCTP = 6, 17, 47, 132

Case = tuple[str, list[str], str, str, str, int, int, bool | int]

CASES: list[Case] = [
    ("no rule, no access", [], "lap", "db", "db", TCP, 22, False),
    ("a user's device", ["ana@x > db on 22"], "lap", "db", "db", TCP, 22, True),
    ("its other family", ["ana@x > db on 22"], "lap6", "db6", "db", TCP, 22, True),
    ("another port", ["ana@x > db on 22"], "lap", "db", "db", TCP, 23, False),
    ("the other way", ["ana@x > db on 22"], "db", "lap", "lap", TCP, 22, False),
    (
        "a port without proto is UDP too",
        ["* > db on 53"],
        "lap",
        "db",
        "db",
        UDP,
        53,
        1,
    ),
    ("but not SCTP", ["* > db on *"], "lap", "db", "db", SCTP, 53, False),
    ("nor GRE", ["* > db on *"], "lap", "db", "db", GRE, 0, False),
    ("GRE when listed", ["* > db on gre:*"], "lap", "db", "db", GRE, 0, True),
    ("any port lets ping in", ["* > db on tcp:22"], "lap", "db", "db", 1, 0, True),
    ("of its own family", ["* > db on tcp:22"], "lap6", "db6", "db", 58, 0, True),
    ("tags", ["tag:gw > tag:db on 22"], "gw", "db", "db", TCP, 22, True),
    ("a group", ["group:a > db on 22"], "pad", "db", "db", TCP, 22, True),
    ("members", ["autogroup:member > db on 22"], "lap", "db", "db", TCP, 22, True),
    (
        "tagged is none",
        ["autogroup:member > db on 22"],
        "gw",
        "db",
        "db",
        TCP,
        22,
        False,
    ),
    ("tagged", ["autogroup:tagged > db on 22"], "gw", "db", "db", TCP, 22, True),
    ("a device", ["lap > db on 22"], "pad", "db", "db", TCP, 22, False),
    ("a switched-off user", ["cy@x > db on 22"], "old", "db", "db", TCP, 22, False),
    ("whose device is gone", ["* > * on 22"], "lap", "old", "old", TCP, 22, False),
    ("self", ["ana@x > autogroup:self on 22"], "lap", "pad", "pad", TCP, 22, True),
    (
        "self is nobody else",
        ["ana@x > autogroup:self on 22"],
        "lap",
        "db",
        "db",
        6,
        22,
        0,
    ),
    (
        "an address has one family",
        ["100.64.0.3 > db on 22"],
        "lap6",
        "db6",
        "db",
        6,
        22,
        0,
    ),
    ("a route's host", ["lap > lan on 22"], "lap", "10.20.3.4", "gw", TCP, 22, True),
    ("a host alias", ["lap > disk on 22"], "lap", "10.20.0.8", "gw", TCP, 22, False),
    ("a route not approved", ["* > * on 22"], "lap", "10.30.0.1", "gw", TCP, 22, False),
    (
        "approved by a wider",
        ["wide", "* > * on 22"],
        "lap",
        "10.30.0.1",
        "gw",
        6,
        22,
        1,
    ),
    ("identity has no routes", ["* > gw on 22"], "lap", "10.20.0.1", "gw", 6, 22, 0),
    ("not a router's source", ["gw > db on 22"], "10.20.0.1", "db", "db", 6, 22, 0),
    ("* holds approved routes", ["* > db on 22"], "10.20.0.1", "db", "db", 6, 22, 1),
    ("and no others", ["* > db on 22"], "10.30.0.1", "db", "db", 6, 22, 0),
    ("not at the wrong node", ["* > * on 22"], "lap", "db", "pad", TCP, 22, False),
    ("keyless still counts", ["* > tv on 22"], "lap", "tv", "tv", TCP, 22, True),
]
"""Name, rules, source, destination, node, protocol, port, whether it may pass."""
