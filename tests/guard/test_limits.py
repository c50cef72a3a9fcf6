"""What a change may do to how many devices, counted on fleets of 1 to 5,000."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address

import pytest

from tailgit.compile import Bundle
from tailgit.guard.guard import Guard, few
from tailgit.guard.limits import limits
from tailgit.model.tailnet import Device
from tests.plan.small import bundle, device, tailnet

PEERED = "[Interface]\n\n[Peer]\nPublicKey = k\n"
ALONE = "[Interface]\n"


@cache
def fleet(count: int) -> tuple[Device, ...]:
    return tuple(device(f"n{number:04}") for number in range(count))


def bundles(devices: Iterable[Device], alone: Iterable[str] = ()) -> dict[str, Bundle]:
    """What active devices get: one peer each, or none."""
    without = set(alone)
    return {
        each.name: bundle(
            each.name, wireguard_conf=ALONE if each.name in without else PEERED
        )
        for each in devices
        if not each.disabled and each.public_key is not None
    }


def judged(
    old: Iterable[Device], new: Iterable[Device], alone: Iterable[str] = ()
) -> dict[str, Guard]:
    """The guards of a change, by name."""
    old, new = list(old), list(new)
    found = limits(
        tailnet(*old), tailnet(*new), bundles(old), bundles(new, alone=alone)
    )
    return {guard.name: guard for guard in found}


Change = Callable[[Device], Device | None]


def gone(_: Device) -> None:
    return None


def disabled(each: Device) -> Device:
    return replace(each, disabled=True)


def keyless(each: Device) -> Device:
    return replace(each, public_key=None)


def rekeyed(each: Device) -> Device:
    return replace(each, public_key="another key")


def moved(each: Device) -> Device:
    return replace(each, ipv4=IPv4Address("100.64.9.9"))


@pytest.mark.parametrize("total", [2, 5, 25, 5000])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("devices-removed", gone),
        ("devices-removed", disabled),
        ("devices-removed", keyless),
        ("keys-changed", rekeyed),
        ("addresses-changed", moved),
    ],
)
def test_each_limit_holds_at_its_number_and_stops_above(
    name: str, change: Change, total: int
) -> None:
    """In a fleet of any size; and no other guard stops for it."""
    old, limit = fleet(total), few(total)
    for count in (limit - 1, limit, limit + 1):
        if count >= total and name == "devices-removed":
            continue  # all of them: the next test
        changed = [change(each) for each in old[:count]]
        new = [each for each in (*changed, *old[count:]) if each is not None]
        found = judged(old, new)
        assert len(found[name].devices) == count
        assert (found[name].total, found[name].limit) == (total, limit)
        assert found[name].stops is (count > limit)
        assert not any(g.stops for other, g in found.items() if other != name)


@pytest.mark.parametrize("total", [2, 5, 25, 5000])
def test_devices_that_keep_no_peer_are_counted(total: int) -> None:
    """A policy file that is empty by accident removes no device and cuts off all."""
    old, limit = fleet(total), few(total)
    for count in (limit, limit + 1):
        names = [each.name for each in old[:count]]
        found = judged(old, old, alone=names)
        assert found["cut-off"].devices == tuple(names)
        assert found["cut-off"].stops is (count > limit)


@pytest.mark.parametrize("total", [1, 2, 5])
def test_the_last_device_never_goes_unasked(total: int) -> None:
    """One may always go, but an empty file is no change to a small tailnet."""
    found = judged(fleet(total), [])
    assert found["devices-removed"].stops
    assert len(found["devices-removed"].devices) == total


def test_a_rename_is_no_removal() -> None:
    """`formerly` says that the device is the same one."""
    old = fleet(5)
    new = [
        replace(each, name=f"new-{each.name}", formerly=(each.name,)) for each in old
    ]
    assert not any(guard.devices for guard in judged(old, new).values())


def test_a_rename_without_formerly_is_a_removal() -> None:
    """Nothing says that it is the same, so it counts as one that goes."""
    old = fleet(5)
    new = [*old[:3], *(replace(each, name=f"new-{each.name}") for each in old[3:])]
    assert judged(old, new)["devices-removed"].stops


def test_a_renamed_device_is_still_watched_for_its_key() -> None:
    """A new name is no cover for a new key."""
    old = fleet(5)
    new = [
        replace(each, name=f"b{each.name}", formerly=(each.name,), public_key="x")
        for each in old
    ]
    assert judged(old, new)["keys-changed"].stops


def test_a_rotation_that_was_announced_is_no_accident() -> None:
    """The staged `nextPublicKey` may become the key; any other key may not."""
    old = [replace(each, next_public_key=f"next {each.name}") for each in fleet(5)]
    rotated = [
        replace(each, public_key=each.next_public_key, next_public_key=None)
        for each in old
    ]
    assert judged(old, rotated)["keys-changed"].devices == ()
    assert judged(old, map(rekeyed, old))["keys-changed"].stops


def test_what_had_no_bundle_has_nothing_to_lose() -> None:
    """Devices that were disabled or awaited their key may go in any number."""
    old = [*fleet(5), *(keyless(device(f"x{i}")) for i in range(9))]
    old += [disabled(device(f"y{i}")) for i in range(9)]
    found = judged(old, fleet(5))
    assert found["devices-removed"].devices == ()
    assert found["devices-removed"].total == 5


def test_a_device_that_never_had_a_peer_is_not_cut_off() -> None:
    """Only who loses the last one counts."""
    old = fleet(5)
    names = [each.name for each in old]
    before = bundles(old, alone=names)
    found = {g.name: g for g in limits(tailnet(*old), tailnet(*old), before, before)}
    assert found["cut-off"].devices == ()


def test_without_a_base_nothing_can_be_lost() -> None:
    """The first apply of all: there is nothing to count."""
    assert limits(None, tailnet(*fleet(5)), {}, bundles(fleet(5))) == ()
