"""What the rules let one address do to another, whoever has them, if anybody has.

Tests and explanations ask so: a policy can be wrong about a host that nobody has yet
(POLICY.md §8, «checked against rules, not against who owns the address»). What a node
lets in is another question: `Relation.accepts`.
"""

from __future__ import annotations

from tailgit.access.postures import Attributes
from tailgit.access.relation import Relation
from tailgit.access.rules import Ids
from tailgit.access.selectors import prefixes_of
from tailgit.model.addresses import INTERNET, Address
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Device


def ports_between(
    relation: Relation, src: Address, dst: Address, attributes: Attributes | None = None
) -> Ports | None:
    """The ports that the rules open; None if they open none.

    `attributes` are what the source is taken to have, for postures.
    """
    rules = relation.rules
    sources = source_terms(relation, src, attributes)
    targets = target_terms(relation, dst)
    mask = 0
    for source in sources:
        for target, bits in rules.forward.get(source, {}).items():
            if target in targets:
                mask |= bits
    one, other = owner_of(relation, src), owner_of(relation, dst)
    if one is not None and other is not None and _is_one_person(one, other):
        mask |= relation.people.mask(sources)
    mask &= rules.opening
    return rules.union(mask) if mask else None


def source_terms(
    relation: Relation, address: Address, attributes: Attributes | None = None
) -> Ids:
    """The source terms that an address meets.

    With attributes it is a device that asks, also where the address is nobody's.
    """
    device = owner_of(relation, address)
    if device is not None:
        if attributes is None:
            return relation.class_of(device.name).own[address.version]
        return relation.index.own(device, attributes)[address.version]
    found = relation.index.holding(address)
    if any(address in prefix for prefix in relation.everybody):
        found |= relation.rules.any
    return found


def target_terms(relation: Relation, address: Address) -> Ids:
    """The destination terms that an address meets.

    A rule that goes through routers counts where one of them carries the address.
    """
    rules = relation.rules
    device = owner_of(relation, address)
    found = set(relation.index.holding(address) | rules.any)
    if device is not None:
        found |= relation.class_of(device.name).own[address.version]
    elif any(address in prefix for prefix in INTERNET):
        found |= rules.internet
    for number, term in rules.via.items():
        if term.selector.kind is Kind.INTERNET:
            holds = device is None and any(address in each for each in INTERNET)
        else:
            prefixes = prefixes_of(relation.tailnet, term.selector)
            holds = any(address in prefix for prefix in prefixes)
        if holds and any(number in each.carried for each in relation.classes):
            found.add(number)
    return frozenset(found)


def owner_of(relation: Relation, address: Address) -> Device | None:
    """The device whose own address it is."""
    number = relation.number_of_address.get(address)
    return relation.devices[number] if number is not None else None


def _is_one_person(one: Device, other: Device) -> bool:
    return (
        one.owner is not None
        and one.owner == other.owner
        and not one.tags
        and not other.tags
    )
