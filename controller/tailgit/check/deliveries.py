"""How bundles get to devices: hosts that can be recognised, mailboxes to pull from.

The controller logs in to a host only if it has seen its key before; git is where it
has seen it. A device that pulls needs somebody to pull from whom it reaches before it
is a part of the tailnet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tailgit.access.selectors import active_devices
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Delivery, Device, Tailnet

MOST_SINGLE = 5
"""So many hosts of one file are named one by one; more are one finding."""

_FEW = 3


def check_deliveries(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about devices that no bundle could get to."""
    active = list(active_devices(tailnet).values())
    yield from _mailboxes(active)
    if not tailnet.host_cas:
        yield from _host_keys(active)


def _mailboxes(active: Sequence[Device]) -> Iterator[Finding]:
    """One finding for all: one mailbox mends it for all."""
    pulling = [each for each in active if each.delivery is Delivery.PULL]
    boxes = [each for each in active if each.mailbox]
    if not pulling or any(each.endpoints for each in boxes):
        return
    if len(pulling) == 1:
        who = f"`{pulling[0].name}` pulls"
    else:
        who = f"{len(pulling)} devices ({_names(pulling)}) pull"
    if boxes:
        why = f"the mailbox `{boxes[0].name}` has no endpoint to reach it at"
        help_ = "add one, or write `mailbox: true` at a device that has endpoints"
    else:
        why = "no device is a mailbox"
        help_ = "write `mailbox: true` at a device that has endpoints"
    origin = pulling[0].origin
    at = origin.at("delivery") if origin is not None else pulling[0].place
    yield finding("no-mailbox", at, f"{who}, and {why}", help_)


def _host_keys(active: Sequence[Device]) -> Iterator[Finding]:
    """Hosts of unknown key, by file; who awaits a WireGuard key gets both at once."""
    unknown: dict[str, list[Device]] = defaultdict(list)
    for device in active:
        if device.public_key is not None and _is_unknown(device):
            unknown[device.place.file].append(device)
    for devices in unknown.values():
        if len(devices) > MOST_SINGLE:
            who = f"{len(devices)} devices of this file ({_names(devices)}) have"
            yield _no_host_key(devices[0], f"{who} no", "DEVICE")
            continue
        for device in devices:
            yield _no_host_key(device, f"`{device.name}` has no", device.name)


def _no_host_key(device: Device, what: str, name: str) -> Finding:
    return finding(
        "no-host-key",
        device.place,
        f"{what} `ssh.hostKey`, so nobody could recognise the host when logging in",
        f"`tailgit device enroll {name}` writes it; or name a `hostCA` in `tailnet`",
    )


def _is_unknown(device: Device) -> bool:
    if device.delivery is not Delivery.SSH or device.ssh is None:
        return False
    if device.ssh.host_key is not None:
        return False
    # One that is written and unreadable: the loader has said so.
    origin = device.origin
    return origin is None or origin.at("ssh", "hostKey") == origin.at("ssh")


def _names(devices: Sequence[Device]) -> str:
    more = ", …" if len(devices) > _FEW else ""
    return ", ".join(f"`{device.name}`" for device in devices[:_FEW]) + more
