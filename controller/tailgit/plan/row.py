"""One device in a plan: what it has, what it shall have, and what that means for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from tailgit.compile.bundle import Bundle
from tailgit.errors import NodeError, NodeRefused
from tailgit.model.deadline import deadline_text
from tailgit.model.tailnet import Delivery, Device
from tailgit.plan.difference import Difference, difference
from tailgit.plan.observed import Observed

MOST_SKEW = 60
"""Seconds between a node's clock and ours that nothing is said about."""


LAST_MOMENT = 32_503_680_000
"""The year 3000, which no deadline reaches (`model.deadline`)."""


class State(StrEnum):
    """What a plan knows about one device; the first four are what apply writes to.

    `deposit` is a device that pulls and whose parcel is put into mailboxes; `deposited`
    one whose mailboxes hold it already.
    """

    FIRST = "first"
    CHANGE = "change"
    REPAIR = "repair"
    LEAVING = "leaving"
    DEPOSIT = "deposit"
    DEPOSITED = "deposited"
    IN_SYNC = "in-sync"
    LEFT_OUT = "left-out"
    SUSPENDED = "suspended"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_ENROLLED = "not-enrolled"
    NOT_DELIVERED = "not-delivered"


WRITTEN = frozenset({State.FIRST, State.CHANGE, State.REPAIR, State.LEAVING})
UNSERVED = frozenset({State.UNREACHABLE, State.REFUSED})


class Switch(StrEnum):
    """What a change interrupts: nothing; addresses and routes; the whole interface."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One device. `manifest` is the digest of the bundle it shall have, `observed`
    that of what the node said, `commit` and `height` what it records; "" for none.

    `difference` is None where nothing changes or what was there is not known here.
    `unserved` marks a node that should have got this bundle over SSH and can't; `peers`
    is how many the bundle gives it.
    """

    node: str
    state: State
    manifest: str = ""
    observed: str = ""
    commit: str = ""
    height: int = 0
    switch: Switch | None = None
    difference: Difference | None = None
    notes: tuple[str, ...] = ()
    unserved: bool = False
    peers: int = 0

    @property
    def written(self) -> bool:
        return self.state in WRITTEN

    @property
    def acts(self) -> bool:
        """Whether apply does anything for it: writes to it, or fills its mailboxes."""
        return self.written or self.state is State.DEPOSIT

    @property
    def loses(self) -> bool:
        """Whether something is taken away; what is not known may be anything."""
        if self.state is State.FIRST:
            return False
        return self.difference is None or self.difference.takes


@dataclass(frozen=True, slots=True)
class Post:
    """What is known of a device that pulls: the mailboxes that answered, those of them
    that lack its parcel, and a sentence about what it was heard to have."""

    mailboxes: tuple[str, ...]
    lacking: tuple[str, ...]
    heard: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a device shall have and, where git knows it, what it had.

    `before` is what the last applied commit compiles to for it, `recorded` the same of
    the commit that the node itself records. `surely` says that the former is the
    fleet's record, so that every node has at least that; `trusts` that a record which
    can't be read may be replaced.
    """

    bundle: Bundle | None
    before: Bundle | None = None
    recorded: Bundle | None = None
    leaves: bool = False
    trusts: bool = False
    surely: bool = True
    post: Post | None = None

    def had(self, manifest: str) -> Bundle | None:
        """What a node has that records this manifest; None if it is not known here.

        Its own commit may be one too many to compile. As often as not the last applied
        one says the same of it.
        """
        known = (each for each in (self.recorded, self.before) if each is not None)
        return next((each for each in known if each.digest == manifest), None)


def row_of(
    device: Device, wanted: Wanted, seen: Observed | NodeError | None, now: int
) -> Row | None:
    """What is to be done about one device at `now` (epoch); None for nothing at all."""
    name, bundle = device.name, wanted.bundle
    if device.disabled and not wanted.leaves:
        return Row(name, State.NOT_DELIVERED, notes=("disabled",))
    if bundle is None and device.public_key is not None:
        return Row(name, State.NOT_DELIVERED, notes=("its owner is disabled",))
    if bundle is None:
        return Row(name, State.NOT_ENROLLED, notes=("awaits its key",))
    row = Row(name, State.IN_SYNC, bundle.digest, peers=bundle.peers)
    known = device.ssh is not None and device.ssh.is_known
    if wanted.leaves and not (known and device.delivery is Delivery.SSH):
        notes = ("it leaves, and gets nothing over SSH",)
        return replace(row, state=State.NOT_DELIVERED, notes=notes)
    if device.delivery is Delivery.PULL and wanted.post is not None:
        return _pulled(row, wanted, bundle, wanted.post)
    if device.delivery is not Delivery.SSH:
        notes = (f"delivery: {device.delivery}",)
        return replace(row, state=State.NOT_DELIVERED, notes=notes)
    if not known:
        notes = ("no ssh.hostKey in the repository",)
        return replace(row, state=State.NOT_ENROLLED, notes=notes, unserved=True)
    match seen:
        case Observed():
            answered = _answered(row, device, wanted, bundle, seen)
            return answered and _with_remarks(answered, seen, now)
        case NodeError():
            return _silent(row, wanted, bundle, seen)
        case None:
            raise ValueError(f"{name} was not asked")


def _pulled(row: Row, wanted: Wanted, bundle: Bundle, post: Post) -> Row:
    """A device that fetches its parcel itself, when it is awake."""
    if not post.mailboxes:
        notes = ("no mailbox answers, so it can't be told of anything", post.heard)
        return replace(row, state=State.UNREACHABLE, notes=notes, unserved=True)
    if not post.lacking:
        return replace(row, state=State.DEPOSITED, notes=(post.heard,))
    what = difference(wanted.before, bundle) if wanted.before else None
    return replace(row, state=State.DEPOSIT, difference=what, notes=(post.heard,))


def _silent(row: Row, wanted: Wanted, bundle: Bundle, seen: NodeError) -> Row | None:
    """A node that was not read: why, and what it goes on without."""
    said = tuple(filter(None, (seen.message, seen.help)))
    refused = isinstance(seen, NodeRefused)
    if wanted.leaves and isinstance(seen, NodeRefused) and seen.code == "not-enrolled":
        return None  # nothing of ours is there any more
    row = replace(row, state=State.REFUSED if refused else State.UNREACHABLE)
    if wanted.leaves:
        note = "it leaves: nobody is its peer any more, its own tunnel stays up alone"
        return replace(row, notes=(*said, note))
    missed = difference(wanted.before, bundle) if wanted.before else None
    if missed is not None and not wanted.surely:
        said = (*said, "what it has is not on record; it may lack more than this")
    else:
        said = (*said, *_missing(missed))
    return replace(row, difference=missed, notes=said, unserved=True)


def _missing(missed: Difference | None) -> tuple[str, ...]:
    """Why it is safe, or not, that a node goes on with what it has."""
    if missed is None or not missed.files:
        return ()
    if not missed.takes:
        return ("until it is reached it lacks what is new; it grants nothing extra",)
    kept = " ".join((*missed.peers_removed, *missed.peers_changed))
    if kept:
        said = f"trusts {kept} as before: what they reach there stays open to them"
    else:
        said = "keeps its old rules: what is taken away stays open there"
    return (f"until it is reached it {said}; nodes that have the change refuse",)


def _answered(
    row: Row, device: Device, wanted: Wanted, bundle: Bundle, seen: Observed
) -> Row | None:
    """What is to be done about a node that answered."""
    record = seen.record
    row = replace(row, observed=seen.digest)
    if record is not None:
        row = replace(row, commit=record.commit, height=record.height)
    if wanted.leaves and _is_gone(device, seen):
        return None
    if device.public_key not in seen.public_keys:
        said = ("its key is not the publicKey declared here",)
        return replace(row, state=State.REFUSED, notes=said, unserved=True)
    row = replace(row, notes=seen.faults)
    if seen.damaged and not wanted.trusts:
        said = ("the record of what was applied to it can't be read",)
        return replace(row, state=State.REFUSED, notes=said, unserved=True)
    if record is not None and record.manifest == bundle.digest:
        if wanted.leaves:
            return None
        if not seen.faults:
            return row
        return replace(row, state=State.REPAIR, switch=_switch(seen, None))
    if wanted.leaves:
        return replace(row, state=State.LEAVING, switch=_switch(seen, None))
    if record is None and not seen.damaged:
        what = difference(None, bundle)
        return replace(row, state=State.FIRST, switch=Switch.COLD, difference=what)
    old = wanted.had(record.manifest) if record else None
    if record is None or old is None:
        return replace(row, state=State.CHANGE, switch=Switch.UNKNOWN)
    what = difference(old, bundle)
    return replace(row, state=State.CHANGE, switch=_switch(seen, what), difference=what)


def _is_gone(device: Device, seen: Observed) -> bool:
    """Whether nothing is left there of a device that leaves: no generation, or the
    machine is another one by now."""
    empty = seen.current is None and seen.record is None and not seen.damaged
    return empty or device.public_key not in seen.public_keys


def _switch(seen: Observed, what: Difference | None) -> Switch:
    """How much is interrupted; `what` is None for a repair."""
    parts = dict(seen.parts)
    if seen.interface == "absent":
        return Switch.COLD
    drifted = any(parts.get(part) != "ok" for part in ("addresses", "routes"))
    moved = what and ("interface" in what.files or what.own_key)
    if drifted or seen.interface != "up" or moved:
        return Switch.WARM
    return Switch.HOT


def _with_remarks(row: Row, seen: Observed, now: int) -> Row:
    """What people must know about the node besides: by whom, drift, clock, firewall."""
    notes = list(row.notes)
    record = seen.record
    if record is not None and seen.faults:
        notes.append(f"last applied: {record.commit[:7]} by {record.by} at {record.at}")
    notes += (f"drift: {line}" for line in seen.drift)
    notes += _clock(seen, now)
    notes += (f"its own firewall may drop, too: {text}" for text in seen.foreign)
    if seen.hold is not None and row.written:
        # Else the apply that this plan proposes would be the first to say so.
        notes.append(f"locked: {seen.hold}")
    suspended = seen.suspended
    if suspended is not None and suspended.until > now:
        until = _moment(suspended.until)
        said = f"suspended until {until} by {suspended.by}: {suspended.reason}"
        if row.written:
            notes.append("nothing of this is enforced there until it is resumed")
            row = replace(row, state=State.SUSPENDED, switch=None)
        notes.append(said)
    return replace(row, notes=tuple(notes))


def _moment(epoch: int) -> str:
    """A time that a node named, which may be any number, as text."""
    return deadline_text(epoch) if epoch < LAST_MOMENT else "the end of time"


def _clock(seen: Observed, now: int) -> list[str]:
    """What is wrong with the node's clock, and what follows."""
    off = seen.time - now
    if abs(off) > MOST_SKEW:
        how = "ahead" if off > 0 else "behind"
        return [f"its clock is {abs(off)} s {how}; deadlines end by it"]
    if seen.clock_high > now + MOST_SKEW:
        said = (
            f"its clock was {seen.clock_high - now} s ahead: peers that heard from it "
            f"then refuse its handshakes until {_moment(seen.clock_high)}; "
            "`tailgit device rotate` gives it a key without that past"
        )
        return [said]
    return []
