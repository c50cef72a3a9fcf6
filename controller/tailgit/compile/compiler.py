"""From a tailnet to the bundle of each node.

Everything that nodes of a view share is made once as bytes; a node's own part is its
addresses, its port and the place where its own entry is cut out. Pure: no clock, no
environment, no order of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tailgit.access import Relation, View
from tailgit.compile.bundle import Bundle
from tailgit.compile.deadlines import Ending, deadline_lines, endings
from tailgit.compile.firewall import Firewall
from tailgit.compile.listing import Listing
from tailgit.compile.mailbox import door_lines, key_lines
from tailgit.compile.wireguard import WireGuard
from tailgit.model.addresses import Network
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.names import host_lines, zone_head, zone_lines

Routes = tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class _Shared:
    """The text that all nodes of a view have in common."""

    peers: Listing
    routes: Listing
    hosts: Listing
    zone: Listing
    firewall: tuple[bytes, bytes]
    sysctl: bytes
    endings: tuple[Ending, ...]


class Compiler:
    """Compiles the nodes of one tailnet, as many or as few as are asked for."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.tailnet = tailnet
        self.relation = Relation.of(tailnet)
        devices = self._devices = self.relation.devices
        self._wireguard = WireGuard(tailnet.interface)
        self._keys = [device.public_key for device in devices]
        self._ipv4 = [str(device.ipv4) for device in devices]
        self._ipv6 = [str(device.ipv6) for device in devices]
        self._firewall = Firewall(tailnet.name, self._ipv4, self._ipv6)
        named = [
            (device.name, ipv4, ipv6)
            for device, ipv4, ipv6 in zip(devices, self._ipv4, self._ipv6, strict=True)
        ]
        self._zone_head = zone_head(tailnet.domain).encode()
        self._hosts = [host_lines(*each, tailnet.domain).encode() for each in named]
        self._zone = [zone_lines(*each).encode() for each in named]
        self._shared: dict[tuple[View, bool], _Shared] = {}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Devices that get a bundle: active, and with a key to compile for."""
        return tuple(d.name for d in self._devices if d.public_key is not None)

    def bundle(self, node: str) -> Bundle:
        """The bundle of one node; `KeyError` if it is not one of `nodes`."""
        me = self.relation.position[node]
        device = self._devices[me]
        if device.public_key is None:
            raise KeyError(node)
        tailnet, shared = self.tailnet, self._shared_by(device)
        ipv4, ipv6 = self._ipv4[me], self._ipv6[me]
        before, after = shared.firewall
        parts: dict[str, tuple[bytes | memoryview, ...]] = {
            "firewall.nft": (before, self._firewall.own_sets(ipv4, ipv6), after),
            "hosts": (self._hosts[me], *shared.hosts.without(me)),
            "interface": (
                self._wireguard.address_lines(ipv4, ipv6),
                *shared.routes.without(me),
            ),
            "sysctl": (shared.sysctl,),
            "wireguard.conf": (
                self._wireguard.interface_section(device),
                *shared.peers.without(me),
            ),
            "zone": (self._zone_head, self._zone[me], *shared.zone.without(me)),
        }
        ends = deadline_lines(shared.endings, self._keys, me)
        if ends:
            parts["deadlines"] = (ends,)
        if device.mailbox and self._pull_keys:
            parts["mailbox"] = (self._pull_keys,)
        if device.delivery is Delivery.PULL and self._mailboxes:
            parts["mailboxes"] = (self._mailboxes,)
        return Bundle.of(
            node,
            ((name, b"".join(pieces)) for name, pieces in parts.items()),
            tailnet=tailnet.name,
            domain=tailnet.domain,
            interface=tailnet.interface,
            public_keys=(device.public_key,),
        )

    def peer_sections(self, node: str) -> bytes:
        """The `[Peer]` sections of one node; `KeyError` if it is not one of `nodes`."""
        me = self.relation.position[node]
        if self._devices[me].public_key is None:
            raise KeyError(node)
        return b"".join(self._shared_by(self._devices[me]).peers.without(me))

    def _shared_by(self, device: Device) -> _Shared:
        view = self.relation.view(device.name)
        behind_nat = not device.endpoints
        key = (view, behind_nat)
        if key not in self._shared:
            self._shared[key] = self._share(view, behind_nat)
        return self._shared[key]

    def _share(self, view: View, behind_nat: bool) -> _Shared:
        relation = self.relation
        peers = relation.peer_numbers(view)
        reached = relation.reach_numbers(view)
        through = relation.routes_through(view)
        carried = relation.classes[view.class_id].routes
        stanzas = {n: self._stanza(n, behind_nat, through[n]) for n in through}
        routes = {n: self._routes_to(n, through[n]) for n in through}
        table = self._stanzas_for_hidden if behind_nat else self._stanzas_for_public
        return _Shared(
            Listing(peers, table, stanzas),
            Listing(peers, self._route_lines, routes),
            Listing(reached, self._hosts, {}),
            Listing(reached, self._zone, {}),
            self._firewall.body(
                {version: relation.inward(view, version) for version in (4, 6)},
                {version: relation.outward(view, version) for version in (4, 6)},
                carried,
            ),
            self._wireguard.sysctl_lines(carried),
            endings(relation, view),
        )

    @cached_property
    def _pull_keys(self) -> bytes:
        return key_lines(self._devices)

    @cached_property
    def _mailboxes(self) -> bytes:
        return door_lines(self.tailnet, self._devices)

    @cached_property
    def _stanzas_for_public(self) -> list[bytes]:
        return [self._stanza(n, False) for n in range(len(self._devices))]

    @cached_property
    def _stanzas_for_hidden(self) -> list[bytes]:
        return [self._stanza(n, True) for n in range(len(self._devices))]

    @cached_property
    def _route_lines(self) -> list[bytes]:
        return [self._routes_to(n) for n in range(len(self._devices))]

    def _stanza(self, number: int, behind_nat: bool, routes: Routes = ()) -> bytes:
        return self._wireguard.peer_section(
            self._devices[number],
            (*self._own(number), *map(str, routes)),
            behind_nat=behind_nat,
        )

    def _routes_to(self, number: int, routes: Routes = ()) -> bytes:
        return self._wireguard.route_lines(
            self._devices[number], self._own(number), tuple(map(str, routes))
        )

    def _own(self, number: int) -> tuple[str, str]:
        """A device's own addresses, as ranges of one."""
        return f"{self._ipv4[number]}/32", f"{self._ipv6[number]}/128"


def compile_tailnet(tailnet: Tailnet) -> Mapping[str, Bundle]:
    """The bundle of every active device that has a key, by name in order."""
    compiler = Compiler(tailnet)
    return {node: compiler.bundle(node) for node in compiler.nodes}
