"""Suspend nodes for a while, and resume them: nothing new reaches them meanwhile.

The node itself refuses, so it holds whoever applies, from wherever. What is pending
there may still be confirmed or given up.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tailgit.deploy.fleet import Fleet
from tailgit.deploy.observe import Progress
from tailgit.errors import NodeError, NodeRefused, UsageError
from tailgit.load.durations import DurationError, parse_duration
from tailgit.model.deadline import DeadlineError, parse_deadline

LONGEST = 30 * 86400
"""Seconds. Who forgets a suspension must not have lost a node for good."""

TEXT = 200
"""Bytes of a reason and of a name that a node keeps."""

_DAYS = re.compile(r"([0-9]{1,4})d(.*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Suspending:
    """What is asked of nodes: to take nothing until then (epoch), by whom and why;
    None in its place asks them to go on."""

    until: int
    by: str
    reason: str

    def stdin(self) -> bytes:
        """The lines that the request brings (docs/node-protocol.md)."""
        return f"by {self.by}\nreason {self.reason}\n".encode()


@dataclass(frozen=True, slots=True)
class Answered:
    """How it ended for one node; `error` is None where it was done."""

    node: str
    error: NodeError | None = None

    @property
    def locked(self) -> bool:
        return isinstance(self.error, NodeRefused) and self.error.code == "locked"


async def ask_all(
    fleet: Fleet,
    nodes: Iterable[str],
    suspending: Suspending | None,
    progress: Progress,
) -> tuple[Answered, ...]:
    """Ask every node, each one's failure being its own; sorted by name."""

    async def one(node: str) -> Answered:
        async with fleet.at(node) as contact:
            try:
                if suspending is None:
                    await contact.ask_twice("resume", "none")
                else:
                    words = ("suspend", str(suspending.until), "none")
                    await contact.ask_twice(*words, stdin=suspending.stdin())
            except NodeError as error:
                progress(node, error.message)
                return Answered(node, error)
        return Answered(node)

    found = await asyncio.gather(*map(one, nodes))
    return tuple(sorted(found, key=lambda each: each.node.encode()))


def end_of(text: str, now: int) -> int:
    """When a suspension ends: `2h`, `3d12h`, a date (that whole day, UTC) or an RFC
    3339 time. Raises `UsageError` for what is none, is over or is too long."""
    until = _moment(text, now)
    if until <= now:
        raise UsageError(f"--until {text}: that is over already")
    if until - now > LONGEST:
        raise UsageError(
            f"--until {text}: that is longer than {LONGEST // 86400} days",
            "suspend for a shorter time, again if need be; to take a device out for "
            "good, write `disabled: true` into the repository",
        )
    return until


def _moment(text: str, now: int) -> int:
    days = _DAYS.fullmatch(text)
    try:
        if days is not None:
            rest = parse_duration(days[2] or "0").seconds
            return now + int(days[1]) * 86400 + int(rest)
        if text[:1].isdigit() and text[-1:].isalpha() and "-" not in text:
            return now + int(parse_duration(text).seconds)
        return parse_deadline(text)
    except (DeadlineError, DurationError):
        raise UsageError(
            f"--until {text}: neither a length of time, a date nor a time",
            "write 2h, 3d, 2026-12-31 or 2026-12-31T18:00:00Z",
        ) from None


def one_line(what: str, text: str) -> str:
    """`text`, if a node takes it as one line; raises `UsageError` else."""
    text = text.strip()
    if not text or not text.isprintable():
        raise UsageError(f"{what} needs to be one line of printable text")
    if len(text.encode()) > TEXT:
        raise UsageError(f"{what} is longer than {TEXT} bytes")
    return text
