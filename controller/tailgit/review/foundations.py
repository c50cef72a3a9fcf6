"""What the tailnet itself stands on: ranges, controller, whose files count.

Whoever may write a file, and what binds them, is not in the policy: delegations,
guardrails, files from elsewhere, and files that are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from tailgit.load.delegation import texts
from tailgit.load.located import Items, Map
from tailgit.load.unite import BY_KEY, NESTED, ONE_AFTER_THE_OTHER, ONE_PLACE, Sections
from tailgit.model.findings import Place
from tailgit.model.tailnet import Tailnet
from tailgit.review.nothing import MEANS_NOTHING
from tailgit.review.settings import leftovers
from tailgit.review.standing import (
    Part,
    TrustLine,
    Weighing,
    Weight,
    Written,
    canonical,
    danger,
    differing,
    joined,
    key_text,
    notable,
    raw_keys,
    told,
    turned,
)

Raw = tuple[Sections, Sections]


def foundation_lines(old: Tailnet, new: Tailnet, raw: Raw) -> Iterator[TrustLine]:
    """All but the policy and who is in it."""
    about = Written(raw[0].tailnet, raw[1].tailnet, new.place)
    yield from _scalars(old, new, about)
    yield from _lists(new.name, about)
    yield from leftovers("tailnet", Part.TRUST, new.name, about, _KNOWN)
    yield from _delegations(raw, new.place)
    yield from _entries("guardrail", "guardrail", _guardrails(raw), _gone_is_danger)
    yield from _entries("include", "include", _paths(raw, "include"), notable)
    yield from _entries("exclude", "exclude", _paths(raw, "exclude"), notable)
    yield from _entries("inner", "inner tailnet", _inner(raw), notable)
    yield from _generated(raw)
    yield from _unknown(raw)


_KNOWN = frozenset(
    {
        *("name", "domain", "ipv4", "ipv6", "requires", "controller", "hostCA"),
        *("emailDomains", "format"),
    }
)


def _scalars(old: Tailnet, new: Tailnet, about: Written) -> Iterator[TrustLine]:
    found: dict[str, tuple[str, Weighing, str | None, str | None]] = {
        "name": ("name of the tailnet", danger, old.name, new.name),
        "ipv4": ("range", danger, str(old.ipv4), str(new.ipv4)),
        "ipv6": ("range", danger, str(old.ipv6), str(new.ipv6)),
        "controller": ("controller", danger, _controller(old), _controller(new)),
        "requires": (
            *("required version", notable),
            *(_text(about.old, "requires"), _text(about.new, "requires")),
        ),
    }
    for field, (label, weigh, was, now) in found.items():
        if was != now:
            what = f"tailnet-{field}", Part.TRUST, new.name, turned(label, was, now)
            yield told(what, about.place(field), weigh(was, now), (was, now))


def _controller(tailnet: Tailnet) -> str | None:
    controller = tailnet.controller
    return None if controller is None else controller.device or "outside"


def _text(section: object, field: str) -> str | None:
    value = section.get(field) if isinstance(section, Map) else None
    return str(value) if isinstance(value, str) else None


def _lists(name: str, about: Written) -> Iterator[TrustLine]:
    some = {"hostCA": "host authorities", "emailDomains": "domains of people"}
    for field, label in some.items():
        was, now = (
            tuple(texts(each.get(field))) if isinstance(each, Map) else ()
            for each in (about.old, about.new)
        )
        come, gone = differing(was, now)
        if come or gone:
            short = [[key_text(e) for e in each] for each in (come, gone)]
            text = f"{label} {joined(*short)}"
            weight = Weight.DANGER if come or not now else Weight.NOTABLE
            what = f"tailnet-{field}", Part.TRUST, name, text
            yield told(what, about.place(field), weight, _both(was, now))


def _both(was: Sequence[str], now: Sequence[str]) -> tuple[str | None, str | None]:
    return ", ".join(was) or None, ", ".join(now) or None


# Whose files count


def _delegations(raw: Raw, at: Place) -> Iterator[TrustLine]:
    old, new = (each.single.get("delegations") for each in raw)
    whole = Written(old, new, at)
    for folder in raw_keys(old, new):
        place, is_old = whole.place(folder)
        one, other = (
            each.get(folder) if isinstance(each, Map) else None for each in (old, new)
        )
        if isinstance(one, Map) and isinstance(other, Map):
            yield from _delegated(folder, Written(one, other, place), one, other)
        elif other is None:
            text = "delegation removed: its files may say everything"
            what = "delegation-removed", Part.TRUST, folder, text
            values = canonical(one), None
            yield told(what, (place, is_old), Weight.DANGER, values)
        else:
            said = canonical(other)
            what = "delegation-added", Part.TRUST, folder, f"new delegation: {said}"
            yield told(what, (place, is_old), Weight.NOTABLE, (None, said))


def _delegated(
    folder: str, written: Written, one: Map, other: Map
) -> Iterator[TrustLine]:
    for field in raw_keys(one, other):
        was, now = (tuple(texts(each.get(field))) for each in (one, other))
        come, gone = differing(was, now)
        if come or gone:
            text = f"delegation: {field} {joined(come, gone)}"
            weight = Weight.DANGER if come else Weight.NOTABLE
            what = "delegation", Part.TRUST, folder, text
            yield told(what, written.place(field), weight, _both(was, now))


_Entries = tuple[Mapping[str, Place], Mapping[str, Place]]


def _gone_is_danger(_was: str | None, now: str | None) -> Weight:
    return Weight.DANGER if now is None else Weight.NOTABLE


def _entries(
    kind: str, word: str, both: _Entries, weigh: Weighing
) -> Iterator[TrustLine]:
    """Entries of a list that only one side has."""
    old, new = both
    for entry in sorted(old.keys() ^ new.keys()):
        is_old = entry in old
        text = f"{word} removed" if is_old else f"new {word}"
        values: tuple[str | None, str | None]
        values = (entry, None) if is_old else (None, entry)
        what = f"{kind}-{'removed' if is_old else 'added'}", Part.TRUST, entry, text
        place = (old if is_old else new)[entry]
        yield told(what, (place, is_old), weigh(*values), values)


def _guardrails(raw: Raw) -> _Entries:
    old, new = (
        {
            entry if isinstance(entry, str) else canonical(entry): items.at(index)
            for items in sections.listed["guardrails"]
            for index, entry in enumerate(items)
        }
        for sections in raw
    )
    return old, new


def _paths(raw: Raw, section: str) -> _Entries:
    found: list[dict[str, Place]] = []
    for sections in raw:
        entries: dict[str, Place] = {}
        for document in sections.documents.values():
            items = document.sections.get(section)
            if isinstance(items, Items):
                entries |= {str(each): items.at(i) for i, each in enumerate(items)}
        found.append(entries)
    return found[0], found[1]


def _inner(raw: Raw) -> _Entries:
    """Folders that a tailnet.yaml further down takes out of this tailnet."""
    old, new = ({file: Place(file) for file in sections.inner} for sections in raw)
    return old, new


def _generated(raw: Raw) -> Iterator[TrustLine]:
    """Which program a file is by, and from where that has it."""
    sides = [
        {
            file: about
            for file, document in sections.documents.items()
            if isinstance(about := document.sections.get("generated"), Map)
        }
        for sections in raw
    ]
    for file in sorted(sides[0].keys() | sides[1].keys()):
        one, other = (side.get(file) for side in sides)
        known = other if other is not None else one
        assert known is not None
        written = Written(one, other, known.at())
        if one is not None and other is not None:
            yield from leftovers("generated", Part.TRUST, file, written, ())
            continue
        is_old = other is None
        said = str(known.get("by"))
        text = "is no longer generated" if is_old else f"is generated by {said}"
        what = "generated", Part.TRUST, file, text
        values = (said, None) if is_old else (None, said)
        yield told(what, (known.at(), is_old), Weight.NOTABLE, values)


_COMPARED = frozenset(
    {
        *BY_KEY,
        *ONE_AFTER_THE_OTHER,
        *ONE_PLACE,
        *NESTED,
        *("include", "exclude", "deviceDefaults", "generated"),
    }
)


def _unknown(raw: Raw) -> Iterator[TrustLine]:
    """Sections that nothing else compares, by their own names."""
    old, new = (_others(each, _COMPARED) for each in raw)
    for name in sorted(old.keys() | new.keys()):
        was, now = (_whole(each, name) for each in (old, new))
        if was != now and name not in MEANS_NOTHING:
            is_old = name not in new
            place = (old if is_old else new)[name][0].key(name)
            what = f"field-{name}", Part.TRUST, name, turned(name, was, now)
            yield told(what, (place, is_old), Weight.PLAIN, (was, now))


def _whole(side: Mapping[str, list[Map]], name: str) -> str | None:
    if name not in side:
        return None
    return " ".join(canonical(each[name]) for each in side[name])


def _others(sections: Sections, known: Collection[str]) -> dict[str, list[Map]]:
    found: dict[str, list[Map]] = {}
    for document in sections.documents.values():
        for name in document.sections.keys() - known:
            found.setdefault(name, []).append(document.sections)
    return found
