"""Pairs of tailnets for hypothesis: one, and what edits of every kind make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tailgit.model.addresses import Network
from tailgit.model.policy import Condition, Posture, Rule
from tailgit.model.tailnet import Device, Route, Tailnet
from tests.oracle import generate
from tests.oracle.generate import Case, tailnets
from tests.oracle.words import (
    DEADLINES,
    LOGINS,
    POSTURES,
    ROUTES,
    STRANGER,
    TAGS,
    Words,
    drawn_rule,
    extended,
    literals_of,
    place,
    rarely,
)

Edit = Callable[[DrawFn, Tailnet], Tailnet]


class Change:
    """Two tailnets that print as a person would sketch them."""

    def __init__(self, old: Tailnet, new: Tailnet, kinds: tuple[str, ...]) -> None:
        self.old, self.new, self.kinds = old, new, kinds

    def __repr__(self) -> str:
        return f"{self.kinds}\n OLD {Case(self.old)!r} NEW {Case(self.new)!r}"


def over_changes(examples: int, ask: Callable[[Change], None]) -> None:
    """Ask about so many changes, the same ones in every run; a failure is shrunk."""
    bounded = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        print_blob=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    bounded(seed(7)(given(changes())(ask)))()


@st.composite
def changes(draw: DrawFn) -> Change:
    """A tailnet after one to four edits; now and then another one altogether."""
    old = draw(tailnets())
    if rarely(draw, 5):
        return Change(old, draw(tailnets()), ("another",))
    kinds = draw(st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=4))
    new = old
    for kind in kinds:
        new = EDITS[kind](draw, new)
    if rarely(draw, 10):
        old, new = new, old
    return Change(old, new, tuple(kinds))


# Rules


def _words(tailnet: Tailnet) -> Words:
    return Words.of(tailnet, dict(tailnet.hosts), literals_of(tailnet))


def _any_rule(draw: DrawFn, tailnet: Tailnet) -> int | None:
    if not tailnet.rules:
        return None
    return draw(st.integers(0, len(tailnet.rules) - 1))


def _with_rule(tailnet: Tailnet, number: int, rule: Rule) -> Tailnet:
    rules = list(tailnet.rules)
    rules[number] = rule
    return replace(tailnet, rules=tuple(rules))


def _add_rule(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    rule = extended(draw, drawn_rule(draw, _words(tailnet), 90))
    return replace(tailnet, rules=(*tailnet.rules, rule))


def _remove_rule(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    number = _any_rule(draw, tailnet)
    rules = (each for n, each in enumerate(tailnet.rules) if n != number)
    return replace(tailnet, rules=tuple(rules))


def _edit_rule(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    """One thing of a rule as another rule has it."""
    number = _any_rule(draw, tailnet)
    if number is None:
        return tailnet
    rule = tailnet.rules[number]
    other = extended(draw, drawn_rule(draw, _words(tailnet), rule.place.line))
    what = draw(
        st.sampled_from(
            ("ports", "src", "dst", "expires", "posture", "via", "disabled")
        )
    )
    if what == "disabled":
        return _with_rule(tailnet, number, replace(rule, disabled=not rule.disabled))
    if what in ("src", "dst"):
        # Both ends together: not every source may stand before `autogroup:self`.
        rule = replace(rule, src=other.src, dst=other.dst, section=other.section)
        return _with_rule(tailnet, number, rule)
    if what == "expires":
        expires = draw(st.sampled_from((None, *DEADLINES)))
        return _with_rule(tailnet, number, replace(rule, expires=expires))
    if what == "via":
        via = (draw(st.sampled_from(TAGS)),)
        return _with_rule(tailnet, number, replace(rule, via=() if rule.via else via))
    if what == "posture":
        posture = (draw(st.sampled_from(POSTURES)),)
        rule = replace(rule, posture=() if rule.posture else posture)
        return _with_rule(tailnet, number, rule)
    return _with_rule(tailnet, number, replace(rule, ports=other.ports))


def _reorder(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    return replace(tailnet, rules=tuple(draw(st.permutations(tailnet.rules))))


# Names


def _group(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    """Somebody joins or leaves."""
    name = draw(st.sampled_from(sorted(tailnet.groups)))
    login = draw(st.sampled_from((*LOGINS, STRANGER)))
    group = tailnet.groups[name]
    members = tuple(sorted({login} ^ set(group.members)))
    groups = dict(tailnet.groups) | {name: replace(group, members=members)}
    return replace(tailnet, groups=groups)


def _user(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    if not tailnet.users:
        return tailnet
    login = draw(st.sampled_from(sorted(tailnet.users)))
    user = tailnet.users[login]
    what = draw(st.sampled_from(("role", "disabled", "expires")))
    if what == "role":
        role = draw(st.sampled_from(("member", "owner", "admin", "auditor")))
        user = replace(user, role=role)
    elif what == "disabled":
        user = replace(user, disabled=not user.disabled)
    else:
        user = replace(user, expires=draw(st.sampled_from((None, *DEADLINES))))
    return replace(tailnet, users=dict(tailnet.users) | {login: user})


def _host(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    name = draw(st.sampled_from(sorted(tailnet.hosts)))
    text = draw(st.sampled_from(literals_of(tailnet)))
    host = replace(tailnet.hosts[name], prefix=ip_network(text, strict=False))
    return replace(tailnet, hosts=dict(tailnet.hosts) | {name: host})


def _ipset(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    name = draw(st.sampled_from(sorted(tailnet.ipsets)))
    ipset = generate._ipset(draw, name, literals_of(tailnet))
    return replace(tailnet, ipsets=dict(tailnet.ipsets) | {name: ipset})


def _posture(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    name = draw(st.sampled_from(sorted(tailnet.postures)))
    condition = draw(
        st.sampled_from(
            (
                Condition("node:os", "==", ("macos",)),
                Condition("node:osVersion", "<", ("6.1",)),
                Condition("custom:tier", "IS SET"),
                Condition("node:os", "NOT SET"),
            )
        )
    )
    postures = dict(tailnet.postures) | {name: Posture(name, (condition,), place(7))}
    return replace(tailnet, postures=postures)


def _default_posture(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    names = () if tailnet.default_src_posture else (draw(st.sampled_from(POSTURES)),)
    return replace(tailnet, default_src_posture=names)


# Devices


def _one(draw: DrawFn, tailnet: Tailnet) -> Device:
    return tailnet.devices[draw(st.sampled_from(sorted(tailnet.devices)))]


def _put(tailnet: Tailnet, device: Device) -> Tailnet:
    devices = dict(tailnet.devices) | {device.name: device}
    return replace(tailnet, devices={name: devices[name] for name in sorted(devices)})


def _remove_device(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    """Its name may not be left in a rule."""
    name = _one(draw, tailnet).name
    devices = {n: each for n, each in tailnet.devices.items() if n != name}
    rules = tuple(
        rule
        for rule in tailnet.rules
        if all(each.value != name for each in (*rule.src, *rule.dst))
    )
    if not devices:
        return tailnet
    return _without_approver(replace(tailnet, devices=devices, rules=rules), name)


def _add_device(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    like = _one(draw, tailnet)
    number = draw(st.integers(20, 25))
    name = f"new-{number}"
    device = replace(
        like,
        name=name,
        ipv4=tailnet.ipv4[number],
        ipv6=tailnet.ipv6[number],
        routes=like.routes if rarely(draw, 30) else (),
        public_key=generate.public_key(name),
    )
    return _put(tailnet, device)


def _change_device(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    device = _one(draw, tailnet)
    match draw(
        st.sampled_from(
            (
                *("tags", "owner", "disabled", "expires", "address", "attributes"),
                *("exit", "routes", "priority"),
            )
        )
    ):
        case "tags":
            tags = tuple(sorted(draw(st.sets(st.sampled_from(TAGS), min_size=1))))
            device = replace(device, owner=None, tags=tags)
        case "owner":
            login = draw(st.sampled_from(sorted(tailnet.users) or LOGINS[:1]))
            device = replace(device, owner=login, tags=())
        case "disabled":
            device = replace(device, disabled=not device.disabled)
        case "expires":
            device = replace(device, expires=draw(st.sampled_from((None, *DEADLINES))))
        case "address":
            number = draw(st.integers(30, 33))
            others = {each.ipv4 for each in tailnet.devices.values()}
            if tailnet.ipv4[number] not in others:
                ipv4, ipv6 = tailnet.ipv4[number], tailnet.ipv6[number]
                device = replace(device, ipv4=ipv4, ipv6=ipv6)
        case "attributes":
            device = replace(device, attributes=generate._attributes(draw))
        case "exit":
            device = replace(device, exit_node=not device.exit_node)
        case "routes":
            texts = draw(st.lists(st.sampled_from(ROUTES), max_size=2, unique=True))
            found = sorted(map(ip_network, texts), key=generate._in_order)
            device = replace(
                device, routes=tuple(Route(each, place(6)) for each in found)
            )
        case _:
            routes = (replace(r, priority=0) for r in device.routes)
            device = replace(device, routes=tuple(routes))
    return _put(tailnet, device)


def _rename(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    """A device by another name; rules that name it are left out."""
    device = _one(draw, tailnet)
    name = f"re-{device.name}"
    if name in tailnet.devices or device.name.startswith("re-"):
        return tailnet
    rules = tuple(
        rule
        for rule in tailnet.rules
        if all(each.value != device.name for each in (*rule.src, *rule.dst))
    )
    devices = {n: each for n, each in tailnet.devices.items() if n != device.name}
    renamed = replace(device, name=name, formerly=(device.name, *device.formerly))
    tailnet = _without_approver(replace(tailnet, rules=rules), device.name)
    return _put(replace(tailnet, devices=devices), renamed)


def _without_approver(tailnet: Tailnet, name: str) -> Tailnet:
    given_ = tailnet.auto_approvers
    routes = (
        (prefix, tuple(each for each in who if each != name))
        for prefix, who in given_.routes
    )
    exits = tuple(each for each in given_.exit_node if each != name)
    approvers = replace(given_, routes=tuple(routes), origins=(), exit_node=exits)
    return replace(tailnet, auto_approvers=approvers)


def _approve(draw: DrawFn, tailnet: Tailnet) -> Tailnet:
    given_ = tailnet.auto_approvers
    entries: dict[Network, tuple[str, ...]] = dict(given_.routes)
    prefix = ip_network(draw(st.sampled_from(ROUTES)))
    if prefix in entries and draw(st.booleans()):
        del entries[prefix]
    else:
        entries[prefix] = (draw(st.sampled_from((*TAGS, *LOGINS))),)
    exits = given_.exit_node
    if rarely(draw, 30):
        exits = () if exits else (*TAGS, "autogroup:member")
    routes = tuple((p, entries[p]) for p in sorted(entries, key=generate._in_order))
    approvers = replace(given_, routes=routes, origins=(), exit_node=exits)
    return replace(tailnet, auto_approvers=approvers)


EDITS: dict[str, Edit] = {
    "add rule": _add_rule,
    "remove rule": _remove_rule,
    "edit rule": _edit_rule,
    "edit rule 2": _edit_rule,
    "reorder rules": _reorder,
    "group": _group,
    "group 2": _group,
    "user": _user,
    "host": _host,
    "ipset": _ipset,
    "posture": _posture,
    "default posture": _default_posture,
    "remove device": _remove_device,
    "add device": _add_device,
    "change device": _change_device,
    "change device 2": _change_device,
    "change device 3": _change_device,
    "rename device": _rename,
    "approvers": _approve,
}
