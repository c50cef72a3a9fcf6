"""Why something is allowed or not: the rules behind one answer of the relation.

This goes through the rules one by one, as a person would, so that each answer names
file and line. That it never disagrees with the relation is a property test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailgit.access.deadlines import (
    Until,
    as_of,
    device_deadline,
    first_of,
    is_over,
    last_of,
)
from tailgit.access.ends import End, ends, ends_of, read_selector
from tailgit.access.matching import (
    Match,
    matches,
    names_source,
    names_target,
    opens,
    rules_between,
)
from tailgit.access.selectors import active_devices
from tailgit.model.deadline import Deadline, deadline_text
from tailgit.model.policy import Rule
from tailgit.model.ports import NAMES
from tailgit.model.selectors import IDENTITY, Kind
from tailgit.model.tailnet import Device, Tailnet

__all__ = ["End", "Explanation", "ends", "explain", "rules_between"]

Pairs = list[tuple[End, End]]

_PEOPLE = IDENTITY - {Kind.TAG, Kind.TAGGED, Kind.DEVICE}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to «may SRC reach DST».

    `allowed` holds if every source reaches every destination in every family that
    both have, and ends with `until`. `rules` are those that open something of it, by
    place; `notes` say what comes nearest when the answer is no, or what is left out
    when it is partial.
    """

    allowed: bool
    sentence: str
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()
    until: Until = None


def explain(
    tailnet: Tailnet,
    src: str,
    dst: str,
    protocol: int | None = None,
    port: int | None = None,
    at: Deadline | None = None,
) -> Explanation:
    """Why `src` may reach `dst`, or why not; both are selectors or addresses.

    Without a protocol TCP and UDP are asked (one suffices); without a port, any
    port suffices; without a time, what has an end counts. `UsageError` if a name is
    unknown.
    """
    one, other = read_selector(tailnet, src), read_selector(tailnet, dst)
    now = as_of(tailnet, at)
    sources, targets = ends_of(now, one), ends_of(now, other)
    asked = _asked(src, dst, protocol, port)
    for selector, found in ((one, sources), (other, targets)):
        if not found:
            sentence = f"{asked}: no, nobody is behind `{selector}`"
            away = tuple(_away(tailnet, selector.value, at))
            return Explanation(False, sentence, (), away)
    pairs = [
        (a, b)
        for a in sources
        for b in targets
        if a.address.version == b.address.version and a.address != b.address
    ]
    if not pairs:
        return Explanation(
            False, f"{asked}: no, the two have no address family in common"
        )
    return _answer(tailnet, now, pairs, asked, protocol, port, at)


def _answer(
    tailnet: Tailnet,
    now: Tailnet,
    pairs: Pairs,
    asked: str,
    protocol: int | None,
    port: int | None,
    at: Until,
) -> Explanation:
    opening: dict[Rule, None] = {}
    passed: Pairs = []
    blocked: Pairs = []
    until: list[Until] = []
    for a, b in pairs:
        rules = tuple(rules_between(now, a, b, protocol, port))
        opening.update(dict.fromkeys(rules))
        (passed if rules else blocked).append((a, b))
        if rules:
            until.append(_until(now, rules, a, b))
    rules = tuple(sorted(opening, key=lambda rule: rule.place))
    if not blocked:
        end = first_of(until)
        until_when = () if end is None else (f"until {deadline_text(end)}",)
        notes = (*until_when, *_circumstances(pairs))
        return Explanation(True, f"{asked}: yes", rules, notes, end)
    if passed:
        notes = (
            f"allowed for {_listed(passed)}",
            f"not for {_listed(blocked)}",
            *_circumstances(passed),
        )
        return Explanation(False, f"{asked}: only in part", rules, notes)
    found = _Nearest(tailnet, now, protocol, port, at)
    said = tuple(dict.fromkeys(found.notes(pairs)))
    return Explanation(False, f"{asked}: no rule allows it", (), said)


def _until(tailnet: Tailnet, rules: tuple[Rule, ...], a: End, b: End) -> Until:
    """When the flow ends: with the last of its rules, or with one of its devices."""
    devices = [end.device for end in (a, b) if end.device is not None]
    return first_of(
        (
            last_of(rule.expires for rule in rules),
            *(device_deadline(tailnet, device) for device in devices),
        )
    )


class _Nearest:
    """What a person would look at next when nothing allows a flow."""

    def __init__(
        self,
        tailnet: Tailnet,
        now: Tailnet,
        protocol: int | None,
        port: int | None,
        at: Until,
    ) -> None:
        self.tailnet, self.now = tailnet, now
        self.protocol, self.port, self.at = protocol, port, at

    def notes(self, pairs: Pairs) -> Iterator[str]:
        asked = f", you asked port {self.port}" if self.port is not None else ""
        for src, dst in pairs:
            found = list(matches(self.now, src, dst))
            for match in found:
                yield from self._of(match, src, dst, asked)
            yield from self._over(src, dst)
            if not any(match.holds for match in found) and any(
                match.holds for match in matches(self.now, dst, src)
            ):
                yield f"{dst} may reach {src}, not the other way round"
        for src, dst in pairs:
            yield from self._tagged(src, dst)
        for src, dst in pairs:
            yield from self._others(src, dst)
        for pair in pairs:
            for end in pair:
                yield from _reminders(end)

    def _of(self, match: Match, src: End, dst: End, asked: str) -> Iterator[str]:
        rule = match.rule
        if match.holds and not rule.ports.ranges:
            yield f"{src} sees {dst}, but the rule opens no ports ({rule.place})"
        elif match.holds:
            yield f"{src} may reach {dst} on {rule.ports} ({rule.place}){asked}"
        elif opens(rule, self.protocol, self.port):
            for obstacle in match.obstacles:
                yield f"{rule.place} would allow it, but {obstacle}"

    def _over(self, src: End, dst: End) -> Iterator[str]:
        """Rules that allowed it until they ended."""
        if self.at is None:
            return
        for match in matches(self.tailnet, src, dst):
            end = match.rule.expires
            if (
                match.holds
                and end is not None
                and is_over(end, self.at)
                and opens(match.rule, self.protocol, self.port)
            ):
                yield f"{match.rule.place} allowed it through {deadline_text(end)}"

    def _tagged(self, src: End, dst: End) -> Iterator[str]:
        """A tagged device has no user, which surprises who knows whose it is."""
        device = src.device
        if device is None or not src.is_own or not device.tags:
            return
        for rule in self.now.rules:
            people = [each for each in rule.src if each.kind in _PEOPLE]
            if (
                people
                and not rule.disabled
                and opens(rule, self.protocol, self.port)
                and any(names_target(self.now, each, dst) for each in rule.dst)
                and not any(names_source(self.now, each, src) for each in rule.src)
            ):
                listed = ", ".join(f"`{each}`" for each in people[:3])
                yield f"{src} is tagged, so it is not in {listed} ({rule.place})"

    def _others(self, src: End, dst: End) -> Iterator[str]:
        """Who may do it: rules that would allow it if they named the source."""
        is_tagged = src.is_own and src.device is not None and bool(src.device.tags)
        for rule in self.now.rules:
            if is_tagged and any(each.kind in _PEOPLE for each in rule.src):
                continue  # `_tagged` has said so
            if (
                not rule.disabled
                and opens(rule, self.protocol, self.port)
                and any(names_target(self.now, each, dst) for each in rule.dst)
                and not any(names_source(self.now, each, src) for each in rule.src)
            ):
                listed = ", ".join(f"`{each}`" for each in rule.src[:3])
                more = ", …" if len(rule.src) > 3 else ""
                yield f"{rule.place} allows it to {listed}{more}, and not to {src}"


def _circumstances(pairs: Pairs) -> Iterator[str]:
    """What else stands between two ends that the rules let reach each other."""
    devices = {
        end.device.name: end.device for pair in pairs for end in pair if end.device
    }
    for device in devices.values():
        if device.public_key is None:
            yield f"{device.name} awaits its key, so nobody has it as a peer yet"
        if device.gateway is not None:
            yield f"{device.name} is via gateway {device.gateway}, which can act as it"
    behind = {str(end) for pair in pairs for end in pair if not end.is_own}
    yield from sorted(each for each in behind if " behind " in each)


def _reminders(end: End) -> Iterator[str]:
    if end.device is None:
        yield f"{end.address} is no device's address and in no approved route"
    elif not end.is_own:
        yield f"{end}: only IPs, CIDRs, hosts and `*` name what is behind it"


def _away(tailnet: Tailnet, name: str, at: Until) -> Iterator[str]:
    """Why a device that is written down is not there."""
    device = tailnet.devices.get(name)
    if device is None:
        return
    if device.name not in active_devices(tailnet):
        yield f"{name} is disabled, or its owner is ({device.place})"
    end = device_deadline(tailnet, device)
    if at is not None and end is not None and is_over(end, at):
        yield f"{name} ended with {deadline_text(end)} ({_ended(tailnet, device)})"


def _ended(tailnet: Tailnet, device: Device) -> str:
    user = tailnet.users.get(device.owner) if device.owner is not None else None
    if user is not None and user.expires == device_deadline(tailnet, device):
        return str(user.place)
    return str(device.place)


def _asked(src: str, dst: str, protocol: int | None, port: int | None) -> str:
    text = f"{src} -> {dst}"
    if protocol is not None:
        text += f" {NAMES.get(protocol, protocol)}"
    return f"{text} port {port}" if port is not None else text


def _listed(pairs: Pairs) -> str:
    names = list(
        dict.fromkeys(f"{a} -> {b} (IPv{a.address.version})" for a, b in pairs)
    )
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
