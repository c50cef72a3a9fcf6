"""What changes at one destination: ports and times, each with the sources it holds for.

Ports are cut into ranges within which no rule of either side begins or ends; for each,
what was open before is compared with what is open after, as sets of atoms. Time is one
more measure of it: access holds until the last of its rules ends, or before that one
of its devices. What gets a later end is gained, for the time between; what gets an
earlier one is lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tailgit.model.ports import Range
from tailgit.review.world import ALWAYS, NEVER, Bits, Inflow

Ends = Mapping[int, Bits]
"""Atoms that end, by when."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Sources that had `ports` until `was` and have them until `until`."""

    ports: Range
    was: int
    until: int
    bits: Bits

    @property
    def is_gain(self) -> bool:
        return self.until > self.was


@dataclass(frozen=True, slots=True)
class Held:
    """What comes in at a destination on one side; it ends itself with `end`, and
    sources end with `ends`."""

    inflow: Inflow
    end: int
    ends: Ends

    def by_span(self, spans: Spans) -> list[dict[int, Bits]]:
        """For each span of ports, who may reach them, by when that ends."""
        open_: list[dict[int, Bits]] = [{} for _ in spans.listed]
        for (ranges, until), bits in self.inflow.items():
            for number in spans.within(ranges):
                held = open_[number]
                held[until] = held.get(until, 0) | bits
        return [self._ending(each) for each in open_]

    def _ending(self, by_rule: Mapping[int, Bits]) -> dict[int, Bits]:
        """Who ends before the rules do counts until then; each source once."""
        if len(by_rule) == 1 and not self.ends:
            return {min(until, self.end): bits for until, bits in by_rule.items()}
        found: dict[int, Bits] = defaultdict(int)
        seen = 0
        for until in sorted(by_rule, reverse=True):
            bits = by_rule[until] & ~seen
            seen |= bits
            for end, ending in self.ends.items():
                if bits & ending:
                    found[min(until, end, self.end)] |= bits & ending
                    bits &= ~ending
            if bits:
                found[min(until, self.end)] |= bits
        return dict(found)


class Spans:
    """Ranges of ports within which no rule begins or ends."""

    def __init__(self, opened: Iterable[tuple[Range, ...]]) -> None:
        cuts: dict[int, set[int]] = defaultdict(set)
        for ranges in set(opened):
            for protocol, first, last in ranges:
                cuts[protocol].update((first, last + 1))
        self.listed: list[Range] = []
        self._at: dict[tuple[int, int], int] = {}
        for protocol, ends in sorted(cuts.items()):
            for first, after in pairwise(sorted(ends)):
                self._at[protocol, first] = len(self.listed)
                self.listed.append((protocol, first, after - 1))
        self._within: dict[tuple[Range, ...], list[int]] = {}

    def within(self, ranges: tuple[Range, ...]) -> list[int]:
        """The numbers of the spans that lie in some ranges."""
        if ranges not in self._within:
            found = self._within[ranges] = []
            for protocol, first, last in ranges:
                number = self._at[protocol, first]
                while number < len(self.listed):
                    of, _, end = self.listed[number]
                    if of != protocol or end > last:
                        break
                    found.append(number)
                    number += 1
        return self._within[ranges]


def pieces(old: Held, new: Held) -> list[Piece]:
    """Everything that is not the same before and after, each port and source once."""
    found: list[Piece] = []
    spans = Spans(key[0] for each in (old, new) for key in each.inflow)
    sides = zip(spans.listed, old.by_span(spans), new.by_span(spans), strict=True)
    for span, before, after in sides:
        for was, until, bits in _changes(before, after):
            found.append(Piece(span, was, until, bits))
    return found


def _changes(
    before: Mapping[int, Bits], after: Mapping[int, Bits]
) -> Iterator[tuple[int, int, Bits]]:
    if before == after:
        return
    some, others = _union(before), _union(after)
    for until, bits in after.items():
        if bits & ~some:
            yield NEVER, until, bits & ~some
        for was, had in before.items():
            if was != until and bits & had:
                yield was, until, bits & had
    for was, had in before.items():
        if had & ~others:
            yield was, NEVER, had & ~others


def _union(held: Mapping[int, Bits]) -> Bits:
    found = 0
    for bits in held.values():
        found |= bits
    return found


def union(inflows: Iterable[Inflow]) -> Inflow:
    found: dict[tuple[tuple[Range, ...], int], Bits] = {}
    for inflow in inflows:
        for key, bits in inflow.items():
            found[key] = found.get(key, 0) | bits
    return found


__all__ = ["ALWAYS", "NEVER", "Ends", "Held", "Piece", "pieces", "union"]
