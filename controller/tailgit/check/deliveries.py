"""How bundles get to devices: hosts that can be recognised, mailboxes to pull from.

The controller logs in to a host only if it has seen its key before; git is where it
has seen it. A device that pulls needs somebody to pull from whom it reaches before it
is a part of the tailnet, and a key that opens its own parcel and no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tailgit.access.selectors import active_devices
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.tailnet import Delivery, Device, Tailnet

MOST_SINGLE = 5
"""So many hosts of one file are named one by one; more are one finding."""

_FEW = 3


def check_deliveries(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about devices that no bundle could get to."""
    active = list(active_devices(tailnet).values())
    yield from _mailboxes(tailnet, active)
    yield from _pull_keys(active)
    if not tailnet.host_cas:
        yield from _host_keys(active)


def _mailboxes(tailnet: Tailnet, active: Sequence[Device]) -> Iterator[Finding]:
    """One finding for all: one mailbox mends it for all."""
    pulling = [each for each in active if each.delivery is Delivery.PULL]
    boxes = [each for each in active if each.mailbox]
    reasons = [_not_pulled_from(tailnet, each) for each in boxes]
    if not pulling or None in reasons:
        return
    if len(pulling) == 1:
        who = f"`{pulling[0].name}` pulls"
    else:
        who = f"{len(pulling)} devices ({_names(pulling)}) pull"
    why, help_ = next((each for each in reasons if each), ("", ""))
    if not boxes:
        why = "no device is a mailbox"
        help_ = "write `mailbox: true` at a device that has endpoints"
    origin = pulling[0].origin
    at = origin.at("delivery") if origin is not None else pulling[0].place
    yield finding("no-mailbox", at, f"{who}, and {why}", help_)


def _not_pulled_from(tailnet: Tailnet, box: Device) -> tuple[str, str] | None:
    """Why nobody can pull from a mailbox, and the help; who is not enrolled yet gets
    what is missing when it is."""
    if tailnet.outside_host(box) is None:
        why = f"the mailbox `{box.name}` has no endpoint to reach it at"
        return why, "add one, or write `mailbox: true` at a device that has endpoints"
    if box.delivery is not Delivery.SSH:
        why = f"nothing gets into the mailbox `{box.name}`: `delivery: {box.delivery}`"
        return why, "a mailbox is one that the controller logs in to: `delivery: ssh`"
    if box.public_key is not None and box.ssh is not None and not box.ssh.host_key:
        why = f"the mailbox `{box.name}` has no `ssh.hostKey` to be known by"
        return why, f"`tailgit device enroll {box.name}` writes it"
    return None


def _pull_keys(active: Sequence[Device]) -> Iterator[Finding]:
    """Who has no key, and two with one: a mailbox could not tell them apart."""
    first: dict[str, Device] = {}
    for device in active:
        pulls = device.delivery is Delivery.PULL and device.public_key is not None
        if pulls and device.pull_key is None and not _says(device, "pullKey"):
            yield finding(
                "no-pull-key",
                device.place,
                f"`{device.name}` pulls, and has no `pullKey` to fetch with",
                f"`tailgit device join {device.name}` makes the file that sets the "
                "device up and says the key",
            )
        if device.pull_key is None:
            continue
        other = first.setdefault(device.pull_key, device)
        if other is not device:
            yield finding(
                "duplicate-public-key",
                _at(device, "pullKey"),
                f"`{device.name}` has the pull key of `{other.name}`",
                "every device has its own: run `tailgit-node join` on it",
                [_at(other, "pullKey")],
            )


def _at(device: Device, field: str) -> Place:
    return device.origin.at(field) if device.origin is not None else device.place


def _says(device: Device, *path: str) -> bool:
    """Whether a field is written though it has no value: the loader has said why."""
    origin = device.origin
    return origin is not None and origin.at(*path) != origin.at(*path[:-1])


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
    return not _says(device, "ssh", "hostKey")


def _names(devices: Sequence[Device]) -> str:
    more = ", …" if len(devices) > _FEW else ""
    return ", ".join(f"`{device.name}`" for device in devices[:_FEW]) + more
