"""Openings: what a node's end of the tunnel lets through, in canonical form.

Sources (inward) or destinations (outward) are grouped by exactly the ports they have,
in the order of device names. Policies that are written differently and mean the same
give equal openings, hence equal bytes on the nodes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses, ip_network

from tailgit.access.classes import DeviceClass, Ids
from tailgit.access.routes import overlaps, prefix_order
from tailgit.access.rules import NOTHING, Mask, RuleIndex
from tailgit.model.addresses import Network
from tailgit.model.ports import Ports

EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@dataclass(frozen=True, slots=True)
class Opening:
    """What some peers may do (inward) or what may be done to them (outward).

    `devices` are indices into `Relation.devices`, by their own addresses; `prefixes`
    are literal, collapsed and of one family. `here` narrows this node's end: None
    means its own address and its approved routes.
    """

    ports: Ports
    devices: tuple[int, ...] = ()
    prefixes: tuple[Network, ...] = ()
    here: Network | None = None


class Openings:
    """Makes the openings of classes; each distinct selector set is grouped once."""

    def __init__(
        self,
        rules: RuleIndex,
        classes: Sequence[DeviceClass],
        tailnet_prefixes: Iterable[Network],
    ) -> None:
        self._rules = rules
        self._classes = classes
        self._inside = tuple(tailnet_prefixes)
        self._grouped: dict[tuple[Ids, bool], tuple[Opening, ...]] = {}
        # Only identities are looked up here, and they match in both families alike.
        self._members: dict[int, list[int]] = defaultdict(list)
        for number, each in enumerate(classes):
            for selector in each.own[4]:
                self._members[selector].append(number)

    def of_host(
        self, each: DeviceClass, version: int, *, inward: bool
    ) -> Iterator[Opening]:
        """For devices without routes: their end is always their own address."""
        for opening in self._group(each.own[version], inward=inward):
            yield from _cut(opening, version, None)

    def of_router(
        self, each: DeviceClass, address: Network, *, inward: bool
    ) -> Iterator[Opening]:
        """For a device with approved routes, in the family of its `address`.

        Its own address, the literals that touch its routes and `*` are judged each
        for itself: only `*` opens all of its end at once.
        """
        version, prefixes = address.version, self._rules.prefixes
        scopes: dict[Network | None, set[int]] = defaultdict(set)
        scopes[None] |= self._rules.any
        scopes[address] |= each.own[version] - self._rules.any
        for selector in each.presence[version] & prefixes.keys():
            if any(overlaps(prefixes[selector], route) for route in each.routes):
                scopes[prefixes[selector]].add(selector)
        for here, ids in sorted(scopes.items(), key=_scope_order):
            for opening in self._group(frozenset(ids), inward=inward):
                yield from _cut(opening, version, here)

    def _group(self, ids: Ids, *, inward: bool) -> tuple[Opening, ...]:
        """Everything at the other end of `ids`, of both families."""
        key = (ids, inward)
        if key not in self._grouped:
            self._grouped[key] = tuple(self._make_group(ids, inward=inward))
        return self._grouped[key]

    def _make_group(self, ids: Ids, *, inward: bool) -> Iterator[Opening]:
        of_class, of_prefix = self._collect(ids, inward=inward)
        union = self._rules.union
        devices: dict[Mask, list[int]] = {}
        for number, mask in of_class.items():
            devices.setdefault(mask, []).extend(self._classes[number].members)
        prefixes: dict[Mask, list[Network]] = {}
        for prefix, mask in of_prefix.items():
            prefixes.setdefault(mask, []).append(prefix)
        # Different masks may be the same ports: {80} with {22,80} is {22,80}.
        masks: dict[Ports, list[Mask]] = {}
        for mask in devices.keys() | prefixes.keys():
            masks.setdefault(union(mask), []).append(mask)
        for ports in sorted(masks, key=_ports_order):
            members = [n for mask in masks[ports] for n in devices.get(mask, ())]
            literals = [p for mask in masks[ports] for p in prefixes.get(mask, ())]
            yield Opening(ports, tuple(sorted(members)), _collapsed(literals))

    def _collect(
        self, ids: Ids, *, inward: bool
    ) -> tuple[dict[int, Mask], dict[Network, Mask]]:
        """What is open by class and by literal prefix at the other end."""
        rules = self._rules
        index = rules.backward if inward else rules.forward
        of_selector: dict[int, Mask] = {}
        for selector in ids:
            for other, mask in index.get(selector, NOTHING).items():
                of_selector[other] = of_selector.get(other, 0) | mask
        of_class: dict[int, Mask] = {}
        of_prefix: dict[Network, Mask] = {}
        everybody = 0
        for other, mask in of_selector.items():
            if other in rules.any:
                everybody = mask
                for prefix in self._inside if inward else EVERYWHERE:
                    of_prefix[prefix] = of_prefix.get(prefix, 0) | mask
            elif other in rules.prefixes:
                prefix = rules.prefixes[other]
                of_prefix[prefix] = of_prefix.get(prefix, 0) | mask
            else:
                for number in self._members.get(other, ()):
                    of_class[number] = of_class.get(number, 0) | mask
        if everybody:
            # What everybody may do, these devices may do through the ranges of `*`.
            of_class = {n: mask for n, mask in of_class.items() if mask & ~everybody}
        return of_class, of_prefix


def _cut(opening: Opening, version: int, here: Network | None) -> Iterator[Opening]:
    """The opening in one family, if anything of it is left."""
    if not opening.prefixes and here is None:
        yield opening
        return
    prefixes = tuple(p for p in opening.prefixes if p.version == version)
    if prefixes or opening.devices:
        yield Opening(opening.ports, opening.devices, prefixes, here)


def _collapsed(prefixes: Iterable[Network]) -> tuple[Network, ...]:
    """Merged and sorted: an nft interval set takes no overlapping elements."""
    listed = list(prefixes)
    if len(listed) < 2:
        return tuple(listed)
    found: list[Network] = []
    found.extend(collapse_addresses(p for p in listed if p.version == 4))
    found.extend(collapse_addresses(p for p in listed if p.version == 6))
    return tuple(sorted(found, key=prefix_order))


def _ports_order(ports: Ports) -> tuple[tuple[int, int, int], ...]:
    return ports.ranges


def _scope_order(
    scope: tuple[Network | None, set[int]],
) -> tuple[bool, tuple[int, int, int]]:
    here = scope[0]
    return here is not None, prefix_order(here) if here is not None else (0, 0, 0)
