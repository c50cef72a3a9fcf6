"""Lines of change: who gains or loses what, under names, with the lines behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailgit.access.deadlines import Until
from tailgit.access.lines import party_order
from tailgit.access.parties import Party
from tailgit.model.policy import Rule
from tailgit.model.ports import ICMPV6, Ports
from tailgit.review.boxes import Box, boxes
from tailgit.review.causes import Cause, Causes
from tailgit.review.counting import Counting
from tailgit.review.exact import Exact
from tailgit.review.named import RuleSet
from tailgit.review.naming import Names
from tailgit.review.world import ALWAYS, NEVER, Bits


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """`src` gains or loses `ports` at `dst`, and why.

    What was held before only got another end: `was` is the one it had, `until` the one
    it has; `was_held` and `is_held` say whether it was and is held at all. `pairs`
    counts pairs of devices that are there; without any and without a subnet it is for
    devices that nobody has yet (`is_ahead`). Ping comes with any other port
    (`is_implied`: it is said by another line already). `numbers` are the box's.
    """

    src: Party
    dst: Party
    ports: Ports
    rules: tuple[Rule, ...]
    causes: tuple[Cause, ...]
    was: Until = None
    until: Until = None
    was_held: bool = False
    is_held: bool = False
    is_self: bool = False
    is_ahead: bool = False
    is_implied: bool = False
    pairs: int = 0

    @property
    def is_by_rule(self) -> bool:
        """Whether a rule itself is what changed, and nothing that it names."""
        return len(self.causes) == 1 and self.causes[0].is_rule

    @property
    def is_gain(self) -> bool:
        if self.was_held and self.is_held:
            return self.until is None or (
                self.was is not None and self.until > self.was
            )
        return self.is_held


def changed_lines(
    found: Exact, causes: Causes, counting: Counting, unreal: frozenset[str], side: int
) -> tuple[ChangedLine, ...]:
    """The lines of what is gained (of the new side) or lost, in order."""
    rules = causes.rules[side]
    lines = list(_lines(found, causes, counting, Names(found, rules, unreal), rules))
    return tuple(sorted(lines, key=_order))


def _lines(
    found: Exact, causes: Causes, counting: Counting, names: Names, rules: RuleSet
) -> Iterator[ChangedLine]:
    listed = boxes(found, rules)
    said = _said(listed)
    for box in listed:
        was, until = _deadline(box.was), _deadline(box.until)
        pairs = counting.pairs(box)
        src, dst = names.source(box), names.target(box)
        ports = box.ports
        if box.is_ping:
            ports = Ports.of((*ports.ranges, (ICMPV6, 0, 65535)))
        yield ChangedLine(
            src,
            dst,
            ports,
            tuple(rules.rules[number].rule for number in box.rules),
            causes.of(box, rules.side),
            was,
            until,
            box.was != NEVER,
            box.until != NEVER,
            box.is_self,
            _is_ahead(box, pairs, src, dst),
            box.is_ping and _is_said(box, said),
            pairs,
        )


def _is_ahead(box: Box, pairs: int, src: Party, dst: Party) -> bool:
    """Whether nobody is there, at one end at least."""
    has_regions = bool(src.subnets)
    comes = bool(src.members) or has_regions
    return not (pairs or (has_regions and dst.members) or (comes and box.places))


def _deadline(moment: int) -> Until:
    return None if moment in (NEVER, ALWAYS) else moment


_Said = dict[object, list[Bits]]


def _said(listed: list[Box]) -> _Said:
    """By destination, the sources of lines about other ports than ping."""
    found: _Said = {}
    for box in listed:
        if not box.is_ping:
            for each in _ends(box):
                held = found.setdefault(each, [0, 0])
                held[0] |= box.sources[0]
                held[1] |= box.sources[1]
    return found


def _is_said(box: Box, said: _Said) -> bool:
    """Whether all of a box of ping has other lines as well. That of people's own
    devices are their own lines' affair."""
    for each in _ends(box):
        held = said.get(each)
        if held is None or box.sources[0] & ~held[0] or box.sources[1] & ~held[1]:
            return False
    return True


def _ends(box: Box) -> Iterator[object]:
    for place in box.places:
        yield "at", place
    bits = box.atoms
    while bits:
        low = bits & -bits
        yield low
        bits ^= low


def _order(line: ChangedLine) -> tuple[object, ...]:
    return (
        line.is_implied,
        line.is_ahead,
        party_order(line.src),
        party_order(line.dst),
        line.ports.ranges,
        line.until or 0,
        line.was or 0,
    )
