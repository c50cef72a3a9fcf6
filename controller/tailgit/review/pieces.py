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

    def at(self, protocol: int, port: int) -> dict[int, Bits]:
        """Who may reach the port, by the time at which that ends."""
        by_rule: dict[int, Bits] = {}
        for (ranges, until), bits in self.inflow.items():
            if any(p == protocol and a <= port <= b for p, a, b in ranges):
                by_rule[until] = by_rule.get(until, 0) | bits
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


def pieces(old: Held, new: Held) -> list[Piece]:
    """Everything that is not the same before and after, each port and source once."""
    found: list[Piece] = []
    spans = _spans(key[0] for each in (old, new) for key in each.inflow)
    for protocol, first, last in spans:
        before, after = old.at(protocol, first), new.at(protocol, first)
        for was, until, bits in _changes(before, after):
            found.append(Piece((protocol, first, last), was, until, bits))
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


def _spans(opened: Iterable[tuple[Range, ...]]) -> Iterator[Range]:
    """Ranges within which none of the given begins or ends."""
    cuts: dict[int, set[int]] = defaultdict(set)
    for ranges in set(opened):
        for protocol, first, last in ranges:
            cuts[protocol].update((first, last + 1))
    for protocol in sorted(cuts):
        ordered = sorted(cuts[protocol])
        for first, after in pairwise(ordered):
            yield protocol, first, after - 1


def union(inflows: Iterable[Inflow]) -> Inflow:
    found: dict[tuple[tuple[Range, ...], int], Bits] = {}
    for inflow in inflows:
        for key, bits in inflow.items():
            found[key] = found.get(key, 0) | bits
    return found


__all__ = ["ALWAYS", "NEVER", "Ends", "Held", "Piece", "pieces", "union"]
