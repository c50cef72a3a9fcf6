"""Addresses that follow from names, so that nothing has to be allocated or locked.

A device's IPv4 address is a hash of tailnet and device name within the tailnet's
range; its IPv6 address is the first /64 of the prefix plus 64 bits of another hash
(DESIGN §2). Two branches that add devices never conflict over a lock file.
"""

from __future__ import annotations

from hashlib import sha256
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
    summarize_address_range,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESERVED = (
    IPv4Network("100.100.0.0/24"),
    IPv4Network("100.100.100.0/24"),
    IPv4Network("100.115.92.0/23"),
)
"""Ranges in 100.64.0.0/10 that other software uses: Tailscale's DNS, ChromeOS."""


def _of_ranges(text: str) -> tuple[Network, ...]:
    """Prefixes of `FIRST-LAST` and CIDR texts with blanks between."""
    found: list[Network] = []
    for each in text.split():
        first, dash, last = each.partition("-")
        if dash:
            ends = IPv4Address(first), IPv4Address(last)
            found.extend(summarize_address_range(*ends))
        else:
            found.append(ip_network(each))
    return tuple(found)


INTERNET = _of_ranges(
    "0.0.0.0-9.255.255.255 11.0.0.0-100.63.255.255 100.128.0.0-169.253.255.255 "
    "169.255.0.0-172.15.255.255 172.32.0.0-192.167.255.255 192.169.0.0-255.255.255.255 "
    "2000::/3"
)
"""What `autogroup:internet` means, literally (POLICY.md §2)."""

TAILSCALE = _of_ranges(
    "100.64.0.0-100.115.91.255 100.115.94.0-100.127.255.255 fd7a:115c:a1e0::/48"
)
"""What `*` in a src means in Tailscale's own tailnets, besides approved subnets."""


def ipv4_of(tailnet: str, device: str, pool: IPv4Network) -> IPv4Address:
    """The derived address of `device` (its oldest name); never reserved, first or last.

    sha256(`tailgit 4\\0TAILNET\\0DEVICE`): the first eight bytes, big-endian, modulo
    the size of the range; the digest is hashed again until the address may be used.
    """
    digest = sha256(f"tailgit 4\0{tailnet}\0{device}".encode()).digest()
    base, size = int(pool.network_address), pool.num_addresses
    if size < 4:
        raise ValueError(f"{pool} has no room for a device")
    while True:
        offset = int.from_bytes(digest[:8], "big") % size
        address = IPv4Address(base + offset)
        if 0 < offset < size - 1 and not any(address in net for net in RESERVED):
            return address
        digest = sha256(digest).digest()


def ipv6_of(tailnet: str, device: str, prefix: IPv6Network) -> IPv6Address:
    """The derived address: the prefix's first /64 plus eight bytes of a hash."""
    digest = sha256(f"tailgit 6\0{tailnet}\0{device}".encode()).digest()
    return IPv6Address(int(prefix.network_address) + int.from_bytes(digest[:8], "big"))


def listen_port_of(tailnet: str, device: str) -> int:
    """The port of a device without a declared endpoint: 20000 to 32767, from its name.

    Every device has its own port, since two nodes behind one NAT with the same port
    get theirs remapped (NETWORK.md E1), and below Linux's ephemeral range, so that
    no outgoing connection can hold it first.
    """
    digest = sha256(f"tailgit port\0{tailnet}\0{device}".encode()).digest()
    return 20000 + int.from_bytes(digest[:8], "big") % 12768
