"""Application capabilities: what grants with `app` hand to the devices they name.

A capability opens no port. It is a fact that a destination's own applications read:
these addresses have that capability here, with these values (POLICY.md §4). Two of
Tailscale's come in pairs: who may mount a drive is told to the drive, and the drive to
whoever may mount it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from tailgit.access.deadlines import Until
from tailgit.access.filters import addresses_of, own_addresses
from tailgit.access.postures import wanted_postures
from tailgit.access.relation import Relation
from tailgit.access.rules import WITH_A_SELF, Ids, Side, Term
from tailgit.model.addresses import Network
from tailgit.model.policy import Rule
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Device

Networks = tuple[Network, ...]

COMPANIONS = {
    "tailscale.com/cap/drive": "tailscale.com/cap/drive-sharer",
    "tailscale.com/cap/relay": "tailscale.com/cap/relay-target",
}
"""Capabilities that are told to the other end too, under another name."""


@dataclass(frozen=True, slots=True)
class Held:
    """At `dst`, the node's own addresses, `src` has a capability with these values."""

    capability: str
    src: Networks
    dst: Networks
    values: tuple[str, ...] = ()
    until: Until = None


def capabilities(relation: Relation, node: str) -> tuple[Held, ...]:
    """What a node is told, in order of the rules."""
    return tuple(
        held
        for rule in relation.tailnet.rules
        if rule.app and not rule.disabled and not rule.via
        for held in (*_plain(relation, rule, node), *_to_self(relation, rule, node))
    )


def _plain(relation: Relation, rule: Rule, node: str) -> Iterator[Held]:
    sources = _terms(relation, rule, "src")
    targets = _terms(relation, rule, "dst")
    dst = own_addresses(relation, node, targets)
    if dst and sources:
        # Also where nobody is behind the sources: Tailscale tells that, too.
        yield from _told(rule, _addresses(relation, sources), dst)
    back, there = own_addresses(relation, node, sources), _addresses(relation, targets)
    if back and there:
        yield from _told_back(rule, there, back)


def _to_self(relation: Relation, rule: Rule, node: str) -> Iterator[Held]:
    device = relation.device(node)
    if device.tags or all(each.kind is not Kind.SELF for each in rule.dst):
        return
    mine = [d for d in relation.devices if d.owner == device.owner and not d.tags]
    sources = _terms(relation, rule, "src", WITH_A_SELF)
    src = [each for each in mine if own_addresses(relation, each.name, sources)]
    own = _of([device])
    if src:
        yield from _told(rule, _of(src), own)
    if device in src:
        yield from _told_back(rule, _of(mine), own)


def _told(rule: Rule, src: Networks, dst: Networks) -> Iterator[Held]:
    for app in rule.app:
        yield Held(app.capability, src, dst, app.values, rule.expires)


def _told_back(rule: Rule, src: Networks, dst: Networks) -> Iterator[Held]:
    for app in rule.app:
        if app.capability in COMPANIONS:
            yield Held(COMPANIONS[app.capability], src, dst, (), rule.expires)


def _terms(
    relation: Relation, rule: Rule, side: Side, kinds: Container[Kind] = frozenset(Kind)
) -> Ids:
    """The terms of one side of a rule."""
    rules = relation.rules
    posture = wanted_postures(relation.tailnet, rule) if side == "src" else ()
    return frozenset(
        rules.numbers[Term(side, each, posture)]
        for each in (rule.src if side == "src" else rule.dst)
        if each.kind in kinds and each.kind is not Kind.SELF
    )


def _addresses(relation: Relation, terms: Ids) -> Networks:
    return tuple(a for term in sorted(terms) for a in addresses_of(relation, term))


def _of(devices: Iterable[Device]) -> Networks:
    return tuple(ip_network(a) for device in devices for a in device.addresses)
