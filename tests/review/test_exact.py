"""Gained and lost are what two naive evaluations differ in, packet by packet.

`TAILGIT_DIFF_EXAMPLES` (default 150) says how many pairs of tailnets are compared. The
sequence is the same in every run; a larger number makes it longer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tailgit.access.extents import Extent
from tailgit.access.relation import Relation
from tailgit.model.addresses import Address
from tailgit.model.tailnet import Tailnet
from tailgit.review.access import AccessChange, difference
from tailgit.review.lines import ChangedLine
from tailgit.review.witnesses import with_witnesses
from tests.review.brute import Brute, End, Names, Packet, passes
from tests.review.edits import EDITS, Change, over_changes

EXAMPLES = int(os.environ.get("TAILGIT_DIFF_EXAMPLES", "150"))
FOREVER = 1 << 62


@dataclass
class Expanded:
    """The lines of one side taken apart again, as they would be read aloud."""

    relation: Relation
    lines: tuple[ChangedLine, ...]
    side: int

    def holding(self, packet: Packet) -> list[ChangedLine]:
        """Lines between whose ends a packet goes, whatever its port."""
        return [line for line in self.lines if self._goes(line, packet)]

    def _goes(self, line: ChangedLine, packet: Packet) -> bool:
        node = self._number(packet.node)
        if node is None or not self._is_source(line, packet.src):
            return False
        if packet.dst.device is None:
            assert packet.dst.address is not None
            return any(
                packet.dst.address in prefix and node in routers
                for prefix, routers in line.dst.extent.carried
            )
        if node not in _own(line.dst.extent, packet.dst.version):
            return False
        return not line.is_self or self._person(packet.src.device) == self._person(
            packet.node
        )

    def _is_source(self, line: ChangedLine, end: End) -> bool:
        if end.device is None:
            return _is_carried(line.src.extent, end.address)
        return self._number(end.device) in _own(line.src.extent, end.version)

    def _number(self, names: Names | None) -> int | None:
        return self.relation.position.get((names or ("", ""))[self.side] or "")

    def _person(self, names: Names | None) -> object:
        number = self._number(names)
        device = None if number is None else self.relation.devices[number]
        return object() if device is None or device.tags else device.owner


def _own(extent: Extent, version: int) -> frozenset[int]:
    return extent.four if version == 4 else extent.six


def _is_carried(extent: Extent, address: Address | None) -> bool:
    return address is not None and any(address in p for p, _ in extent.carried)


def says(lines: list[ChangedLine], packet: Packet, at: int) -> bool:
    """Whether one of the lines is about the packet's port at a time."""
    return any(
        line.ports.allows(packet.protocol, packet.port) and covers(line, at)
        for line in lines
    )


def covers(line: ChangedLine, at: int) -> bool:
    was = (line.was or FOREVER) if line.was_held else 0
    until = (line.until or FOREVER) if line.is_held else 0
    return min(was, until) <= at < max(was, until)


def wrong(
    change: AccessChange, brute: Brute, seen: Counter[object]
) -> Iterator[object]:
    """Packets about which the lines say something else than brute force."""
    old, new = change.exact.world.sides
    gained, lost = Expanded(new, change.gained, 1), Expanded(old, change.lost, 0)
    for ends in brute.ends():
        more, less = gained.holding(ends), lost.holding(ends)
        if not (more or less or brute.differs(ends)):
            continue  # the same rules on both sides, and no line: nothing is said
        for packet in brute.between(ends):
            for at, one, other in brute.passing(packet):
                before, after = passes(one, packet), passes(other, packet)
                seen[before, after] += 1
                right = after and not before, before and not after
                found = says(more, packet, at), says(less, packet, at)
                if found != right:
                    yield packet, at, f"gained, lost: {found}, not {right}"


def test_lines_are_exactly_the_difference(
    record_property: Callable[[str, object], None],
) -> None:
    """Every packet that passes after an edit and not before lies in a line of gains,
    every other way round in one of losses, and no line says more; at all times."""
    seen: Counter[object] = Counter()
    kinds: Counter[str] = Counter()

    def ask(change: Change) -> None:
        found = difference(change.old, change.new)
        before = sum(seen[key] for key in ((True, False), (False, True)))
        bad = next(wrong(found, Brute(change.old, change.new), seen), None)
        assert bad is None, bad
        changed = sum(seen[key] for key in ((True, False), (False, True))) - before
        assert not (changed and found.is_noop)
        kinds.update(change.kinds if changed else ())

    over_changes(EXAMPLES, ask)
    record_property("oracle", f"{seen}; edits that mattered: {sorted(kinds.items())}")
    assert min(seen[True, False], seen[False, True]) > 20 * EXAMPLES
    assert EXAMPLES < 1000 or kinds.keys() >= EDITS.keys() - {"reorder rules"}


def test_lines_are_exact_for_devices_to_come() -> None:
    """The same with the hypothetical devices as if they were there."""
    seen: Counter[object] = Counter()

    def ask(change: Change) -> None:
        old, new, unreal = with_witnesses(change.old, change.new)
        if len(unreal) > 12:
            return
        found = difference(change.old, change.new)
        bad = next(wrong(found, Brute(old, new), seen), None)
        assert bad is None, bad

    over_changes(EXAMPLES // 4, ask)
    assert min(seen[True, False], seen[False, True]) > 0


def test_pairs_are_counted_as_they_are() -> None:
    """Pairs that gain, lose and keep are those whose packets say so."""

    def ask(change: Change) -> None:
        found = difference(change.old, change.new)
        right = _counted(change.old, change.new)
        counts = found.counts
        assert (counts.gain, counts.lose, counts.unchanged) == right

    over_changes(EXAMPLES // 5, ask)


def _counted(old: Tailnet, new: Tailnet) -> tuple[int, int, int]:
    brute = Brute(old, new)
    gain, lose, some = set(), set(), set()
    for packet in brute.packets():
        if packet.src.device is None or packet.dst.device is None:
            continue
        pair = packet.src.device, packet.dst.device
        for _, one, other in brute.passing(packet):
            before, after = passes(one, packet), passes(other, packet)
            if before or after:
                some.add(pair)
            if after and not before:
                gain.add(pair)
            if before and not after:
                lose.add(pair)
    return len(gain), len(lose), len(some - gain - lose)
