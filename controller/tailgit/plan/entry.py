"""A line of the fleet's record: what is kept of one apply, as a note of its commit.

A line is one JSON object, so lines of two controllers merge by being put together
(`cat_sort_uniq` in git's words). Nothing in it is secret; what it holds of nodes is
their names and how it ended for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tailgit.plan.outcome import Applied, Result

FORMAT = 1
_GOOD = {Result.APPLIED, Result.UNCHANGED}


@dataclass(frozen=True, slots=True)
class Failed:
    """A node that did not get what it should have; `code` is its word for it."""

    node: str
    result: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One apply: who, when, from which commit (`base`, "" for none) to which, and what
    became of it. `whole` says that every node had it then; `overrides` holds the
    reason of each guard that was overruled."""

    at: str
    by: str
    commit: str
    base: str
    kind: str
    compiled: str
    plan: str
    exit: int
    whole: bool
    counts: Mapping[str, int] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[Failed, ...] = ()

    def line(self) -> str:
        """As one line of JSON, always the same for the same entry."""
        said = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _WORDS},
            "failed": [
                {"node": each.node, "result": each.result, "code": each.code}
                for each in self.failed
            ],
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":"))


_WORDS = (
    *("at", "by", "commit", "base", "kind", "compiled", "plan", "exit", "whole"),
    *("counts", "overrides"),
)


def entry_of(applied: Applied, *, by: str, at: str, whole: bool) -> Entry:
    """What is kept of an apply; `at` is RFC 3339 in UTC."""
    plan = applied.plan
    return Entry(
        at=at,
        by=by,
        commit=plan.commit.sha,
        base=plan.base,
        kind=plan.kind,
        compiled=plan.compiled,
        plan=plan.digest,
        exit=int(applied.exit),
        whole=whole,
        counts={str(result): count for result, count in applied.counts.items()},
        overrides={g.name: g.reason for g in plan.guards if g.reason},
        failed=tuple(
            Failed(o.node, str(o.result), o.code)
            for o in applied.outcomes
            if o.result not in _GOOD
        ),
    )


def parse(line: str) -> Entry | None:
    """The entry of one line; None for what is none (people may add notes, too)."""
    try:
        found: dict[str, Any] = json.loads(line)
        if found["format"] != FORMAT:
            return None
        return Entry(
            **{name: str(found[name]) for name in _WORDS[:7]},
            exit=int(found["exit"]),
            whole=bool(found["whole"]),
            counts={str(k): int(v) for k, v in found["counts"].items()},
            overrides={str(k): str(v) for k, v in found["overrides"].items()},
            failed=tuple(
                Failed(str(one["node"]), str(one["result"]), str(one["code"]))
                for one in found["failed"]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
