"""Routes: none inside the tailnet, none over another, and none that nobody approved.

Two routers for one prefix need a decision which of them is used and a probe that
notices when it is gone. Until that exists, an overlap is an error: what would happen
is not what either line says.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailgit.access.routes import approved_routes, covers, overlaps, prefix_order
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
