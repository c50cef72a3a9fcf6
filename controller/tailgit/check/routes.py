"""Routes: none inside the tailnet, over another or over a way to a device.

Two routers for one prefix need a decision which of them is used and a probe that
notices when it is gone. Until that exists, an overlap is an error: what would happen
is not what either line says. A route over the address that a device is reached at is
one, too: whoever uses it would send WireGuard's own packets into the tunnel that they
make, or answer the controller's login through it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

from tailgit.access.routes import approved_routes, covers, overlaps, prefix_order
from tailgit.model.addresses import Address
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Device, Route, Tailnet


def check_routes(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about every route of every device."""
    routes = sorted(
        (
            (device, route)
            for device in tailnet.devices.values()
            for route in device.routes
        ),
        key=lambda pair: (*prefix_order(pair[1].prefix), pair[0].name),
    )
    yield from _inside(tailnet, routes)
    yield from _overlapping(routes)
    yield from _over_endpoints(tailnet, routes)
    approved = approved_routes(tailnet)
    for device, route in routes:
        if device.disabled or route.prefix in approved.get(device.name, ()):
            continue
        who = device.tags[0] if device.tags else device.owner
        yield finding(
            "route-not-approved",
            route.place,
            f"the route {route.prefix} of `{device.name}` is not approved, so it is "
            "carried for nobody",
            f"add `{route.prefix}: [{who}]` to `autoApprovers.routes`",
        )


def _inside(tailnet: Tailnet, routes: list[tuple[Device, Route]]) -> Iterator[Finding]:
    for device, route in routes:
        for own in (tailnet.ipv4, tailnet.ipv6):
            if overlaps(own, route.prefix):
                yield finding(
                    "route-in-tailnet",
                    route.place,
                    f"the route {route.prefix} of `{device.name}` overlaps the "
                    f"tailnet's own range {own}",
                    "route something else, or give the tailnet another range",
                )


def _overlapping(routes: list[tuple[Device, Route]]) -> Iterator[Finding]:
    """In order of address, a prefix can only lie in one of those still open."""
    around: list[tuple[Device, Route]] = []
    for device, route in routes:
        while around and not covers(around[-1][1].prefix, route.prefix):
            around.pop()
        if around:
            other, wider = around[-1]
            whose = "its own" if other.name == device.name else f"`{other.name}`'s"
            yield finding(
                "route-overlap",
                route.place,
                f"the route {route.prefix} of `{device.name}` lies in {whose} "
                f"{wider.prefix}",
                "one prefix has one router in this version: keep one of the two",
                [wider.place],
            )
        around.append((device, route))


def _over_endpoints(
    tailnet: Tailnet, routes: list[tuple[Device, Route]]
) -> Iterator[Finding]:
    """One finding for each route, whatever it covers; the narrower ones overlap it."""
    outer: list[tuple[Device, Route]] = []
    for device, route in routes:
        if not outer or not covers(outer[-1][1].prefix, route.prefix):
            outer.append((device, route))
    starts = [_position(route.prefix.network_address) for _, route in outer]
    said: set[int] = set()
    for device in tailnet.devices.values():
        for key, address in _reached_at(device):
            index = bisect_right(starts, _position(address)) - 1
            if index < 0 or index in said or address not in outer[index][1].prefix:
                continue
            carrier, route = outer[index]
            if key == "ssh" and carrier.name == device.name:
                continue  # a router does not use its own route
            said.add(index)
            origin = device.origin
            yield finding(
                "route-over-endpoint",
                route.place,
                f"the route {route.prefix} of `{carrier.name}` contains {address}, "
                f"which `{device.name}` is reached at",
                "route narrower prefixes that leave it out",
                [origin.at(key) if origin is not None else device.place],
            )


def _reached_at(device: Device) -> Iterator[tuple[str, Address]]:
    """The addresses of a device outside of the tailnet, with the field of each."""
    for endpoint in device.endpoints:
        yield "endpoints", endpoint.address
    if device.ssh is not None:
        with suppress(ValueError):  # of a name it is not known what it stands for
            yield "ssh", ip_address(device.ssh.host)


def _position(address: Address) -> tuple[int, int]:
    return address.version, int(address)
