"""Which advertised subnets count: approval by `autoApprovers`, and the primary.

A route of a device is approved if some `autoApprovers.routes` prefix contains it and
one of that prefix's approvers matches the device: a tag of it, or, when it has no
tags, its user, a group or autogroup:member (POLICY.md §5). What is advertised and
not approved exists for nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailgit.access.selectors import active_devices, is_identity_of
from tailgit.model.addresses import Network
from tailgit.model.selectors import SelectorError, parse_selector
from tailgit.model.tailnet import Device, Tailnet


def approved_routes(tailnet: Tailnet) -> Mapping[str, tuple[Network, ...]]:
    """Approved prefixes by device name; devices without any are left out."""
    result = {}
    for name, device in active_devices(tailnet).items():
        prefixes = {
            route.prefix
            for route in device.routes
            if _is_approved(tailnet, device, route.prefix)
        }
        if prefixes:
            result[name] = tuple(sorted(prefixes, key=prefix_order))
    return result


def primaries(approved: Mapping[str, tuple[Network, ...]]) -> Mapping[Network, str]:
    """Who carries each prefix: of several approved advertisers the first by name.

    A repository has no join order, which is what Tailscale goes by.
    """
    carriers: dict[Network, str] = {}
    for name in sorted(approved):
        for prefix in approved[name]:
            carriers.setdefault(prefix, name)
    return carriers


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


def _is_approved(tailnet: Tailnet, device: Device, prefix: Network) -> bool:
    return any(
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
