"""Limits on one change: how many devices it may remove, cut off, re-key or move.

Nearly every large outage by automation was a correct program with a wrong input: half
a list, an empty file, a script that renamed everything. None of that is invalid, so it
has to be counted: in numbers and in percent, whichever is tighter, and in a way that
still says something about five devices (UX.md §4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from tailgit.compile.bundle import Bundle
from tailgit.guard.guard import Guard, few
from tailgit.model.tailnet import Device, Tailnet


def limits(
    base: Tailnet | None,
    head: Tailnet,
    before: Mapping[str, Bundle],
    after: Mapping[str, Bundle],
) -> tuple[Guard, ...]:
    """What the change from `base` to `head` does, counted.

    `before` and `after` are what both compile to. Without a base nothing can be lost.
    """
    if base is None:
        return ()
    old = {name: each for name, each in base.devices.items() if name in before}
    pairs = [(each, _successor(each, head)) for each in old.values()]
    stay = [(was, now) for was, now in pairs if now is not None]
    off = (was.name for was, now in pairs if now is None or now.name not in after)
    # One may always go, but never all there are: that is an empty file.
    gone = _counted("devices-removed", off, len(old))
    return (
        replace(gone, limit=min(gone.limit, max(0, len(old) - 1))),
        _counted("cut-off", _cut_off(stay, before, after), len(old)),
        _counted("keys-changed", _rekeyed(stay), len(old)),
        _counted("addresses-changed", _moved(stay), len(old)),
    )


def _counted(name: str, devices: Iterable[str], total: int) -> Guard:
    return Guard(name, tuple(sorted(devices, key=str.encode)), total, few(total))


def _successor(was: Device, head: Tailnet) -> Device | None:
    """The same device in `head`, perhaps under another name; None if it is gone."""
    found = head.devices.get(was.name)
    if found is not None:
        return found
    for each in head.devices.values():
        if was.name in each.formerly:
            return each
    return None


def _cut_off(
    stay: Iterable[tuple[Device, Device]],
    before: Mapping[str, Bundle],
    after: Mapping[str, Bundle],
) -> Iterator[str]:
    for was, now in stay:
        if now.name in after and not after[now.name].peers and before[was.name].peers:
            yield now.name


def _rekeyed(stay: Iterable[tuple[Device, Device]]) -> Iterator[str]:
    """A key that was announced as `nextPublicKey` is a rotation, not an accident."""
    for was, now in stay:
        announced = (was.public_key, was.next_public_key)
        if now.public_key is not None and now.public_key not in announced:
            yield now.name


def _moved(stay: Iterable[tuple[Device, Device]]) -> Iterator[str]:
    return (now.name for was, now in stay if was.addresses != now.addresses)
