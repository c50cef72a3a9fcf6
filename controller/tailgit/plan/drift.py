"""What a node runs other than what was applied to it: changed by hand, or by accident.

The node compares by itself, part by part, what it has with what it was given; the
filter by its digest alone, so of it there are no lines. Who made a change nobody knows:
it did not come through tailgit, and the node's record says only what it should be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from tailgit.plan.observed import Observed, Record

MOST = 20
"""Lines that a node tells of its drift (docs/node-protocol.md)."""

_LINE = re.compile(r"([a-z]+) ([+-]) (.*)", re.DOTALL)
_OUTSIDE = ("guard",)
"""Parts that are no setting: nothing that somebody changed."""


@dataclass(frozen=True, slots=True)
class Line:
    """`+` for what is there and was not applied, `-` for what was and is not there."""

    sign: Literal["+", "-"]
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part that is not as applied: its state (differs, absent, down), its lines."""

    name: str
    state: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """What differs on one node from generation `generation`, which `record` describes.

    `besides` are sentences about the node as a whole. `cut` says that there are more
    lines than the node told.
    """

    node: str
    generation: int
    record: Record | None
    parts: tuple[Part, ...] = ()
    besides: tuple[str, ...] = ()
    cut: bool = False

    @property
    def found(self) -> bool:
        return bool(self.parts or self.besides)


def drift_of(seen: Observed) -> Drift | None:
    """What differs on a node; None where nothing was applied that could differ."""
    if seen.current is None:
        return None
    drift = Drift(seen.node, seen.current, seen.record, cut=len(seen.drift) >= MOST)
    if seen.pending is not None:
        said = f"generation {seen.pending} is being applied and waits to be confirmed"
        return replace(drift, besides=(said,), cut=False)
    if seen.live is None:
        return replace(drift, besides=("nothing of it runs",), cut=False)
    besides: tuple[str, ...] = ()
    if seen.live != seen.current:
        besides = (f"generation {seen.live} runs instead",)
    return replace(drift, parts=_parts(seen), besides=besides)


def _parts(seen: Observed) -> tuple[Part, ...]:
    lines: dict[str, list[Line]] = {}
    for told in seen.drift:
        match = _LINE.fullmatch(told)
        name, sign, text = match.groups() if match else ("other", "+", told)
        lines.setdefault(name, []).append(Line("-" if sign == "-" else "+", text))
    states = {part: state for part, state in seen.parts if part not in _OUTSIDE}
    states = {"interface": seen.interface, **states}
    wrong = {part: state for part, state in states.items() if state not in ("ok", "up")}
    return tuple(
        Part(name, wrong.get(name, "differs"), tuple(lines.get(name, ())))
        for name in (*wrong, *(name for name in lines if name not in wrong))
    )
