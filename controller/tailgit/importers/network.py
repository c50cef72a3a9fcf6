"""A tailnet while it is put together from wg-quick files: its ranges and its routes.

The range is the smallest one around all addresses. What AllowedIPs have besides
machines are subnets, each of the machine that is last on the way to it, and ways to
the internet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_network

from tailgit.importers.mesh import Machine, Mesh, covering, is_inside
from tailgit.importers.notes import Note
from tailgit.importers.reach import Reach
from tailgit.model.addresses import Network
from tailgit.model.findings import Place

MACHINE, ROUTER = "tag:machine", "tag:router"
_USUAL = IPv4Network("100.64.0.0/10")


@dataclass(slots=True)
class WireGuardNetwork:
    """What is known of it so far; `notes` grow on the way."""

    name: str
    domain: str
    mesh: Mesh
    ipv4: IPv4Network
    ipv6: IPv6Network
    routes: dict[Machine, list[Network]] = field(default_factory=dict)
    exits: dict[Machine, Machine] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    @property
    def machines(self) -> list[Machine]:
        return list(self.mesh.machines.values())

    def tag(self, machine: Machine) -> str:
        """Routers have a tag of their own, for `autoApprovers`."""
        carries = self.routes[machine] or machine in self.exits.values()
        return ROUTER if carries else MACHINE


# Ranges


def network_of(name: str, domain: str, mesh: Mesh, file: str) -> WireGuardNetwork:
    machines = list(mesh.machines.values())
    networks = [each for machine in machines for each in machine.networks]
    networks += [ip_network(each) for machine in machines for each in machine.addresses]
    start = Place(file)
    ipv4, ipv6 = _ipv4(networks), _ipv6(networks)
    found = WireGuardNetwork(
        name, domain, mesh, ipv4 or _USUAL, ipv6 or _ula(name, machines)
    )
    if ipv4 is None:
        message = f"no IPv4 range holds the machines: it is {_USUAL} now"
        found.notes.append(Note("assumed", start, message))
    if ipv6 is None:
        message = f"no IPv6 range holds the machines: it is {found.ipv6} now"
        found.notes.append(Note("assumed", start, message))
    return found


def _ipv4(networks: list[Network]) -> IPv4Network | None:
    """The range around all addresses; None if that would be much of the internet."""
    found = covering(networks, 4)
    while isinstance(found, IPv4Network) and found.prefixlen >= 8:
        taken = {n.network_address for n in networks if n.prefixlen == n.max_prefixlen}
        if found.prefixlen <= 29 and not taken & {found[0], found[-1]}:
            return found
        found = found.supernet()
    return None


def _ipv6(networks: list[Network]) -> IPv6Network | None:
    found = covering(networks, 6)
    if not isinstance(found, IPv6Network) or found.prefixlen < 8:
        return None
    return found if found.prefixlen <= 64 else found.supernet(new_prefix=64)


def _ula(name: str, machines: list[Machine]) -> IPv6Network:
    """A prefix of fd00::/8 by the machines' keys: the same files, the same prefix."""
    text = "\n".join([name, *sorted(each.key or each.name for each in machines)])
    number = int.from_bytes(sha256(text.encode()).digest()[:5], "big")
    return IPv6Network((0xFD << 120 | number << 80, 48))


# Routes


def find_routes(network: WireGuardNetwork) -> None:
    """What AllowedIPs have besides machines: subnets and ways to the internet."""
    reach = Reach()
    network.routes = {machine: [] for machine in network.machines}
    found: dict[Machine, set[Network]] = {each: set() for each in network.machines}
    own = {ip_network(a) for each in network.machines for a in each.addresses}
    inside = {n for each in network.machines for n in each.networks}
    for machine in network.machines:
        for peer in machine.peers:
            assert machine.file is not None
            assert peer.machine is not None
            at = machine.file.place(peer.section, "AllowedIPs")
            for prefix in peer.allowed:
                if prefix.prefixlen <= 1 or prefix in own or prefix in inside:
                    continue
                if not _routable(network, prefix, own, at):
                    continue
                found[reach.behind(peer.machine, prefix)].add(prefix)
        if machine.file is not None:
            exit_node = reach.exit_of(machine)
            if exit_node is not None:
                network.exits[machine] = exit_node
    for machine, prefix in _narrowed(network, found):
        network.routes[machine].append(prefix)
    for routes in network.routes.values():
        routes.sort(key=lambda n: (n.version, int(n.network_address), n.prefixlen))


def _routable(
    network: WireGuardNetwork, prefix: Network, own: set[Network], at: Place
) -> bool:
    """Whether a prefix is a subnet of its own; the tailnet's range is none."""
    ranges = (network.ipv4, network.ipv6)
    if any(is_inside(prefix, each) for each in ranges):
        if not any(is_inside(each, prefix) for each in own):
            message = f"`{prefix}` is nobody's address"
            network.notes.append(Note("left-out", at, message))
        return False
    if any(is_inside(each, prefix) for each in ranges):
        message = f"`{prefix}` holds the tailnet's own range, so it can't be a route"
        help_ = "name the subnets that lie behind the machine"
        network.notes.append(Note("left-out", at, message, help_))
        return False
    if prefix.is_multicast or prefix.is_loopback or prefix.is_link_local:
        message = f"`{prefix}` can't be routed"
        network.notes.append(Note("left-out", at, message))
        return False
    return True


def _narrowed(
    network: WireGuardNetwork, found: Mapping[Machine, set[Network]]
) -> Iterator[tuple[Machine, Network]]:
    """Without prefixes that are a part of another one, or that hold somebody else's.

    A spoke says `10.0.0.0/16` of its hub and means what is behind the other spokes.
    """
    holders: dict[Network, list[Machine]] = {}
    for machine, prefixes in found.items():
        for prefix in prefixes:
            holders.setdefault(prefix, []).append(machine)
    lengths = sorted({prefix.prefixlen for prefix in holders})
    wide = set[tuple[Machine, Network]]()
    around: dict[tuple[Machine, Network], list[Network]] = {}
    for prefix, machines in holders.items():
        for length in lengths:
            if length >= prefix.prefixlen:
                break
            outer = prefix.supernet(new_prefix=length)
            for holder in holders.get(outer, []):
                if holder in machines:
                    around.setdefault((holder, prefix), []).append(outer)
                if machines != [holder]:
                    wide.add((holder, outer))
    for prefix, machines in holders.items():
        for machine in machines:
            if (machine, prefix) in wide:
                message = f"`{prefix}` at `{machine.name}` holds others' subnets"
                help_ = "only those are routes now; name its own ones"
                note = Note("left-out", machine.place, message, help_)
                network.notes.append(note)
            elif all((machine, o) in wide for o in around.get((machine, prefix), ())):
                yield machine, prefix
