"""wg-quick files for tests: keys from names, and WireGuard's routing done naively."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address, ip_network

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def private(name: str) -> str:
    return b64encode(sha256(name.encode()).digest()).decode()


def public(name: str) -> str:
    key = X25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())
    return b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass(frozen=True)
class Node:
    """A machine: its addresses, and the AllowedIPs that it has for others."""

    address: str
    peers: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> bytes:
        parts = [
            f"[Interface]\nPrivateKey = {private(name)}\nAddress = {self.address}\n"
        ]
        for other, allowed in self.peers.items():
            parts.append(
                f"# Name = {other}\n[Peer]\nPublicKey = {public(other)}\n"
                f"AllowedIPs = {', '.join(allowed)}\n"
            )
        return "\n".join(parts).encode()

    def hop(self, address: str) -> str | None:
        """The peer with the longest prefix around the address; the last of equals."""
        best: tuple[int, int] = (-1, -1)
        found = None
        for number, (other, allowed) in enumerate(self.peers.items()):
            for prefix in map(ip_network, allowed):
                rank = prefix.prefixlen, number
                if ip_address(address) in prefix and rank > best:
                    best, found = rank, other
        return found


def passes(nodes: Mapping[str, Node], start: str, src: str, dst: str) -> bool:
    """Whether a packet comes to the node that has `dst`, hop by hop."""
    here = start
    for _ in range(len(nodes) + 1):
        if nodes[here].address.split("/")[0] == dst:
            return True
        after = nodes[here].hop(dst)
        if after is None or nodes[after].hop(src) != here:
            return False
        here = after
    return False
