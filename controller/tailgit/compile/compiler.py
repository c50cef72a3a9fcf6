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
from tailgit.compile import wireguard
from tailgit.compile.bundle import Bundle
from tailgit.compile.firewall import Firewall
from tailgit.compile.listing import Listing
from tailgit.model.addresses import Network
from tailgit.model.tailnet import Device, Tailnet
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


class Compiler:
    """Compiles the nodes of one tailnet, as many or as few as are asked for."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.tailnet = tailnet
        self.relation = Relation.of(tailnet)
        self._devices = self.relation.devices
        self._firewall = Firewall(tailnet, self._devices)
        self._zone_head = zone_head(tailnet.domain).encode()
        self._shared: dict[tuple[View, bool], _Shared] = {}
        self._stanzas: dict[tuple[int, Routes, bool], bytes] = {}
        self._route_texts: dict[tuple[int, Routes], bytes] = {}

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
        before, after = shared.firewall
        own = self._firewall.own_sets(device)
        hosts, zone = self._names[me]
        files = (
            ("firewall.nft", b"".join((before, own, after))),
            ("hosts", b"".join((hosts, *shared.hosts.without(me)))),
            (
                "interface",
                b"".join(
                    (
                        wireguard.address_lines(device, tailnet.interface),
                        *shared.routes.without(me),
                    )
                ),
            ),
            ("sysctl", shared.sysctl),
            (
                "wireguard.conf",
                b"".join(
                    (wireguard.interface_section(device), *shared.peers.without(me))
                ),
            ),
            ("zone", b"".join((self._zone_head, zone, *shared.zone.without(me)))),
        )
        return Bundle.of(
            node,
            files,
            tailnet=tailnet.name,
            domain=tailnet.domain,
            interface=tailnet.interface,
            public_keys=(device.public_key,),
        )

    def peer_sections(self, node: str) -> bytes:
        """The `[Peer]` sections of one node; `KeyError` if it is not one of `nodes`."""
        device = self._devices[self.relation.position[node]]
        if device.public_key is None:
            raise KeyError(node)
        return b"".join(
            self._shared_by(device).peers.without(self.relation.position[node])
        )

    @cached_property
    def _names(self) -> tuple[tuple[bytes, bytes], ...]:
        domain = self.tailnet.domain
        return tuple(
            (host_lines(device, domain).encode(), zone_lines(device).encode())
            for device in self._devices
        )

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
        return _Shared(
            Listing(peers, lambda n: self._stanza(n, through.get(n, ()), behind_nat)),
            Listing(peers, lambda n: self._route_text(n, through.get(n, ()))),
            Listing(reached, lambda n: self._names[n][0]),
            Listing(reached, lambda n: self._names[n][1]),
            self._firewall.body(
                {version: relation.inward(view, version) for version in (4, 6)},
                {version: relation.outward(view, version) for version in (4, 6)},
                carried,
            ),
            wireguard.sysctl_lines(carried, self.tailnet.interface),
        )

    def _stanza(self, number: int, routes: Routes, behind_nat: bool) -> bytes:
        key = (number, routes, behind_nat)
        if key not in self._stanzas:
            self._stanzas[key] = wireguard.peer_section(
                self._devices[number], routes, keep_alive=behind_nat
            )
        return self._stanzas[key]

    def _route_text(self, number: int, routes: Routes) -> bytes:
        key = (number, routes)
        if key not in self._route_texts:
            self._route_texts[key] = wireguard.route_lines(
                self._devices[number], routes, self.tailnet.interface
            )
        return self._route_texts[key]


def compile_tailnet(tailnet: Tailnet) -> Mapping[str, Bundle]:
    """The bundle of every active device that has a key, by name in order."""
    compiler = Compiler(tailnet)
    return {node: compiler.bundle(node) for node in compiler.nodes}
