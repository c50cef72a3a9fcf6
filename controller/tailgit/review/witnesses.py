"""Devices that nobody has yet: two for each name that a change of the policy speaks of.

Rules also act on devices that do not exist, and a policy alone has none at all. So both
sides are given the same hypothetical devices: two of each user, each group (a member
that no other group has), each tag and each kind of autogroup, since a rule may join a
name to itself. Only those that a changed rule, group, host, ipset, posture or role has
to do with: for all others both sides say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import count

from tailgit.access.selectors import domain_in, prefixes_of
from tailgit.model.addresses import Network
from tailgit.model.findings import Place
from tailgit.model.policy import Rule
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet, User

AHEAD = " (no device yet)"
"""Ends the names of such devices; no device's name has a blank."""

NOBODY = "no-device-yet"
"""Begins the logins of people that nobody is."""

_ANYBODY = f"{NOBODY}@no.invalid"
_ANYTHING = f"tag:{NOBODY}"

_Who = tuple[str, str]
"""An owner or a tag; the other is empty."""


def with_witnesses(
    old: Tailnet, new: Tailnet
) -> tuple[Tailnet, Tailnet, frozenset[str]]:
    """Both tailnets with the same hypothetical devices, and the names of these."""
    names = _Names(old, new)
    if not names.who:
        return old, new, frozenset()
    places = _free(old, new)
    devices: list[Device] = []
    for (owner, tag), place in names.who.items():
        for number in (1, 2):
            ipv4, ipv6 = next(places)
            label = names.labels.get((owner, tag), owner or tag)
            devices.append(
                Device(
                    f"{label}{AHEAD} {number}",
                    ipv4,
                    ipv6,
                    1,
                    place,
                    owner=owner or None,
                    tags=(tag,) if tag else (),
                )
            )
    added = {device.name: device for device in devices}
    one, other = (names.with_people(each, added) for each in (old, new))
    return one, other, frozenset(added)


class _Names:
    """Whom the changes of a policy have to do with."""

    def __init__(self, old: Tailnet, new: Tailnet) -> None:
        self._sides = (old, new)
        self.who: dict[_Who, Place] = {}
        self.labels: dict[_Who, str] = {}
        """What those are called who are in the place of a group or an autogroup."""
        self._members: dict[str, set[str]] = {}
        """People that nobody is, by the groups they are in."""
        self._roles: dict[str, str] = {}
        changed = _changed_names(old, new)
        for login, place in sorted(_changed_people(old, new).items()):
            self.who[login, ""] = place
        known = [
            {_content(r) for r in each.rules if not r.disabled} for each in (old, new)
        ]
        default = old.default_src_posture != new.default_src_posture
        for side, tailnet in enumerate(self._sides):
            for rule in tailnet.rules:
                if rule.disabled:
                    continue
                mentions = {str(each) for each in (*rule.src, *rule.dst)}
                mentions |= set(rule.posture or tailnet.default_src_posture)
                is_new = _content(rule) not in known[1 - side]
                if is_new or mentions & changed or (default and not rule.posture):
                    for selector in (*rule.src, *rule.dst):
                        self._add(selector, rule.place)

    def _add(self, selector: Selector, place: Place) -> None:
        match selector.kind:
            case Kind.USER:
                self.who.setdefault((selector.value, ""), place)
            case Kind.TAG:
                self.who.setdefault(("", selector.value), place)
            case Kind.GROUP:
                name = selector.value.removeprefix("group:")
                login = f"{NOBODY}+{name}@no.invalid"
                self._members[login] = {selector.value}
                self._stand_in((login, ""), selector.value, place)
            case Kind.MEMBER | Kind.SELF:
                self._stand_in((_ANYBODY, ""), Kind.MEMBER, place)
            case Kind.TAGGED:
                self._stand_in(("", _ANYTHING), Kind.TAGGED, place)
            case Kind.ANY:
                self._stand_in((_ANYBODY, ""), Kind.MEMBER, place)
                self._stand_in(("", _ANYTHING), Kind.TAGGED, place)
            case Kind.ROLE:
                role = selector.value.removeprefix("autogroup:")
                login = f"{NOBODY}+{role}@no.invalid"
                self._roles[login] = role
                self._stand_in((login, ""), selector.value, place)
            case Kind.DOMAIN:
                login = f"{NOBODY}@{domain_in(selector)}"
                self._stand_in((login, ""), selector.value, place)
            case _:
                pass

    def _stand_in(self, who: _Who, label: str, place: Place) -> None:
        self.who.setdefault(who, place)
        self.labels[who] = str(label)

    def with_people(self, tailnet: Tailnet, devices: dict[str, Device]) -> Tailnet:
        """A side with the devices, and with the people and memberships they need."""
        users, groups = dict(tailnet.users), dict(tailnet.groups)
        for login, role in self._roles.items():
            users[login] = User(login, tailnet.place, role=role)
        for login, names in self._members.items():
            for name in names & groups.keys():
                group = groups[name]
                members = (*group.members, login)
                groups[name] = replace(group, members=members)
        everything = dict(tailnet.devices) | devices
        return replace(tailnet, users=users, groups=groups, devices=everything)


def _content(rule: Rule) -> object:
    return (
        frozenset(rule.src),
        frozenset(rule.dst),
        rule.ports,
        rule.expires,
        frozenset(rule.posture),
        frozenset(rule.via),
    )


def _changed_names(old: Tailnet, new: Tailnet) -> set[str]:
    """Groups, hosts, ipsets, postures and roles that mean something else."""
    found: set[str] = set()
    for name in old.groups.keys() | new.groups.keys():
        sides = (each.groups.get(name) for each in (old, new))
        if len({frozenset(g.members) if g else None for g in sides}) > 1:
            found.add(name)
    for name in old.hosts.keys() | new.hosts.keys():
        hosts = (each.hosts.get(name) for each in (old, new))
        if len({host.prefix if host else None for host in hosts}) > 1:
            found.add(name)
    for name in old.ipsets.keys() | new.ipsets.keys():
        ipsets = (each.ipsets.get(name) for each in (old, new))
        if len({each.prefixes if each else None for each in ipsets}) > 1:
            found.add(name)
    for name in old.postures.keys() | new.postures.keys():
        postures = (each.postures.get(name) for each in (old, new))
        if len({each.conditions if each else None for each in postures}) > 1:
            found.add(name)
    for login in _changed_roles(old, new):
        for tailnet in (old, new):
            user = tailnet.users.get(login)
            role = user.role if user else "member"
            found |= {
                f"autogroup:{role}",
                *(["autogroup:admin"] if role == "owner" else []),
            }
    return found


def _changed_roles(old: Tailnet, new: Tailnet) -> Iterator[str]:
    for login in old.users.keys() & new.users.keys():
        if old.users[login].role != new.users[login].role:
            yield login


def _changed_people(old: Tailnet, new: Tailnet) -> dict[str, Place]:
    """People who joined or left a group, or whose role or deadline is another."""
    found: dict[str, Place] = {}
    for name in old.groups.keys() | new.groups.keys():
        sides = [each.groups.get(name) for each in (old, new)]
        members = [set(group.members) if group else set() for group in sides]
        group = sides[1] or sides[0]
        for login in members[0] ^ members[1]:
            if "@" in login and group is not None:
                found.setdefault(login, group.place)
    for login in _changed_roles(old, new):
        found.setdefault(login, new.users[login].place)
    return found


def _free(old: Tailnet, new: Tailnet) -> Iterator[tuple[IPv4Address, IPv6Address]]:
    """Addresses that no device has, from the end of the range, and of which no rule
    speaks: a literal for part of the range means somebody in particular."""
    devices = [device for each in (old, new) for device in each.devices.values()]
    parts = _literals(old) | _literals(new)
    four = _down({int(d.ipv4) for d in devices}, parts, new.ipv4, 240 << 24)
    six = _down({int(d.ipv6) for d in devices}, parts, new.ipv6, 1 << 120)
    for one, other in zip(four, six, strict=False):
        yield IPv4Address(one), IPv6Address(other)


def _down(
    taken: set[int], parts: Iterable[Network], pool: Network, beyond: int
) -> Iterator[int]:
    """Numbers of free addresses; from a block that nobody uses where there is none."""
    first, last = int(pool.network_address), int(pool.broadcast_address)
    cut = [
        (int(p.network_address), int(p.broadcast_address))
        for p in parts
        if p.version == pool.version and p.prefixlen > pool.prefixlen
    ]
    number = last - 1
    while number > first:
        start = min((a for a, b in cut if a <= number <= b), default=None)
        if start is not None:
            number = start - 1
            continue
        if number not in taken:
            yield number
        number -= 1
    yield from count(beyond + 1)


def _literals(tailnet: Tailnet) -> set[Network]:
    selectors = {s for rule in tailnet.rules for s in (*rule.src, *rule.dst)}
    found = (prefixes_of(tailnet, s) for s in selectors if s.kind is not Kind.INTERNET)
    return {prefix for each in found for prefix in each}
