"""Devices against each other: one owner, address, key, endpoint and slot for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterator
from hashlib import sha256
from ipaddress import IPv4Address
from typing import TypeVar

from tailgit.model.addresses import RESERVED, Address
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.tailnet import Device, Tailnet

_MOST_OFFERS = 100
"""So many clashes come with a free address; who has more has another problem."""

Key = TypeVar("Key", bound=Hashable)


def check_devices(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about single devices and about pairs that can't both be."""
    for device in tailnet.devices.values():
        yield from _owner_or_tags(device)
    yield from _clashes(tailnet, "ipv4", lambda device: (device.ipv4,))
    yield from _clashes(tailnet, "ipv6", lambda device: (device.ipv6,))
    yield from _same_keys(tailnet)
    yield from _same_slots(tailnet)
    yield from _same_endpoints(tailnet)
    yield from _old_names(tailnet)
    for name, host in tailnet.hosts.items():
        if name in tailnet.devices:
            yield finding(
                "host-is-device",
                host.place,
                f"the alias `{name}` is also the name of a device",
                "a device's name is a selector already: rename the alias",
                [tailnet.devices[name].place],
            )


def _owner_or_tags(device: Device) -> Iterator[Finding]:
    if device.owner is not None and device.tags:
        yield finding(
            "owner-and-tags",
            _at(device, "tags"),
            f"`{device.name}` has an owner and tags",
            "a person's machine has an owner, everything else has tags",
            [_at(device, "owner")],
        )
    if any(_has(device, key) for key in ("owner", "tags")):
        return  # what they are is right, or the schema has said that it is not
    if device.owner is None and not device.tags:
        yield finding(
            "owner-or-tags",
            device.place,
            f"`{device.name}` has neither owner nor tags",
            "write `owner: ana@acme.com` or `tags: [tag:server]`",
        )


def _clashes(
    tailnet: Tailnet, key: str, of: Callable[[Device], tuple[Address, ...]]
) -> Iterator[Finding]:
    taken = {each.ipv4 for each in tailnet.devices.values()}
    offers = 0
    for address, devices in _shared(tailnet, of):
        first, *others = devices
        for device in others:
            help_ = f"pin the newer one, `{key}: …`"
            if isinstance(address, IPv4Address) and offers < _MOST_OFFERS:
                offers += 1
                free = free_ipv4(tailnet, device, taken)
                help_ = f"pin the newer of the two, for example `ipv4: {free}`: "
                help_ += "`tailgit pin` writes such a line"
            yield finding(
                "address-clash",
                _at(device, key) if _has(device, key) else device.place,
                f"`{device.name}` and `{first.name}` both have {address}",
                help_,
                [first.place],
            )


def free_ipv4(
    tailnet: Tailnet, device: Device, taken: Container[IPv4Address]
) -> IPv4Address:
    """An address that nobody has: further along the hashes that gave the first.

    The device's own, if the range is as good as full.
    """
    base, size = int(tailnet.ipv4.network_address), tailnet.ipv4.num_addresses
    digest = sha256(f"tailgit 4\0{tailnet.name}\0{device.name}".encode()).digest()
    for _ in range(1000):
        digest = sha256(digest).digest()
        offset = int.from_bytes(digest[:8], "big") % (size - 2) + 1
        address = IPv4Address(base + offset)
        if address not in taken and not any(address in each for each in RESERVED):
            return address
    return device.ipv4


def _has(device: Device, key: str) -> bool:
    return device.origin is not None and device.origin.at(key) != device.origin.at()


_KEYS = {
    "publicKey": "the public key",
    "nextPublicKey": "the next public key",
    "relayPublicKey": "the relay's public key",
}


def _same_keys(tailnet: Tailnet) -> Iterator[Finding]:
    """A key is one device's and for one purpose, now and after a rotation."""
    first: dict[str, tuple[Device, str]] = {}
    for name in sorted(tailnet.devices):
        device = tailnet.devices[name]
        keys = device.public_key, device.next_public_key, device.relay_public_key
        for field, key in zip(_KEYS, keys, strict=True):
            if key is None:
                continue
            other, others_field = first.setdefault(key, (device, field))
            if (other, others_field) != (device, field):
                yield _same_key(device, field, other, others_field)


def _same_key(device: Device, field: str, other: Device, others_field: str) -> Finding:
    help_ = "every device has its own: enroll it again"
    if device is other and field == "nextPublicKey":
        message = f"the next public key of `{device.name}` is the one that it has"
        help_ = (
            "a rotation needs another key; take `nextPublicKey` out if there is none"
        )
    elif device is other:
        message = f"`{field}` and `{others_field}` of `{device.name}` are one key"
        # What is sent through the relay could be played back at the other interface.
        help_ = "sessions through relays have a key pair of their own: make another"
    elif field == others_field == "publicKey":
        message = f"`{device.name}` has the public key of `{other.name}`"
    else:
        message = (
            f"{_KEYS[field]} of `{device.name}` is {_KEYS[others_field]} of "
            f"`{other.name}`"
        )
    return finding(
        "duplicate-public-key",
        _at(device, field),
        message,
        help_,
        [_at(other, others_field)],
    )


def _same_slots(tailnet: Tailnet) -> Iterator[Finding]:
    """Also those of disabled devices: they come back with the slot that they had."""
    shared = _shared(
        tailnet, lambda each: () if each.relay_slot is None else (each.relay_slot,)
    )
    for slot, (first, *others) in shared:
        for device in others:
            yield finding(
                "slot-clash",
                _at(device, "relaySlot"),
                f"`{device.name}` and `{first.name}` both have the relay slot {slot}",
                "run `tailgit pin`: it gives the newer of the two a free one",
                [_at(first, "relaySlot")],
            )


def _same_endpoints(tailnet: Tailnet) -> Iterator[Finding]:
    for endpoint, (first, *others) in _shared(tailnet, lambda d: tuple(d.endpoints)):
        for device in others:
            if device.name == first.name:
                continue
            yield finding(
                "duplicate-endpoint",
                _at(device, "endpoints"),
                f"`{device.name}` and `{first.name}` are both reached at {endpoint}",
                "two devices behind one address need two ports",
                [_at(first, "endpoints")],
            )


def _old_names(tailnet: Tailnet) -> Iterator[Finding]:
    claimed: dict[str, Device] = dict(tailnet.devices)
    for device in tailnet.devices.values():
        for index, old in enumerate(device.formerly):
            other = claimed.setdefault(old, device)
            if old == device.name:
                message = f"`{old}` is the device's name now"
            elif other is device:
                continue
            elif other.name == old:
                message = f"`{old}` is another device"
            else:
                message = f"`{other.name}` was called `{old}` once, too"
            yield finding(
                "formerly-clash",
                _at(device, "formerly", index),
                message,
                "an old name belongs to one device, since addresses follow from it",
                [other.place],
            )


def _shared(
    tailnet: Tailnet, of: Callable[[Device], tuple[Key, ...]]
) -> Iterator[tuple[Key, list[Device]]]:
    """What two or more devices have in common, with those devices by name."""
    found: defaultdict[Key, list[Device]] = defaultdict(list)
    for name in sorted(tailnet.devices):
        for key in of(tailnet.devices[name]):
            found[key].append(tailnet.devices[name])
    for key, devices in found.items():
        if len(devices) > 1:
            yield key, devices


def _at(device: Device, *path: str | int) -> Place:
    return device.origin.at(*path) if device.origin is not None else device.place
