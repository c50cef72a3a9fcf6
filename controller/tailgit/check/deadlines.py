"""Deadlines that are over, or will be within two weeks: devices, users and rules.

A deadline ends things on the nodes themselves, without anybody doing anything (DESIGN,
opinion 2). So it is said in good time, and afterwards that a line of the repository
does nothing any more. Without a clock nothing is judged: the same files then give the
same findings on every day.

What is switched off already has nothing left to end. One `expires` in `deviceDefaults`
is one line, so it is one finding, however many devices it ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tailgit.access.selectors import active_devices
from tailgit.model.codes import finding
from tailgit.model.deadline import Deadline, deadline_text
from tailgit.model.findings import Finding, Place
from tailgit.model.tailnet import Device, Tailnet
from tailgit.model.text import shown

SOON = 14 * 86400
"""Seconds before a deadline from which on it is said."""

_FEW = 3


def check_deadlines(tailnet: Tailnet, now: int | None) -> Iterator[Finding]:
    """A finding for each deadline that is over at `now`, or nearly so."""
    if now is None:
        return
    yield from _of_devices(tailnet, now)
    yield from _of_users(tailnet, now)
    for rule in tailnet.rules:
        if not rule.disabled and rule.expires is not None:
            what = f"the rule `{shown(rule.name)}`" if rule.name else "this rule"
            yield from _judged(what, rule.expires, now, rule.place)


def _of_devices(tailnet: Tailnet, now: int) -> Iterator[Finding]:
    ends: dict[tuple[Place, Deadline], list[Device]] = defaultdict(list)
    for device in active_devices(tailnet).values():
        if device.expires is not None:
            at = device.origin.at("expires") if device.origin else device.place
            ends[at, device.expires].append(device)
    for (place, deadline), devices in ends.items():
        names = ", ".join(f"`{shown(each.name)}`" for each in devices[:_FEW])
        if len(devices) == 1:
            yield from _judged(f"the device {names}", deadline, now, place)
            continue
        more = ", …" if len(devices) > _FEW else ""
        what = f"{len(devices)} devices ({names}{more})"
        yield from _judged(what, deadline, now, place, verb="expire")


def _of_users(tailnet: Tailnet, now: int) -> Iterator[Finding]:
    """Whose devices end with them, so it is said how many those are."""
    owned = Counter(each.owner for each in active_devices(tailnet).values())
    for user in tailnet.users.values():
        if user.disabled or user.expires is None:
            continue
        count = owned[user.login]
        theirs = f", with {count} device{'s' if count > 1 else ''}" if count else ""
        what = f"the user `{shown(user.login)}`"
        yield from _judged(what, user.expires, now, user.place, theirs=theirs)


def _judged(
    what: str,
    deadline: Deadline,
    now: int,
    place: Place,
    *,
    verb: str = "expires",
    theirs: str = "",
) -> Iterator[Finding]:
    if now >= deadline:
        message = f"{what} expired {_when(deadline)}{theirs}"
        help_ = "take it out, or write a later `expires`"
        yield finding("expired", place, message, help_)
    elif now >= deadline - SOON:
        message = f"{what} {verb} {_when(deadline)}{theirs}"
        help_ = "write a later `expires` if it is to go on"
        yield finding("expires-soon", place, message, help_)


def _when(deadline: Deadline) -> str:
    """A date stands for the whole day, so what bears it ends when the day does."""
    text = deadline_text(deadline)
    return f"at {text}" if "T" in text else f"at the end of {text} (UTC)"
