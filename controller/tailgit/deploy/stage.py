"""The first half of an apply: every node gets its parcel, checks it and is locked.

Nothing is switched yet. A node verifies, judges and stores what it got, and takes the
lock of this apply with it, so the refusal of one node comes while all of them still
run what they ran. What no node will take (text that its `nft` refuses) ends the apply
here; a node that has a trouble of its own is left out and named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tailgit.deploy.answer import Answer
from tailgit.deploy.delivery import Delivery
from tailgit.deploy.fleet import Contact, Fleet
from tailgit.deploy.observe import Progress
from tailgit.errors import BadAnswer, Locked, NodeError, NodeRefused, Unreachable
from tailgit.plan.observed import Observed
from tailgit.plan.outcome import Outcome, Result

OF_THE_NODE = frozenset(
    {
        "io",
        "no-space",
        "busy",
        "suspended",
        "older",
        "wrong-key",
        "bad-signature",
        "own-denials",
    }
)
"""Refusals that say something about one node and nothing about the parcels; it may
also be the only one that does not know who signed."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The generation that each node has ready, and what became of the others.

    `fatal` says that nothing may be switched anywhere.
    """

    numbers: Mapping[str, int]
    failed: Mapping[str, Outcome]
    fatal: bool = False


async def stage_all(
    nodes: Sequence[str],
    sent: Mapping[str, Delivery],
    seen: Mapping[str, Observed],
    fleet: Fleet,
    token: str,
    progress: Progress,
) -> Staged:
    """Bring every node its parcel; raises `Locked` if somebody else is at work.

    The first node is asked alone: of two that begin at once only one gets past it.
    """
    numbers: dict[str, int] = {}
    failed: dict[str, Outcome] = {}
    errors: list[NodeError] = []

    async def one(node: str) -> None:
        async with fleet.at(node) as contact:
            progress(node, "stage")
            try:
                numbers[node] = await _stage(contact, sent[node], seen[node], token)
            except NodeError as error:
                errors.append(error)
                failed[node] = outcome = _failure(error)
                progress(node, outcome.message)

    first, *others = sorted(nodes, key=str.encode)
    await one(first)
    held = next((e for e in errors if _code(e) == "locked"), None)
    if held is None:
        await asyncio.gather(*map(one, others))
        held = next((e for e in errors if _code(e) == "locked"), None)
    if held is not None:
        # Also where the answer was not what we wanted: it may have been staged.
        await unlock_all((*numbers, *failed), fleet, token)
        raise locked(held)
    return Staged(numbers, failed, any(_is_fatal(error) for error in errors))


def lost(failed: Mapping[str, Outcome]) -> list[str]:
    """Nodes that may have been staged and locked, the answer being lost."""
    return [n for n, o in failed.items() if o.result is Result.UNREACHABLE]


async def unlock_all(nodes: Iterable[str], fleet: Fleet, token: str) -> None:
    """Let go of nodes that were locked and are not switched; who can't be reached
    keeps the lock until somebody breaks it or the node is restarted."""

    async def one(node: str) -> None:
        async with fleet.at(node) as contact:
            try:
                await contact.ask_twice("unlock", token)
            except NodeError:
                return

    await asyncio.gather(*map(one, nodes))


def locked(error: NodeError) -> Locked:
    """The error of a command that found somebody else at work."""
    token = error.token if isinstance(error, NodeRefused) else ""
    return Locked(
        f"{error.node}: {error.message}",
        "wait until they are done; if they are gone for good, or it was you and you "
        f"stopped it, break that lock by its name: --break-lock {token or 'TOKEN'}",
    )


async def _stage(
    contact: Contact, delivery: Delivery, before: Observed, token: str
) -> int:
    answer = await contact.ask_twice("stage", token, stdin=delivery.parcel())
    number = generation(contact.node, "stage", answer)
    record = before.record.envelope if before.record else "none"
    try:
        now = answer.one("envelope"), answer.one("live"), answer.one("pending")
    except ValueError as error:
        raise BadAnswer(
            contact.node, f"its answer to `stage` is not understood: {error}"
        ) from None
    if before.damaged:
        # Its digest was not read and says nothing; the rest has to be as it was.
        now = (record, *now[1:])
    if now != (record, _word(before.live), _word(before.pending)):
        raise NodeRefused(
            contact.node, "changed", "it is not as it was when this was planned"
        )
    return number


def generation(node: str, verb: str, answer: Answer, number: int | None = None) -> int:
    """The generation that an answer names; it has to be `number` where that is given.

    Raises `BadAnswer`: what a node says is not put into a command unless it is a plain
    number.
    """
    named = answer.every("generation")
    text = named[0] if len(named) == 1 else ""
    if not (
        text.isascii() and text.isdigit() and 0 < len(text) <= 9 and text[0] != "0"
    ):
        raise BadAnswer(node, f"its answer to `{verb}` names no generation")
    if number is not None and int(text) != number:
        raise BadAnswer(node, f"its answer to `{verb}` names another generation")
    return int(text)


def _word(number: int | None) -> str:
    return "none" if number is None else str(number)


def _code(error: NodeError) -> str:
    return error.code if isinstance(error, NodeRefused) else ""


def _is_fatal(error: NodeError) -> bool:
    return isinstance(error, NodeRefused) and error.code not in {
        *OF_THE_NODE,
        "changed",
    }


def _failure(error: NodeError) -> Outcome:
    out = isinstance(error, Unreachable)
    result = Result.UNREACHABLE if out else Result.FAILED
    code = _code(error)
    if code == "suspended":
        result = Result.SUSPENDED
    return Outcome(error.node, result, None, "stage", code, error.message)
