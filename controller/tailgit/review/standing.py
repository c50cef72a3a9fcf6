"""One change of what stands behind a name: what was, what is, where that is written.

A line is about trust, not about packets: another key may answer to a name, another
person own a machine, another list approve a route, while nobody gains or loses access
today. How grave that is, a reviewer must see before the details.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from tailgit.load.located import Items, Map
from tailgit.model.findings import Origin, Place


class Weight(StrEnum):
    """How closely a reviewer must look."""

    DANGER = "danger"
    NOTABLE = "notable"
    PLAIN = "plain"


class Part(StrEnum):
    """Where a report shows it."""

    DEVICES = "devices"
    NAMES = "names"
    TRUST = "trust"


@dataclass(frozen=True, slots=True)
class TrustLine:
    """What changes about `name`: `kind` is a stable word, `text` what people read.

    `was` and `now` are whole values, None for nothing. `place` is in the old revision
    if `is_old`: what the new one no longer has stands there only.
    """

    kind: str
    part: Part
    name: str
    text: str
    place: Place
    is_old: bool = False
    weight: Weight = Weight.NOTABLE
    was: str | None = None
    now: str | None = None

    @property
    def change(self) -> Literal["added", "removed", "changed"]:
        """Whether the thing itself comes or goes, or something about it changes."""
        if self.kind.endswith("-added"):
            return "added"
        return "removed" if self.kind.endswith("-removed") else "changed"


def told(
    what: tuple[str, Part, str, str],
    where: tuple[Place, bool],
    weight: Weight,
    values: tuple[str | None, str | None],
) -> TrustLine:
    """A line: its kind, part, name and text; its place; how grave; was and now."""
    return TrustLine(*what, *where, weight, *values)


Weighing = Callable[[str | None, str | None], Weight]
"""From what was and what is to how grave the change is."""


def danger(_was: str | None, _now: str | None) -> Weight:
    return Weight.DANGER


def notable(_was: str | None, _now: str | None) -> Weight:
    return Weight.NOTABLE


def plain(_was: str | None, _now: str | None) -> Weight:
    return Weight.PLAIN


def once_set(was: str | None, _now: str | None) -> Weight:
    """Something that is set for the first time takes nobody's place."""
    return Weight.NOTABLE if was is None else Weight.DANGER


def while_set(_was: str | None, now: str | None) -> Weight:
    """Something that others rely on from now on; giving it up harms nobody's trust."""
    return Weight.NOTABLE if now is None else Weight.DANGER


@dataclass(frozen=True, slots=True)
class Written:
    """One thing as both revisions write it; a mapping that it has in only one of them
    is None. `at` is where it stands as a whole, in the new revision if it is there."""

    old: object
    new: object
    at: Place

    def place(self, *path: str | int) -> tuple[Place, bool]:
        """Where a part stands, and whether that is in the old revision."""
        if _has(self.new, path):
            return _at(self.new, path, self.at), False
        if _has(self.old, path):
            return _at(self.old, path, self.at), True
        return self.at, False


def _has(value: object, path: Sequence[str | int]) -> bool:
    for step in path:
        if isinstance(value, Map) and step in value:
            value = value[str(step)]
        elif isinstance(value, Items) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return False
    return value is not None


def _at(value: object, path: Sequence[str | int], at: Place) -> Place:
    return value.at(*path) if isinstance(value, Map | Items) else at


def turned(
    label: str, was: str | None, now: str | None, short: Callable[[str], str] = str
) -> str:
    """`host key a -> b`, `host key b, none before`, `host key a taken away`."""
    if was is None:
        return f"{label} {short(now or '')}, none before"
    if now is None:
        return f"{label} {short(was)} taken away"
    one, other = short(was), short(now)
    return f"{label} {was} -> {now}" if one == other else f"{label} {one} -> {other}"


def key_text(key: str) -> str:
    """A public key as people compare them: its beginning and its end."""
    kind, blank, rest = key.partition(" ")
    if blank:
        return f"{kind} …{rest[-12:]}"
    return f"{key[:4]}…{key[-4:]}" if len(key) > 12 else key


def canonical(value: object) -> str:
    """A value of a file as text that is the same for the same value; `1` is not
    `true`."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def origin_of(origin: Origin | None) -> Map | None:
    return origin if isinstance(origin, Map) else None


def differing(
    old: Sequence[str], new: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What only the new one has, and only the old one; each once, sorted."""
    one, other = set(old), set(new)
    return tuple(sorted(other - one)), tuple(sorted(one - other))


def joined(come: Sequence[str], gone: Sequence[str]) -> str:
    """`+ana +ben -kim`."""
    return " ".join([*(f"+{each}" for each in come), *(f"-{each}" for each in gone)])


def raw_keys(old: object, new: object) -> Iterator[str]:
    """The keys of two mappings, sorted."""
    keys = {key for each in (old, new) if isinstance(each, Map) for key in each}
    yield from sorted(keys)
