"""Mappings, lists and text that know where they stand in their file.

They are a `dict`, a `list` and `str`, so that a schema validator takes them as they
are, with positions beside them. A position is one integer (line and column, from 0):
a file with ten thousand devices has a quarter of a million of them, and integers cost
the garbage collector nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tailgit.model.findings import Place

COLUMN_BITS = 26  # more columns than a file may have bytes
_COLUMN_MASK = (1 << COLUMN_BITS) - 1

Position = int


def position(line: int, column: int) -> Position:
    """Line and column, both from 0, as one integer."""
    return line << COLUMN_BITS | column


def place(file: str, at: Position) -> Place:
    """The place as people count: from 1."""
    return Place(file, (at >> COLUMN_BITS) + 1, (at & _COLUMN_MASK) + 1)


class Quoted(str):
    """Text that was written in quotes (or as a block), so it is never a number."""

    __slots__ = ()


class Map(dict[str, Any]):
    """A mapping; `keys_at` and `values_at` hold positions by key."""

    __slots__ = ("file", "keys_at", "start", "values_at")

    def __init__(self, file: str, start: Position) -> None:
        self.file = file
        self.start = start
        self.keys_at: dict[str, Position] = {}
        self.values_at: dict[str, Position] = {}

    def at(self, *path: str | int) -> Place:
        """The place of the value at `path`, or of what holds it if it is absent."""
        return _at(self, path)

    def key(self, key: str) -> Place:
        """The place of the key itself."""
        return place(self.file, self.keys_at[key])

    def over(self, defaults: Map) -> Map:
        """A new mapping: this one's entries, and of `defaults` those it lacks."""
        merged = Map(self.file, self.start)
        for source in (defaults, self):
            merged.update(source)
            merged.keys_at.update(source.keys_at)
            merged.values_at.update(source.values_at)
        return merged


class Items(list[Any]):
    """A list; `values_at` holds the position of each item."""

    __slots__ = ("file", "start", "values_at")

    def __init__(self, file: str, start: Position) -> None:
        self.file = file
        self.start = start
        self.values_at: list[Position] = []

    def at(self, *path: str | int) -> Place:
        """The place of the value at `path`, or of what holds it if it is absent."""
        return _at(self, path)


def texts_of(value: object) -> Iterator[tuple[int, str]]:
    """The texts of a list with their indices; nothing if it is no list."""
    if isinstance(value, Items):
        for index, each in enumerate(value):
            if isinstance(each, str):
                yield index, each


def _at(value: Map | Items, path: tuple[str | int, ...]) -> Place:
    found = value.start
    inner: Any = value
    for step in path:
        if isinstance(inner, Map) and step in inner:
            found = inner.values_at[str(step)]
        elif isinstance(inner, Items) and isinstance(step, int) and step < len(inner):
            found = inner.values_at[step]
        else:
            break
        inner = inner[step]
    return place(value.file, found)
