"""A tailnet from wg-quick files: machines, their routes, and grants for what worked.

The files say more than a tailnet needs to (hooks, DNS, MTU), and less (who may use
which port). The first is reported; of the second the grants say what AllowedIPs said:
everything, between those that could reach each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address

from tailgit.edit.fmt.tree import Collection, Entry, File, Scalar
from tailgit.errors import InvalidTailnet
from tailgit.importers.draft import judged
from tailgit.importers.layout import as_yaml, listing, mapping, remark
from tailgit.importers.mesh import Machine, read_mesh
from tailgit.importers.network import (
    ROUTER,
    WireGuardNetwork,
    find_routes,
    network_of,
)
from tailgit.importers.notes import Imported, Note, in_order, of_findings
from tailgit.importers.reach import ends, grouped
from tailgit.importers.remarks import quoted
from tailgit.importers.wgquick import QuickFile, read_quick, redacted
from tailgit.model.addresses import RESERVED, Network
from tailgit.model.findings import Bounded, Finding, Place
from tailgit.model.text import shown

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


def import_wireguard(files: Mapping[str, bytes], name: str, domain: str) -> Imported:
    """The tailnet of some wg-quick files; `InvalidTailnet` with mistakes in them."""
    findings: list[Finding] = Bounded()
    read = [read_quick(data, file, findings) for file, data in files.items()]
    quick = [each for each in read if each is not None]
    mesh = read_mesh(quick, findings)
    if findings:
        raise InvalidTailnet(findings)
    network = network_of(name, domain, mesh, quick[0].file)
    find_routes(network)
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


def _tailnet_file(network: WireGuardNetwork) -> bytes:
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


def _devices_file(network: WireGuardNetwork) -> bytes:
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
    network: WireGuardNetwork, machine: Machine
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
    network: WireGuardNetwork, machine: Machine
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


def _policy_file(network: WireGuardNetwork) -> bytes:
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


def _grants(network: WireGuardNetwork) -> Iterator[Entry]:
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
