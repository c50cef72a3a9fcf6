"""One rule against one pair of ends: whether it joins them, and if not, why not.

The relation answers for everybody at once. This goes by rule and pair, as a person
reads the policy, so that an answer can name the line that decides; that both agree is
a property test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailgit.access.ends import End
from tailgit.access.postures import attributes_of, unmet, wanted_postures
from tailgit.access.routes import (
    approvals,
    exits_of,
    is_in_internet,
    subnets_of,
)
from tailgit.access.rules import WITH_A_SELF
from tailgit.access.selectors import is_identity_of, prefixes_of
from tailgit.model.addresses import INTERNET, Network
from tailgit.model.policy import Rule
from tailgit.model.ports import ICMP, ICMPV6, TCP, UDP
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import BARE, Tailnet


@dataclass(frozen=True, slots=True)
class Match:
    """What one rule says about one pair: `obstacles` are all that is in its way."""

    rule: Rule
    obstacles: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.obstacles


def rules_between(
    tailnet: Tailnet,
    src: End,
    dst: End,
    protocol: int | None = None,
    port: int | None = None,
) -> Iterator[Rule]:
    """The rules that let a flow from one end to the other pass, in file order."""
    for match in matches(tailnet, src, dst):
        if match.holds and opens(match.rule, protocol, port):
            yield match.rule


def matches(tailnet: Tailnet, src: End, dst: End) -> Iterator[Match]:
    """The rules that name both ends, with what is in their way."""
    if src.address.version != dst.address.version:
        return
    for rule in tailnet.rules:
        if not rule.disabled and names_both(tailnet, rule, src, dst):
            yield Match(rule, tuple(_obstacles(tailnet, rule, src, dst)))


def names_both(tailnet: Tailnet, rule: Rule, src: End, dst: End) -> bool:
    """Whether the rule's selectors hold both ends, whatever else it asks."""
    return any(
        names_source(tailnet, selector, src)
        and any(_is_target(tailnet, selector, other, src, dst) for other in rule.dst)
        for selector in rule.src
    )


def names_source(tailnet: Tailnet, selector: Selector, end: End) -> bool:
    if selector.kind is Kind.ANY:
        return end.device is not None
    return _is_at(tailnet, selector, end)


def names_target(tailnet: Tailnet, selector: Selector, end: End) -> bool:
    """Whether a destination holds the end; `autogroup:self` depends on the other."""
    if selector.kind is Kind.ANY:
        return True
    if selector.kind is Kind.INTERNET:
        return not end.is_own and _is_public(end)
    return selector.kind is not Kind.SELF and _is_at(tailnet, selector, end)


def _is_target(
    tailnet: Tailnet, source: Selector, selector: Selector, src: End, dst: End
) -> bool:
    if selector.kind is not Kind.SELF:
        return names_target(tailnet, selector, dst)
    one, other = src.device, dst.device
    return (
        source.kind in WITH_A_SELF
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
    if any(end.address in prefix for prefix in prefixes_of(tailnet, selector)):
        return True
    return (
        end.is_own
        and end.device is not None
        and is_identity_of(tailnet, selector, end.device)
    )


def _obstacles(tailnet: Tailnet, rule: Rule, src: End, dst: End) -> Iterator[str]:
    """What keeps a rule that names both ends from joining them."""
    postures = wanted_postures(tailnet, rule)
    if postures:
        own = src.device if src.is_own else None
        if own is None:
            yield f"{src} is no device, so it has none of {', '.join(postures)}"
        else:
            missing = unmet(tailnet, postures, attributes_of(own))
            if len(missing) == len(postures):
                yield from (f"{src}: {line}" for line in missing)
    if rule.via:
        if not _goes_through(tailnet, rule, dst):
            tags = " or ".join(rule.via)
            yield f"it goes through {tags} only, and none of those carries {dst}"
    elif not dst.is_own and tailnet.domain != BARE and not _reaches(tailnet, rule, dst):
        yield _nobody_carries(tailnet, dst)


def _goes_through(tailnet: Tailnet, rule: Rule, dst: End) -> bool:
    """Whether a router with one of the tags carries the end for this rule."""
    approved = approvals(tailnet)
    names = [name for name in approved if _has_tag(tailnet, name, rule)]
    routes = subnets_of(approved)
    if any(dst.address in r for name in names for r in routes.get(name, ())):
        return any(
            selector.kind is not Kind.INTERNET and names_target(tailnet, selector, dst)
            for selector in rule.dst
        )
    exits = exits_of(approved)
    return any(name in exits for name in names) and any(
        each.kind is Kind.INTERNET and names_target(tailnet, each, dst)
        for each in rule.dst
    )


def _has_tag(tailnet: Tailnet, name: str, rule: Rule) -> bool:
    return not set(rule.via).isdisjoint(tailnet.devices[name].tags)


def _reaches(tailnet: Tailnet, rule: Rule, dst: End) -> bool:
    """Whether an end that is no device's own is behind a device for this rule."""
    approved = approvals(tailnet)
    kinds = [each for each in rule.dst if names_target(tailnet, each, dst)]
    behind = any(
        dst.address in route
        for routes in subnets_of(approved).values()
        for route in routes
    )
    if behind and any(each.kind is not Kind.INTERNET for each in kinds):
        return True
    return bool(exits_of(approved)) and any(
        each.kind in (Kind.ANY, Kind.INTERNET)
        or any(
            _goes_out(prefix)
            for prefix in prefixes_of(tailnet, each)
            if dst.address in prefix
        )
        for each in (kinds if _is_public(dst) else ())
    )


def _goes_out(prefix: Network) -> bool:
    return prefix.prefixlen == 0 or is_in_internet(prefix)


def _is_public(end: End) -> bool:
    return any(end.address in prefix for prefix in INTERNET)


def _nobody_carries(tailnet: Tailnet, dst: End) -> str:
    for name, device in tailnet.devices.items():
        for route in () if device.disabled or dst.device else device.routes:
            if dst.address in route.prefix:
                what = f"{route.prefix} of {name} holds {dst.address}"
                return f"{what}, and no autoApprover lets it through"
    if _is_public(dst):
        return f"{dst.address} is in the internet, and there is no approved exit node"
    return f"{dst.address} is no device's address and in no approved route"


def opens(rule: Rule, protocol: int | None, port: int | None) -> bool:
    """Whether the rule opens what is asked for: without a protocol TCP or UDP.

    ICMP passes wherever a rule opens anything (POLICY.md §5).
    """
    if protocol in (ICMP, ICMPV6):
        return bool(rule.ports.ranges)
    protocols = (TCP, UDP) if protocol is None else (protocol,)
    return any(
        number in protocols and (port is None or first <= port <= last)
        for number, first, last in rule.ports.ranges
    )
