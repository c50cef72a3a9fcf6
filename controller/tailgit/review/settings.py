"""What a device is set to, field by field, and how grave it is when that changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from tailgit.load.located import Map
from tailgit.model.deadline import deadline_text, parse_deadline
from tailgit.model.tailnet import Device, Ssh
from tailgit.review.nothing import MEANS_NOTHING
from tailgit.review.standing import (
    Part,
    TrustLine,
    Weighing,
    Weight,
    Written,
    canonical,
    danger,
    key_text,
    notable,
    once_set,
    plain,
    raw_keys,
    told,
    turned,
    while_set,
)

Values = dict[str, str]
"""What a device is set to, each with a name of its own: a route by its prefix."""


def _one(value: object) -> Values:
    return {} if value is None or value == "" else {"": str(value)}


def _flag(value: bool) -> Values:
    return {"": "yes"} if value else {}


def _list(values: Collection[object]) -> Values:
    return {"": ", ".join(map(str, values))} if values else {}


def ends(was: str | None, now: str | None) -> Weight:
    """An end that is taken away, or comes later, leaves somebody in for longer."""
    if now is None:
        return Weight.DANGER
    is_later = was is not None and parse_deadline(now) > parse_deadline(was)
    return Weight.NOTABLE if is_later else Weight.PLAIN


@dataclass(frozen=True, slots=True)
class Setting:
    """One field: `words` are its label, or what is said when a flag is set and not."""

    kind: str
    field: str
    words: str | tuple[str, str]
    values: Callable[[Device], Values]
    weight: Weighing = notable
    short: Callable[[str], str] = str
    path: tuple[str, ...] = ()

    @property
    def where(self) -> tuple[str, ...]:
        return self.path or (self.field,)


def _ssh(
    kind: str,
    field: str,
    label: str,
    part: Callable[[Ssh], object],
    short: Callable[[str], str] = str,
) -> Setting:
    def values(device: Device) -> Values:
        return {} if device.ssh is None else _one(part(device.ssh))

    return Setting(kind, "ssh", label, values, once_set, short, ("ssh", field))


def _routes(device: Device) -> Values:
    return {
        str(each.prefix): " ".join(
            (
                f"as {each.known_as}" if each.known_as else "carried",
                *([f"priority {each.priority}"] if each.priority is not None else []),
            )
        )
        for each in device.routes
    }


SETTINGS = (
    Setting("owner", "owner", "owner", lambda d: _one(d.owner), danger),
    Setting("tags", "tags", "tags", lambda d: _list(d.tags)),
    Setting(
        *("next-public-key", "nextPublicKey", "next key"),
        *(lambda d: _one(d.next_public_key), notable, key_text),
    ),
    Setting("ipv4", "ipv4", "address", lambda d: _one(d.ipv4), danger),
    Setting("ipv6", "ipv6", "address", lambda d: _one(d.ipv6), danger),
    _ssh("ssh-host", "host", "login at", lambda ssh: ssh.host),
    _ssh("ssh-port", "port", "login at port", lambda ssh: ssh.port),
    _ssh("ssh-user", "user", "login as", lambda ssh: ssh.user),
    _ssh("host-key", "hostKey", "host key", lambda ssh: ssh.host_key, key_text),
    Setting("delivery", "delivery", "delivery", lambda d: _one(d.delivery)),
    Setting(
        *("pull-key", "pullKey", "pull key"),
        *(lambda d: _one(d.pull_key), once_set, key_text),
    ),
    Setting("endpoints", "endpoints", "endpoints", lambda d: _list(d.endpoints)),
    Setting("listen-port", "listenPort", "listens on", lambda d: _one(d.listen_port)),
    Setting("route", "routes", "route", _routes, while_set),
    Setting(
        *("exit-node", "exitNode", ("is an exit node", "is no exit node any more")),
        *(lambda d: _flag(d.exit_node), while_set),
    ),
    Setting(
        *("use-exit-node", "useExitNode", "exit node"),
        *(lambda d: _one(d.use_exit_node), while_set),
    ),
    Setting("gateway", "gateway", "gateway", lambda d: _one(d.gateway), while_set),
    Setting(
        *("relay", "relay", ("is a relay", "is no relay any more")),
        *(lambda d: _flag(d.relay), while_set),
    ),
    Setting("relay-slot", "relaySlot", "relay slot", lambda d: _one(d.relay_slot)),
    Setting(
        *("relay-public-key", "relayPublicKey", "relay key"),
        *(lambda d: _one(d.relay_public_key), once_set, key_text),
    ),
    Setting(
        *("mailbox", "mailbox", ("is a mailbox", "is no mailbox any more")),
        *(lambda d: _flag(d.mailbox), while_set),
    ),
    Setting(
        *("expires", "expires", "expiry"),
        *(lambda d: _one(d.expires and deadline_text(d.expires)), ends),
    ),
    Setting(
        *("disabled", "disabled", ("is disabled", "is enabled again")),
        lambda d: _flag(d.disabled),
    ),
    Setting("site", "site", "site", lambda d: _one(d.site), plain),
    Setting(
        *("attribute", "attributes", "attribute"),
        lambda d: {name: canonical(value) for name, value in d.attributes},
    ),
    Setting(
        *("protect", "protect", ("is protected", "is not protected any more")),
        lambda d: _flag(_raw(d, "protect") is True),
    ),
    Setting(
        *("pinned", "ipv4", ("IPv4 address is pinned", "IPv4 address is not pinned")),
        *(lambda d: _flag(_raw(d, "ipv4") is not None), plain),
    ),
    Setting(
        *("pinned", "ipv6", ("IPv6 address is pinned", "IPv6 address is not pinned")),
        *(lambda d: _flag(_raw(d, "ipv6") is not None), plain),
    ),
    Setting("formerly", "formerly", "old names", lambda d: _list(d.formerly), plain),
)


def _raw(device: Device, field: str) -> object:
    return device.origin.get(field) if isinstance(device.origin, Map) else None


def changed_settings(
    setting: Setting, old: Device, new: Device, written: Written
) -> Iterator[TrustLine]:
    """The lines of one field."""
    before, after = setting.values(old), setting.values(new)
    if before == after or _is_said(setting, old, new):
        return
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if isinstance(setting.words, tuple):
            text = setting.words[now is None]
        else:
            label = f"{setting.words} {name}".rstrip()
            text = turned(label, was, now, setting.short)
        where = (*setting.where, name) if setting.kind == "attribute" else setting.where
        what = setting.kind, Part.DEVICES, new.name, text
        yield told(what, written.place(*where), setting.weight(was, now), (was, now))


def _is_said(setting: Setting, old: Device, new: Device) -> bool:
    """Whether the line of a renaming, or of a rotation, says it already."""
    if setting.kind == "formerly":
        return new.formerly == (*old.formerly, old.name) and old.name != new.name
    if setting.kind == "next-public-key":
        promoted = old.next_public_key == new.public_key
        return promoted and new.next_public_key is None
    return False


def leftovers(
    path: str, part: Part, name: str, written: Written, known: Collection[str]
) -> Iterator[TrustLine]:
    """Fields that nothing else compares, by their own names."""
    for field in raw_keys(written.old, written.new):
        if field in known or f"{path}.{field}" in MEANS_NOTHING:
            continue
        was, now = (
            canonical(each[field]) if isinstance(each, Map) and field in each else None
            for each in (written.old, written.new)
        )
        if was == now:
            continue
        what = f"field-{field}", part, name, turned(field, was, now)
        yield told(what, written.place(field), Weight.PLAIN, (was, now))
