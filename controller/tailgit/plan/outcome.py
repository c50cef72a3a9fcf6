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

    `failed` is a node that keeps what it had, `rolled-back` one that ran the new
    generation and has the old one again; `unconfirmed` one that may run the new
    generation now and goes back to the old one by itself, within the confirm timeout.
    """

    APPLIED = "applied"
    DEPOSITED = "deposited"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    UNCONFIRMED = "unconfirmed"
    UNREACHABLE = "unreachable"
    NOT_ENROLLED = "not-enrolled"
    NOT_STARTED = "not-started"
    SUSPENDED = "suspended"
    LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One node; `code` is its word for an error, `phase` where it happened.

    `seconds` is how long it took from the switch to the confirmation.
    """

    node: str
    result: Result
    generation: int | None = None
    phase: str = ""
    code: str = ""
    message: str = ""
    seconds: float = 0.0


_WHOLE = {
    *(Result.APPLIED, Result.DEPOSITED, Result.UNCHANGED),
    *(Result.SUSPENDED, Result.LEFT_OUT),
}
_AGAIN = {
    *(Result.UNCONFIRMED, Result.UNREACHABLE, Result.NOT_STARTED, Result.ROLLED_BACK),
}
_PASSING = {
    *(
        "busy",
        "not-pending",
        "activation-failed",
        "io",
        "no-space",
        "locked",
        "changed",
    ),
    *("not-armed", "differs"),
}
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
        """5 as soon as one node did not get what it should have.

        What was suspended or left out on purpose is no failure, and is always named.
        """
        return Exit.DONE if set(self.counts) <= _WHOLE else Exit.INCOMPLETE
