"""Rules that are valid and hardly meant: for everybody, for nobody, said already.

A *written rule* is one entry of `acls` or `grants`; an acl whose destinations open
different ports has become several `Rule`s, which are put together again here, so that
one entry gets one finding.

A rule is empty by what there is today: no device stands behind one of its sides. What
makes a rule dead is another matter, see `check.within`. While a tailnet has no devices
at all, nothing is called empty: rules are often written first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tailgit.access.routes import covers
from tailgit.access.selectors import active_devices, prefix_of
from tailgit.check.within import Containment
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import Rule
from tailgit.model.ports import ALL, TCP, UDP, Ports
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet
from tailgit.model.text import shown

Written = Mapping[Place, Sequence[Rule]]
"""The enabled rules by where they stand, in the order of their places."""

_FEW = 3

_NARROWER = {
    "acls": '{action: accept, src: [group:on-call], dst: ["tag:db:22"], proto: tcp}',
    "grants": '{src: [group:on-call], dst: [tag:db], ip: ["tcp:22"]}',
}


def check_rules(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about rules that do too much or nothing."""
    written = _written(tailnet)
    wide = {
        place
        for place, rules in written.items()
        if any(_is_allow_all(tailnet, rule) for rule in rules)
    }
    for place in wide:
        section = written[place][0].section
        yield finding(
            "allow-all",
            place,
            "the rule lets everybody reach everything",
            f"say who needs what, such as `{_NARROWER[section]}`",
        )
    if active_devices(tailnet):
        yield from _empty(tailnet, written)
    # Beside a rule for everything all others are dead: it has been said above.
    others = {place: rules for place, rules in written.items() if place not in wide}
    yield from _dead(tailnet, others)


def _written(tailnet: Tailnet) -> Written:
    found: dict[Place, list[Rule]] = {}
    for rule in tailnet.rules:
        if not rule.disabled:
            found.setdefault(rule.place, []).append(rule)
    return {place: found[place] for place in sorted(found)}


# For everybody


def _is_allow_all(tailnet: Tailnet, rule: Rule) -> bool:
    """Whether, in one family at least, all devices reach all on TCP and UDP."""
    if rule.via or rule.posture or tailnet.default_src_posture:
        return False
    return _opens_all(rule.ports) and any(
        _is_everybody(tailnet, rule.src, version)
        and _is_everybody(tailnet, rule.dst, version)
        for version in (4, 6)
    )


def _opens_all(ports: Ports) -> bool:
    wide = {p for p, first, last in ports.ranges if first <= 1 and last == ALL[1]}
    return {TCP, UDP} <= wide


def _is_everybody(
    tailnet: Tailnet, selectors: Iterable[Selector], version: int
) -> bool:
    pool = tailnet.ipv4 if version == 4 else tailnet.ipv6
    kinds = set()
    for selector in selectors:
        kinds.add(selector.kind)
        prefix = prefix_of(tailnet, selector)
        if prefix is not None and covers(prefix, pool):
            return True
    return Kind.ANY in kinds or {Kind.MEMBER, Kind.TAGGED} <= kinds


# For nobody


def _empty(tailnet: Tailnet, written: Written) -> Iterator[Finding]:
    present = _Present(tailnet)
    for place, rules in written.items():
        sides = (
            ("src", rules[0].src),
            ("dst", tuple(each for rule in rules for each in rule.dst)),
        )
        why = [
            f"`{side}`: {reason}"
            for side, selectors in sides
            if (reason := present.why_nobody(selectors))
        ]
        if why:
            yield finding(
                "empty-rule",
                place,
                f"the rule lets nobody reach anything; {'; '.join(why)}",
                "take it out, or switch it off with `disabled: true` until then",
            )


class _Present:
    """Which names stand for a device that counts, without a scan for each rule."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.tailnet = tailnet
        self.active = active_devices(tailnet)
        self.tags = {tag for device in self.active.values() for tag in device.tags}
        self.people = set(_people(self.active.values()))
        devices = tailnet.devices.values()
        self.declared_tags = {tag for device in devices for tag in device.tags}
        self.declared_people = set(_people(devices))

    def why_nobody(self, selectors: Sequence[Selector]) -> str:
        """Why no selector stands for a device or an address; empty if one does."""
        if not selectors:
            return "the list is empty"
        reasons: dict[str, None] = {}
        for selector in selectors:
            reason = self._why(selector)
            if not reason:
                return ""
            reasons[reason] = None
        listed = list(reasons)
        more = f" and {len(listed) - _FEW} more" if len(listed) > _FEW else ""
        return ", ".join(listed[:_FEW]) + more

    def _why(self, selector: Selector) -> str:
        name = f"`{shown(selector.value)}`"
        match selector.kind:
            case Kind.TAG if selector.value not in self.tags:
                if selector.value in self.declared_tags:
                    return f"every device with {name} is switched off"
                return f"no device has {name} yet"
            case Kind.USER if selector.value not in self.people:
                return self._why_person(selector.value)
            case Kind.GROUP:
                group = self.tailnet.groups.get(selector.value)
                members = group.members if group is not None else ()
                if not members:
                    return f"{name} has no members"
                if self.people.isdisjoint(members):
                    return f"nobody in {name} has a device that is on"
            case Kind.DEVICE if selector.value not in self.active:
                return f"{name} is switched off, or its owner is"
            case Kind.MEMBER if not self.people:
                return "no device that is on has an owner"
            case Kind.TAGGED if not self.tags:
                return "no device that is on has tags"
            case _:
                pass
        return ""

    def _why_person(self, login: str) -> str:
        user = self.tailnet.users.get(login)
        if user is not None and user.disabled:
            return f"`{shown(login)}` is switched off"
        if login in self.declared_people:
            return f"every device of `{shown(login)}` is switched off"
        return f"`{shown(login)}` has no device"


def _people(devices: Iterable[Device]) -> Iterator[str]:
    for device in devices:
        if device.owner is not None and not device.tags:
            yield device.owner


# Said already


def _dead(tailnet: Tailnet, written: Written) -> Iterator[Finding]:
    for place, other in Containment(tailnet, written).dead().items():
        rule = written[other][0]
        name = f"`{shown(rule.name)}`" if rule.name else "another rule"
        yield finding(
            "dead-rule",
            place,
            f"{name} opens all of this already",
            "take it out: nothing changes",
            [other],
        )
