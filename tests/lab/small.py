"""Small labs on paper, for the tests of `lab` and `probe`."""

from __future__ import annotations

from ipaddress import ip_address

from tailgit.lab import CONTROLLER, Machine, Topology
from tailgit.lab.topology import ROUTER

A4, A6 = ip_address("203.0.113.10"), ip_address("2001:db8:1::10")
B4, B6 = ip_address("198.51.100.7"), ip_address("2001:db8:2::7")


def topology(name: str) -> Topology:
    """Two nodes with both families, and what every lab has."""
    return Topology(
        name,
        (
            Machine("node-a", "node", (A4, A6), (22,)),
            Machine("node-b", "node", (B4, B6), (22, 2222)),
            Machine(
                CONTROLLER,
                "controller",
                (ip_address("192.0.2.2"), ip_address("2001:db8:ffff::2")),
            ),
            Machine(ROUTER, "router"),
        ),
    )
