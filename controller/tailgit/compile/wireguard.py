"""WireGuard files: the wg(8) `setconf` form, and `ip -batch` lines for the interface.

A file always has ListenPort and FwMark: `wg syncconf` picks a random port and clears
the mark when they are missing (NETWORK.md E6, §4.7). There is never a private key;
the node joins its own.
"""

from __future__ import annotations

from tailgit.compile.stencil import Stencil
from tailgit.model.addresses import Network
from tailgit.model.tailnet import Device

FWMARK = "0x7467"
"""Marks WireGuard's own packets; «tg» in ASCII, the same in every tailnet."""

MTU = 1420
SUBNET_METRIC = 4096
"""Behind the connected route of a node that is in such a subnet itself: its own LAN
must stay its own LAN."""

KEEPALIVE = 25
"""Seconds; only from a device without an endpoint towards one that has one."""


class WireGuard:
    """Makes the WireGuard and interface text of one tailnet's devices."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._own = Stencil("wireguard/interface.conf.j2", ("port",), mark=FWMARK)
        holes = ("name", "key", "endpoint", "allowed")
        self._peer = {
            (reachable, keep_alive): Stencil(
                "wireguard/peer.conf.j2",
                holes if reachable else ("name", "key", "allowed"),
                **({} if reachable else {"endpoint": ""}),
                keepalive=str(KEEPALIVE) if keep_alive else "",
            )
            for reachable in (True, False)
            for keep_alive in (True, False)
        }

    def interface_section(self, device: Device) -> bytes:
        return self._own.fill({"port": b"%d" % device.listen_port})

    def peer_section(
        self, device: Device, allowed: tuple[str, ...], *, behind_nat: bool
    ) -> bytes:
        """The stanza by which others know `device`; empty while it awaits its key.

        `behind_nat` is about the others: without an endpoint of their own they keep
        the path to a reachable peer open.
        """
        if device.public_key is None:
            return b""
        values = {
            "name": device.name.encode(),
            "key": device.public_key.encode(),
            "allowed": ", ".join(allowed).encode(),
        }
        if device.endpoints:
            values["endpoint"] = str(device.endpoints[0]).encode()
        reachable = bool(device.endpoints)
        return self._peer[reachable, reachable and behind_nat].fill(values)

    def address_lines(self, ipv4: str, ipv6: str) -> bytes:
        """MTU and own addresses: single ones, never a connected range, which would
        also catch what a provider uses of 100.64.0.0/10 (NETWORK.md §4.20)."""
        return (
            f"link set dev {self._interface} mtu {MTU}\n"
            f"address replace {ipv4}/32 dev {self._interface}\n"
            f"address replace {ipv6}/128 dev {self._interface} nodad\n"
        ).encode()

    def route_lines(
        self, device: Device, addresses: tuple[str, ...], subnets: tuple[str, ...]
    ) -> bytes:
        """The routes towards one peer; none while it awaits its key."""
        if device.public_key is None:
            return b""
        dev = self._interface
        lines = [f"route replace {address} dev {dev}\n" for address in addresses]
        lines += [
            f"route replace {subnet} dev {dev} metric {SUBNET_METRIC}\n"
            for subnet in subnets
        ]
        return "".join(lines).encode()

    def sysctl_lines(self, routes: tuple[Network, ...]) -> bytes:
        """Loose reverse path filter on our interface; forwarding only on routers."""
        lines = [f"net.ipv4.conf.{self._interface}.rp_filter=2\n"]
        if any(route.version == 4 for route in routes):
            lines.append("net.ipv4.ip_forward=1\n")
        if any(route.version == 6 for route in routes):
            lines.append("net.ipv6.conf.all.forwarding=1\n")
        return "".join(lines).encode()
