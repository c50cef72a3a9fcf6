"""Lines of text reports: columns that are as wide as what stands in them, wrapping.

What is laid out here was escaped before (`model.text.shown`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

COLUMNS = 100


def table(rows: Iterable[Sequence[str]], most: Sequence[int] = ()) -> Iterator[str]:
    """Rows with their columns under each other, two blanks between; 100 wide at most.

    A column is as wide as its longest cell, and not wider than its number in `most`
    (0 for any); the rest of a cell is cut. What is too much for a line is cut, too.
    The last cell of a row that is shorter than others may run over their columns.
    """
    cells = [list(row) for row in rows]
    count = max(map(len, cells), default=0)
    limits = [*most, *[0] * (count - len(most))]
    widths = [max(_lengths(cells, column, limits[column])) for column in range(count)]
    for row in cells:
        short = len(row) < count
        padded = (
            cell
            if short and i == len(row) - 1
            else f"{clipped(cell, limits[i]):{widths[i]}}"
            for i, cell in enumerate(row)
        )
        yield clipped("  ".join(padded).rstrip(), COLUMNS)


def _lengths(cells: Sequence[Sequence[str]], column: int, most: int) -> Iterator[int]:
    """How wide the cells of one column are, without those that run over."""
    count = max(map(len, cells), default=0)
    yield 0
    for row in cells:
        if column < len(row) - (len(row) < count):
            yield len(clipped(row[column], most))


def wrapped(start: str, text: str, hang: str) -> list[str]:
    """`text` behind `start`, further lines behind `hang`; nothing for no text."""
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=start,
        subsequent_indent=hang,
        break_on_hyphens=False,
    )


def clipped(text: str, room: int) -> str:
    """`text`, cut to `room` characters; 0 is room for all of it."""
    return text if not room or len(text) <= room else f"{text[: room - 1]}…"


def lasting(seconds: int) -> str:
    """A length of time in the one unit that says enough: `12 s`, `5 min`, `3 h`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
