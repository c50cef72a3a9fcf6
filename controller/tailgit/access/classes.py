"""Device classes: devices that every rule of the policy treats alike.

Two devices are one class if the same *referenced* selectors match them: a group that
no rule mentions splits nothing. Everything that costs is then done between classes,
never between pairs of devices (PERFORMANCE.md, P3). A device with approved routes is
a class of its own, since rules may also name parts of its subnets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tailgit.access.routes import overlaps
from tailgit.access.selectors import prefix_of
from tailgit.model.addresses import Address, Network
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet

Ids = frozenset[int]
Families = dict[int, Ids]
"""Selector ids by IP version, 4 and 6."""


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """Devices that match the same selectors.

    `members` are indices into the relation's devices, ascending. `own` holds, for
    each family, the selectors that cover the members' own address of that family;
    `presence` adds those that overlap their approved routes.
    """

    members: tuple[int, ...]
    own: Families
    presence: Families
    routes: tuple[Network, ...] = ()

    @property
    def address_ids(self) -> Ids:
        """Selectors that cover an own address of either family."""
        return self.own[4] | self.own[6]

    @property
    def ids(self) -> Ids:
        """Selectors that cover anything of the members in either family."""
        return self.presence[4] | self.presence[6]


def classify(
    tailnet: Tailnet,
    devices: Sequence[Device],
    selectors: Sequence[Selector],
    approved: Mapping[str, tuple[Network, ...]],
) -> tuple[DeviceClass, ...]:
    """The classes of `devices`, in order of their first member."""
    index = _SelectorIndex(tailnet, selectors)
    found: dict[tuple[Ids, Ids, str], list[int]] = {}
    for number, device in enumerate(devices):
        who = index.identities(device)
        key = (
            who | index.holding(device.ipv4),
            who | index.holding(device.ipv6),
            device.name if device.name in approved else "",
        )
        found.setdefault(key, []).append(number)
    return tuple(
        _device_class(index, members, {4: v4, 6: v6}, approved.get(router, ()))
        for (v4, v6, router), members in found.items()
    )


def _device_class(
    index: _SelectorIndex,
    members: list[int],
    own: Families,
    routes: tuple[Network, ...],
) -> DeviceClass:
    presence = own
    if routes:
        presence = {
            version: own[version]
            | index.any
            | index.touching(r for r in routes if r.version == version)
            for version in (4, 6)
        }
    return DeviceClass(tuple(members), own, presence, routes)


class _SelectorIndex:
    """From a device to the ids of the selectors that match it, without a scan."""

    def __init__(self, tailnet: Tailnet, selectors: Sequence[Selector]) -> None:
        self.any: Ids = frozenset()
        self._member: Ids = frozenset()
        self._tagged: Ids = frozenset()
        self._people: dict[str, set[int]] = {}
        self._tags: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._prefixes: dict[int, Network] = {}
        # (version, length) -> network as a number -> ids: one look-up for each length
        # that occurs, however many prefixes a policy lists.
        self._lengths: dict[tuple[int, int], dict[int, set[int]]] = {}
        for number, selector in enumerate(selectors):
            self._add(tailnet, number, selector)

    def _add(self, tailnet: Tailnet, number: int, selector: Selector) -> None:
        match selector.kind:
            case Kind.ANY:
                self.any = frozenset({number})
            case Kind.MEMBER:
                self._member = frozenset({number})
            case Kind.TAGGED:
                self._tagged = frozenset({number})
            case Kind.USER:
                self._people.setdefault(selector.value, set()).add(number)
            case Kind.GROUP:
                group = tailnet.groups.get(selector.value)
                for login in group.members if group else ():
                    self._people.setdefault(login, set()).add(number)
            case Kind.TAG:
                self._tags[selector.value] = number
            case Kind.DEVICE:
                self._names[selector.value] = number
            case Kind.HOST | Kind.PREFIX:
                self._add_prefix(number, prefix_of(tailnet, selector))
            case Kind.SELF:
                pass

    def _add_prefix(self, number: int, prefix: Network | None) -> None:
        if prefix is None:
            return
        self._prefixes[number] = prefix
        table = self._lengths.setdefault((prefix.version, prefix.prefixlen), {})
        table.setdefault(int(prefix.network_address), set()).add(number)

    def identities(self, device: Device) -> Ids:
        """Selectors that match the device in both families."""
        found = set(self.any)
        if device.name in self._names:
            found.add(self._names[device.name])
        if device.tags:
            found |= self._tagged
            found.update(self._tags[tag] for tag in device.tags if tag in self._tags)
        elif device.owner is not None:
            found |= self._member
            found |= self._people.get(device.owner, set())
        return frozenset(found)

    def holding(self, address: Address) -> Ids:
        """Address selectors whose prefix holds the address."""
        found: set[int] = set()
        number, bits = int(address), address.max_prefixlen
        for (version, length), table in self._lengths.items():
            if version == address.version:
                hole = bits - length
                found |= table.get(number >> hole << hole, set())
        return frozenset(found)

    def touching(self, routes: Iterable[Network]) -> Ids:
        """Address selectors that overlap one of the routes, in either direction."""
        wanted = tuple(routes)
        return frozenset(
            number
            for number, prefix in self._prefixes.items()
            if any(overlaps(prefix, route) for route in wanted)
        )
