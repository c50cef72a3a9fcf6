"""Whole tailnets for hypothesis, drawn so that access is neither empty nor total.

The addresses of devices are neighbours and the literals of rules are cut around them
and around the routes, so that a prefix often holds some devices and not others; ports
come from a few overlapping and touching ranges. Things that don't count (disabled,
unapproved, undeclared) are common enough to matter and rare enough to leave access.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tailgit.model.addresses import Network
from tailgit.model.policy import AutoApprovers, Condition, IpSet, Posture
from tailgit.model.tailnet import (
    Device,
    Endpoint,
    Group,
    Host,
    Route,
    TagOwner,
    Tailnet,
    User,
)
from tests.oracle.words import (
    DEVICES,
    GROUPS,
    HOSTS,
    IPSETS,
    LOGINS,
    PUBLIC,
    RANGES,
    ROUTES,
    STRANGER,
    TAGS,
    Words,
    deadline,
    drawn_rule,
    extended,
    literals_of,
    place,
    rarely,
)


def over_tailnets(examples: int, ask: Callable[[Tailnet], None]) -> None:
    """Ask about so many tailnets, the same ones in every run; a failure is shrunk and
    its tailnet described in a few lines."""
    bounded = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        print_blob=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

    def of_case(case: Case) -> None:
        ask(case.tailnet)

    bounded(seed(2)(given(_cases())(of_case)))()


class Case:
    """A tailnet that prints as a person would sketch it."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.tailnet = tailnet

    def __repr__(self) -> str:
        tailnet = self.tailnet
        lines = [f"{tailnet.ipv4} {tailnet.ipv6}"]
        off = [user.login for user in tailnet.users.values() if user.disabled]
        lines += [f"{login} disabled" for login in off]
        lines += [f"{g.name} = {', '.join(g.members)}" for g in tailnet.groups.values()]
        lines += [f"{u.login} {u.role} {u.expires}" for u in tailnet.users.values()]
        lines += [f"{host.name} = {host.prefix}" for host in tailnet.hosts.values()]
        lines += [f"{s.name} = {s.prefixes}" for s in tailnet.ipsets.values()]
        lines += [f"default {tailnet.default_src_posture}"]
        for device in tailnet.devices.values():
            marks = [str(route.prefix) for route in device.routes]
            marks += ["disabled"] * device.disabled
            marks += ["exit"] * device.exit_node
            marks += [f"until {device.expires}"] * bool(device.expires)
            marks += [f"{name}={value}" for name, value in device.attributes]
            marks += ["keyless"] * (device.public_key is None)
            who = device.owner or " ".join(device.tags)
            lines.append(
                " ".join([device.name, str(device.ipv4), str(device.ipv6), who, *marks])
            )
        for prefix, approvers in tailnet.auto_approvers.routes:
            lines.append(f"approve {prefix}: {', '.join(approvers)}")
        lines.append(f"approve exit: {', '.join(tailnet.auto_approvers.exit_node)}")
        for rule in tailnet.rules:
            src = ", ".join(map(str, rule.src))
            dst = ", ".join(map(str, rule.dst))
            mark = " (disabled)" if rule.disabled else ""
            mark += f" posture {rule.posture}" if rule.posture else ""
            mark += f" via {rule.via}" if rule.via else ""
            mark += f" until {rule.expires}" if rule.expires else ""
            lines.append(f"{src} -> {dst} on {rule.ports}{mark}")
        return "\n    ".join(["", *lines, ""])


@st.composite
def _cases(draw: DrawFn) -> Case:
    return Case(draw(tailnets()))


@st.composite
def tailnets(draw: DrawFn) -> Tailnet:
    """A valid tailnet of 3 to 9 devices and 2 to 10 rules."""
    ipv4, ipv6 = draw(st.sampled_from(RANGES))
    logins = LOGINS[: draw(st.integers(1, len(LOGINS)))]
    groups = {name: _group(draw, name, logins) for name in GROUPS}
    devices = _devices(draw, IPv4Network(ipv4), IPv6Network(ipv6), logins)
    routers = _routers(draw, devices)
    plain = draw(st.booleans())
    devices |= {router.name: router for router in routers}
    declared = draw(st.integers(0, 9)) < 9
    bare = Tailnet(
        name="acme",
        domain="acme.internal",
        ipv4=IPv4Network(ipv4),
        ipv6=IPv6Network(ipv6),
        place=place(1),
        users={login: _user(draw, login) for login in logins} if declared else {},
        groups=groups,
        tag_owners={tag: TagOwner(tag, (), place(3)) for tag in TAGS},
        devices=devices,
    )
    literals = literals_of(bare)
    hosts = {
        name: Host(name, ip_network(draw(st.sampled_from(literals)), False), place(4))
        for name in sorted(HOSTS)
    }
    ipsets = {name: _ipset(draw, name, literals) for name in IPSETS}
    count = draw(st.integers(2, 10))
    rules = tuple(
        drawn_rule(draw, Words.of(bare, hosts, literals), line)
        for line in range(10, 10 + count)
    )
    return Tailnet(
        name=bare.name,
        domain=bare.domain,
        ipv4=bare.ipv4,
        ipv6=bare.ipv6,
        place=bare.place,
        users=bare.users,
        groups=bare.groups,
        hosts=hosts,
        tag_owners=bare.tag_owners,
        devices=bare.devices,
        auto_approvers=_approvers(draw, routers, groups),
        rules=rules if plain else tuple(extended(draw, rule) for rule in rules),
        ipsets=ipsets,
        postures=_postures(),
        default_src_posture=("posture:linux",)
        if not plain and rarely(draw, 10)
        else (),
    )


def _user(draw: DrawFn, login: str) -> User:
    return User(
        login,
        place(2),
        role=draw(st.sampled_from(("member", "owner", "admin", "auditor"))),
        disabled=rarely(draw, 8),
        expires=deadline(draw, 8),
    )


def _ipset(draw: DrawFn, name: str, literals: list[str]) -> IpSet:
    """Prefixes of both families, none inside another: what is left of its entries."""
    chosen = draw(st.lists(st.sampled_from([*literals, *PUBLIC]), max_size=3))
    networks = [ip_network(text, strict=False) for text in chosen]
    found: list[Network] = []
    found.extend(collapse_addresses(n for n in networks if n.version == 4))
    found.extend(collapse_addresses(n for n in networks if n.version == 6))
    return IpSet(name, tuple(found), place(4))


def _postures() -> dict[str, Posture]:
    linux = Condition("node:os", "==", ("linux",))
    new = Condition("node:osVersion", ">=", ("6.1",))
    tried = Condition("custom:tier", "NOT SET")
    return {
        "posture:linux": Posture("posture:linux", (linux,), place(7)),
        "posture:new": Posture("posture:new", (new, tried), place(7)),
    }


def _group(draw: DrawFn, name: str, logins: tuple[str, ...]) -> Group:
    if name == "group:none":
        return Group(name, (), place(2))
    members = draw(
        st.lists(
            st.sampled_from([*logins, STRANGER]), min_size=1, max_size=3, unique=True
        )
    )
    return Group(name, tuple(sorted(members)), place(2))


def _devices(
    draw: DrawFn,
    ipv4: IPv4Network,
    ipv6: IPv6Network,
    logins: tuple[str, ...],
) -> dict[str, Device]:
    names = DEVICES[: draw(st.integers(3, len(DEVICES)))]
    return {
        name: _device(draw, name, ipv4[index + 1], ipv6[index + 7], logins)
        for index, name in enumerate(names)
    }


def _device(
    draw: DrawFn,
    name: str,
    ipv4: IPv4Address,
    ipv6: IPv6Address,
    logins: tuple[str, ...],
) -> Device:
    tags: tuple[str, ...] = ()
    owner = None
    if draw(st.booleans()):
        tags = tuple(sorted(draw(st.sets(st.sampled_from(TAGS), min_size=1))))
    else:
        owner = draw(st.sampled_from(logins))
    number = DEVICES.index(name)
    return Device(
        name=name,
        ipv4=ipv4,
        ipv6=ipv6,
        listen_port=20000 + number,
        place=place(5),
        owner=owner,
        tags=tags,
        public_key=None if rarely(draw, 10) else public_key(name),
        endpoints=(Endpoint(ip_address(f"203.0.113.{number + 1}"), 51820),),
        disabled=rarely(draw, 8),
        expires=deadline(draw, 8),
        exit_node=rarely(draw, 20),
        attributes=_attributes(draw),
    )


def _attributes(draw: DrawFn) -> tuple[tuple[str, str | int], ...]:
    found: dict[str, str | int] = {}
    if draw(st.booleans()):
        found["node:os"] = draw(st.sampled_from(("linux", "macos")))
    if draw(st.booleans()):
        found["node:osVersion"] = draw(st.sampled_from(("6.1.0", "6.10", "5.4", "x")))
    if rarely(draw, 20):
        found["custom:tier"] = 3
    return tuple(sorted(found.items()))


def public_key(name: str) -> str:
    """A well-formed WireGuard public key that nobody has the private half of."""
    return b64encode(sha256(name.encode()).digest()).decode()


def _routers(draw: DrawFn, devices: dict[str, Device]) -> list[Device]:
    """Up to two devices with routes, some of them the same: then one is primary."""
    names = draw(st.lists(st.sampled_from(sorted(devices)), max_size=2, unique=True))
    routes = draw(st.lists(st.sampled_from(ROUTES), min_size=2, unique=True))
    shares = [routes] if len(names) < 2 else [routes[::2], routes[1::2]]
    if len(names) == 2 and rarely(draw, 30):
        shares[1] = [*shares[1], shares[0][0]]
    return [
        _with_routes(draw, devices[name], share)
        for name, share in zip(names, shares, strict=False)
    ]


def _with_routes(draw: DrawFn, device: Device, prefixes: list[str]) -> Device:
    networks = sorted(map(ip_network, prefixes), key=_in_order)
    ranks = st.sampled_from((None, 1, 2))
    return replace(
        device,
        routes=tuple(Route(n, place(6), priority=draw(ranks)) for n in networks),
    )


def without_exits(tailnet: Tailnet) -> Tailnet:
    """The same without exit nodes, which nothing puts on nodes yet."""
    devices = {
        name: replace(device, exit_node=False)
        for name, device in tailnet.devices.items()
    }
    return replace(tailnet, devices=devices)


def _in_order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _approvers(
    draw: DrawFn, routers: list[Device], groups: dict[str, Group]
) -> AutoApprovers:
    """Mostly the right approver at the right prefix; also none, wrong, too narrow."""
    entries: dict[Network, tuple[str, ...]] = {}
    for router in routers:
        for route in router.routes:
            prefix = route.prefix
            shape = draw(st.sampled_from(["same"] * 6 + ["wider", "narrower", "none"]))
            if shape == "none" or (shape == "narrower" and prefix.num_addresses < 4):
                continue
            if shape == "wider":
                prefix = prefix.supernet(new_prefix=8)
            elif shape == "narrower":
                prefix = ip_network((prefix.network_address, prefix.prefixlen + 1))
            right = _names_of(router, groups)
            other = st.sampled_from([*TAGS, *LOGINS, "group:none"])
            who = draw(st.sampled_from(right)) if draw(st.integers(0, 9)) else ""
            entries[prefix] = tuple(sorted({who or draw(other), draw(other)}))
    exits = draw(st.lists(st.sampled_from([*TAGS, "autogroup:member", *LOGINS])))
    return AutoApprovers(
        tuple((p, entries[p]) for p in sorted(entries, key=_in_order)),
        exit_node=tuple(sorted(set(exits))),
    )


def _names_of(device: Device, groups: dict[str, Group]) -> list[str]:
    if device.tags:
        return [*device.tags, "autogroup:tagged", device.name]
    mine = [name for name, group in groups.items() if device.owner in group.members]
    return [device.owner or "", *mine, "autogroup:member"]
