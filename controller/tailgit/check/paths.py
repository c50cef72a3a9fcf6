"""Devices that may talk and can't reach each other, and slots for who needs a relay.

WireGuard needs one end that can be reached: an endpoint, or a LAN that both are in
(`site`). Two devices behind NAT have neither, and nothing punches holes for them in
this version; a relay is what helps. A phone or a wg-quick device can't use one: it has
no script that would change over; it goes through a `gateway`, which everybody reaches
(`check.attachments` sees to that).

Devices without an endpoint are the only ones looked at, so they get numbers, and a set
of them is an integer with one bit for each. Devices that see the same share one set,
and a pair that lacks a path is told at one of its ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from tailgit.access.relation import Relation, View
from tailgit.access.selectors import active_devices
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Delivery, Device, Tailnet

Devices = int
"""A set of devices by number: bit N is the Nth of those looked at."""

_FEW = 3


def check_paths(tailnet: Tailnet) -> Iterator[Finding]:
    """What would never connect. The tailnet must be free of errors.

    Once a device has an endpoint, those that await their key count as well: that they
    would never connect had better be known before they are enrolled.
    """
    active = active_devices(tailnet).values()
    relayed = any(device.relay and device.endpoints for device in active)
    hidden = [each for each in active if not each.endpoints and each.gateway is None]
    yield from _slots(without_slot(tailnet))
    if not any(device.endpoints for device in active):
        hidden = [device for device in hidden if device.public_key is not None]
    yield from _paths(tailnet, hidden, relayed=relayed)


def _paths(
    tailnet: Tailnet, hidden: Sequence[Device], *, relayed: bool
) -> Iterator[Finding]:
    near = _near(hidden, relayed=relayed)
    no_relays = _set([n for n, each in enumerate(hidden) if not _may_be_relayed(each)])
    apart = {
        number: far
        for number, peers in _peers(tailnet, hidden).items()
        if (far := peers & ~near[number] & ~(1 << number))
    }
    said: Devices = 0
    # Who misses most comes first: one server that ten laptops can't reach is one
    # mistake, and is told once.
    for number in sorted(apart, key=lambda each: (-apart[each].bit_count(), each)):
        if apart[number] & ~said:
            said |= 1 << number
            yield _no_path(hidden, number, apart[number], no_relays)


def _near(hidden: Sequence[Device], *, relayed: bool) -> Sequence[Devices]:
    """For each device those that it reaches directly in its LAN, or by a relay."""
    sites: dict[str, Devices] = defaultdict(int)
    behind_relay: Devices = 0
    for number, device in enumerate(hidden):
        if device.site is not None:
            sites[device.site] |= 1 << number
        if relayed and _may_be_relayed(device):
            behind_relay |= 1 << number
    return [
        (sites[device.site] if device.site is not None else 0)
        | (behind_relay if _may_be_relayed(device) else 0)
        for device in hidden
    ]


def _peers(tailnet: Tailnet, hidden: Sequence[Device]) -> Mapping[int, Devices]:
    """For each device those of `hidden` that the policy lets it talk with."""
    if len(hidden) < 2:
        return {}
    relation = Relation.of(tailnet)
    number_of = {relation.position[each.name]: n for n, each in enumerate(hidden)}
    of_view: dict[View, Devices] = {}
    found: dict[int, Devices] = {}
    for number, device in enumerate(hidden):
        view = relation.view(device.name)
        if view not in of_view:
            peers = (number_of.get(each) for each in relation.peer_numbers(view))
            of_view[view] = _set([each for each in peers if each is not None])
        found[number] = of_view[view]
    return found


def _no_path(
    hidden: Sequence[Device], number: int, others: Devices, no_relays: Devices
) -> Finding:
    device, count = hidden[number], others.bit_count()
    names = [f"`{each.name}`" for each in _first(hidden, others)]
    if count > _FEW:
        listed = ", ".join(names)
        whom = f"{count} devices that the policy lets it talk with ({listed}, …)"
    else:
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        whom = f"{listed}, though the policy lets them talk"
    help_ = "add an endpoint to one side; a forwarded UDP port will do"
    if not _may_be_relayed(device) or others & no_relays:
        help_ += "; what has `delivery: wg-quick` may also name a `gateway`"
    message = f"`{device.name}` can't reach {whom}: neither side has an endpoint"
    return finding("no-path", device.place, message, help_)


def _first(hidden: Sequence[Device], some: Devices) -> list[Device]:
    found: list[Device] = []
    while some and len(found) < _FEW:
        lowest = some & -some
        found.append(hidden[lowest.bit_length() - 1])
        some ^= lowest
    return found


def without_slot(tailnet: Tailnet) -> list[Device]:
    """The devices that a relay could serve if they had a slot; none without relays."""
    active = active_devices(tailnet).values()
    if not any(device.relay for device in active):
        return []
    return [
        each
        for each in active
        if not each.endpoints and each.gateway is None
        if each.relay_slot is None and _may_be_relayed(each)
    ]


def _slots(lacking: Sequence[Device]) -> Iterator[Finding]:
    """One finding for all: one command mends it for all."""
    if not lacking:
        return
    names = ", ".join(f"`{device.name}`" for device in lacking[:_FEW])
    if len(lacking) == 1:
        who = f"{names} has neither endpoint nor `relaySlot`, so no relay can serve it"
    else:
        more = ", …" if len(lacking) > _FEW else ""
        who = f"{len(lacking)} devices ({names}{more}) have neither endpoint nor "
        who += "`relaySlot`, so no relay can serve them"
    help_ = "run `tailgit pin`: it gives each of them a slot"
    yield finding("slot-missing", lacking[0].place, who, help_)


def _may_be_relayed(device: Device) -> bool:
    return device.delivery is not Delivery.WG_QUICK


def _set(numbers: Collection[int]) -> Devices:
    """The set as an integer; made from digits, since growing one bit by bit is slow."""
    digits = bytearray(b"0") * (max(numbers, default=0) + 1)
    for number in numbers:
        digits[-1 - number] = ord("1")
    return int(digits, 2)
