"""Addresses against what is around: endpoints, and the machine that runs the check.

An endpoint is where a device is reached from *outside*. One inside of the tailnet
can't be: WireGuard's packets would go into the tunnel that they are to make. One of a
private network is no address outside of that network. The ranges for documentation
are neither; examples use them.

What this machine routes it can't send into the tailnet as well, so a range that is in
use here is worth a word. Left out are default routes, also in two halves as VPNs make
them, and host routes to addresses of devices: those are this tailnet's own, on a
machine that is a node of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network

from tailgit.access.routes import covers, overlaps, prefix_order
from tailgit.model.addresses import Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.tailnet import Device, Tailnet

PRIVATE = {
    ip_network("10.0.0.0/8"): "RFC 1918",
    ip_network("172.16.0.0/12"): "RFC 1918",
    ip_network("192.168.0.0/16"): "RFC 1918",
    ip_network("100.64.0.0/10"): "RFC 6598, behind a provider's NAT",
    ip_network("169.254.0.0/16"): "link-local",
    ip_network("fc00::/7"): "RFC 4193",
    ip_network("fe80::/10"): "link-local",
}
"""Ranges that only their own network can reach, and what they are."""


def check_endpoints(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about endpoints that nobody can reach from outside."""
    for device in tailnet.devices.values():
        for index, endpoint in enumerate(device.endpoints):
            own = tailnet.ipv4 if endpoint.address.version == 4 else tailnet.ipv6
            if endpoint.address in own:
                yield finding(
                    "endpoint-in-tailnet",
                    _at(device, index),
                    f"the endpoint {endpoint} of `{device.name}` lies in the tailnet's "
                    f"own range {own}",
                    "an endpoint is an address outside of the tailnet; without one "
                    "the device is behind NAT",
                )
                continue
            for prefix, what in PRIVATE.items():
                if endpoint.address in prefix:
                    yield finding(
                        "private-endpoint",
                        _at(device, index),
                        f"only its own network reaches the endpoint {endpoint} of "
                        f"`{device.name}` ({what})",
                        f'for devices of the same site write `lan: ["{endpoint}"]`; '
                        "an endpoint is for everybody",
                    )


def _at(device: Device, index: int) -> Place:
    if device.origin is None:
        return device.place
    return device.origin.at("endpoints", index)


def check_ranges(tailnet: Tailnet, around: Sequence[Network]) -> Iterator[Finding]:
    """Findings about ranges and routes that overlap the prefixes `around` us."""
    addresses = {each for d in tailnet.devices.values() for each in d.addresses}
    used = Outer(
        each
        for each in around
        if each.prefixlen > 1
        and (each.prefixlen < each.max_prefixlen or each[0] not in addresses)
    )
    for own in (tailnet.ipv4, tailnet.ipv6):
        other = used.overlapping(own)
        if other is not None:
            yield finding(
                "range-in-use",
                tailnet.place,
                f"the tailnet's range {own} overlaps {other}, which this machine "
                "routes",
                "as a node it would lose one of the two: take another range, unless "
                "the route is this tailnet's own",
            )
    for device in tailnet.devices.values():
        for route in device.routes:
            other = used.overlapping(route.prefix)
            if other is not None:
                yield finding(
                    "range-in-use",
                    route.place,
                    f"the route {route.prefix} of `{device.name}` overlaps {other}, "
                    "which this machine routes",
                    f"fine where this machine stands in that subnet or has the route "
                    f"from `{device.name}`; elsewhere it would lose one of the two",
                )


class Outer:
    """Prefixes without those inside of another one, to look thousands up quickly."""

    def __init__(self, prefixes: Iterable[Network]) -> None:
        self._outer: list[Network] = []
        for prefix in sorted(prefixes, key=prefix_order):
            if not self._outer or not covers(self._outer[-1], prefix):
                self._outer.append(prefix)
        self._starts = [_start(prefix) for prefix in self._outer]

    def overlapping(self, prefix: Network) -> Network | None:
        """The first one that has an address in common with `prefix`."""
        index = bisect_right(self._starts, _start(prefix))
        for near in self._outer[max(0, index - 1) : index + 1]:
            if overlaps(near, prefix):
                return near
        return None


def _start(prefix: Network) -> tuple[int, int]:
    return prefix.version, int(prefix.network_address)
