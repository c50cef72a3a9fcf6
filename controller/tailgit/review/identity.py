"""Which device of one revision is which of another.

A device is the same by its name, or by a name that it says it had (`formerly`), in
either direction: taking a renaming back is no removal. A key, an address or an owner
that changes makes it no other device; that is a change of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tailgit.access.relation import Relation
from tailgit.model.tailnet import Device, Tailnet

Pair = tuple[int | None, int | None]
"""A device by its number in the old relation and in the new one."""


def same_devices(old: Tailnet, new: Tailnet) -> Mapping[str, str]:
    """The old name of each device that both have, by its new one."""
    found = {name: name for name in new.devices if name in old.devices}
    taken = set(found.values())
    for name, device in new.devices.items():
        if name not in found:
            for former in device.formerly:
                if former in old.devices and former not in taken:
                    found[name] = former
                    taken.add(former)
                    break
    for name, device in old.devices.items():
        if name not in taken:
            for former in device.formerly:
                if former in new.devices and former not in found:
                    found[former] = name
                    break
    return found


@dataclass(frozen=True, slots=True)
class Identities:
    """The active devices of two relations, each once: the new ones first."""

    pairs: tuple[Pair, ...]

    @staticmethod
    def of(old: Relation, new: Relation) -> Identities:
        same = same_devices(old.tailnet, new.tailnet)
        pairs: list[Pair] = []
        left = dict(old.position)
        for number, device in enumerate(new.devices):
            pairs.append((left.pop(same.get(device.name, ""), None), number))
        pairs += [(number, None) for number in left.values()]
        return Identities(tuple(pairs))


def device_at(relation: Relation, number: int | None) -> Device | None:
    return None if number is None else relation.devices[number]
