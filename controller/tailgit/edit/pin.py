"""What has to be written down after a merge: addresses that clash, relay slots.

Addresses follow from names and slots from nothing, so two branches can choose the same
one without a textual conflict. Whoever was there first keeps it: a device that older
revisions have, then one that has a key (it is in use). The others get what nobody has.
Of two that were committed together a person decides: names can be tried until their
address is one that rules mean, so nobody may win it by the name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgit.check.devices import free_ipv4
from tailgit.check.paths import without_slot
from tailgit.edit.change import Change
from tailgit.edit.device import Field, FieldValue, devices_change
from tailgit.edit.tree import open_tree
from tailgit.errors import InvalidTailnet, Refused, TailgitError
from tailgit.load import load
from tailgit.model.tailnet import Device, Tailnet
from tailgit.model.text import shown

SLOTS = 200
"""Relay slots that exist: the ports of a pair are computed from both."""

_BEFORE = ("HEAD^", "HEAD")


@dataclass(frozen=True, slots=True)
class Pin:
    """One field that a device gets; `instead` says who keeps what it had."""

    device: str
    field: str
    value: str | int
    instead: str = ""
    enrolled: bool = False


@dataclass(frozen=True, slots=True)
class Pinned:
    """The pins and the change that writes them."""

    pins: tuple[Pin, ...]
    change: Change


def pin(path: Path) -> Pinned:
    """What `tailgit pin` would write for the tailnet at `path`; proven, not written.

    `Refused` if there is no free slot left or two devices are pinned to one address.
    """
    tree = open_tree(path)
    tailnet = tree.loaded.tailnet
    if tailnet is None:
        raise InvalidTailnet(tree.findings)
    age = _age(path)
    pins = (*_addresses(tailnet, age), *_slots(tailnet, age))
    fields: defaultdict[str, dict[Field, FieldValue]] = defaultdict(dict)
    for each in pins:
        fields[each.device][(each.field,)] = each.value
    return Pinned(pins, devices_change(path, fields))


def _age(path: Path) -> Mapping[str, int]:
    """In how many of the last two revisions a device was: the merge's target first."""
    seen: Counter[str] = Counter()
    for revision in _BEFORE:
        try:
            loaded = load(path, revision)
        except TailgitError:
            continue  # no repository, no such commit: then nobody is older
        known = loaded.tailnet or loaded.partial
        seen.update(list(known.devices) if known else [])
    return seen


def _first(devices: Sequence[Device], age: Mapping[str, int], what: str) -> Device:
    """Who was there first; `Refused` where the repository does not say."""
    ranks = {each.name: _rank(each, age) for each in devices}
    first, second, *_ = sorted(devices, key=lambda each: ranks[each.name])
    if ranks[first.name] == ranks[second.name] and any(age.values()):
        raise Refused(
            f"`{shown(first.name)}` and `{shown(second.name)}` have {what} in common "
            "and came together",
            "write `ipv4:` or another `relaySlot:` at the one that may change",
        )
    return first


def _rank(device: Device, age: Mapping[str, int]) -> tuple[int, bool]:
    """In more revisions goes first, then in use."""
    return -age.get(device.name, 0), device.public_key is None


def _addresses(tailnet: Tailnet, age: Mapping[str, int]) -> Iterator[Pin]:
    taken = {device.ipv4 for device in tailnet.devices.values()}
    for devices in _shared(tailnet, lambda device: device.ipv4):
        pinned = [each for each in devices if _is_pinned(each, "ipv4")]
        if len(pinned) > 1:
            names = " and ".join(f"`{each.name}`" for each in pinned)
            raise Refused(
                f"{names} are both pinned to {pinned[0].ipv4}",
                "take the line `ipv4:` out of the newer one",
            )
        keeper = pinned[0] if pinned else _first(devices, age, "the address")
        for device in devices:
            if device is keeper:
                continue
            address = free_ipv4(tailnet, device, taken)
            if address in taken:
                raise Refused(f"{tailnet.ipv4} has no free address left")
            taken.add(address)
            why = f"{device.ipv4} stays with {keeper.name}"
            enrolled = device.public_key is not None
            yield Pin(device.name, "ipv4", str(address), why, enrolled)


def _slots(tailnet: Tailnet, age: Mapping[str, int]) -> Iterator[Pin]:
    slots = (device.relay_slot for device in tailnet.devices.values())
    taken = {slot for slot in slots if slot is not None}
    moved = [
        (device, f"slot {device.relay_slot} stays with {keeper.name}")
        for devices in _shared(tailnet, lambda device: device.relay_slot)
        for keeper in [_first(devices, age, "the relay slot")]
        for device in devices
        if device is not keeper
    ]
    for device, why in [*moved, *((each, "") for each in without_slot(tailnet))]:
        slot = next((n for n in range(SLOTS) if n not in taken), None)
        if slot is None:
            raise Refused(f"all {SLOTS} relay slots are taken")
        taken.add(slot)
        yield Pin(device.name, "relaySlot", slot, why, bool(why))


def _shared(
    tailnet: Tailnet, of: Callable[[Device], object | None]
) -> Iterator[list[Device]]:
    """Devices that have the same of something, two or more, by name."""
    found: defaultdict[object, list[Device]] = defaultdict(list)
    for device in tailnet.devices.values():
        key = of(device)
        if key is not None:
            found[key].append(device)
    yield from (devices for devices in found.values() if len(devices) > 1)


def _is_pinned(device: Device, field: str) -> bool:
    origin = device.origin
    return origin is not None and origin.at(field) != origin.at()
