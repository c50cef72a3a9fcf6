"""What is known of the devices that pull: what their mailboxes hold and have heard.

Nobody logs in to such a device. It tells a mailbox what it has confirmed whenever it
asks for its parcel, and the mailbox tells the controller: hearsay, which is shown and
decides nothing. How long ago that was goes by the clock of the mailbox that says it,
so that no two clocks are compared. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tailgit.errors import NodeError
from tailgit.model.text import shown
from tailgit.plan.observed import Deposited, Fetched, Observed

Seen = Mapping[str, Observed | NodeError]
"""What was observed, by node; a mailbox that did not answer says nothing."""

QUIET = frozenset({"ok", "none", "confirming"})
"""How a turn ends of which there is nothing to say."""

_SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True, slots=True)
class Pulled:
    """When a device last asked any mailbox, and what it said there.

    `age` is in seconds. `commit` is that of what it has, where a mailbox holds or held
    just that parcel; None where it is another one, or nothing (`envelope` is None).
    """

    node: str
    mailbox: str
    age: int
    envelope: str | None
    commit: str | None
    result: str

    @property
    def sentence(self) -> str:
        """For the plan: "last fetched 2 days ago, has 3f9c2e1"."""
        if self.envelope is None:
            has = "has nothing yet"
        elif self.commit is None:
            has = "has an older parcel than its mailbox holds"
        else:
            has = f"has {self.commit[:7]}"
        said = f"last fetched {ago(self.age)}, {has}"
        if self.result in QUIET:
            return said
        return f"{said}; what it tried then ended with `{shown(self.result)}`"


def pulled(seen: Seen) -> dict[str, Pulled]:
    """The latest word of every device that asked one of these mailboxes, by name."""
    commits = {each.envelope: each.commit for _, each in _deposits(seen)}
    found: dict[str, Pulled] = {}
    for mailbox, clock, each in _fetches(seen):
        has = each.envelope
        commit = commits.get(has) if has is not None else None
        age = max(0, clock - each.time)
        heard = Pulled(each.node, mailbox, age, has, commit, each.result)
        if each.node not in found or age < found[each.node].age:
            found[each.node] = heard
    return dict(sorted(found.items()))


def sentence(node: str, seen: Seen) -> str:
    """What the plan says of a device that pulls, also where nobody heard of it."""
    heard = pulled(seen).get(node)
    return heard.sentence if heard else "never asked a mailbox that answers"


def lacking(
    node: str, manifest: str, mailboxes: Iterable[str], seen: Seen
) -> tuple[str, ...]:
    """The mailboxes that do not hold, or may not, what `node` is to get."""
    there = {
        mailbox
        for mailbox, each in _deposits(seen)
        if (each.node, each.manifest) == (node, manifest)
    }
    return tuple(sorted(set(mailboxes) - there))


def newest(seen: Seen) -> dict[str, str]:
    """For each device the time (`at`) of the newest parcel that a mailbox holds.

    The next one must be later, also by a clock that was set back.
    """
    found: dict[str, str] = {}
    for _, each in _deposits(seen):
        found[each.node] = max(each.at, found.get(each.node, ""))
    return dict(sorted(found.items()))


def ago(seconds: int) -> str:
    """A span of time for people: the largest unit, rounded down."""
    for length, unit in _SPANS:
        if seconds >= length:
            many = seconds // length
            return f"{many} {unit}{'s' if many > 1 else ''} ago"
    return "just now"


def _deposits(seen: Seen) -> list[tuple[str, Deposited]]:
    return [
        (name, each)
        for name, one in sorted(seen.items())
        if isinstance(one, Observed)
        for each in one.deposited
    ]


def _fetches(seen: Seen) -> list[tuple[str, int, Fetched]]:
    return [
        (name, one.time, each)
        for name, one in sorted(seen.items())
        if isinstance(one, Observed)
        for each in one.fetched
    ]
