"""What became of a plan: one outcome for each of its rows, and what that adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tailgit.errors import Exit
from tailgit.plan.plan import Plan


class Result(StrEnum):
    """How it ended for one node.

    `failed` is a node that keeps what it had; `unconfirmed` one that may run the new
    generation now and starts the old one at its next boot.
    """

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"
    UNREACHABLE = "unreachable"
    NOT_ENROLLED = "not-enrolled"
    NOT_STARTED = "not-started"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One node; `code` is its word for an error, `phase` where it happened."""

    node: str
    result: Result
    generation: int | None = None
    phase: str = ""
    code: str = ""
    message: str = ""


_AGAIN = {Result.UNCONFIRMED, Result.UNREACHABLE, Result.NOT_STARTED}
_PASSING = {"busy", "not-pending", "activation-failed", "io"}
"""Words of a node for what may be otherwise the next time (docs/node-protocol.md)."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A plan and what became of it; outcomes are sorted by node (bytewise)."""

    plan: Plan
    outcomes: tuple[Outcome, ...]

    @property
    def counts(self) -> Mapping[Result, int]:
        seen = Counter(outcome.result for outcome in self.outcomes)
        return {result: seen[result] for result in Result if seen[result]}

    @property
    def again(self) -> bool:
        """Whether the same apply may bring a node further the next time."""
        return any(o.result in _AGAIN or o.code in _PASSING for o in self.outcomes)

    @property
    def exit(self) -> Exit:
        """5 as soon as one node did not get what it should have."""
        whole = {Result.APPLIED, Result.UNCHANGED}
        return Exit.DONE if set(self.counts) <= whole else Exit.INCOMPLETE
