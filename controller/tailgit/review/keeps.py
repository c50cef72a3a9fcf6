"""What somebody keeps who is taken out of something: the question that follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tailgit.access.extents import extent_of
from tailgit.access.lines import Line, Lines, Naming
from tailgit.access.parties import Parties, Party
from tailgit.review.exact import Exact
from tailgit.review.lines import ChangedLine
from tailgit.review.world import NEW, OLD, person_of

MOST = 12
"""People and machines of whom it is told."""

_TAKEN_OUT = ("left ", "no longer ", "device changed", "tags changed", "now ")


@dataclass(frozen=True, slots=True)
class Kept:
    """Somebody who lost access, and the lines of what is still open to them."""

    who: str
    lines: tuple[Line, ...]


def kept(
    found: Exact, lost: Iterable[ChangedLine], unreal: frozenset[str]
) -> tuple[Kept, ...]:
    """For each person or machine that is still there and was taken out of something."""
    who = _taken_out(found, lost, unreal)
    if not who:
        return ()
    relation = found.world.sides[NEW]
    parties = Parties(relation)
    lines = Lines(parties)
    result = []
    for name in sorted(who)[:MOST]:
        extent = extent_of(frozenset(who[name]))
        party = parties.party((name,), None, extent)
        listed = lines.named(lines.reached_from(extent), _always(party), extent)
        with_ports = tuple(line for line in listed if line.ports.ranges)
        result.append(Kept(name, with_ports))
    return tuple(result)


def _always(party: Party) -> Naming:
    return lambda _: party


def _taken_out(
    found: Exact, lost: Iterable[ChangedLine], unreal: frozenset[str]
) -> dict[str, set[int]]:
    """People with their devices of the new side, and machines."""
    relation = found.world.sides[NEW]
    new_number = {
        found.world.sides[OLD].devices[old].name: new
        for old, new in found.world.identities.pairs
        if old is not None
    }
    named = {
        name
        for line in lost
        if not line.is_ahead
        for cause in line.causes
        if cause.text.startswith(_TAKEN_OUT)
        for name in cause.who
        if name not in unreal
    } & {member.name for line in lost for member in line.src.members}
    result: dict[str, set[int]] = {}
    for name in named:
        number = new_number.get(name)
        if number is not None:
            device = relation.devices[number]
            result.setdefault(person_of(device) or device.name, set()).add(number)
    return result
