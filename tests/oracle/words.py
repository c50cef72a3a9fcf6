"""What a generated policy may say: names, literals, ports, and rules made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tailgit.model.findings import Place
from tailgit.model.policy import App, Rule
from tailgit.model.ports import Ports, parse_acl, parse_ip
from tailgit.model.selectors import Kind, Selector, parse_selector
from tailgit.model.tailnet import Host, Tailnet
from tests.oracle.packets import NOWHERE

RANGES = (
    ("100.64.0.0/10", "fd5c:91aa:7be0::/48"),
    ("10.99.0.0/24", "fd00:99::/64"),
)
DEVICES = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis")
LOGINS = ("ana@acme.com", "ben@acme.com", "cy@acme.com", "dan@other.example")
STRANGER = "nobody@acme.com"
GROUPS = ("group:dev", "group:ops", "group:none")
TAGS = ("tag:db", "tag:web", "tag:gw")
ROUTES = (
    "10.20.0.0/16",
    "192.168.7.0/24",
    "172.16.5.5/32",
    "fd20:1::/64",
    "2001:db8:7::/48",
)
HOSTS = ("printer", "office", "lab-net")

IP_ENTRIES = (
    "*",
    "22",
    "80-443",
    "444",
    "65535",
    "1-65535",
    "tcp:22",
    "tcp:81-443",
    "tcp:*",
    "udp:53",
    "udp:54-60",
    "udp:*",
    "icmp:*",
    "ipv6-icmp:*",
    "gre:*",
    "50:*",
    "sctp:3868",
)
ACL_PROTOCOLS = (None, None, "tcp", "udp", "TCP", "17", "sctp")
ACL_PORTS = ("*", "22", "80-443", "22,80-443,8080", "53,54-60", "1-65535", "65535")
ACL_PORTLESS = ("icmp", "ipv6-icmp", "gre", "50")

SELF_SOURCES = (Kind.USER, Kind.GROUP, Kind.MEMBER, Kind.ROLE, Kind.DOMAIN)
"""What may stand in src beside `autogroup:self` in dst; in acls `*` too (§3, §4)."""
NO_SOURCES = (Kind.SELF, Kind.INTERNET)
NO_DESTINATIONS = (Kind.DANGER_ALL, Kind.SHARED)

IPSETS = ("ipset:one", "ipset:two")
POSTURES = ("posture:linux", "posture:new")
DEADLINES = (1_800_000_000, 1_800_086_400, 1_900_000_000)
PUBLIC = ("8.8.8.8/32", "9.9.0.0/16", "2600:1::/32", "64.0.0.0/2", "0.0.0.0/0")
"""Parts of the internet, also one that holds tailnets too, and everything."""


def place(line: int) -> Place:
    return Place("tailnet.yaml", line)


def rarely(draw: DrawFn, percent: int) -> bool:
    return draw(st.integers(1, 100)) > 100 - percent


def deadline(draw: DrawFn, percent: int) -> int | None:
    return draw(st.sampled_from(DEADLINES)) if rarely(draw, percent) else None


def literals_of(tailnet: Tailnet) -> list[str]:
    """Prefixes that equal, hold or cut device addresses, routes and nothing."""
    around: list[str] = [str(tailnet.ipv4), str(tailnet.ipv6), *NOWHERE]
    for device in tailnet.devices.values():
        around += [str(address) for address in device.addresses]
        around += [f"{device.ipv4}/30", f"{device.ipv6}/126", f"{device.ipv4}/32"]
    for prefix in map(ip_network, ROUTES):
        around += [str(prefix), str(prefix.supernet()), str(prefix[0])]
        if prefix.num_addresses > 4:
            around += [str(half) for half in prefix.subnets(prefixlen_diff=1)]
            around += [str(prefix[5]), f"{prefix[4]}/{prefix.max_prefixlen - 2}"]
    return around


@dataclass(frozen=True)
class Words:
    """What a rule may say in one tailnet: texts by kind of selector."""

    texts: dict[Kind, list[str]]
    devices: frozenset[str]
    hosts: frozenset[str]

    @staticmethod
    def of(tailnet: Tailnet, hosts: dict[str, Host], literals: list[str]) -> Words:
        owners = {d.owner for d in tailnet.devices.values() if d.owner}
        tags = {tag for device in tailnet.devices.values() for tag in device.tags}
        return Words(
            {
                Kind.ANY: ["*"],
                Kind.USER: [*sorted(owners), *sorted(owners), STRANGER],
                Kind.GROUP: [*GROUPS, *GROUPS[:2]],
                Kind.TAG: sorted(tags) or list(TAGS),
                Kind.DEVICE: sorted(tailnet.devices),
                Kind.HOST: sorted(hosts),
                Kind.PREFIX: [*literals, *literals, *PUBLIC],
                Kind.IPSET: list(IPSETS),
                Kind.ROLE: [f"autogroup:{r}" for r in ("admin", "admin", "auditor")],
                Kind.DOMAIN: ["user:*@acme.com", "user:*@other.example"],
                Kind.SHARED: ["autogroup:shared"],
                Kind.INTERNET: ["autogroup:internet"],
                Kind.DANGER_ALL: ["autogroup:danger-all"],
                Kind.MEMBER: ["autogroup:member"],
                Kind.TAGGED: ["autogroup:tagged"],
                Kind.SELF: ["autogroup:self"],
            },
            frozenset(tailnet.devices),
            frozenset(hosts),
        )

    def draw(self, draw: DrawFn, kinds: Iterable[Kind]) -> tuple[Selector, ...]:
        chosen = draw(st.lists(st.sampled_from(list(kinds)), min_size=1, max_size=4))
        texts = dict.fromkeys(draw(st.sampled_from(self.texts[k])) for k in chosen)
        return tuple(
            parse_selector(text, devices=self.devices, hosts=self.hosts)
            for text in texts
        )


def drawn_rule(draw: DrawFn, words: Words, line: int) -> Rule:
    grant = draw(st.booleans())
    dst = words.draw(
        draw, [*(kind for kind in Kind if kind not in NO_DESTINATIONS), Kind.HOST]
    )
    if any(selector.kind is Kind.SELF for selector in dst):
        kinds = [*SELF_SOURCES] if grant else [*SELF_SOURCES, Kind.ANY]
    else:
        kinds = [*(kind for kind in Kind if kind not in NO_SOURCES), Kind.HOST]
    return Rule(
        src=words.draw(draw, kinds),
        dst=dst,
        ports=_grant_ports(draw) if grant else _acl_ports(draw),
        place=place(line),
        section="grants" if grant else "acls",
        disabled=rarely(draw, 8),
    )


def extended(draw: DrawFn, rule: Rule) -> Rule:
    """The rule with a posture, routers to go through, a deadline, an app alone."""
    if rarely(draw, 25):
        rule = replace(
            rule, posture=tuple(sorted(draw(st.sets(st.sampled_from(POSTURES)))))
        )
    if rule.section == "grants" and rarely(draw, 25):
        rule = replace(rule, via=tuple(sorted(draw(st.sets(st.sampled_from(TAGS))))))
    if rule.section == "grants" and rarely(draw, 8):
        rule = replace(rule, ports=Ports(()), app=(App("acme.com/cap"),))
    return replace(rule, expires=deadline(draw, 20))


def _grant_ports(draw: DrawFn) -> Ports:
    entries = draw(st.lists(st.sampled_from(IP_ENTRIES), min_size=1, max_size=3))
    return Ports.of(r for entry in entries for r in parse_ip(entry).ranges)


def _acl_ports(draw: DrawFn) -> Ports:
    if rarely(draw, 15):
        return parse_acl(draw(st.sampled_from(ACL_PORTLESS)), "*")
    return parse_acl(
        draw(st.sampled_from(ACL_PROTOCOLS)), draw(st.sampled_from(ACL_PORTS))
    )
