"""Parties: who stands at one end of access, as people name them.

A *party* is an extent with a name that somebody can read: what the policy or the
question calls it or, for a part of that, the tags, groups, people and devices that
make it up.

Extents come from the relation's classes, so that a term of the policy means here what
it means to the nodes, and no pair of devices is ever looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tailgit.access.deadlines import Until, device_deadline
from tailgit.access.extents import NONE, Carried, Extent, Numbers, tidy
from tailgit.access.relation import Relation
from tailgit.access.routes import covers, is_in_internet, overlaps, prefix_order
from tailgit.access.rules import Term
from tailgit.access.selectors import addresses_in, prefixes_of
from tailgit.access.visibility import narrower
from tailgit.errors import UsageError
from tailgit.model.addresses import INTERNET, Network
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import BARE, Device

INTERNET_NAME = "the internet"


@dataclass(frozen=True, slots=True)
class Member:
    """A device of a party, by one of its addresses or both."""

    name: str
    versions: tuple[int, ...] = (4, 6)
    until: Until = None
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A prefix of a party that is nobody's own address, and who carries it."""

    prefix: str
    routers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Party:
    """One end of access with its name, or several that make it up.

    `people` counts owners of untagged members; `asks` is what else a device must meet
    (postures), `via` the tags that a rule goes through. The name `autogroup:self`
    stands for each person's own devices.
    """

    names: tuple[str, ...]
    kind: Kind | None
    extent: Extent
    members: tuple[Member, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    people: int = 0
    asks: tuple[str, ...] = ()
    via: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return ", ".join(self.names)

    @property
    def is_empty(self) -> bool:
        return not self.members and not self.subnets


class Parties:
    """The parties of one relation; each term is worked out once."""

    def __init__(self, relation: Relation) -> None:
        self.relation = relation
        self._pools = (relation.tailnet.ipv4, relation.tailnet.ipv6)
        self._at: dict[int, dict[int, list[int]]] = {
            4: defaultdict(list),
            6: defaultdict(list),
        }
        self._carriers: dict[int, list[int]] = defaultdict(list)
        for number, each in enumerate(relation.classes):
            for version in (4, 6):
                for term in each.own[version]:
                    self._at[version][term].extend(each.members)
            for term in each.carried:
                self._carriers[term].append(number)
        self._exits = frozenset(
            n for each in relation.classes if each.is_exit for n in each.members
        )
        self._sources: dict[int, Extent] = {}
        self._targets: dict[int, Extent] = {}

    # Terms of rules

    def source(self, term: int) -> Extent:
        """What a source term stands for."""
        if term not in self._sources:
            rules = self.relation.rules
            prefixes = rules.prefixes.get(term, ())
            if term in rules.any:
                prefixes = self.relation.everybody
            carried = tidy(dict.fromkeys(prefixes, NONE))
            self._sources[term] = Extent(*self._own(term), carried)
        return self._sources[term]

    def target(self, term: int) -> Extent:
        """What a destination term stands for: who would let such packets in."""
        if term not in self._targets:
            found: dict[Network, Numbers] = {}
            for prefix, router in self._beyond(term):
                found[prefix] = found.get(prefix, NONE) | router
            self._targets[term] = Extent(*self._own(term), tidy(found))
        return self._targets[term]

    def _own(self, term: int) -> tuple[Numbers, Numbers]:
        return frozenset(self._at[4].get(term, ())), frozenset(
            self._at[6].get(term, ())
        )

    def _beyond(self, term: int) -> Iterator[tuple[Network, Numbers]]:
        """What routers and exit nodes carry of a destination."""
        relation, rules = self.relation, self.relation.rules
        selector = rules.selectors[term].selector
        is_via = term in rules.via
        prefixes = prefixes_of(relation.tailnet, selector)
        if relation.tailnet.domain == BARE:
            # A policy alone has no routers; what it says of addresses still counts.
            anything = INTERNET if selector.kind is Kind.ANY else prefixes
            yield from ((prefix, NONE) for prefix in anything)
            return
        carriers = [relation.classes[n] for n in self._carriers.get(term, ())]
        if selector.kind is not Kind.INTERNET:
            for each in carriers:
                for route in each.routes:
                    if selector.kind is Kind.ANY:
                        yield route, frozenset(each.members)
                    for prefix in prefixes:
                        if overlaps(route, prefix):
                            yield narrower(route, prefix), frozenset(each.members)
        if is_via:
            exits = frozenset(n for each in carriers for n in each.members)
            if selector.kind is Kind.INTERNET and exits:
                yield from ((prefix, exits) for prefix in INTERNET)
            return
        if not self._exits:
            return
        wide = any(prefix.prefixlen == 0 for prefix in prefixes)
        if selector.kind in (Kind.ANY, Kind.INTERNET):
            yield from ((prefix, self._exits) for prefix in INTERNET)
        elif wide:
            versions = {p.version for p in prefixes if p.prefixlen == 0}
            yield from ((p, self._exits) for p in INTERNET if p.version in versions)
        else:
            yield from ((p, self._exits) for p in prefixes if is_in_internet(p))

    @cached_property
    def elsewhere(self) -> Numbers:
        """Source terms that hold addresses of no device and behind no router."""
        known = [*self._pools, *self.routers]
        prefixes = self.relation.rules.prefixes
        return frozenset(
            number
            for number, term in enumerate(self.relation.rules.selectors)
            if term.side == "src"
            and not all(
                any(covers(each, prefix) for each in known)
                for prefix in prefixes.get(number, ())
            )
        )

    # What somebody asks for

    def asked(self, selector: Selector) -> Extent:
        """What a selector on the command line stands for, on either side."""
        relation = self.relation
        if selector.kind is Kind.SELF:
            raise UsageError(
                "`autogroup:self` is somebody's own devices, and does not say whose",
                "name a user or a device",
            )
        four: set[int] = set()
        six: set[int] = set()
        for number, device in enumerate(relation.devices):
            for address in addresses_in(relation.tailnet, selector, device):
                (four if address.version == 4 else six).add(number)
        if selector.kind is Kind.ANY:
            internet = INTERNET if self._exits else ()
            prefixes: Sequence[Network] = (*self.routers, *internet)
        else:
            prefixes = prefixes_of(relation.tailnet, selector)
        beyond = {
            prefix: self.carriers(prefix)
            for prefix in prefixes
            if not (four or six) or not any(covers(p, prefix) for p in self._pools)
        }
        return Extent(frozenset(four), frozenset(six), tidy(beyond))

    @cached_property
    def routers(self) -> dict[Network, Numbers]:
        """Approved subnets with all who carry them, IPv4 first."""
        found: dict[Network, set[int]] = defaultdict(set)
        for each in self.relation.classes:
            for route in each.routes:
                found[route].update(each.members)
        return {
            route: frozenset(found[route]) for route in sorted(found, key=prefix_order)
        }

    def carriers(self, prefix: Network) -> Numbers:
        """The routers of any part of a prefix."""
        return frozenset(
            number
            for route, numbers in self.routers.items()
            if overlaps(route, prefix)
            for number in numbers
        ) or (self._exits if is_in_internet(prefix) else NONE)

    # Names

    def of_term(self, number: int) -> Party:
        """A term of a rule under the name that the rule gives it."""
        term: Term = self.relation.rules.selectors[number]
        extent = self.source(number) if term.side == "src" else self.target(number)
        named, kind = (str(term.selector),), term.selector.kind
        return self.party(named, kind, extent, asks=term.posture, via=term.via)

    def party(
        self,
        names: tuple[str, ...],
        kind: Kind | None,
        extent: Extent,
        *,
        asks: tuple[str, ...] = (),
        via: tuple[str, ...] = (),
    ) -> Party:
        """An extent under a name, with all its members."""
        devices = self.relation.devices
        members = tuple(
            self._member(number, extent) for number in sorted(extent.devices)
        )
        owners = {devices[n].owner for n in extent.devices if not devices[n].tags}
        subnets = tuple(self._subnets(extent.carried))
        return Party(names, kind, extent, members, subnets, len(owners), asks, via)

    def _member(self, number: int, extent: Extent) -> Member:
        device = self.relation.devices[number]
        numbers = ((4, extent.four), (6, extent.six))
        return Member(
            device.name,
            tuple(version for version, held in numbers if number in held),
            device_deadline(self.relation.tailnet, device),
            device.gateway or "",
        )

    def _subnets(self, carried: Carried) -> Iterator[Subnet]:
        prefixes = dict(carried)
        whole = all(prefix in prefixes for prefix in INTERNET)
        if whole:
            exits = frozenset(n for p in INTERNET for n in prefixes[p])
            yield Subnet(INTERNET_NAME, self._names(exits))
        for prefix, routers in carried:
            # Of the tailnet's own ranges, only what devices have takes part.
            inside = any(covers(pool, prefix) for pool in self._pools)
            if not inside and not (whole and prefix in INTERNET):
                routers = routers or self.carriers(prefix)
                yield Subnet(_text(prefix), self._names(routers))

    def _names(self, numbers: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.relation.devices[number].name for number in sorted(numbers))

    def part(self, extent: Extent) -> Party:
        """A part of something, called by the fewest names that make it up."""
        names = list(self._cover(extent.four & extent.six))
        for version, numbers in ((4, extent.four), (6, extent.six)):
            alone = numbers - (extent.four & extent.six)
            names += [f"{name} by IPv{version} only" for name in self._names(alone)]
        names += [subnet.prefix for subnet in self._subnets(extent.carried)]
        return self.party(tuple(names), None, extent)

    def _cover(self, devices: Numbers) -> Iterator[str]:
        """Whole tags, groups and people first, then the devices that are left."""
        left = set(devices)
        for name, numbers in self._named:
            # A name for what another has named already would say it twice.
            if len(numbers & left) > 1 and numbers <= devices:
                yield name
                left -= numbers
        for name, numbers in self._people:
            if numbers <= devices and numbers & left:
                yield name
                left -= numbers
        yield from self._names(left)

    @cached_property
    def _named(self) -> list[tuple[str, Numbers]]:
        """Tags, groups and the two halves of a tailnet, the largest first."""
        found: dict[str, set[int]] = defaultdict(set)
        for name, group in self.relation.tailnet.groups.items():
            for login in group.members:
                found[name] |= self.devices_by_owner.get(login, NONE)
        for number, device in enumerate(self.relation.devices):
            for tag in device.tags:
                found[tag].add(number)
            if device.tags or device.owner:
                kind = Kind.TAGGED if device.tags else Kind.MEMBER
                found[kind.value].add(number)
        listed = [(name, frozenset(numbers)) for name, numbers in found.items()]
        return sorted(
            listed,
            key=lambda each: (-len(each[1]), not each[0].startswith("tag:"), each[0]),
        )

    @cached_property
    def _people(self) -> list[tuple[str, Numbers]]:
        return sorted(self.devices_by_owner.items())

    @cached_property
    def devices_by_owner(self) -> dict[str, Numbers]:
        """The untagged devices of each person."""
        found: dict[str, set[int]] = defaultdict(set)
        for number, device in enumerate(self.relation.devices):
            if person := _person(device):
                found[person].add(number)
        return {login: frozenset(found[login]) for login in sorted(found)}


def _text(prefix: Network) -> str:
    """A prefix; a single address without its length."""
    single = prefix.prefixlen == prefix.max_prefixlen
    return str(prefix.network_address if single else prefix)


def _person(device: Device) -> str | None:
    return None if device.tags else device.owner
