"""The trust difference as text: one line for each thing that another stands behind.

`!` is what a reviewer must look at, `+` and `-` what comes and goes, `~` the rest.
No line is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailgit.report.columns import headed
from tailgit.report.parties import count
from tailgit.review.standing import Part, TrustLine, Weight
from tailgit.review.trust import TrustChange

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def trust_sections(change: TrustChange) -> Iterator[str]:
    """Devices, Names, Trust: each with a blank line before it, if there is any."""
    for part in Part:
        lines = change.of(part)
        if lines:
            yield from ("", part.value.capitalize())
        for line in lines:
            yield from _line(line)


def trust_verdict(change: TrustChange) -> str:
    """`no change in trust`, `3 changes in trust, 2 of them dangers`."""
    if change.is_noop:
        return "no change in trust"
    total = len(change.lines)
    said = f"{count(total, 'change')} in trust"
    if not change.dangers:
        return said
    if total == 1:
        return f"{said}, a danger"
    if change.dangers == total:
        return f"{said}, all of them dangers"
    few = "a danger" if change.dangers == 1 else "dangers"
    return f"{said}, {'one' if change.dangers == 1 else change.dangers} of them {few}"


def _line(line: TrustLine) -> Iterator[str]:
    is_danger = line.weight is Weight.DANGER
    sign = "!" if is_danger else _SIGNS[line.change]
    where = f"{line.place.file}:{line.place.line}{' before' * line.is_old}"
    yield from headed(sign, f"{line.name}  {line.text}", [where])
