"""Devices: which come and go, and whose key, owner and address stand behind a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tailgit.load.located import Map
from tailgit.model.tailnet import Device, Tailnet
from tailgit.review.identity import same_devices
from tailgit.review.settings import SETTINGS, changed_settings, leftovers
from tailgit.review.standing import (
    Part,
    TrustLine,
    Weight,
    Written,
    key_text,
    origin_of,
    told,
    turned,
)


@dataclass(frozen=True, slots=True)
class _Before:
    """Whose a key or an address was in the old revision."""

    keys: Mapping[str, str]
    addresses: Mapping[str, str]

    @staticmethod
    def of(tailnet: Tailnet) -> _Before:
        devices = tailnet.devices.values()
        keys = {
            key: each.name
            for each in devices
            for key in (each.next_public_key, each.public_key)
            if key is not None
        }
        addresses = {str(a): each.name for each in devices for a in each.addresses}
        return _Before(keys, addresses)


def device_lines(old: Tailnet, new: Tailnet) -> Iterator[TrustLine]:
    """Each device that comes, goes, or is another than it was, in order of names."""
    same, before = same_devices(old, new), _Before.of(old)
    for name, device in new.devices.items():
        known = same.get(name)
        if known is None:
            yield _added(device)
            yield from _inherited(None, device, before)
        elif not _is_same(old.devices[known], device):
            yield from _compared(old.devices[known], device, before)
    for name in sorted(old.devices.keys() - set(same.values())):
        yield _removed(old.devices[name])


def _is_same(old: Device, new: Device) -> bool:
    """Whether nothing can differ: it is written alike, and means the same."""
    return (
        old.origin is not None
        and old.origin == new.origin
        and (old.name, old.addresses, old.listen_port, old.ssh)
        == (new.name, new.addresses, new.listen_port, new.ssh)
        and repr(old.attributes) == repr(new.attributes)  # 1 is not True
    )


def _added(device: Device) -> TrustLine:
    about = _about(device)
    weight = Weight.DANGER if _is_trusted(device) else Weight.NOTABLE
    what = ("device-added", Part.DEVICES, device.name, f"new device: {about}")
    return told(what, (device.place, False), weight, (None, about))


def _removed(device: Device) -> TrustLine:
    about = _about(device)
    what = ("device-removed", Part.DEVICES, device.name, f"device removed: {about}")
    return told(what, (device.place, True), Weight.NOTABLE, (about, None))


def _is_trusted(device: Device) -> bool:
    """Whether others give their traffic or their files into its hands."""
    return device.relay or device.exit_node or device.mailbox


def _about(device: Device) -> str:
    """Whose it is, where it is, and which key it has."""
    words = [device.owner or ", ".join(device.tags), str(device.ipv4)]
    words.append("no key yet")
    if device.public_key is not None:
        words[-1] = f"key {key_text(device.public_key)}"
    flags = {
        "a relay": device.relay,
        "an exit node": device.exit_node,
        "a mailbox": device.mailbox,
        "disabled": device.disabled,
    }
    words += [word for word, is_so in flags.items() if is_so]
    words += [f"behind {device.gateway}"] if device.gateway else []
    words += [f"routes {each.prefix}" for each in device.routes]
    return ", ".join(words)


def _compared(old: Device, new: Device, before: _Before) -> Iterator[TrustLine]:
    written = Written(origin_of(old.origin), origin_of(new.origin), new.place)
    if old.name != new.name:
        yield _line("device-renamed", new, f"called {old.name} before", written)
    yield from _key(old, new, written)
    yield from _inherited(old, new, before)
    for setting in SETTINGS:
        yield from changed_settings(setting, old, new, written)
    yield from leftovers("devices.*", Part.DEVICES, new.name, written, _KNOWN)
    yield from leftovers("devices.*.ssh", Part.DEVICES, new.name, _ssh(written), _SSH)


_KNOWN = frozenset(
    {
        *(each.field for each in SETTINGS),
        *("publicKey", "ssh", "routes", "attributes"),
    }
)


_SSH = frozenset({"host", "port", "user", "hostKey", "via"})


def _ssh(written: Written) -> Written:
    some = (written.old, written.new)
    old, new = (each.get("ssh") if isinstance(each, Map) else None for each in some)
    return Written(old, new, written.place("ssh")[0])


def _line(
    kind: str,
    device: Device,
    text: str,
    written: Written,
    field: str = "",
    weight: Weight = Weight.NOTABLE,
    values: tuple[str | None, str | None] = (None, None),
) -> TrustLine:
    where = written.place(field) if field else (device.place, False)
    return told((kind, Part.DEVICES, device.name, text), where, weight, values)


def _key(old: Device, new: Device, written: Written) -> Iterator[TrustLine]:
    was, now = old.public_key, new.public_key
    if was == now:
        return
    text, weight = turned("key", was, now, key_text), Weight.DANGER
    if was is None:
        weight = Weight.NOTABLE
    elif now is not None and now == old.next_public_key:
        text, weight = f"{text}, as nextPublicKey announced", Weight.NOTABLE
    elif now is not None:
        text += ", which no nextPublicKey announced"
    if was is None and old.next_public_key not in (None, now):
        text, weight = f"{text}, not the one that was announced", Weight.DANGER
    values = was, now
    yield _line("public-key", new, text, written, "publicKey", weight, values)


def _inherited(old: Device | None, new: Device, before: _Before) -> Iterator[TrustLine]:
    """What was another device's until now: who trusted that one now trusts this."""
    written = Written(None, origin_of(new.origin), new.place)
    mine = None if old is None else old.name
    if new.public_key is not None and before.keys.get(new.public_key, mine) != mine:
        other = before.keys[new.public_key]
        text = f"has the key {key_text(new.public_key)} that {other} had"
        values = other, new.public_key
        field = "publicKey"
        yield _line("key-inherited", new, text, written, field, Weight.DANGER, values)
    for address in new.addresses:
        other = before.addresses.get(str(address), mine or "")
        if other and other != mine:
            text = f"has the address {address} that {other} had"
            kind, field = "address-inherited", f"ipv{address.version}"
            values = other, str(address)
            yield _line(kind, new, text, written, field, Weight.DANGER, values)
