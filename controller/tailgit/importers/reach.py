"""Who reaches whom over WireGuard as its files say it, as sets of ends.

A packet goes to the peer whose AllowedIPs have the longest prefix for its destination,
and is taken only if the same look-up for its source leads back to where it came from.
So a flow works both ways or not at all. On its way it may pass machines whose files
forward it; what a machine would do whose file nobody gave is not assumed, except that
it talks to those that have it as their peer.

An end is a machine itself or a subnet behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from tailgit.importers.mesh import Machine
from tailgit.model.addresses import Network

_Match = tuple[Network, Machine]
_DEFAULT = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


@dataclass(frozen=True, slots=True)
class End:
    """A machine, or with a `prefix` what lies behind it; `text` is its selector."""

    machine: Machine
    text: str
    prefixes: tuple[Network, ...]
    is_subnet: bool = False


def ends(
    machines: Iterable[Machine], routes: Mapping[Machine, Iterable[Network]]
) -> list[End]:
    """Every machine with an address, and every subnet."""
    found = []
    for machine in machines:
        own = tuple(ip_network(address) for address in machine.addresses)
        found.append(End(machine, machine.name, own))
        found += [
            End(machine, str(prefix), (prefix,), True) for prefix in routes[machine]
        ]
    return found


class Reach:
    """Look-ups in AllowedIPs, kept: a file with a thousand peers is asked often."""

    def __init__(self) -> None:
        self.known: dict[tuple[Machine, Network], _Match | None] = {}
        self.tables: dict[Machine, dict[Network, Machine]] = {}
        self.lengths: dict[Machine, list[int]] = {}

    def table(self, machine: Machine) -> dict[Network, Machine]:
        """A machine's AllowedIPs; of two equal ones the last counts, as for wg."""
        if machine not in self.tables:
            self.tables[machine] = {
                prefix: peer.machine
                for peer in machine.peers
                if peer.machine is not None
                for prefix in peer.allowed
            }
            lengths = {prefix.prefixlen for prefix in self.tables[machine]}
            self.lengths[machine] = sorted(lengths, reverse=True)
        return self.tables[machine]

    def match(self, machine: Machine, target: Network) -> _Match | None:
        """The longest prefix around all of a prefix, and whose it is."""
        key = machine, target
        if key not in self.known:
            self.known[key] = None
            table = self.table(machine)
            for length in self.lengths[machine]:
                if length <= target.prefixlen:
                    prefix = target.supernet(new_prefix=length)
                    if prefix in table:
                        self.known[key] = prefix, table[prefix]
                        break
        return self.known[key]

    def hop(self, machine: Machine, target: Network) -> Machine | None:
        """The peer that a machine has for all of a prefix; None if it has none."""
        found = self.match(machine, target)
        return found[1] if found is not None else None

    def joins(self, one: End, other: End) -> bool:
        """Whether the two may talk, in any family."""
        if one.machine.file is None:
            one, other = other, one
        if one.machine is other.machine or one.machine.file is None:
            return False
        return any(
            self.flows(one.machine, src, other.machine, dst)
            for src in one.prefixes
            for dst in other.prefixes
            if src.version == dst.version
        )

    def flows(self, start: Machine, src: Network, end: Machine, dst: Network) -> bool:
        """Whether packets from `src` at a machine with a file come to `dst`."""
        here, seen = start, {start}
        while here is not end:
            after = self.hop(here, dst)
            if after is None or after in seen:
                return False
            if after.file is None:
                return after is end and here is start
            if self.hop(after, src) is not here:
                return False
            seen.add(after)
            here = after
        return True

    def exit_of(self, machine: Machine) -> Machine | None:
        """The machine that takes another one's traffic to the internet."""
        for version, everything in _DEFAULT.items():
            after = self.hop(machine, everything) or self._halves(machine, version)
            if after is None:
                continue
            own = [a for a in machine.addresses if a.version == version]
            if after.file is None or any(
                self.hop(after, ip_network(address)) is machine for address in own
            ):
                return after
        return None

    def _halves(self, machine: Machine, version: int) -> Machine | None:
        """`0.0.0.0/1, 128.0.0.0/1`: the default route in a form that wins over it."""
        low, high = _DEFAULT[version].subnets()
        after = self.hop(machine, low)
        return after if after is self.hop(machine, high) else None

    def behind(self, machine: Machine, prefix: Network) -> Machine:
        """Who carries a subnet that a machine is the next hop for: the end of hops."""
        seen = {machine}
        while machine.file is not None:
            found = self.match(machine, prefix)
            if found is None or found[0].prefixlen <= 1 or found[1] in seen:
                break
            machine = found[1]
            seen.add(machine)
        return machine


def grouped(all_ends: list[End]) -> list[tuple[list[End], list[End]]]:
    """The pairs of ends that talk as few boxes of sources and destinations.

    Machines that all reach each other and the same others besides are one box; what
    is left goes together by what it reaches.
    """
    reach = Reach()
    around: dict[End, set[End]] = {end: set() for end in all_ends}
    known = [end for end in all_ends if end.machine.file is not None]
    for one in known:  # two without files never join
        for other in all_ends:
            if other not in around[one] and reach.joins(one, other):
                around[one].add(other)
                around[other].add(one)
    cliques: dict[frozenset[End], list[End]] = {}
    for end in all_ends:
        if around[end] and not end.is_subnet:
            cliques.setdefault(frozenset({*around[end], end}), []).append(end)
    boxes, done = [], set[End]()
    for targets, sources in cliques.items():
        if len(sources) > 1:
            boxes.append((sources, [end for end in all_ends if end in targets]))
            done.update(sources)
    others: dict[frozenset[End], list[End]] = {}
    for end in all_ends:
        if around[end] and end not in done:
            others.setdefault(frozenset(around[end]), []).append(end)
    for targets, sources in others.items():
        boxes.append((sources, [end for end in all_ends if end in targets]))
    return boxes
