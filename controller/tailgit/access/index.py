"""From a device, an address or a route to the terms that hold it, without a scan.

A policy may list a country's prefixes and a tailnet have thousands of devices; so
people, tags and names are looked up, and an address by one look-up for each length of
prefix that occurs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

from tailgit.access.postures import Attributes, attributes_of, meets
from tailgit.access.routes import is_in_internet, overlaps
from tailgit.access.rules import Ids, Term
from tailgit.access.selectors import (
    domain_in,
    domain_of,
    prefixes_of,
    roles_of,
)
from tailgit.model.addresses import Address, Network
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Device, Tailnet

Families = dict[int, Ids]
"""Terms by IP version, 4 and 6."""


class TermIndex:
    """The terms of one policy by what they match."""

    def __init__(self, tailnet: Tailnet, terms: Sequence[Term]) -> None:
        self._tailnet = tailnet
        self._terms = terms
        self._all: set[int] = set()
        self._member: set[int] = set()
        self._tagged: set[int] = set()
        self._internet: set[int] = set()
        self._people: dict[str, set[int]] = defaultdict(set)
        self._roles: dict[str, set[int]] = defaultdict(set)
        self._domains: dict[str, set[int]] = defaultdict(set)
        self._tags: dict[str, set[int]] = defaultdict(set)
        self._names: dict[str, set[int]] = defaultdict(set)
        self._prefixes: dict[Network, set[int]] = defaultdict(set)
        self._via: list[int] = []
        self._postured: set[int] = set()
        for number, term in enumerate(terms):
            if term.via:
                self._via.append(number)
                continue
            if term.posture:
                self._postured.add(number)
            self._add(number, term)
        # (version, length) -> network as a number -> terms.
        self._lengths: dict[tuple[int, int], dict[int, set[int]]] = {}
        for prefix, ids in self._prefixes.items():
            table = self._lengths.setdefault((prefix.version, prefix.prefixlen), {})
            table[int(prefix.network_address)] = ids

    def _add(self, number: int, term: Term) -> None:
        selector = term.selector
        match selector.kind:
            case Kind.ANY:
                self._all.add(number)
            case Kind.MEMBER:
                self._member.add(number)
            case Kind.TAGGED:
                self._tagged.add(number)
            case Kind.INTERNET:
                self._internet.add(number)
            case Kind.USER:
                self._people[selector.value].add(number)
            case Kind.GROUP:
                group = self._tailnet.groups.get(selector.value)
                for login in group.members if group else ():
                    self._people[login].add(number)
            case Kind.ROLE:
                self._roles[selector.value].add(number)
            case Kind.DOMAIN:
                self._domains[domain_in(selector)].add(number)
            case Kind.TAG:
                self._tags[selector.value].add(number)
            case Kind.DEVICE:
                self._names[selector.value].add(number)
            case Kind.SELF | Kind.SHARED:
                pass
            case Kind.HOST | Kind.PREFIX | Kind.IPSET | Kind.DANGER_ALL:
                for prefix in prefixes_of(self._tailnet, selector):
                    self._prefixes[prefix].add(number)

    # Devices

    def own(self, device: Device, attributes: Attributes | None = None) -> Families:
        """The terms that match a device by its own addresses.

        `attributes` replaces what is declared about it, for postures.
        """
        who = self._identities(device)
        four, six = (who | self._holding(address) for address in device.addresses)
        given = attributes_of(device) if attributes is None else attributes
        unmet = self._unmet(given, four | six)
        return {4: frozenset(four - unmet), 6: frozenset(six - unmet)}

    def _identities(self, device: Device) -> set[int]:
        found = self._all | self._names.get(device.name, set())
        if device.tags:
            found |= self._tagged
            for tag in device.tags:
                found |= self._tags.get(tag, set())
        elif device.owner is not None:
            found |= self._member
            found |= self._people.get(device.owner, set())
            found |= self._domains.get(domain_of(device.owner), set())
            for role in roles_of(self._tailnet, device.owner) if self._roles else ():
                found |= self._roles.get(role, set())
        return found

    def _unmet(self, attributes: Attributes, ids: set[int]) -> set[int]:
        """Those of the terms that ask for a posture which is not there."""
        return {
            number
            for number in ids & self._postured
            if not meets(self._tailnet, self._terms[number].posture, attributes)
        }

    # Addresses

    def holding(self, address: Address) -> Ids:
        """Address terms that hold an address, whoever has it."""
        return frozenset(self._holding(address) - self._postured)

    def _holding(self, address: Address) -> set[int]:
        found: set[int] = set()
        number, bits = int(address), address.max_prefixlen
        for (version, length), table in self._lengths.items():
            if version == address.version:
                hole = bits - length
                found |= table.get(number >> hole << hole, set())
        return found

    # Routes

    def carried(self, device: Device, routes: Sequence[Network], *, exits: bool) -> Ids:
        """The terms that stand for something which the device carries for others."""
        found = {number for each in routes for number in self.touching(each)}
        if routes:
            found |= self._all - self._postured
        if exits:
            found |= self._internet | self._public
        found.update(n for n in self._via if self._goes(n, device, routes, exits=exits))
        return frozenset(found)

    def touching(self, route: Network) -> set[int]:
        """Address terms that overlap a route, in either direction."""
        found: set[int] = set()
        number, bits = int(route.network_address), route.max_prefixlen
        for (version, length), table in self._lengths.items():
            if version == route.version and length <= route.prefixlen:
                hole = bits - length
                found |= table.get(number >> hole << hole, set())
        starts, inner = self._sorted[route.version]
        first = bisect_left(starts, number)
        last = bisect_right(starts, int(route.broadcast_address))
        for prefix in inner[first:last]:
            if prefix.prefixlen > route.prefixlen:
                found |= self._prefixes[prefix]
        return found - self._postured

    @cached_property
    def _sorted(self) -> dict[int, tuple[list[int], list[Network]]]:
        """Prefixes of each family by their first address."""
        found = {}
        for version in (4, 6):
            inner = [each for each in self._prefixes if each.version == version]
            inner.sort(key=lambda each: int(each.network_address))
            found[version] = [int(each.network_address) for each in inner], inner
        return found

    @cached_property
    def _public(self) -> Ids:
        """Destinations that an exit node is delivered like the internet itself."""
        return frozenset(
            number
            for prefix, ids in self._prefixes.items()
            if is_in_internet(prefix)
            for number in ids
            if self._terms[number].side == "dst"
        )

    def _goes(
        self, number: int, device: Device, routes: Iterable[Network], *, exits: bool
    ) -> bool:
        """Whether a rule that goes through tagged routers goes through this device."""
        term = self._terms[number]
        if set(term.via).isdisjoint(device.tags):
            return False
        match term.selector.kind:
            case Kind.INTERNET:
                return exits
            case Kind.ANY:
                return bool(tuple(routes))
            case _:
                prefixes = prefixes_of(self._tailnet, term.selector)
                return any(overlaps(p, route) for p in prefixes for route in routes)
