"""When access ends: deadlines of rules, devices and users, and a tailnet at a time.

A deadline is data. Asked without a time, everything counts and an answer carries the
epoch second at which it ends, so that nodes can end it themselves; asked for a time,
what is over is absent. `None` stands for no end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tailgit.model.deadline import Deadline
from tailgit.model.tailnet import Device, Tailnet

Until = Deadline | None
"""The first second in which something no longer holds; None: it does not end."""


def device_deadline(tailnet: Tailnet, device: Device) -> Until:
    """When a device ends: by its own deadline or its owner's, whichever is first."""
    user = tailnet.users.get(device.owner) if device.owner is not None else None
    return first_of((device.expires, user.expires if user is not None else None))


def first_of(deadlines: Iterable[Until]) -> Until:
    """The first deadline: when all of several things are needed."""
    return min((each for each in deadlines if each is not None), default=None)


def last_of(deadlines: Iterable[Until]) -> Until:
    """The last deadline: when one of several things is enough. Not of none."""
    listed = list(deadlines)
    return None if None in listed else max(each for each in listed if each is not None)


def is_over(deadline: Until, at: Deadline) -> bool:
    return deadline is not None and deadline <= at


def deadline_order(deadline: Until) -> tuple[bool, int]:
    """Sort key: what ends first comes first, what does not end last."""
    return deadline is None, deadline or 0


def as_of(tailnet: Tailnet, at: Until) -> Tailnet:
    """The tailnet without what is over at a time; the tailnet itself without one."""
    if at is None:
        return tailnet
    return replace(
        tailnet,
        devices={
            name: device
            for name, device in tailnet.devices.items()
            if not is_over(device_deadline(tailnet, device), at)
        },
        rules=tuple(rule for rule in tailnet.rules if not is_over(rule.expires, at)),
    )
