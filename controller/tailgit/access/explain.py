"""Why something is allowed or not: the rules behind one answer of the relation.

This goes through the rules one by one, as a person would, so that each answer names
file and line. That it never disagrees with the relation is a property test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tailgit.access.routes import approved_routes
from tailgit.access.selectors import (
    active_devices,
    addresses_in,
    devices_of,
    is_identity_of,
    prefix_of,
)
from tailgit.errors import UsageError
from tailgit.model.addresses import Address
from tailgit.model.ports import ICMP, ICMPV6, NAMES, TCP, UDP
from tailgit.model.selectors import Kind, Selector, SelectorError, parse_selector
from tailgit.model.tailnet import Device, Rule, Tailnet


@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow: an address, and the device that owns or carries it."""

    address: Address
    device: Device | None
    is_own: bool

    def __str__(self) -> str:
        if self.device is None:
            return str(self.address)
        if self.is_own:
            return self.device.name
        return f"{self.address} behind {self.device.name}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to «may SRC reach DST».

    `allowed` holds if every source reaches every destination in every family that
    both have. `rules` are those that open something of it, by place; `notes` say
    what comes nearest when the answer is no, or what is left out when it is partial.
    """

    allowed: bool
    sentence: str
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()


def explain(
    tailnet: Tailnet,
    src: str,
    dst: str,
    protocol: int | None = None,
    port: int | None = None,
) -> Explanation:
    """Why `src` may reach `dst`, or why not; both are selectors or addresses.

    Without a protocol TCP and UDP are asked (one suffices); without a port, any
    port suffices. `UsageError` if a name is unknown.
    """
    sources, targets = ends(tailnet, src), ends(tailnet, dst)
    asked = _asked(src, dst, protocol, port)
    if not sources or not targets:
        empty = src if not sources else dst
        return Explanation(False, f"{asked}: no, nobody is behind `{empty}`")
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
    opening: dict[Rule, None] = {}
    passed: list[tuple[End, End]] = []
    blocked: list[tuple[End, End]] = []
    for a, b in pairs:
        rules = tuple(rules_between(tailnet, a, b, protocol, port))
        opening.update(dict.fromkeys(rules))
        (passed if rules else blocked).append((a, b))
    rules = tuple(sorted(opening, key=lambda rule: rule.place))
    if not blocked:
        return Explanation(True, f"{asked}: yes", rules)
    if passed:
        notes = (f"allowed for {_listed(passed)}", f"not for {_listed(blocked)}")
        return Explanation(False, f"{asked}: only in part", rules, notes)
    return Explanation(
        False, f"{asked}: no rule allows it", (), tuple(_nearest(tailnet, pairs, port))
    )


def ends(tailnet: Tailnet, text: str) -> tuple[End, ...]:
    """The addresses behind a selector: own ones of devices, or one inside a subnet."""
    try:
        selector = parse_selector(text, devices=tailnet.devices, hosts=tailnet.hosts)
    except SelectorError as error:
        raise UsageError(str(error), _known(tailnet, text)) from None
    found = tuple(
        End(address, device, True)
        for device in devices_of(tailnet, selector)
        for address in addresses_in(tailnet, selector, device)
    )
    if found or selector.kind not in (Kind.PREFIX, Kind.HOST):
        return found
    prefix = prefix_of(tailnet, selector)
    if prefix is None:
        return ()
    return (_end_of(tailnet, prefix.network_address),)


def rules_between(
    tailnet: Tailnet,
    src: End,
    dst: End,
    protocol: int | None = None,
    port: int | None = None,
) -> Iterator[Rule]:
    """The rules that let a flow from one end to the other pass, in file order."""
    if src.address.version != dst.address.version:
        return
    for rule in tailnet.rules:
        if (
            not rule.disabled
            and joins(tailnet, rule, src, dst)
            and (_opens(rule, protocol, port))
        ):
            yield rule


def joins(tailnet: Tailnet, rule: Rule, src: End, dst: End) -> bool:
    """Whether the rule names both ends, whatever the ports."""
    return any(
        _is_source(tailnet, selector, src)
        and any(_is_target(tailnet, selector, other, src, dst) for other in rule.dst)
        for selector in rule.src
    )


def _is_source(tailnet: Tailnet, selector: Selector, end: End) -> bool:
    if selector.kind is Kind.ANY:
        return end.device is not None
    return _is_at(tailnet, selector, end)


def _is_target(
    tailnet: Tailnet, source: Selector, selector: Selector, src: End, dst: End
) -> bool:
    if selector.kind is Kind.ANY:
        return True
    if selector.kind is not Kind.SELF:
        return _is_at(tailnet, selector, dst)
    people = Kind.ANY, Kind.MEMBER, Kind.GROUP, Kind.USER
    one, other = src.device, dst.device
    return (
        source.kind in people
        and src.is_own
        and dst.is_own
        and one is not None
        and other is not None
        and not one.tags
        and not other.tags
        and one.owner is not None
        and one.owner == other.owner
    )


def _is_at(tailnet: Tailnet, selector: Selector, end: End) -> bool:
    prefix = prefix_of(tailnet, selector)
    if prefix is not None:
        return end.address in prefix
    return (
        end.is_own
        and end.device is not None
        and is_identity_of(tailnet, selector, end.device)
    )


def _opens(rule: Rule, protocol: int | None, port: int | None) -> bool:
    if protocol in (ICMP, ICMPV6):
        return True
    protocols = (TCP, UDP) if protocol is None else (protocol,)
    return any(
        number in protocols and (port is None or first <= port <= last)
        for number, first, last in rule.ports.ranges
    )


def _end_of(tailnet: Tailnet, address: Address) -> End:
    for name, routes in approved_routes(tailnet).items():
        if any(address in route for route in routes):
            return End(address, tailnet.devices[name], False)
    return End(address, None, False)


def _nearest(
    tailnet: Tailnet, pairs: Iterable[tuple[End, End]], port: int | None
) -> Iterator[str]:
    """What a person would look at next when nothing allows a flow."""
    asked = f", you asked port {port}" if port is not None else ""
    said: dict[str, None] = {}
    for src, dst in pairs:
        near = _joining(tailnet, src, dst)
        for rule in near:
            where = f"{src} may reach {dst} on {rule.ports} ({rule.place})"
            said[where + asked] = None
        if not near and _joining(tailnet, dst, src):
            said[f"{dst} may reach {src}, not the other way round"] = None
    yield from said
    yield from _reminders(pairs)


def _joining(tailnet: Tailnet, src: End, dst: End) -> list[Rule]:
    """The rules that join the two ends, whatever the port."""
    if src.address.version != dst.address.version:
        return []
    return [r for r in tailnet.rules if not r.disabled and joins(tailnet, r, src, dst)]


def _reminders(pairs: Iterable[tuple[End, End]]) -> Iterator[str]:
    seen: dict[str, None] = {}
    for pair in pairs:
        for end in pair:
            device = end.device
            if device is None:
                seen[
                    f"{end.address} is no device's address and in no approved route"
                ] = None
            elif not end.is_own:
                seen[
                    f"{end}: only IPs, CIDRs, hosts and `*` name what is behind it"
                ] = None
    yield from seen


def _asked(src: str, dst: str, protocol: int | None, port: int | None) -> str:
    text = f"{src} -> {dst}"
    if protocol is not None:
        text += f" {NAMES.get(protocol, protocol)}"
    return f"{text} port {port}" if port is not None else text


def _listed(pairs: list[tuple[End, End]]) -> str:
    names = list(
        dict.fromkeys(f"{a} -> {b} (IPv{a.address.version})" for a, b in pairs)
    )
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def _known(tailnet: Tailnet, text: str) -> str:
    from difflib import get_close_matches

    known = [*active_devices(tailnet), *tailnet.hosts, *tailnet.users]
    known += [*tailnet.groups, *tailnet.tag_owners]
    near = get_close_matches(text, known, 1)
    return f"did you mean `{near[0]}`?" if near else ""
