"""A guard: one question about a change, its answer, and who overruled it.

Every guard has a name that is its handle: `--allow NAME=REASON` lets one of them pass,
once, with a reason that is kept in the record. There is no way to switch off all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tailgit.errors import UsageError

GUARDS: Mapping[str, str] = {
    "addresses-changed": "devices that get other addresses",
    "cut-off": "devices that keep no peer",
    "damaged-record": "nodes whose record can't be read",
    "devices-removed": "devices that are gone or disabled",
    "keys-changed": "devices whose key changes without a rotation",
    "lockout": "nodes that the controller would not reach any more",
    "missing-record": "nodes that lost what was applied to them",
    "nodes-losing": "nodes that lose peers or rules",
    "unknown-base": "nodes of which nothing can tell what they lose",
}
"""Each guard's name and what it counts."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What one guard found. `devices` (sorted) are what it counted, of `total`.

    It holds as long as no more than `limit` were found. `why` says more where the count
    does not, `reason` is that of an override.
    """

    name: str
    devices: tuple[str, ...]
    total: int
    limit: int
    why: tuple[str, ...] = ()
    reason: str = ""

    @property
    def holds(self) -> bool:
        return len(self.devices) <= self.limit

    @property
    def stops(self) -> bool:
        """Whether it keeps the change from being applied."""
        return not self.holds and not self.reason

    @property
    def text(self) -> str:
        """What it counted, as words."""
        return (
            f"{GUARDS[self.name]}: {len(self.devices)} of {self.total} "
            f"(limit {self.limit})"
        )


def few(total: int) -> int:
    """How many of `total` may be hit by what is hardly ever wanted for many.

    A tenth, and ten at most, so that a big tailnet is not lost by a small share of it;
    one always, so that a small one can be worked on.
    """
    return max(1, min(10, total // 10))


def most(total: int) -> int:
    """How many may be hit by what is common but should not be everything."""
    return max(5, min(1000, total * 6 // 10))


def allowed(guards: Sequence[Guard], reasons: Mapping[str, str]) -> tuple[Guard, ...]:
    """The guards with the overrides of `reasons` (name -> why) on those that stop."""
    return tuple(
        guard if guard.holds else replace(guard, reason=reasons.get(guard.name, ""))
        for guard in guards
    )


def overrides(words: Sequence[str]) -> Mapping[str, str]:
    """`GUARD=REASON` of the command line; raises `UsageError` for anything else."""
    found: dict[str, str] = {}
    for word in words:
        name, _, reason = word.partition("=")
        if name not in GUARDS:
            raise UsageError(
                f"there is no guard `{name}`", f"they are: {', '.join(GUARDS)}"
            )
        if not reason.strip():
            raise UsageError(
                f"--allow {name} needs a reason, which is kept in the record",
                f'write --allow {name}="why it is right this time"',
            )
        found[name] = reason.strip()
    return found
