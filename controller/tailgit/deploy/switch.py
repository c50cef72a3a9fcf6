"""The second half, for one node: switch, look, and confirm over a new connection.

From the moment it is told to switch the node counts down, and goes back by itself if
nobody confirms. So an apply that is killed, a connection that is cut or a filter that
locks us out all end well without us; and a confirmation that somebody disturbs is tried
again until the node's time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

from tailgit.deploy.fleet import Contact
from tailgit.deploy.health import had_sessions, lonely
from tailgit.deploy.observe import Progress, observe
from tailgit.deploy.stage import generation
from tailgit.errors import NodeError, NodeRefused
from tailgit.plan.observed import Observed
from tailgit.plan.outcome import Outcome, Result
from tailgit.plan.row import Row, Switch

T = TypeVar("T")

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each new attempt; the last one is repeated."""

Trial = Callable[[str], Awaitable[tuple[str, ...]]]
"""What a switched node is tried with, by name; says what is wrong."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds that a node is given: to be confirmed, and to find its peers again."""

    confirm: int = 90
    health: float = 10.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One node's turn: the generation that it has ready, and how it was before."""

    contact: Contact
    row: Row
    number: int
    before: Observed
    token: str
    terms: Terms
    progress: Progress
    trial: Trial | None = None

    async def take(self) -> Outcome:
        """Activate and confirm, or see to it that the node goes back; never raises."""
        begun = _now()
        until = begun + self.terms.confirm
        try:
            await self._activate(until)
        except NodeError as error:
            if not _is_open(error):
                return self._failed(Result.FAILED, "activate", error)
            return await self._gone_back("activate", error, until)
        # A new connection: it shows that there is still a way in.
        await self.contact.hang_up()
        try:
            complaint = await self._confirm(until)
        except NodeError as error:
            if isinstance(error, NodeRefused) and error.code == "not-pending":
                return self._failed(Result.ROLLED_BACK, "confirm", error)
            return await self._gone_back("confirm", error, until)
        outcome = Outcome(self.row.node, Result.APPLIED, self.number)
        if complaint:
            outcome = replace(
                outcome, result=Result.ROLLED_BACK, phase="health", message=complaint
            )
        return replace(outcome, seconds=round(_now() - begun, 3))

    async def _activate(self, until: float) -> None:
        self.progress(self.row.node, "activate")
        words = str(self.number), str(self.terms.confirm), self.token
        await self._insist("activate", *words, until=until)

    async def _confirm(self, until: float) -> str:
        """Confirm if the node is well; else roll it back, and say why."""
        complaint = await self._complaint(until)
        if not complaint:
            self.progress(self.row.node, "confirm")
            try:
                words = str(self.number), self.token
                await self._insist("confirm", *words, until=until)
                return ""
            except NodeRefused as error:
                if error.code != "differs":
                    raise
                complaint = error.message
        self.progress(self.row.node, f"roll back: {complaint}")
        await self._insist("rollback", str(self.number), self.token, until=until)
        return complaint

    async def _complaint(self, until: float) -> str:
        """Why the node should not stay like this; "" if it is well."""
        cut = self.row.switch is not Switch.HOT and had_sessions(self.before)
        patience = min(until - 5, _now() + self.terms.health)
        while cut:
            now = await self._reached(until)
            if not lonely(self.before, now):
                break
            if _now() > patience:
                return (
                    "it had sessions, and none of its peers came back within "
                    f"{self.terms.health:.0f} s"
                )
            await asyncio.sleep(0.5)
        if self.trial is None:
            return ""
        try:
            async with asyncio.timeout_at(until - 5):
                return "; ".join(await self.trial(self.row.node))
        except TimeoutError:
            return "the tests were not through in time; see --confirm-timeout"

    async def _reached(self, until: float) -> Observed:
        return await self._again(lambda: observe(self.contact), until)

    async def _insist(self, verb: str, *words: str, until: float) -> None:
        """One request, again and again while the node is out of reach or busy."""

        async def once() -> None:
            answer = await self.contact.ask(verb, *words)
            generation(self.row.node, verb, answer, self.number)

        await self._again(once, until)

    async def _again(self, once: Callable[[], Awaitable[T]], until: float) -> T:
        for attempt in count():
            try:
                return await once()
            except NodeError as error:
                pause = PAUSES[min(attempt, len(PAUSES) - 1)]
                if not _is_open(error) or _now() + pause > until:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError  # count() does not end

    async def _gone_back(self, phase: str, error: NodeError, until: float) -> Outcome:
        """After the node's time is over: has it gone back, as it should have?"""
        self.progress(self.row.node, f"{error.message}; waiting for it to go back")
        await asyncio.sleep(max(0.0, until - _now()))
        for pause in (3.0, 5.0, 5.0):
            await asyncio.sleep(pause)
            try:
                now = await observe(self.contact)
            except NodeError:
                continue
            if now.pending is None and now.live == now.current:
                kept = now.current == self.number
                if kept:
                    return Outcome(self.row.node, Result.APPLIED, self.number)
                return self._failed(Result.ROLLED_BACK, phase, error)
        return self._failed(Result.UNCONFIRMED, phase, error)

    def _failed(self, result: Result, phase: str, error: NodeError) -> Outcome:
        code = error.code if isinstance(error, NodeRefused) else ""
        return Outcome(self.row.node, result, self.number, phase, code, error.message)


def _is_open(error: NodeError) -> bool:
    """Whether the request may have been carried out, or may be in a moment."""
    if isinstance(error, NodeRefused):
        # `busy`: the request whose answer was lost is still at work.
        return error.code == "busy"
    return True


def _now() -> float:
    """Seconds of the loop's own clock, which no change of the date disturbs."""
    return asyncio.get_running_loop().time()
