"""The trust difference: what stands behind a name, where that is not what it was.

Access is only half of what a change does. A key, a host key, an owner, an address, a
resolver, an approver or a test may change while everybody reaches what they reached;
an attacker would begin there. So every field of the repository is compared, but for
those few that stand for nothing (`nothing.MEANS_NOTHING`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tailgit.load import Loaded
from tailgit.load.unite import Sections
from tailgit.model.tailnet import Dns, Tailnet
from tailgit.review.foundations import foundation_lines
from tailgit.review.machines import device_lines
from tailgit.review.others import others as differing_others
from tailgit.review.people import approver_leftovers, list_lines, people_lines
from tailgit.review.promises import promise_lines
from tailgit.review.resolving import name_lines
from tailgit.review.standing import Part, TrustLine, Weight


@dataclass(frozen=True, slots=True)
class Side:
    """A tailnet and the files it is made of, as one revision has them."""

    tailnet: Tailnet
    sections: Sections

    @staticmethod
    def of(loaded: Loaded) -> Side | None:
        """None where there is no valid tailnet."""
        if loaded.tailnet is None or loaded.sections is None:
            return None
        return Side(loaded.tailnet, loaded.sections)

    def emptied(self) -> Side:
        """What there is where this tailnet does not exist."""
        return Side(emptied(self.tailnet), Sections())


def emptied(tailnet: Tailnet) -> Tailnet:
    """A tailnet of the same name with nothing in it."""
    bare = Tailnet(
        *(tailnet.name, tailnet.domain, tailnet.ipv4, tailnet.ipv6, tailnet.place)
    )
    return replace(bare, dns=Dns())


@dataclass(frozen=True, slots=True)
class TrustChange:
    """All changes in trust between two tailnets: by part, then by what they are about,
    in the order of its fields. Each is a line; none is left out."""

    lines: tuple[TrustLine, ...] = ()

    @property
    def is_noop(self) -> bool:
        """Whether the same stands behind every name."""
        return not self.lines

    def of(self, part: Part) -> tuple[TrustLine, ...]:
        return tuple(each for each in self.lines if each.part is part)

    @property
    def dangers(self) -> int:
        return sum(each.weight is Weight.DANGER for each in self.lines)


def trust_difference(
    old: Side, new: Side, others: Iterable[str] | None = None
) -> TrustChange:
    """What changes from one tailnet to the other; `others` is what the access
    difference named as changed and not compared, if that is known already."""
    one, other = old.tailnet, new.tailnet
    if others is None:
        others = differing_others(one, other)
    lines = sorted(_lines(old, new, others), key=_order)
    return TrustChange(tuple(dict.fromkeys(lines)))


_PARTS = {part: number for number, part in enumerate(Part)}


def _order(line: TrustLine) -> int:
    return _PARTS[line.part]


def _lines(old: Side, new: Side, others: Iterable[str]) -> Iterator[TrustLine]:
    one, other = old.tailnet, new.tailnet
    raw = old.sections, new.sections
    yield from device_lines(one, other)
    yield from name_lines(one, other, raw)
    yield from foundation_lines(one, other, raw)
    yield from people_lines(one, other, raw)
    yield from list_lines(one, other)
    yield from approver_leftovers(raw, other.place)
    yield from promise_lines(one, other, raw, others)
