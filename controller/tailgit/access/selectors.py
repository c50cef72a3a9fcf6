"""What a selector stands for in a given tailnet.

A selector is either an *identity* (user, group, tag, device, autogroup), which means
devices by both their addresses and never their routes, or an *address* (IP, CIDR,
host alias, ipset), which means exactly those prefixes and nothing in the other family
(POLICY.md §0, points 4 and 5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import assert_never

from tailgit.model.addresses import INTERNET, Address, Network
from tailgit.model.selectors import ANYBODY_AT, Kind, Selector
from tailgit.model.tailnet import Device, Tailnet

EVERYTHING: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
"""What `*` means as a destination, and `autogroup:danger-all` as a source."""


def active_devices(tailnet: Tailnet) -> Mapping[str, Device]:
    """Devices that count, by name in order: neither they nor their owner disabled."""
    return _directory(tailnet).active


class _Directory:
    """The active devices by what selectors name."""

    def __init__(self, tailnet: Tailnet) -> None:
        off = {login for login, user in tailnet.users.items() if user.disabled}
        self.active = {
            name: device
            for name, device in sorted(tailnet.devices.items())
            if not device.disabled and device.owner not in off
        }
        self.by_tag: defaultdict[str, list[Device]] = defaultdict(list)
        self.by_owner: defaultdict[str, list[Device]] = defaultdict(list)
        for device in self.active.values():
            for tag in device.tags:
                self.by_tag[tag].append(device)
            if device.owner is not None and not device.tags:
                self.by_owner[device.owner].append(device)
        self.found: dict[Selector, tuple[Device, ...]] = {}

    def candidates(self, tailnet: Tailnet, selector: Selector) -> Iterable[Device]:
        """Every device that the selector may name, by name, and perhaps others."""
        match selector.kind:
            case Kind.DEVICE:
                device = self.active.get(selector.value)
                return () if device is None else (device,)
            case Kind.TAG:
                return self.by_tag.get(selector.value, ())
            case Kind.USER:
                return self.by_owner.get(selector.value, ())
            case Kind.GROUP:
                group = tailnet.groups.get(selector.value)
                people = dict.fromkeys(group.members if group else ())
                found = (
                    each for login in people for each in self.by_owner.get(login, ())
                )
                return sorted(found, key=lambda device: device.name)
            case _:
                return self.active.values()


def _directory(tailnet: Tailnet) -> _Directory:
    kept = tailnet.memo.get(_Directory)
    if not isinstance(kept, _Directory):
        kept = tailnet.memo[_Directory] = _Directory(tailnet)
    return kept


def everybody(tailnet: Tailnet) -> tuple[Network, ...]:
    """What `*` in a src means besides approved subnets."""
    return tailnet.everybody or (tailnet.ipv4, tailnet.ipv6)


def prefix_of(tailnet: Tailnet, selector: Selector) -> Network | None:
    """The prefix of a selector that is one; None for all others."""
    if selector.kind is Kind.HOST:
        return tailnet.hosts[selector.value].prefix
    return selector.prefix


def prefixes_of(tailnet: Tailnet, selector: Selector) -> tuple[Network, ...]:
    """The prefixes of an address selector; none for identities and `*`."""
    match selector.kind:
        case Kind.HOST | Kind.PREFIX:
            prefix = prefix_of(tailnet, selector)
            return (prefix,) if prefix is not None else ()
        case Kind.IPSET:
            ipset = tailnet.ipsets.get(selector.value)
            return ipset.prefixes if ipset is not None else ()
        case Kind.DANGER_ALL:
            return EVERYTHING
        case Kind.INTERNET:
            return INTERNET
        case _:
            return ()


def is_identity_of(tailnet: Tailnet, selector: Selector, device: Device) -> bool:
    """Whether the selector names the device as who it is, not by its address.

    A tagged device has no user: it is in none of user, group, role, domain and
    autogroup:member (POLICY.md §0, point 6).
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
        case Kind.ROLE:
            return person is not None and selector.value in roles_of(tailnet, person)
        case Kind.DOMAIN:
            return person is not None and domain_of(person) == domain_in(selector)
        case Kind.ANY | Kind.SELF | Kind.SHARED:
            return False
        case Kind.HOST | Kind.PREFIX | Kind.IPSET | Kind.INTERNET | Kind.DANGER_ALL:
            return False
        case _:
            assert_never(selector.kind)


def roles_of(tailnet: Tailnet, login: str) -> tuple[str, ...]:
    """The role autogroups of a user; the owner of a tailnet is an admin too."""
    user = tailnet.users.get(login)
    role = user.role if user is not None else "member"
    roles = ("owner", "admin") if role == "owner" else (role,)
    return tuple(f"autogroup:{each}" for each in roles)


def domain_of(login: str) -> str:
    """What stands behind the `@`; upper and lower case are different."""
    return login.rpartition("@")[2]


def domain_in(selector: Selector) -> str:
    """The domain of `user:*@DOMAIN`."""
    return selector.value.removeprefix(ANYBODY_AT)


def devices_of(tailnet: Tailnet, selector: Selector) -> tuple[Device, ...]:
    """The active devices behind a selector, by name.

    An address selector stands for the devices that have an address in it, `*` for
    all; `autogroup:self` stands for nobody without knowing the other end.
    """
    directory = _directory(tailnet)
    if selector not in directory.found:
        directory.found[selector] = tuple(
            device
            for device in directory.candidates(tailnet, selector)
            if any(True for _ in addresses_in(tailnet, selector, device))
        )
    return directory.found[selector]


def addresses_in(
    tailnet: Tailnet, selector: Selector, device: Device
) -> Iterator[Address]:
    """Those of the device's own addresses that the selector covers.

    The internet holds no device, whatever its addresses are: `autogroup:internet` is
    what is behind exit nodes.
    """
    if selector.kind is Kind.ANY or is_identity_of(tailnet, selector, device):
        yield from device.addresses
    elif selector.kind is not Kind.INTERNET:
        prefixes = prefixes_of(tailnet, selector)
        yield from (
            address
            for address in device.addresses
            if any(address in prefix for prefix in prefixes)
        )
