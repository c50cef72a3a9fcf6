"""A tailnet from wg-quick files: machines, their routes, and grants for what worked.

The files say more than a tailnet needs to (hooks, DNS, MTU), and less (who may use
which port). The first is reported; of the second the grants say what AllowedIPs said:
everything, between those that could reach each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from tailgit.edit.fmt.tree import Collection, Entry, File, Scalar
from tailgit.errors import InvalidTailnet
from tailgit.importers.draft import judged
from tailgit.importers.layout import as_yaml, listing, mapping, remark
from tailgit.importers.mesh import Machine, Mesh, covering, is_inside, read_mesh
from tailgit.importers.notes import Imported, Note, in_order, of_findings
from tailgit.importers.reach import Reach, ends, grouped
from tailgit.importers.remarks import quoted
from tailgit.importers.wgquick import QuickFile, read_quick, redacted
from tailgit.model.addresses import RESERVED, Network
from tailgit.model.findings import Bounded, Finding, Place
from tailgit.model.text import shown

MACHINE, ROUTER = "tag:machine", "tag:router"
_USUAL = IPv4Network("100.64.0.0/10")
_HOOKS = ("PreUp", "PostUp", "PreDown", "PostDown")
_NOT_TAKEN = {
    "DNS": "write `dns: {nameservers: […]}`, or records for your own resolver",
    "MTU": "nodes get the MTU that fits; `mtu` of a device is for others",
    "Table": "routes are set by tailgit",
    "FwMark": "tailgit has its own",
    "SaveConfig": "the repository is the only source",
    "PersistentKeepalive": "tailgit keeps sessions open by itself where NAT needs it",
    "PresharedKey": "there are no pre-shared keys: both ends must lose theirs at once",
}


@dataclass(slots=True)
class _Network:
    """The tailnet while it is put together."""

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


def import_wireguard(files: Mapping[str, bytes], name: str, domain: str) -> Imported:
    """The tailnet of some wg-quick files; `InvalidTailnet` with the lines of mistakes."""
    findings: list[Finding] = Bounded()
    read = [read_quick(data, file, findings) for file, data in files.items()]
    quick = [each for each in read if each is not None]
    mesh = read_mesh(quick, findings)
    if findings:
        raise InvalidTailnet(findings)
    network = _network(name, domain, mesh, quick)
    _find_routes(network)
    for each in quick:
        network.notes += _not_taken(each)
    for text, at in mesh.host_names:
        message = f"the endpoint `{shown(text)}` is a host name, which is not resolved"
        help_ = "write its address: `endpoints: [ADDRESS:PORT]`"
        network.notes.append(Note("left-out", at, message, help_))
    for machine in network.machines:
        network.notes += _about(machine)
    made = {
        "tailnet.yaml": _tailnet_file(network),
        "devices.yaml": _devices_file(network),
        "policy.yaml": _policy_file(network),
    }
    return Imported(made, in_order([*network.notes, *_judged(made)]))


def _judged(made: dict[str, bytes]) -> Iterator[Note]:
    """What `check` will say, at its place in the new files."""
    _, findings = judged(made)
    for each in findings:
        if each.code != "not-used":
            yield from of_findings([each], each.place.file)


# Ranges


def _network(name: str, domain: str, mesh: Mesh, files: list[QuickFile]) -> _Network:
    machines = list(mesh.machines.values())
    networks = [each for machine in machines for each in machine.networks]
    networks += [ip_network(each) for machine in machines for each in machine.addresses]
    start = Place(files[0].file)
    ipv4, ipv6 = _ipv4(networks), _ipv6(networks)
    found = _Network(name, domain, mesh, ipv4 or _USUAL, ipv6 or _ula(name, machines))
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


def _find_routes(network: _Network) -> None:
    """What AllowedIPs have besides machines: subnets and ways to the internet."""
    reach = Reach()
    network.routes = {machine: [] for machine in network.machines}
    found: dict[Machine, set[Network]] = {each: set() for each in network.machines}
    own = {ip_network(a) for each in network.machines for a in each.addresses}
    inside = {n for each in network.machines for n in each.networks}
    for machine in network.machines:
        for peer in machine.peers:
            assert machine.file is not None and peer.machine is not None
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
    for machine, prefixes in found.items():
        network.routes[machine] = sorted(
            _narrowed(network, machine, prefixes, found),
            key=lambda n: (n.version, int(n.network_address), n.prefixlen),
        )


def _routable(network: _Network, prefix: Network, own: set[Network], at: Place) -> bool:
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
    network: _Network,
    machine: Machine,
    prefixes: set[Network],
    found: Mapping[Machine, set[Network]],
) -> Iterator[Network]:
    """Without prefixes that are a part of another one, or that hold somebody else's.

    A spoke says `10.0.0.0/16` of its hub and means what is behind the other spokes.
    """
    others = [
        each for other, some in found.items() if other is not machine for each in some
    ]
    for prefix in prefixes:
        if any(each != prefix and is_inside(prefix, each) for each in prefixes):
            continue
        if any(each != prefix and is_inside(each, prefix) for each in others):
            message = f"`{prefix}` at `{machine.name}` holds subnets of other machines"
            help_ = "only those are routes now; name its own ones"
            network.notes.append(Note("left-out", machine.place, message, help_))
            continue
        yield prefix


# What is said


def _not_taken(file: QuickFile) -> Iterator[Note]:
    for section in (file.interface, *file.peers):
        for key, line, value in section.raw:
            at = Place(file.file, line)
            if key in _HOOKS:
                message = f"{key} is not run: `{shown(redacted(value))}`"
                help_ = "tailgit forwards and masquerades for approved routes by itself"
                yield Note("left-out", at, message, help_)
            elif key in _NOT_TAKEN:
                yield Note("left-out", at, f"{key} is not taken over", _NOT_TAKEN[key])
            elif key not in section.lines:
                yield Note("left-out", at, f"`{key}` is unknown to WireGuard")
        if section.disabled:
            at = file.place(section)
            yield Note("left-out", at, "the peer is switched off in the file")


def _about(machine: Machine) -> Iterator[Note]:
    if machine.key is None:
        message = f"`{machine.name}` has no key in the files, so it awaits its key"
        help_ = "the files of its peers name its public key, or `device enroll` gets it"
        yield Note("assumed", machine.place, message, help_)
    elif machine.file is None:
        message = f"there is no file of `{machine.name}`: what it allows is not known"
        help_ = "it may reach the machines that have it as a peer, and nobody else"
        yield Note("assumed", machine.place, message, help_)
    if machine.said and machine.said.lower() != machine.name:
        message = f"`{shown(machine.said)}` is called `{machine.name}`"
        yield Note("changed", machine.place, message)


# The files


def _section(entries: list[Entry], *, mapping_: bool) -> Collection:
    return Collection(flow=False, mapping=mapping_, line=0, entries=entries)


def _file(sections: dict[str, Scalar | Collection], head: str) -> bytes:
    entries = [Entry(quoted(k), v, [], [], False) for k, v in sections.items()]
    root = _section(entries, mapping_=True)
    return as_yaml(File(root, [remark(head)], []))


def _tailnet_file(network: _Network) -> bytes:
    values = {
        "format": Scalar("1", "", "", 0, 0),
        "name": quoted(network.name),
        "domain": quoted(network.domain),
        "ipv4": quoted(str(network.ipv4)),
        "ipv6": quoted(str(network.ipv6)),
    }
    entries = [Entry(quoted(k), v, [], [], False) for k, v in values.items()]
    section = _section(entries, mapping_=True)
    return _file({"tailnet": section}, "Imported from wg-quick files.")


def _devices_file(network: _Network) -> bytes:
    entries = []
    for machine in network.machines:
        fields = dict(_fields(network, machine))
        entry = Entry(quoted(machine.name), mapping(fields, flow=False), [], [], False)
        if machine.said and machine.said.lower() != machine.name:
            entry.leading = [remark(shown(machine.said))]
        entries.append(entry)
    head = "Machines of wg-quick files; their addresses stay what they were."
    return _file({"devices": _section(entries, mapping_=True)}, head)


def _fields(
    network: _Network, machine: Machine
) -> Iterator[tuple[str, Scalar | Collection]]:
    yield "tags", listing([quoted(network.tag(machine))])
    if machine.key is not None:
        yield "publicKey", Scalar(machine.key, "", "", 0, 0)
    if machine.endpoints:
        texts: list[Scalar | Collection] = [quoted(each) for each in machine.endpoints]
        yield "endpoints", listing(texts)
    port = machine.listen_port
    if port and not (machine.endpoints and machine.endpoints[0].endswith(f":{port}")):
        yield "listenPort", Scalar(str(port), "", "", 0, 0)
    yield from _pins(network, machine)
    if network.routes[machine]:
        routes: list[Scalar | Collection] = [
            quoted(str(each)) for each in network.routes[machine]
        ]
        yield "routes", listing(routes)
    if machine in network.exits.values():
        yield "exitNode", Scalar("true", "", "", 0, 0)
    if machine in network.exits:
        yield "useExitNode", quoted(network.exits[machine].name)


def _pins(
    network: _Network, machine: Machine
) -> Iterator[tuple[str, Scalar | Collection]]:
    """The first address of each family that the tailnet can give it."""
    pinned = set[str]()
    for address in machine.addresses:
        key = f"ipv{address.version}"
        pool: Network = network.ipv4 if address.version == 4 else network.ipv6
        why = ""
        if key in pinned:
            why = "a machine has one address of each family"
        elif address not in pool or any(address in each for each in RESERVED):
            why = f"{pool} has no place for it"
        elif isinstance(address, IPv6Address) and address == pool[0]:
            why = "it is the first of its range"
        if why:
            message = f"the address `{address}` of `{machine.name}` is not kept: {why}"
            network.notes.append(Note("left-out", machine.place, message))
            continue
        pinned.add(key)
        yield key, quoted(str(address))


def _policy_file(network: _Network) -> bytes:
    tags = {network.tag(each) for each in network.machines}
    sections: dict[str, Scalar | Collection] = {
        "tagOwners": mapping({tag: listing([]) for tag in sorted(tags)}, flow=False)
    }
    routes = sorted({str(r) for some in network.routes.values() for r in some})
    approvers: dict[str, Scalar | Collection] = {}
    if routes:
        approved: dict[str, Scalar | Collection] = {
            route: listing([quoted(ROUTER)]) for route in routes
        }
        approvers["routes"] = mapping(approved, flow=False)
    if network.exits:
        approvers["exitNode"] = listing([quoted(ROUTER)])
    if approvers:
        sections["autoApprovers"] = mapping(approvers, flow=False)
    grants = list(_grants(network))
    sections["grants"] = _section(grants, mapping_=False) if grants else listing([])
    message = "the grants are for TCP, UDP and ICMP; WireGuard carried every protocol"
    help_ = 'for GRE, say, add `ip: ["gre:*"]` to a grant'
    at = Place(network.machines[0].place.file)
    network.notes.append(Note("changed", at, message, help_))
    return _file(sections, "What AllowedIPs allowed, as it was: narrow it.")


def _grants(network: _Network) -> Iterator[Entry]:
    boxes = grouped(ends(network.machines, network.routes))
    for sources, targets in boxes:
        src, dst = ([each.text for each in some] for some in (sources, targets))
        said = "What AllowedIPs let through."
        if len(src) > 1 and set(src) == set(dst):
            said = "All of these reach each other."
        elif len(src) > 1 and set(src) < set(dst):
            said = "These reach each other, and the others of dst."
        yield _grant(src, dst, said)
    users = [machine.name for machine in network.exits]
    if users:
        said = "Their traffic to the internet went through another machine."
        yield _grant(users, ["autogroup:internet"], said)


def _grant(src: list[str], dst: list[str], said: str) -> Entry:
    fields: dict[str, Scalar | Collection] = {
        "src": listing([quoted(each) for each in src]),
        "dst": listing([quoted(each) for each in dst]),
        "ip": listing([quoted("*")]),
    }
    return Entry(None, mapping(fields), [remark(said)], [], False)
