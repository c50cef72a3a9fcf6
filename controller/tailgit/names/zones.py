"""What a device is called: `DEVICE.DOMAIN`, in a hosts file and in a zone.

A zone is compiled with serial 1 on a line of its own, so that a copy with another
serial needs no parser and the original keeps its hash (DESIGN §7).
"""

from __future__ import annotations

from tailgit.model.tailnet import Device

SERIAL = 1


def host_lines(device: Device, domain: str) -> str:
    """Two hosts(5) lines: each address, the full name, the short one."""
    names = f"{device.name}.{domain} {device.name}"
    return f"{device.ipv4} {names}\n{device.ipv6} {names}\n"


def zone_lines(device: Device) -> str:
    """The device's A and AAAA records, relative to the tailnet's domain."""
    return f"{device.name} IN A {device.ipv4}\n{device.name} IN AAAA {device.ipv6}\n"


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
