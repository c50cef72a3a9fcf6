"""Attributes that the policy's `nodeAttrs` give to devices.

All entries whose target names a device add up, in any order and however often; what
an attribute means is its reader's business, so unknown ones pass (POLICY.md §7).
"""

from __future__ import annotations

from tailgit.access.selectors import active_devices, devices_of
from tailgit.model.tailnet import Tailnet


def node_attributes(tailnet: Tailnet) -> dict[str, tuple[str, ...]]:
    """The attributes of every active device by name, sorted.

    Unlike in `ssh`, a target may also be an address, a prefix, a host or `*`.
    """
    found: dict[str, set[str]] = {name: set() for name in active_devices(tailnet)}
    for entry in tailnet.node_attrs:
        if not entry.attributes:
            continue
        for selector in entry.target:
            for device in devices_of(tailnet, selector):
                found[device.name].update(entry.attributes)
    return {name: tuple(sorted(attributes)) for name, attributes in found.items()}
