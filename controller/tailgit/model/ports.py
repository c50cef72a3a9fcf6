"""Protocols and ports: what a rule opens.

`Ports` is a canonical set of (protocol, first, last): equal sets are equal values,
whatever they were written as. Protocol numbers are IANA's. The set is kept as the
rule says it: `80` lists ICMP with "port" 80 too, which no packet has. That ICMP passes
wherever any rule joins two addresses is the enforcement's business, not this value's.

The syntax is that of Tailscale's policy file (POLICY.md §3, §4): an acl has one
`proto` and a port list behind each dst; a grant has `ip` entries such as `443`,
`tcp:80-443`, `icmp:*`. A bare number in a grant is a port, never a protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
WITH_PORTS = frozenset({TCP, UDP, SCTP})
DEFAULT_PROTOCOLS = (ICMP, TCP, UDP, ICMPV6)
ALL = (0, 65535)

_NUMBERS = {
    "icmp": ICMP,
    "igmp": 2,
    "ipv4": 4,
    "ip-in-ip": 4,
    "tcp": TCP,
    "egp": 8,
    "igp": 9,
    "udp": UDP,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": ICMPV6,
    "sctp": SCTP,
}
NAMES = {number: name for name, number in _NUMBERS.items() if name != "ip-in-ip"}

Range = tuple[int, int, int]


class PortError(ValueError):
    """A port or protocol that is not valid; the text is Tailscale's sentence."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What may pass: sorted, merged (protocol, first, last) triples."""

    ranges: tuple[Range, ...]

    @staticmethod
    def of(ranges: Iterable[Range]) -> Ports:
        """The canonical set of any ranges, overlapping or not."""
        merged: list[Range] = []
        for protocol, first, last in sorted(ranges):
            if merged:
                before, start, end = merged[-1]
                if before == protocol and first <= end + 1:
                    merged[-1] = (protocol, start, max(end, last))
                    continue
            merged.append((protocol, first, last))
        return Ports(tuple(merged))

    def allows(self, protocol: int, port: int = 0) -> bool:
        """Whether a packet of this protocol to this port is inside the set."""
        return any(
            p == protocol and first <= port <= last for p, first, last in self.ranges
        )

    def __or__(self, other: Ports) -> Ports:
        return Ports.of(self.ranges + other.ranges)

    def __str__(self) -> str:
        """As people write it: `tcp:22,443`, `*`; several protocols by `; `."""
        by_protocol: dict[int, list[str]] = {}
        for protocol, first, last in self.ranges:
            text = "*" if (first, last) == ALL else _range_text(first, last)
            by_protocol.setdefault(protocol, []).append(text)
        texts = {p: ",".join(parts) for p, parts in by_protocol.items()}
        if set(texts) == set(DEFAULT_PROTOCOLS) and len(set(texts.values())) == 1:
            return next(iter(texts.values()))
        return "; ".join(
            f"{NAMES.get(protocol, str(protocol))}:{text}"
            for protocol, text in sorted(texts.items())
        )


def _range_text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


EVERYTHING = Ports.of((protocol, *ALL) for protocol in DEFAULT_PROTOCOLS)


def protocol_number(text: str) -> int:
    """`tcp`, `TCP` or `6` as a number; `PortError` if it is none."""
    known = _NUMBERS.get(text.lower())
    if known is not None:
        return known
    if text.isascii() and text.isdigit() and text[0] != "0" and int(text[:4]) <= 255:
        return int(text)
    raise PortError(f"unknown protocol `{text}`")


def parse_acl(protocol: str | None, ports: str) -> Ports:
    """What one dst of an acl opens: its `proto` and the list behind the last colon."""
    protocols = [protocol_number(protocol)] if protocol else list(DEFAULT_PROTOCOLS)
    if protocol and protocols[0] not in WITH_PORTS and ports != "*":
        raise PortError(
            f'protocol does not support specific ports: "{protocol}", only "*" is '
            "allowed"
        )
    return _combine(protocols, ports)


def parse_ip(entry: str) -> Ports:
    """What one `ip` entry of a grant opens."""
    head, colon, tail = entry.partition(":")
    if not colon:
        return _combine(list(DEFAULT_PROTOCOLS), entry)
    if ":" in tail:
        raise PortError(f"`{entry}` has more than one colon")
    number = protocol_number(head)
    if number not in WITH_PORTS and tail != "*":
        raise PortError(
            f'protocol does not support specific ports: "{head}", only "*" is allowed'
        )
    return _combine([number], tail)


def _combine(protocols: list[int], ports: str) -> Ports:
    ranges = [ALL] if ports == "*" else [_range(p) for p in ports.split(",")]
    return Ports.of((protocol, *span) for protocol in protocols for span in ranges)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.strip().partition("-")
    low = _number(first, text, "first")
    high = _number(last, text, "last") if dash else low
    if low == 0:
        raise PortError(
            f"port range \"{text}\": first port must be >0, or use '*' for wildcard"
        )
    if high < low:
        raise PortError(f'port range "{text}": first port must be <= last port')
    return low, high


def _number(text: str, whole: str, which: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise PortError(f'port range "{whole}": invalid {which} integer')
    if len(text) > 5 or int(text) > 65535:
        raise PortError(f'port range "{whole}": {which} port must be <= 65535')
    return int(text)
