"""Names: what they stand for, and who is asked for those that are not the tailnet's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tailgit.load.unite import Sections
from tailgit.model.findings import Place
from tailgit.model.tailnet import Device, Record, Tailnet
from tailgit.review.standing import (
    Part,
    TrustLine,
    Weight,
    Written,
    differing,
    told,
    turned,
)

Raw = tuple[Sections, Sections]


def name_lines(old: Tailnet, new: Tailnet, raw: Raw) -> Iterator[TrustLine]:
    """The domain, the names of devices, records and resolvers."""
    if old.domain != new.domain:
        where = Written(raw[0].tailnet, raw[1].tailnet, new.place).place("domain")
        text = f"domain {old.domain} -> {new.domain}: every name is another"
        what = "domain", Part.NAMES, new.name, text
        yield told(what, where, Weight.DANGER, (old.domain, new.domain))
    else:
        yield from _devices(old, new)
    yield from _records(old.dns.records, new.dns.records)
    yield from _resolvers(old, new, raw)


def _devices(old: Tailnet, new: Tailnet) -> Iterator[TrustLine]:
    for name in sorted(old.devices.keys() | new.devices.keys()):
        one, other = old.devices.get(name), new.devices.get(name)
        was, now = _answer(one), _answer(other)
        known = other or one
        if was == now or known is None:
            continue
        kind, text, weight = "name", turned("", was, now).strip(), Weight.DANGER
        if was is None:
            kind, text, weight = "name-added", f"new name: {now}", Weight.PLAIN
        elif now is None:
            kind, text = "name-removed", f"name removed: {was}"
            weight = Weight.PLAIN
        what = kind, Part.NAMES, f"{name}.{new.domain}", text
        yield told(what, (known.place, other is None), weight, (was, now))


def _answer(device: Device | None) -> str | None:
    return None if device is None else f"A {device.ipv4}, AAAA {device.ipv6}"


def _records(old: Sequence[Record], new: Sequence[Record]) -> Iterator[TrustLine]:
    before, after = _by_name(old), _by_name(new)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, []), after.get(name, [])
        some = differing([e.value for e in was], [e.value for e in now])
        if not any(some):
            continue
        come, gone = some
        kind = "record" if was and now else "record-added" if now else "record-removed"
        at = next((e for e in now if e.value in come), None) or (now or was)[0]
        values = _values(was), _values(now)
        text = turned(name[1], ", ".join(gone) or None, ", ".join(come) or None)
        weight = Weight.DANGER if was and come else Weight.NOTABLE
        what = kind, Part.NAMES, name[0], text
        yield told(what, (at.place, not now), weight, values)


def _values(records: Sequence[Record]) -> str | None:
    return ", ".join(sorted(each.value for each in records)) or None


def _by_name(records: Sequence[Record]) -> Mapping[tuple[str, str], list[Record]]:
    found: dict[tuple[str, str], list[Record]] = {}
    for each in records:
        found.setdefault((each.name, each.type), []).append(each)
    return found


def _resolvers(old: Tailnet, new: Tailnet, raw: Raw) -> Iterator[TrustLine]:
    """In order: the first one is asked first."""
    sides = []
    for tailnet in (old, new):
        found = {domain: _list(servers) for domain, servers in tailnet.dns.split}
        if tailnet.dns.nameservers:
            found[""] = _list(tailnet.dns.nameservers)
        sides.append(found)
    before, after = sides
    for domain in sorted(before.keys() | after.keys()):
        was, now = before.get(domain), after.get(domain)
        if was == now:
            continue
        said = f"names below {domain} are asked at" if domain else "resolvers"
        kind = "split-dns" if domain else "nameservers"
        what = kind, Part.NAMES, domain or "dns", turned(said, was, now)
        where = _where(raw, domain, new.place)
        yield told(what, where, Weight.DANGER, (was, now))


def _list(addresses: Sequence[object]) -> str | None:
    return ", ".join(map(str, addresses)) or None


def _where(raw: Raw, domain: str, at: Place) -> tuple[Place, bool]:
    old, new = raw
    if domain:
        before, after = (each.keyed["dns.splitDNS"].get(domain) for each in raw)
        return Written(before, after, at).place(domain)
    for sections, is_old in ((new, False), (old, True)):
        items = sections.single.get("dns.nameservers")
        if items is not None:
            return items.at(), is_old
    return at, False
