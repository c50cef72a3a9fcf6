"""The packet filter of a node as Tailscale's control plane writes it: literal boxes.

This is what `export` and comparisons with Tailscale speak of. Nodes of ours get
`openings`: the same, cut to what can occur at the node and grouped for nftables. A
destination is delivered as it was written, also where the node has part of it only,
and families are not matched (POLICY.md §0, point 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from tailgit.access.deadlines import Until
from tailgit.access.relation import Relation
from tailgit.access.rules import Ids
from tailgit.access.selectors import EVERYTHING, prefixes_of
from tailgit.model.addresses import INTERNET, Address, Network
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Device


@dataclass(frozen=True, slots=True)
class Box:
    """Packets from any of `src` to any of `dst` that `ports` let pass."""

    src: tuple[Network, ...]
    dst: tuple[Network, ...]
    ports: Ports
    until: Until = None


def packet_filter(relation: Relation, node: str) -> tuple[Box, ...]:
    """What may come in at a node; `KeyError` if it is not an active device."""
    return (*_boxes(relation, node), *_self_boxes(relation, node))


def _boxes(relation: Relation, node: str) -> Iterator[Box]:
    rules = relation.rules
    for target in sorted(relation.class_of(node).ids):
        sources = rules.backward.get(target, {})
        dst = destinations(relation, node, target) if sources else ()
        for source in sorted(sources):
            src = addresses_of(relation, source)
            for each in rules.spans(sources[source] & rules.opening):
                if src and dst:
                    yield Box(src, dst, each.ports, each.until)


def _self_boxes(relation: Relation, node: str) -> Iterator[Box]:
    device, rules = relation.device(node), relation.rules
    if device.owner is None or device.tags:
        return
    masks = relation.people.masks.get(device.owner, {})
    dst = _own(relation.devices[number] for number in masks)
    for number, mask in masks.items():
        src = _own([relation.devices[number]])
        for each in rules.spans(mask & rules.opening):
            yield Box(src, dst, each.ports, each.until)


def destinations(relation: Relation, node: str, target: int) -> tuple[Network, ...]:
    """What a destination term stands for at a node that has it.

    An identity is the node's own addresses. `*` through routers is what they carry:
    it gives no access to the routers themselves.
    """
    rules, each = relation.rules, relation.class_of(node)
    term = rules.selectors[target]
    match term.selector.kind:
        case Kind.ANY:
            return each.routes if term.via else EVERYTHING
        case Kind.INTERNET:
            return INTERNET
        case Kind.HOST | Kind.PREFIX | Kind.IPSET:
            return prefixes_of(relation.tailnet, term.selector)
        case _:
            return own_addresses(relation, node, frozenset((target,)))


def own_addresses(relation: Relation, node: str, terms: Ids) -> tuple[Network, ...]:
    """Those of a node's own addresses that any of the terms covers."""
    own, device = relation.class_of(node).own, relation.device(node)
    return tuple(
        ip_network(address)
        for address in device.addresses
        if own[address.version] & terms
    )


def addresses_of(relation: Relation, source: int) -> tuple[Network, ...]:
    """What a source term stands for: prefixes, or the addresses of devices."""
    rules = relation.rules
    if source in rules.any:
        return relation.everybody
    if source in rules.prefixes:
        return rules.prefixes[source]
    return tuple(
        ip_network(address)
        for each in relation.classes
        if source in each.address_ids
        for number in each.members
        for address in _covered(relation.devices[number], source, each.own)
    )


def _covered(device: Device, source: int, own: dict[int, Ids]) -> Iterator[Address]:
    yield from (a for a in device.addresses if source in own[a.version])


def _own(devices: Iterable[Device]) -> tuple[Network, ...]:
    return tuple(ip_network(a) for device in devices for a in device.addresses)
