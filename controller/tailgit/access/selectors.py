"""What a selector stands for in a given tailnet.

A selector is either an *identity* (user, group, tag, device, autogroup), which means
devices by both their addresses and never their routes, or an *address* (IP, CIDR,
host alias), which means exactly that prefix and nothing in the other family
(POLICY.md §0, points 4 and 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from tailgit.model.addresses import Address, Network
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet


def active_devices(tailnet: Tailnet) -> Mapping[str, Device]:
    """Devices that count, by name in order: neither they nor their owner disabled."""
    off = {login for login, user in tailnet.users.items() if user.disabled}
    return {
        name: tailnet.devices[name]
        for name in sorted(tailnet.devices)
        if not tailnet.devices[name].disabled and tailnet.devices[name].owner not in off
    }


def prefix_of(tailnet: Tailnet, selector: Selector) -> Network | None:
    """The prefix of an address selector; None for identities and `*`."""
    if selector.kind is Kind.HOST:
        return tailnet.hosts[selector.value].prefix
    return selector.prefix


def is_identity_of(tailnet: Tailnet, selector: Selector, device: Device) -> bool:
    """Whether the selector names the device as who it is, not by its address.

    A tagged device has no user: it is in none of user, group and autogroup:member
    (POLICY.md §0, point 6).
    """
    person = None if device.tags else device.owner
    match selector.kind:
        case Kind.USER:
            return person == selector.value
        case Kind.GROUP:
            group = tailnet.groups.get(selector.value)
            return group is not None and person in group.members
        case Kind.TAG:
            return selector.value in device.tags
        case Kind.DEVICE:
            return device.name == selector.value
        case Kind.MEMBER:
            return person is not None
        case Kind.TAGGED:
            return bool(device.tags)
        case Kind.ANY | Kind.HOST | Kind.PREFIX | Kind.SELF:
            return False
        case Kind.ROLE | Kind.DOMAIN | Kind.SHARED | Kind.INTERNET:
            return False  # the loader refuses them so far
        case Kind.DANGER_ALL | Kind.IPSET:
            return False
        case _:
            assert_never(selector.kind)


def devices_of(tailnet: Tailnet, selector: Selector) -> tuple[Device, ...]:
    """The active devices behind a selector, by name.

    An address selector stands for the devices that have an address in it, `*` for
    all; `autogroup:self` stands for nobody without knowing the other end.
    """
    return tuple(
        device
        for device in active_devices(tailnet).values()
        if any(True for _ in addresses_in(tailnet, selector, device))
    )


def addresses_in(
    tailnet: Tailnet, selector: Selector, device: Device
) -> Iterator[Address]:
    """Those of the device's own addresses that the selector covers."""
    if selector.kind is Kind.ANY or is_identity_of(tailnet, selector, device):
        yield from device.addresses
        return
    prefix = prefix_of(tailnet, selector)
    if prefix is not None:
        yield from (address for address in device.addresses if address in prefix)
