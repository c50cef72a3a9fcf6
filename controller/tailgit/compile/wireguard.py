"""WireGuard files: the wg(8) `setconf` form, and `ip -batch` lines for the interface.

A file always has ListenPort and FwMark: `wg syncconf` picks a random port and clears
the mark when they are missing (NETWORK.md E6, §4.7). There is never a private key;
the node joins its own.
"""

from __future__ import annotations

from tailgit.compile.stencil import template
from tailgit.model.addresses import Network
from tailgit.model.tailnet import Device

FWMARK = "0x7467"
"""Marks WireGuard's own packets; «tg» in ASCII, the same in every tailnet."""

MTU = 1420
KEEPALIVE = 25
"""Seconds; only from a device without an endpoint towards one that has one."""


def interface_section(device: Device) -> bytes:
    text = template("wireguard/interface.conf.j2").render(
        port=device.listen_port, mark=FWMARK
    )
    return text.encode()


def peer_section(
    device: Device, routes: tuple[Network, ...] = (), *, keep_alive: bool = False
) -> bytes:
    """The stanza by which others know `device`; empty while it awaits its key."""
    if device.public_key is None:
        return b""
    endpoint = device.endpoints[0] if device.endpoints else None
    allowed = [f"{device.ipv4}/32", f"{device.ipv6}/128", *map(str, routes)]
    text = template("wireguard/peer.conf.j2").render(
        name=device.name,
        key=device.public_key,
        endpoint=str(endpoint) if endpoint else "",
        allowed=", ".join(allowed),
        keepalive=KEEPALIVE if keep_alive and endpoint else "",
    )
    return text.encode()


def address_lines(device: Device, interface: str) -> bytes:
    """MTU and own addresses. Single addresses, never a connected range: a range would
    also catch what the provider uses of it (NETWORK.md §4.20)."""
    return (
        f"link set dev {interface} mtu {MTU}\n"
        f"address replace {device.ipv4}/32 dev {interface}\n"
        f"address replace {device.ipv6}/128 dev {interface} nodad\n"
    ).encode()


def route_lines(device: Device, routes: tuple[Network, ...], interface: str) -> bytes:
    """The routes towards one peer; none while it awaits its key."""
    if device.public_key is None:
        return b""
    prefixes = [f"{device.ipv4}/32", f"{device.ipv6}/128", *map(str, routes)]
    return "".join(
        f"route replace {prefix} dev {interface}\n" for prefix in prefixes
    ).encode()


def sysctl_lines(routes: tuple[Network, ...], interface: str) -> bytes:
    """Loose reverse path filter on our interface; forwarding only on routers."""
    lines = [f"net.ipv4.conf.{interface}.rp_filter=2\n"]
    if any(route.version == 4 for route in routes):
        lines.append("net.ipv4.ip_forward=1\n")
    if any(route.version == 6 for route in routes):
        lines.append("net.ipv6.conf.all.forwarding=1\n")
    return "".join(lines).encode()
