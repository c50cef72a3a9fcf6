"""Machines from wg-quick files: who is who, by public key, over all files together.

A file knows its own machine best; what others say of it (an endpoint, its addresses, a
name) is gathered under its key. A machine that no file is of is known by that alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from tailgit.importers.naming import file_name, label, remarked_name, said_name
from tailgit.importers.wgquick import QuickFile, Section, is_public_key
from tailgit.model.addresses import Address, Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown


@dataclass(slots=True)
class Peer:
    """What one file says of another machine."""

    section: Section
    allowed: list[Network]
    machine: Machine | None = None


@dataclass(slots=True, eq=False)
class Machine:
    """One machine; `file` is its own, if there is one."""

    key: str | None
    place: Place
    file: QuickFile | None = None
    peers: list[Peer] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    listen_port: int | None = None
    remarks: list[str] = field(default_factory=list)
    name: str = ""
    said: str = ""


_Single = list[tuple[Address, list[Network]]]


@dataclass(slots=True)
class Mesh:
    """All machines by name, and what was wrong in the files."""

    machines: dict[str, Machine]
    host_names: list[tuple[str, Place]]


def read_mesh(files: Sequence[QuickFile], findings: list[Finding]) -> Mesh:
    """The machines of the files; they are of no use if there are findings."""
    reader = _Reader(findings)
    own = [reader.own(each) for each in files]
    reader.by_key = reader.keyed(own)
    for machine in own:
        reader.peers(machine)
    machines = reader.matched(own)
    single = reader.single_addresses(machines)
    for machine in machines:
        reader.addresses_of(machine, single.get(machine, []))
    named: dict[str, Machine] = {}
    times: Counter[str] = Counter()
    for machine in machines:
        _name(machine, named, times)
    return Mesh(named, reader.host_names)


class _Reader:
    """Values of sections parsed, each mistake with its line."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self.by_key: dict[str, Machine] = {}
        self.host_names: list[tuple[str, Place]] = []
        self.allowed_of: dict[int, list[Network]] = {}

    def wrong(self, at: Place, message: str, help_: str) -> None:
        self.findings.append(finding("bad-value", at, message, help_))

    def own(self, file: QuickFile) -> Machine:
        """The machine that a file is of."""
        section = file.interface
        machine = Machine(file.public_key, file.place(section), file)
        for text in section.all("Address"):
            try:
                address = ip_interface(text)
            except ValueError:
                at = file.place(section, "Address")
                self.wrong(at, f"`{shown(text[:60])}` is no address", "10.8.0.2/24")
                continue
            machine.addresses.append(address.ip)
            machine.networks.append(address.network)
        port = section.one("ListenPort")
        if port:
            machine.listen_port = self.port(port, file.place(section, "ListenPort"))
        return machine

    def port(self, text: str, at: Place) -> int | None:
        if text.isascii() and text.isdigit() and int(text[:6]) < 65536:
            return int(text) or None
        self.wrong(at, f"`{shown(text[:60])}` is no port", "a number up to 65535")
        return None

    def keyed(self, own: Sequence[Machine]) -> dict[str, Machine]:
        found: dict[str, Machine] = {}
        for machine in own:
            if machine.key is None:
                continue
            first = found.setdefault(machine.key, machine)
            if first is not machine:
                message = f"the same machine as in {first.place}: its private key is"
                self.wrong(machine.place, message, "give one file of each machine")
        return found

    def peers(self, machine: Machine) -> None:
        """The peers of a machine's file, by key; unknown ones are machines, too."""
        file, seen = machine.file, set[str]()
        assert file is not None
        for section in file.peers:
            if section.disabled:
                continue
            key, at = section.one("PublicKey"), file.place(section, "PublicKey")
            if not is_public_key(key):
                said = "is no public key" if key else "is missing"
                message = f"the peer's PublicKey {said}"
                self.wrong(at, message, "32 bytes in base64, 44 characters")
                continue
            if key in seen:
                self.wrong(at, "a second peer has this key", "make one of the two")
            if key == machine.key:
                self.wrong(at, "the peer is the machine itself", "take it out")
            seen.add(key)
            other = self.by_key.setdefault(key, Machine(key, file.place(section)))
            machine.peers.append(Peer(section, self.allowed(file, section), other))
            self.endpoint(other, file, section)
            for name in (said_name(section), remarked_name(section)):
                if name:
                    other.remarks.append(name)

    def allowed(self, file: QuickFile, section: Section) -> list[Network]:
        found = []
        for text in section.all("AllowedIPs"):
            try:
                found.append(ip_network(text, strict=False))
            except ValueError:
                at = file.place(section, "AllowedIPs")
                message = f"`{shown(text[:60])}` is no address or prefix"
                self.wrong(at, message, "10.8.0.2/32")
        return found

    def endpoint(self, machine: Machine, file: QuickFile, section: Section) -> None:
        text, at = section.one("Endpoint"), file.place(section, "Endpoint")
        if not text:
            return
        host, colon, port = text.rpartition(":")
        number = self.port(port, at) if colon else None
        if not colon or not host or number is None:
            if colon:
                return
            self.wrong(at, f"`{shown(text[:60])}` has no port", "ADDRESS:PORT")
            return
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            self.host_names.append((text, at))
            return
        shape = (
            f"[{address}]:{number}" if address.version == 6 else f"{address}:{number}"
        )
        if "%" not in shape and shape not in machine.endpoints:
            machine.endpoints.append(shape)

    def matched(self, own: Sequence[Machine]) -> list[Machine]:
        """All machines; a file without a key is of the one that has its address."""
        found = list(dict.fromkeys([*own, *self.by_key.values()]))
        for machine in own:
            if machine.key is not None:
                continue
            others = {
                peer.machine.key: peer.machine
                for each in own
                for peer in each.peers
                if peer.machine is not None and peer.machine.file is None
                for prefix in peer.allowed
                if prefix.prefixlen == prefix.max_prefixlen
                and prefix.network_address in machine.addresses
            }
            if len(others) == 1:
                other = next(iter(others.values()))
                self.join(machine, other, own)
                found.remove(other)
        return found

    def join(self, machine: Machine, other: Machine, own: Sequence[Machine]) -> None:
        machine.key = other.key
        machine.endpoints += other.endpoints
        machine.remarks += other.remarks
        for each in own:
            for peer in each.peers:
                if peer.machine is other:
                    peer.machine = machine

    def single_addresses(self, machines: Sequence[Machine]) -> dict[Machine, _Single]:
        """By machine, the addresses that others allow it, with their own networks."""
        found: dict[Machine, _Single] = {}
        for each in machines:
            for peer in each.peers:
                for prefix in peer.allowed:
                    single = prefix.prefixlen == prefix.max_prefixlen
                    if single and peer.machine is not None:
                        some = found.setdefault(peer.machine, [])
                        some.append((prefix.network_address, each.networks))
        return found

    def addresses_of(self, machine: Machine, single: _Single) -> None:
        """Of a machine without a file: those in somebody's network, or the first."""
        if machine.file is not None:
            return
        inside = [
            address
            for address, networks in single
            if any(address in network for network in networks)
        ]
        for version in (4, 6):
            near = [each for each in inside if each.version == version]
            far = [each for each, _ in single if each.version == version]
            machine.addresses += list(dict.fromkeys(near or far[:1]))


def _name(machine: Machine, named: dict[str, Machine], times: Counter[str]) -> None:
    own = machine.file
    names = [
        *([said_name(own.interface), file_name(own)] if own is not None else []),
        *machine.remarks,
        *(f"peer-{address}" for address in machine.addresses[:1]),
    ]
    machine.said = next((name for name in names if name), "")
    machine.name = label(names, named, times)
    named[machine.name] = machine


def covering(networks: Sequence[Network], version: int) -> Network | None:
    """The smallest prefix around all networks of one family; None if there is none."""
    family = [each for each in networks if each.version == version]
    if not family:
        return None
    found: Network = family[0]
    while not all(is_inside(each, found) for each in family):
        found = found.supernet()
    return found


def is_inside(inner: Network, outer: Network) -> bool:
    """Whether all of `inner` lies in `outer`; never across families."""
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network):
        return inner.subnet_of(outer)
    return False
