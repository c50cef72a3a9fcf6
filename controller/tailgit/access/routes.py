"""Which advertised routes count: approval by `autoApprovers`, and who carries them.

A subnet of a device is approved if some `autoApprovers.routes` prefix contains it and
one of that prefix's approvers matches the device: a tag of it, or, when it has no
tags, its user, a group, a role and the like (POLICY.md §5). 0.0.0.0/0 and ::/0, an
exit node's routes, are approved by `autoApprovers.exitNode` alone. What is advertised
and not approved exists for nobody.

An exit node's routes are kept apart from subnets: they make nobody's address reachable
but the internet's, and no node is their primary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from tailgit.access.selectors import active_devices, is_identity_of
from tailgit.model.addresses import INTERNET, Network
from tailgit.model.selectors import SelectorError, parse_selector
from tailgit.model.tailnet import Device, Tailnet

Approvals = Mapping[str, tuple[Network, ...]]
"""Approved routes by device name, an exit node's among them."""

EXIT_ROUTES: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
"""What an exit node carries, and what everything is."""


def approvals(tailnet: Tailnet) -> Approvals:
    """Every approved route by device name; devices without any are left out."""
    result = {}
    for name, device in active_devices(tailnet).items():
        prefixes = {
            route.prefix
            for route in device.routes
            if _is_approved(tailnet, device, route.prefix)
        }
        exits = EXIT_ROUTES if is_exit_node(tailnet, device) else ()
        if prefixes or exits:
            result[name] = (*sorted(prefixes, key=prefix_order), *exits)
    return result


def approved_routes(tailnet: Tailnet) -> Mapping[str, tuple[Network, ...]]:
    """Approved subnets by device name; devices without any are left out."""
    return subnets_of(approvals(tailnet))


def subnets_of(approved: Approvals) -> Mapping[str, tuple[Network, ...]]:
    """The approvals without those of exit nodes, sorted; IPv4 first."""
    found = {
        name: tuple(sorted(set(routes) - set(EXIT_ROUTES), key=prefix_order))
        for name, routes in approved.items()
    }
    return {name: routes for name, routes in found.items() if routes}


def exits_of(approved: Approvals) -> frozenset[str]:
    """The names of the approved exit nodes."""
    return frozenset(
        name
        for name, routes in approved.items()
        if not set(routes).isdisjoint(EXIT_ROUTES)
    )


def carriers(
    tailnet: Tailnet, approved: Mapping[str, tuple[Network, ...]]
) -> Mapping[Network, tuple[str, ...]]:
    """The approved routers of each prefix, the primary first.

    The lowest `priority` goes first, then the name: a repository has no join order,
    which is what Tailscale goes by. A route without a priority comes after all others.
    """
    found: dict[Network, list[str]] = {}
    for name in sorted(approved):
        for prefix in approved[name]:
            found.setdefault(prefix, []).append(name)
    for prefix, names in found.items():
        if len(names) > 1:
            names.sort(key=lambda name: _precedence(tailnet.devices[name], prefix))
    return {prefix: tuple(names) for prefix, names in found.items()}


def _precedence(device: Device, prefix: Network) -> tuple[bool, int, str]:
    given = [r.priority for r in device.routes if r.prefix == prefix]
    priorities = [each for each in given if each is not None]
    return not priorities, min(priorities, default=0), device.name


def prefix_order(prefix: Network) -> tuple[int, int, int]:
    """Sort key for prefixes of both families: IPv4 first, then by address."""
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def covers(wide: Network, narrow: Network) -> bool:
    """Whether `narrow` lies inside `wide`; never across families."""
    return (
        wide.version == narrow.version
        and wide.prefixlen <= narrow.prefixlen
        and narrow.network_address in wide
    )


def overlaps(one: Network, other: Network) -> bool:
    return covers(one, other) or covers(other, one)


def touches(prefixes: Iterable[Network], routes: Iterable[Network]) -> bool:
    """Whether any of the prefixes overlaps any of the routes, in either direction."""
    wanted = tuple(routes)
    return any(overlaps(prefix, route) for prefix in prefixes for route in wanted)


def is_in_internet(prefix: Network) -> bool:
    """Whether all of it is the internet: an exit node is then its destination."""
    return any(covers(each, prefix) for each in INTERNET)


def is_exit_node(tailnet: Tailnet, device: Device) -> bool:
    """Whether the device offers to be an exit node and may be one."""
    return device.exit_node and any(
        _approves(tailnet, who, device) for who in tailnet.auto_approvers.exit_node
    )


def _is_approved(tailnet: Tailnet, device: Device, prefix: Network) -> bool:
    return prefix.prefixlen > 0 and any(
        _approves(tailnet, who, device)
        for wide, approvers in tailnet.auto_approvers.routes
        if covers(wide, prefix)
        for who in approvers
    )


def _approves(tailnet: Tailnet, who: str, device: Device) -> bool:
    try:
        selector = parse_selector(who, devices=tailnet.devices, hosts=())
    except SelectorError:
        return False
    return is_identity_of(tailnet, selector, device)
