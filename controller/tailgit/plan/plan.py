"""Plan: what an apply would do, as a value that is shown, kept, compared and executed.

Renderers compute nothing, and `deploy.apply` executes exactly this value: a node is
written to only if its row says so, only the bundle whose manifest digest stands in that
row, and in the order of the waves. `plan.make` makes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Literal

from tailgit import __version__
from tailgit.compile.bundle import Bundle
from tailgit.guard.guard import Guard
from tailgit.model.tailnet import Device, Tailnet
from tailgit.plan.order import AS_EVER, Pace, Wave
from tailgit.plan.row import UNSERVED, Row, State

Kind = Literal["apply", "rollback"]


_WITHHELD = frozenset({State.LEFT_OUT, State.SUSPENDED})


class Lineage(StrEnum):
    """How the commit that a node records relates to the one that is planned."""

    ANCESTOR = "ancestor"
    DESCENDANT = "descendant"
    NOT_ANCESTOR = "not-ancestor"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of the tailnet's repository; `height` is `git rev-list --count`."""

    sha: str
    subject: str
    height: int


@dataclass(frozen=True, slots=True)
class History:
    """What git knows about what was applied before.

    `applied` is the fleet's record, the last commit that every node got ("" for none),
    and `height` its own.
    `before` and `declared` hold what nodes' commits compile to and say, as far as they
    could be compiled here: that only makes a plan more telling.
    """

    shallow: bool = False
    applied: str = ""
    height: int = 0
    lineage: Mapping[str, Lineage] = field(default_factory=dict)
    before: Mapping[str, Mapping[str, Bundle]] = field(default_factory=dict)
    declared: Mapping[str, Tailnet] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for besides the commit.

    `only` are the nodes that may be written to, None for all; `allow` holds a reason
    for each guard that is overruled. `only_losses` keeps back nodes that would gain
    anything. `apart` are devices that are not asked at all, `farewell` those of the
    commit that are switched off and told so, whatever was applied before.
    """

    kind: Kind = "apply"
    pace: Pace = AS_EVER
    only: frozenset[str] | None = None
    allow: Mapping[str, str] = field(default_factory=dict)
    only_losses: bool = False
    apart: frozenset[str] = frozenset()
    farewell: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Desired:
    """What a commit says: the tailnet, its bundles, and those for who leaves it.

    `leaving` are devices of the last applied commit that this one does not have any
    more; `farewells` what they get: no peers, no rules.
    """

    tailnet: Tailnet
    bundles: Mapping[str, Bundle]
    leaving: Mapping[str, Device] = field(default_factory=dict)
    farewells: Mapping[str, Bundle] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows sorted by node (bytewise); `refusals` are sentences that forbid to apply.

    `waves` hold the nodes that are written to, each once; `base` is the commit that
    the guards compared with, "" for none.
    """

    tailnet: str
    commit: Commit
    compiled: str
    rows: tuple[Row, ...]
    refusals: tuple[str, ...] = ()
    waves: tuple[Wave, ...] = ()
    guards: tuple[Guard, ...] = ()
    kind: Kind = "apply"
    base: str = ""
    tailgit: str = __version__

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the whole value as canonical JSON; it holds no times."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def steps(self) -> tuple[Row, ...]:
        """The rows that apply acts on."""
        return tuple(row for row in self.rows if row.written)

    @property
    def withheld(self) -> tuple[Row, ...]:
        """The rows that lack something on purpose: left out, or suspended."""
        return tuple(row for row in self.rows if row.state in _WITHHELD)

    @property
    def deposits(self) -> tuple[Row, ...]:
        """The rows whose parcels apply puts into mailboxes."""
        return tuple(row for row in self.rows if row.state is State.DEPOSIT)

    @property
    def counts(self) -> Mapping[State, int]:
        """How many rows are in each state that occurs, in the order of `State`."""
        seen = Counter(row.state for row in self.rows)
        return {state: seen[state] for state in State if seen[state]}

    @property
    def answered(self) -> int:
        """How many nodes answered the observation."""
        return sum(bool(row.observed) for row in self.rows)

    @property
    def asked(self) -> int:
        """How many nodes were asked."""
        return self.answered + sum(
            row.state in UNSERVED and not row.observed for row in self.rows
        )

    @property
    def complete(self) -> bool:
        """Whether every node that should have its bundle over SSH was read."""
        return not any(row.unserved for row in self.rows)

    @property
    def in_sync(self) -> bool:
        """Whether every node has, and may have, what the commit says."""
        there = any(r.state in (State.IN_SYNC, State.DEPOSITED) for r in self.rows)
        left = self.steps or self.withheld or self.deposits
        return there and self.complete and not left and not self.refusals

    @property
    def old_commits(self) -> tuple[str, ...]:
        """The commits that nodes record, oldest first; where some are to be changed,
        theirs alone."""
        rows = [row for row in self.rows if row.commit]
        rows = [row for row in rows if row.written] or rows
        found = {(row.height, row.commit) for row in rows}
        return tuple(commit for _, commit in sorted(found))
