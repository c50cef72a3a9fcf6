"""The access difference of two tailnets: who gains what, who loses what, and why.

It compares the fully resolved relation, never rules or text: a policy that is written
differently and means the same makes no difference. A device counts as the same through
a renaming; see `identity`. What has ended at the time that is asked for is absent; of
the rest, an end that is set or moved is a change as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailgit.access.deadlines import Until
from tailgit.access.relation import Relation
from tailgit.model.tailnet import Tailnet
from tailgit.review.causes import Causes
from tailgit.review.counting import Counting, Counts
from tailgit.review.exact import Exact, exact
from tailgit.review.keeps import Kept, kept
from tailgit.review.lines import ChangedLine, changed_lines
from tailgit.review.others import others
from tailgit.review.witnesses import with_witnesses
from tailgit.review.world import NEW, OLD


@dataclass(frozen=True, slots=True)
class AccessChange:
    """All changes in access between two tailnets.

    `gained` and `lost` together are exactly the difference; lines `is_ahead` are about
    devices that nobody has yet, of both sides alike. `kept` says what those who were
    taken out of something still have; `others` names what changes and is not compared.
    `exact` is what the lines were made of.
    """

    gained: tuple[ChangedLine, ...]
    lost: tuple[ChangedLine, ...]
    counts: Counts
    kept: tuple[Kept, ...]
    exact: Exact
    unreal: frozenset[str]
    others: tuple[str, ...] = ()

    @property
    def is_noop(self) -> bool:
        """Whether nobody gains or loses anything, not even somebody to come."""
        return not (self.gained or self.lost)


def difference(old: Tailnet, new: Tailnet, at: Until = None) -> AccessChange:
    """What changes from one tailnet to the other, judged at a time."""
    one, other, unreal = with_witnesses(old, new)
    found = exact(Relation.of(one, at), Relation.of(other, at))
    counting = Counting(found, unreal)
    causes = Causes(found, (one, other), unreal)
    gained = changed_lines(found, causes, counting, unreal, NEW)
    lost = changed_lines(found, causes, counting, unreal, OLD)
    return AccessChange(
        gained,
        lost,
        counting.counts(),
        kept(found, lost, unreal),
        found,
        unreal,
        others(found.world.sides[OLD].tailnet, found.world.sides[NEW].tailnet),
    )
