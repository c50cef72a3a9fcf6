"""How each node stands: does it have the commit, and is it well?

Two questions, and never one answer to both: a node that has the commit may have lost
its filter, and one that waits for the next apply may be in perfect health. A node that
was not read has neither answer. What nodes said is testimony (`plan.observed`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from tailgit.errors import NodeError
from tailgit.model.deadline import deadline_text
from tailgit.plan.observed import Observed
from tailgit.plan.plan import Commit, Lineage
from tailgit.plan.row import MOST_SKEW

ALIVE = 180
"""Seconds after a handshake in which WireGuard takes a session for alive (REJECT_AFTER
_TIME of the protocol)."""

LITTLE = 32 * 1024
"""KiB of free disk below which it is said: an apply needs three times its parcel."""


class Sync(StrEnum):
    """What a node has, seen from the commit that is asked about.

    `another` is what neither contains the commit nor is contained in it, or is not
    known to this clone. `unlike` has the commit, compiled to something else. The last
    four have no answer: who leaves, who was not read, and who is not reached over SSH.
    """

    IN_SYNC = "in-sync"
    OLDER = "older"
    NEWER = "newer"
    ANOTHER = "another"
    UNLIKE = "unlike"
    NOTHING = "nothing"
    DAMAGED = "damaged"
    LEAVING = "leaving"
    NOT_READ = "not-read"
    NOT_ENROLLED = "not-enrolled"
    NOT_DELIVERED = "not-delivered"


ASIDE = frozenset({Sync.NOT_ENROLLED, Sync.NOT_DELIVERED})
"""Nobody is asked there, so nothing is judged."""

_AGES = {
    Lineage.ANCESTOR: Sync.OLDER,
    Lineage.DESCENDANT: Sync.NEWER,
}


@dataclass(frozen=True, slots=True)
class Sessions:
    """A node's peers, how many of them spoke to it lately, and the newest handshake's
    age in seconds (None without any). Who has nothing to say makes no handshake, so a
    peer that is silent is no fault."""

    peers: int
    alive: int
    newest: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One device. `faults` are what is wrong there, `remarks` what one should know;
    `why` says it for a device that was not read or is not asked.

    `delivery` is how it gets its bundle, `behind` how many commits it lacks (0 where
    that can't be counted).
    """

    node: str
    sync: Sync
    delivery: str
    seen: Observed | None = None
    behind: int = 0
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    why: str = ""

    @property
    def healthy(self) -> bool | None:
        """None where nobody could look."""
        return None if self.seen is None else not self.faults

    @property
    def sessions(self) -> Sessions | None:
        if self.seen is None:
            return None
        now = self.seen.time
        ages = [max(0, now - p.handshake) for p in self.seen.peers if p.handshake]
        alive = sum(age <= ALIVE for age in ages)
        return Sessions(len(self.seen.peers), alive, min(ages, default=None))


@dataclass(frozen=True, slots=True)
class Status:
    """A tailnet's devices at one moment (`now`, epoch), bytewise by name.

    `notes` say what could not be found out about all of them.
    """

    tailnet: str
    commit: Commit
    now: int
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[Sync, int]:
        seen = Counter(each.sync for each in self.standings)
        return {sync: seen[sync] for sync in Sync if seen[sync]}

    @property
    def asked(self) -> tuple[Standing, ...]:
        return tuple(each for each in self.standings if each.sync not in ASIDE)

    @property
    def complete(self) -> bool:
        """Whether everybody who was asked answered."""
        return all(each.seen is not None for each in self.asked)

    @property
    def in_sync(self) -> bool:
        return all(each.sync is Sync.IN_SYNC for each in self.asked)

    @property
    def healthy(self) -> bool:
        return all(each.healthy for each in self.asked)


@dataclass(frozen=True, slots=True)
class Measure:
    """What a node is measured by: the commit, the digest of the bundle that it means
    for this node ("" for none), its key, and how git relates the node's commit to it
    (None in a shallow clone)."""

    commit: Commit
    manifest: str
    public_key: str | None
    lineage: Lineage | None = None
    leaves: bool = False


def standing_of(
    node: str, measure: Measure, seen: Observed | NodeError, now: int
) -> Standing:
    """How one node stands that is reached over SSH."""
    if isinstance(seen, NodeError):
        why = "; ".join(filter(None, (seen.message, seen.help)))
        return Standing(node, Sync.NOT_READ, "ssh", why=why)
    standing = Standing(node, _sync(measure, seen), "ssh", seen)
    if standing.sync is Sync.OLDER and seen.record is not None:
        behind = max(0, measure.commit.height - seen.record.height)
        standing = replace(standing, behind=behind)
    return replace(
        standing,
        faults=(*_mistaken(measure, seen), *_faults(seen), *_clock(seen, now)),
        remarks=_remarks(seen, now),
    )


def _sync(measure: Measure, seen: Observed) -> Sync:
    if measure.leaves:
        return Sync.LEAVING
    if seen.damaged:
        return Sync.DAMAGED
    if seen.record is None:
        return Sync.NOTHING
    if seen.record.manifest == measure.manifest:
        return Sync.IN_SYNC
    if seen.record.commit == measure.commit.sha:
        return Sync.UNLIKE
    if measure.lineage is None:
        return Sync.ANOTHER
    return _AGES.get(measure.lineage, Sync.ANOTHER)


def _mistaken(measure: Measure, seen: Observed) -> tuple[str, ...]:
    if measure.public_key is None or measure.public_key in seen.public_keys:
        return ()
    return ("its key is not the publicKey declared in the repository",)


def _faults(seen: Observed) -> tuple[str, ...]:
    """What the node says is wrong with it, and a disk that is nearly full."""
    found = []
    if seen.pending is not None:
        found.append(_waiting(seen, seen.pending))
    found += replace(seen, pending=None).faults
    if seen.damaged:
        found.append("the record of what was applied to it can't be read")
    if seen.free < LITTLE:
        found.append(f"only {seen.free // 1024} MiB are free on the disk of /var/lib")
    return tuple(found)


def _waiting(seen: Observed, pending: int) -> str:
    back = "nothing" if seen.current is None else f"generation {seen.current}"
    said = f"generation {pending} waits for its confirmation"
    if seen.confirm_in is None:
        return said
    return f"{said}; without it {back} runs again in {seen.confirm_in} s"


def _clock(seen: Observed, now: int) -> tuple[str, ...]:
    """What is wrong with its clock, and what that does."""
    off = seen.time - now
    if abs(off) > MOST_SKEW:
        how = "ahead" if off > 0 else "behind"
        return (f"its clock is {abs(off)} s {how}; deadlines end by it",)
    if seen.clock_high > now + MOST_SKEW:
        said = (
            f"its clock was {seen.clock_high - now} s ahead: peers that heard from it "
            f"then refuse its handshakes until {deadline_text(seen.clock_high)}"
        )
        return (said,)
    return ()


def _remarks(seen: Observed, now: int) -> tuple[str, ...]:
    """Who holds it, what is suspended, and what else filters there."""
    found = []
    if seen.hold is not None:
        found.append(f"locked: {seen.hold}")
    suspended = seen.suspended
    if suspended is not None and suspended.until > now:
        until = deadline_text(suspended.until)
        found.append(f"suspended until {until} by {suspended.by}: {suspended.reason}")
    found += (f"its own firewall may drop, too: {text}" for text in seen.foreign)
    return tuple(found)
