"""A strict reader of wg(8)'s configuration form, and WireGuard's own routing.

It takes what the node protocol allows in a `wireguard.conf` and nothing else, and
answers what cryptokey routing would: to whom a packet goes, from whom one may come.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from tailgit.model.addresses import Address, Network

_KEYS = {
    "Interface": ("ListenPort", "FwMark"),
    "Peer": ("PublicKey", "Endpoint", "AllowedIPs", "PersistentKeepalive"),
}
_NEEDED = {"Interface": {"ListenPort", "FwMark"}, "Peer": {"PublicKey", "AllowedIPs"}}


class BadConfig(ValueError):
    """Not the form that the node protocol gives."""


@dataclass(frozen=True)
class Peer:
    """One `[Peer]`; `name` is the comment that begins it."""

    name: str
    public_key: str
    allowed_ips: frozenset[Network]


@dataclass(frozen=True)
class Config:
    """The peers of a node."""

    peers: tuple[Peer, ...]

    def route(self, address: Address) -> Peer | None:
        """The peer with the longest prefix that holds the address."""
        found = [
            (ip.prefixlen, peer.name, peer)
            for peer in self.peers
            for ip in peer.allowed_ips
            if address in ip
        ]
        return max(found)[2] if found else None


def parse(text: str) -> Config:
    """The configuration; `BadConfig` says which line is not of its form."""
    if not text.endswith("\n") or "\r" in text:
        raise BadConfig("not whole lines")
    sections: list[tuple[str, str, dict[str, str]]] = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        if line in ("[Interface]", "[Peer]"):
            sections.append((line[1:-1], "", {}))
        elif not line:
            continue
        elif not sections:
            raise BadConfig(f"line {number}: before any section")
        else:
            sections[-1] = _with(sections[-1], line, number)
    if [kind for kind, _, _ in sections].count("Interface") != 1:
        raise BadConfig("not one [Interface]")
    if sections[0][0] != "Interface":
        raise BadConfig("[Interface] is not first")
    for kind, name, values in sections:
        if missing := _NEEDED[kind] - values.keys():
            raise BadConfig(f"[{kind}] {name} lacks {', '.join(sorted(missing))}")
    config = Config(tuple(_peer(n, v) for kind, n, v in sections if kind == "Peer"))
    _check(config)
    return config


Section = tuple[str, str, dict[str, str]]


def _with(section: Section, line: str, number: int) -> Section:
    kind, name, values = section
    if line.startswith("# "):
        if kind != "Peer" or name or values:
            raise BadConfig(f"line {number}: a comment that begins no peer")
        return kind, line[2:], values
    key, equals, value = line.partition(" = ")
    if not equals or key not in _KEYS[kind] or key in values:
        raise BadConfig(f"line {number}: {key} in [{kind}]")
    if not _FORMS[key](value):
        raise BadConfig(f"line {number}: {key} {value!r}")
    return kind, name, {**values, key: value}


def _peer(name: str, values: dict[str, str]) -> Peer:
    ips = values["AllowedIPs"].split(", ")
    if len(set(ips)) != len(ips):
        raise BadConfig(f"{name} has an address twice")
    return Peer(name, values["PublicKey"], frozenset(map(ip_network, ips)))


def _check(config: Config) -> None:
    """A prefix or key at two peers would silently belong to the last one."""
    keys = [peer.public_key for peer in config.peers]
    ips = [ip for peer in config.peers for ip in peer.allowed_ips]
    if len(set(keys)) != len(keys) or len(set(ips)) != len(ips):
        raise BadConfig("two peers with one key or prefix")


def _is_key(text: str) -> bool:
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}=", text):
        return False
    return len(b64decode(text, validate=True)) == 32


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[1-9]\d{0,4}", text) is not None and int(text) <= 65535


def _is_endpoint(text: str) -> bool:
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return False
    return _is_port(port) and bracketed == (address.version == 6)


def _is_networks(text: str) -> bool:
    try:
        return all("/" in ip and ip_network(ip) for ip in text.split(", "))
    except ValueError:
        return False


_FORMS: dict[str, Callable[[str], bool]] = {
    "ListenPort": _is_port,
    "FwMark": lambda text: re.fullmatch(r"0x[0-9a-f]{1,8}", text) is not None,
    "PublicKey": _is_key,
    "Endpoint": _is_endpoint,
    "AllowedIPs": _is_networks,
    "PersistentKeepalive": _is_port,
}
