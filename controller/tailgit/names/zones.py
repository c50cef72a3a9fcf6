"""What a device is called: `DEVICE.DOMAIN`, in a hosts file and in a zone.

A zone is compiled with serial 1 on a line of its own, so that a copy with another
serial needs no parser and the original keeps its hash (DESIGN §7).
"""

from __future__ import annotations

SERIAL = 1


def host_lines(name: str, ipv4: str, ipv6: str, domain: str) -> str:
    """Two hosts(5) lines: each address, the full name, the short one."""
    names = f"{name}.{domain} {name}"
    return f"{ipv4} {names}\n{ipv6} {names}\n"


def zone_lines(name: str, ipv4: str, ipv6: str) -> str:
    """A device's A and AAAA records, relative to the tailnet's domain."""
    return f"{name} IN A {ipv4}\n{name} IN AAAA {ipv6}\n"


def zone_head(domain: str) -> str:
    """`$ORIGIN`, SOA and NS of the forward zone."""
    return (
        f"$ORIGIN {domain}.\n"
        "$TTL 60\n"
        "@ IN SOA localhost. hostmaster (\n"
        f"\t{SERIAL}\n"
        "\t3600 600 86400 60 )\n"
        "@ IN NS localhost.\n"
    )
