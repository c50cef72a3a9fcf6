"""The ends of a flow that somebody asks about: addresses, and whose they are."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from tailgit.access.routes import approvals, exits_of, subnets_of
from tailgit.access.selectors import (
    active_devices,
    addresses_in,
    devices_of,
    prefixes_of,
)
from tailgit.errors import UsageError
from tailgit.model.addresses import INTERNET, Address
from tailgit.model.near import meant
from tailgit.model.selectors import Kind, Selector, SelectorError, parse_selector
from tailgit.model.tailnet import Device, Tailnet


@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow: an address, and the device that owns or carries it."""

    address: Address
    device: Device | None
    is_own: bool

    def __str__(self) -> str:
        if self.device is None:
            return str(self.address)
        if self.is_own:
            return self.device.name
        return f"{self.address} behind {self.device.name}"


def ends(tailnet: Tailnet, text: str) -> tuple[End, ...]:
    """The addresses behind a selector; `UsageError` if a name in it is unknown."""
    return ends_of(tailnet, read_selector(tailnet, text))


def read_selector(tailnet: Tailnet, text: str) -> Selector:
    """The selector that somebody typed; `UsageError` if it names nothing."""
    try:
        found = parse_selector(text, devices=tailnet.devices, hosts=tailnet.hosts)
    except SelectorError as error:
        raise UsageError(str(error), _known(tailnet, text)) from None
    known: Mapping[Kind, Container[str]] = {
        Kind.GROUP: tailnet.groups,
        Kind.TAG: tailnet.tag_owners,
        Kind.IPSET: tailnet.ipsets,
        **({Kind.USER: tailnet.users} if tailnet.users else {}),
    }
    if found.kind in known and found.value not in known[found.kind]:
        # A confident "no" to a misspelt name would be believed.
        raise UsageError(f"no {found.kind} `{found.value}`", _known(tailnet, text))
    return found


def ends_of(tailnet: Tailnet, selector: Selector) -> tuple[End, ...]:
    """Own addresses of devices, or, where no device has one, the first of each prefix.

    Of `autogroup:internet` these are two addresses that stand for all.
    """
    key = (End, selector)
    if key not in tailnet.memo:
        tailnet.memo[key] = _ends(tailnet, selector)
    kept: tuple[End, ...] = tailnet.memo[key]
    return kept


def _ends(tailnet: Tailnet, selector: Selector) -> tuple[End, ...]:
    found = tuple(
        End(address, device, True)
        for device in devices_of(tailnet, selector)
        for address in addresses_in(tailnet, selector, device)
    )
    if found or selector.kind is Kind.DANGER_ALL:
        return found
    carried = _Carried(tailnet)
    return tuple(carried.end(address) for address in _addresses(tailnet, selector))


def _addresses(tailnet: Tailnet, selector: Selector) -> Iterator[Address]:
    if selector.kind is Kind.INTERNET:
        for version in (4, 6):
            prefixes = [each for each in INTERNET if each.version == version]
            # The middle one: 0.0.0.0 is in the list and nobody's address.
            yield prefixes[len(prefixes) // 2].network_address + 1
        return
    for prefix in prefixes_of(tailnet, selector):
        yield prefix.network_address


class _Carried:
    """Who carries an address that is no device's own."""

    def __init__(self, tailnet: Tailnet) -> None:
        approved = approvals(tailnet)
        self._devices: Mapping[str, Device] = tailnet.devices
        self._routes = subnets_of(approved)
        self._exits = sorted(exits_of(approved))

    def end(self, address: Address) -> End:
        for name, routes in self._routes.items():
            if any(address in route for route in routes):
                return End(address, self._devices[name], False)
        if self._exits and any(address in each for each in INTERNET):
            return End(address, self._devices[self._exits[0]], False)
        return End(address, None, False)


def _known(tailnet: Tailnet, text: str) -> str:
    known = [*active_devices(tailnet), *tailnet.hosts, *tailnet.users]
    known += [*tailnet.groups, *tailnet.tag_owners, *tailnet.ipsets]
    return meant(text, known)
