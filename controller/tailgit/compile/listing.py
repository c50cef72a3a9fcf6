"""A list of devices as text, from which one can be left out without a copy.

Nodes of a view see the same peers but for themselves. The text of all is made once;
a node's own entry is cut out by two slices.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence


class Listing:
    """Entries of ascending device numbers, joined.

    `table` holds the entry of each device by number, `instead` the few that differ.
    """

    __slots__ = ("_data", "_entries", "_numbers")

    def __init__(
        self,
        numbers: tuple[int, ...],
        table: Sequence[bytes],
        instead: Mapping[int, bytes],
    ) -> None:
        self._numbers = numbers
        self._entries = [table[number] for number in numbers]
        for number, entry in instead.items():
            at = bisect_left(numbers, number)
            if at < len(numbers) and numbers[at] == number:
                self._entries[at] = entry
        self._data = memoryview(b"".join(self._entries))

    def without(self, number: int) -> tuple[memoryview, ...]:
        """The text without this device's entry, as pieces to join."""
        at = bisect_left(self._numbers, number)
        if at == len(self._numbers) or self._numbers[at] != number:
            return (self._data,)
        start = sum(map(len, self._entries[:at]))
        return self._data[:start], self._data[start + len(self._entries[at]) :]
