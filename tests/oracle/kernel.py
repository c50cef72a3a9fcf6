"""What the kernel's own nftables does to packets, to hold `nftsim` against.

`verdicts` runs this file in a fresh network namespace. There packets are sent over
`lo` with addresses of their own choice; each carries its number as mark, and a table
behind the one under test notes the marks that come through. An input chain drops
everything in the end, so the namespace never answers and every flow stays new
unless a packet is announced by a `flow` of earlier ones.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

Address = IPv4Address | IPv6Address

WITNESS = """
table inet witness {
    set seen { type mark; size 65535; flags dynamic; }
    chain tracked { type filter hook output priority 390; ct state new; }
    chain HOOK { type filter hook HOOK priority 400; add @seen { meta mark }; }
    chain end { type filter hook input priority -400; policy drop; }
}
"""


@dataclass(frozen=True)
class Sent:
    """A packet to send: an ICMP error quotes the header of the flow `about`."""

    src: str
    dst: str
    protocol: int
    port: int = 0
    sport: int = 40000
    icmp_type: int | None = None
    about: tuple[str, str] | None = None


@dataclass(frozen=True)
class Trial:
    """A rule set at a hook, packets sent before it is loaded, packets it judges."""

    text: str
    hook: str
    packets: tuple[Sent, ...]
    before: tuple[Sent, ...] = ()


def verdicts(trials: Sequence[Trial]) -> list[list[bool]]:
    """For each trial, whether each packet came through."""
    asked = [
        {
            "text": trial.text,
            "hook": trial.hook,
            "packets": [_document(p) for p in trial.packets],
            "before": [_document(p) for p in trial.before],
        }
        for trial in trials
    ]
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, __file__],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    answer: list[list[bool]] = json.loads(done.stdout)
    return answer


def _document(sent: Sent) -> dict[str, Any]:
    return asdict(sent)


def _run(*words: str, text: str = "") -> str:
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}\n{text}")
    return done.stdout


def _trial(trial: dict[str, Any]) -> list[bool]:
    witness = WITNESS.replace("HOOK", trial["hook"])
    _run("nft", "-f", "-", text=f"flush ruleset\n{witness}")
    for packet in trial["before"]:
        _send(Sent(**packet), 60000)
    _run("nft", "-f", "-", text=trial["text"])
    for number, packet in enumerate(trial["packets"], 1):
        _send(Sent(**packet), number)
    listed = json.loads(_run("nft", "-j", "list", "set", "inet", "witness", "seen"))
    (marks,) = (entry["set"] for entry in listed["nftables"] if "set" in entry)
    seen = set(marks.get("elem", []))
    return [number in seen for number in range(1, len(trial["packets"]) + 1)]


def _send(packet: Sent, mark: int) -> None:
    data, dst = packet_bytes(packet), ip_address(packet.dst)
    family = socket.AF_INET if dst.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        # A packet that the output hook drops is a PermissionError here.
        with suppress(PermissionError):
            raw.sendto(data, (packet.dst, 0))


def packet_bytes(packet: Sent) -> bytes:
    """The packet from its IP header on."""
    src, dst = ip_address(packet.src), ip_address(packet.dst)
    payload = _payload(packet, src.version)
    return _ip_header(src, dst, packet.protocol, len(payload)) + payload


def _ip_header(src: Address, dst: Address, protocol: int, length: int) -> bytes:
    if src.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, protocol, 0)
    else:
        head = struct.pack("!IHBB", 6 << 28, length, protocol, 64)
    return head + src.packed + dst.packed


def _payload(packet: Sent, version: int) -> bytes:
    if packet.protocol == 6:
        return struct.pack(
            "!HHIIBBHHH", packet.sport, packet.port, 1, 0, 5 << 4, 2, 1024, 0, 0
        )
    if packet.protocol == 17:
        return struct.pack("!HHHH", packet.sport, packet.port, 8, 0)
    if packet.protocol in (1, 58):
        kind = packet.icmp_type
        if kind is None:
            kind = 8 if version == 4 else 128
        body = struct.pack("!HH", 77, 1)
        if packet.about:
            src, dst = (ip_address(text) for text in packet.about)
            quoted = struct.pack("!HHHH", packet.sport, packet.port, 8, 0)
            body = bytes(4) + _ip_header(src, dst, 17, 8) + quoted
        return _checked(struct.pack("!BBH", kind, 0, 0) + body)
    return struct.pack("!HHII", packet.sport, packet.port, 0, 0)


def _checked(icmp: bytes) -> bytes:
    """With ICMP's checksum; conntrack ignores an error without a right one."""
    words = icmp + bytes(len(icmp) % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return icmp[:2] + struct.pack("!H", ~total & 0xFFFF) + icmp[4:]


def _main() -> None:
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "route", "add", "local", "10.0.0.0/8", "dev", "lo")
    _run("ip", "-6", "route", "add", "local", "fd00::/16", "dev", "lo")
    json.dump([_trial(trial) for trial in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    _main()
