"""Who may log in where, and as whom: the policy's `ssh` rules.

Each device has an ordered list of admissions; the first that holds both the source
and the login name decides, and none is a no (POLICY.md §6). Check rules come before
all accept rules, so the stricter answer wins; else the order of the files counts.

Two ways to the same answer: `ssh_lists` works out all lists at once, `ssh_decision`
goes through the rules for one pair. That they agree is a property test.

Not copied from Tailscale: there a rule with `localpart:` also reaches sources that
are no destination of it, each for its own user's devices. Nobody wrote that down, so
nobody means it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tailgit.access.postures import attributes_of, meets
from tailgit.access.selectors import active_devices, is_identity_of
from tailgit.model.addresses import Address
from tailgit.model.policy import SshRule
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet

ROOT = "root"
NONROOT = "autogroup:nonroot"
LOCALPART = "localpart:*@"

USUAL_CHECK_PERIOD = 12 * 3600
"""Seconds for which a check holds where the rule does not say."""


@dataclass(frozen=True, slots=True)
class Logins:
    """Login names that a rule opens: `names` (sorted), or any but root as well."""

    names: tuple[str, ...]
    any_but_root: bool = False

    def __bool__(self) -> bool:
        return bool(self.names) or self.any_but_root

    def holds(self, login: str) -> bool:
        """Whether one may log in under this name; root only if it is listed."""
        if login in self.names:
            return True
        return self.any_but_root and login not in ("", ROOT)


@dataclass(frozen=True, slots=True)
class Admission:
    """One line of a device's list: from these devices, under these names, by `rule`."""

    rule: SshRule
    sources: tuple[Device, ...]
    logins: Logins

    @property
    def principals(self) -> tuple[Address, ...]:
        """The sources by their own addresses, never by routes."""
        return tuple(each for device in self.sources for each in device.addresses)

    @property
    def check_period(self) -> int | None:
        """For how many seconds a check holds, 0 for one login; None: no check."""
        if self.rule.action != "check":
            return None
        period = self.rule.check_period
        return USUAL_CHECK_PERIOD if period is None else period


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to «may SRC log in at DST as LOGIN», and the rule behind a yes."""

    action: Literal["accept", "check", "deny"]
    rule: SshRule | None = None


DENY = Decision("deny")


def ssh_lists(tailnet: Tailnet) -> dict[str, tuple[Admission, ...]]:
    """The list of every active device, by name; empty where no rule lets anybody in."""
    devices = tuple(active_devices(tailnet).values())
    named = _Named(tailnet, devices)
    lists: dict[str, list[Admission]] = {device.name: [] for device in devices}
    for rule in rules_in_order(tailnet):
        allowed = named.by(rule.src)
        sources = tuple(
            d for d in devices if d.name in allowed and _is_fit(tailnet, rule, d)
        )
        targets = named.by(rule.dst)
        everybody = tuple(_admissions(rule, sources))
        for name in targets:
            lists[name].extend(everybody)
        if any(selector.kind is Kind.SELF for selector in rule.dst):
            for person, own in _by_person(sources).items():
                if person is None:
                    continue
                theirs = tuple(_admissions(rule, own))
                for device in devices:
                    if person_of(device) == person and device.name not in targets:
                        lists[device.name].extend(theirs)
    return {name: tuple(found) for name, found in lists.items()}


def ssh_decision(tailnet: Tailnet, src: Device, dst: Device, login: str) -> Decision:
    """Whether `src` may log in at `dst` under the name `login`, and by which rule."""
    active = active_devices(tailnet)
    if src.name not in active or dst.name not in active:
        return DENY
    for rule in rules_in_order(tailnet):
        if (
            any(is_identity_of(tailnet, selector, src) for selector in rule.src)
            and _is_fit(tailnet, rule, src)
            and _leads_to(tailnet, rule, src, dst)
            and logins_of(rule, person_of(src)).holds(login)
        ):
            return Decision(rule.action, rule)
    return DENY


def rules_in_order(tailnet: Tailnet) -> tuple[SshRule, ...]:
    """The rules that count, in the order in which they are asked: check first."""
    rules = (rule for rule in tailnet.ssh_rules if not rule.disabled)
    return tuple(sorted(rules, key=lambda rule: rule.action != "check"))


def person_of(device: Device) -> str | None:
    """Whose device it is; a tagged device is nobody's (POLICY.md §0, point 6)."""
    return None if device.tags else device.owner


def logins_of(rule: SshRule, person: str | None) -> Logins:
    """The names that the rule opens for devices of `person`.

    What is neither `autogroup:nonroot` nor `localpart:*@DOMAIN` is a login name,
    whatever it looks like: `tag:x` and `autogroup:member` are names too.
    """
    names = set()
    for user in rule.users:
        if user.startswith(LOCALPART):
            local, _, domain = (person or "").rpartition("@")
            if local and domain == user.removeprefix(LOCALPART):
                names.add(local)
        elif user != NONROOT:
            names.add(user)
    return Logins(tuple(sorted(names)), NONROOT in rule.users)


def _is_fit(tailnet: Tailnet, rule: SshRule, src: Device) -> bool:
    """Whether the source has one of the postures that the rule asks for."""
    postures = rule.posture or tailnet.default_src_posture
    return meets(tailnet, postures, attributes_of(src))


def _leads_to(tailnet: Tailnet, rule: SshRule, src: Device, dst: Device) -> bool:
    """Whether `dst` is a destination of the rule for somebody who comes from `src`."""
    person = person_of(src)
    return any(
        is_identity_of(tailnet, selector, dst)
        or (
            selector.kind is Kind.SELF
            and person is not None
            and person == person_of(dst)
        )
        for selector in rule.dst
    )


def _admissions(rule: SshRule, sources: tuple[Device, ...]) -> Iterator[Admission]:
    """One admission for all sources, or one for each person where names are theirs."""
    groups: dict[str | None, tuple[Device, ...]] = {None: sources} if sources else {}
    if any(user.startswith(LOCALPART) for user in rule.users):
        groups = _by_person(sources)
    for person, devices in groups.items():
        logins = logins_of(rule, person)
        if logins:
            yield Admission(rule, devices, logins)


def _by_person(sources: Iterable[Device]) -> dict[str | None, tuple[Device, ...]]:
    """The sources of each person, those that are nobody's last."""
    found: dict[str | None, list[Device]] = {}
    for device in sources:
        found.setdefault(person_of(device), []).append(device)
    persons = sorted(found, key=lambda person: (person is None, person or ""))
    return {person: tuple(found[person]) for person in persons}


class _Named:
    """Which devices selectors name, asked once for each selector."""

    def __init__(self, tailnet: Tailnet, devices: tuple[Device, ...]) -> None:
        self._tailnet = tailnet
        self._devices = devices
        self._found: dict[Selector, frozenset[str]] = {}

    def by(self, selectors: Iterable[Selector]) -> frozenset[str]:
        """The names of the devices that one of the selectors names."""
        return frozenset().union(*(self._one(selector) for selector in selectors))

    def _one(self, selector: Selector) -> frozenset[str]:
        if selector not in self._found:
            self._found[selector] = frozenset(
                device.name
                for device in self._devices
                if is_identity_of(self._tailnet, selector, device)
            )
        return self._found[selector]
