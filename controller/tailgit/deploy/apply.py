"""Execute a plan: sign once, then for each node stage, activate and confirm.

What is written is what the plan's rows say and nothing else: a bundle whose digest is
not the row's is refused before anything is signed. `confirm` comes over a new
connection, because only that shows that the node can still be reached under the new
generation. Every request may be repeated, so a lost answer is asked for again; a node
that fails is a row, and never keeps another from being finished.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tailgit.compile.bundle import Bundle
from tailgit.deploy.observe import PARALLEL, Progress
from tailgit.deploy.parcel import Envelope, order, parcel
from tailgit.deploy.request import ask
from tailgit.deploy.ssh import Executor, Login, Session
from tailgit.errors import (
    BadAnswer,
    NodeError,
    NodeRefused,
    Refused,
    Unreachable,
)
from tailgit.plan.outcome import Applied, Outcome, Result
from tailgit.plan.plan import Plan, Row, State

PAUSES = (0.5, 2.0, 5.0)
"""Seconds before each new attempt to reach a node that is half way."""

Signer = Callable[[bytes], bytes]
"""Makes the signature over a statement."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one node is sent, and how it is reached."""

    login: Login
    envelope: bytes
    statement: bytes
    signature: bytes
    path: bytes
    bundle: Bundle

    def parcel(self) -> bytes:
        """The parcel, packed when it is its turn: a fleet's would fill the memory."""
        try:
            return parcel(
                envelope=self.envelope,
                statement=self.statement,
                signature=self.signature,
                path=self.path,
                bundle=self.bundle.tar(),
            )
        except ValueError as error:
            raise NodeRefused(self.login.node, "bad-parcel", str(error)) from None


def deliveries(
    plan: Plan,
    bundles: Mapping[str, Bundle],
    logins: Mapping[str, Login],
    *,
    by: str,
    at: str,
    sign: Signer,
) -> dict[str, Delivery]:
    """What the plan's steps send; one signature covers all of it.

    Raises `Refused` if a bundle is not the planned one, `SigningError`.
    """
    if not plan.steps:
        return {}
    for row in plan.steps:
        if bundles[row.node].digest != row.manifest:
            raise Refused(f"{row.node}: what was compiled is not what was planned")
    commit = plan.commit
    envelopes = {
        row.node: Envelope(
            plan.tailnet, row.node, commit.sha, commit.height, by, at
        ).text()
        for row in plan.steps
    }
    signed = order(
        {node: (text, bundles[node].manifest) for node, text in envelopes.items()}
    )
    signature = sign(signed.statement)
    return {
        node: Delivery(
            logins[node],
            envelope,
            signed.statement,
            signature,
            signed.paths[node],
            bundles[node],
        )
        for node, envelope in envelopes.items()
    }


async def apply(
    plan: Plan,
    sent: Mapping[str, Delivery],
    executor: Executor,
    progress: Progress,
    *,
    parallel: int = PARALLEL,
    stop: asyncio.Event | None = None,
    pauses: Sequence[float] = PAUSES,
) -> Applied:
    """Do what `plan` says with the parcels of `deliveries`.

    When `stop` is set no further node is begun; those under way are finished.
    """
    gate = asyncio.Semaphore(parallel)

    async def one(row: Row) -> Outcome:
        async with gate:
            if stop is not None and stop.is_set():
                return Outcome(row.node, Result.NOT_STARTED)
            route = _Route(executor, plan.tailnet, sent[row.node], progress, pauses)
            outcome = await route.travel()
            progress(row.node, outcome.message or outcome.result)
            return outcome

    done = await asyncio.gather(*(one(row) for row in plan.steps))
    by_node = {outcome.node: outcome for outcome in done}
    outcomes = (by_node.get(row.node) or _untouched(row) for row in plan.rows)
    return Applied(plan, tuple(outcome for outcome in outcomes if outcome))


def _untouched(row: Row) -> Outcome | None:
    """What a row amounts to that apply leaves alone; None if it is not concerned."""
    message = "; ".join(row.notes)
    match row.state:
        case State.IN_SYNC:
            return Outcome(row.node, Result.UNCHANGED)
        case State.UNREACHABLE:
            return Outcome(row.node, Result.UNREACHABLE, message=message)
        case State.REFUSED:
            return Outcome(row.node, Result.FAILED, phase="observe", message=message)
        case State.NOT_ENROLLED if row.unserved:
            return Outcome(row.node, Result.NOT_ENROLLED, message=message)
    return None


@dataclass(frozen=True, slots=True)
class _Route:
    """The way of one parcel to its node."""

    executor: Executor
    tailnet: str
    delivery: Delivery
    progress: Progress
    pauses: Sequence[float]

    async def travel(self) -> Outcome:
        """Stage, activate, confirm; whatever happens is an outcome."""
        login, phase, number = self.delivery.login, "stage", None
        try:
            async with self.executor.connect(login) as session:
                number = await self._ask(session, phase, self.delivery.parcel())
                phase = "activate"
                try:
                    await self._ask(session, phase, number=number)
                except Unreachable:
                    await self._anew(phase, number)
            phase = "confirm"
            await self._anew(phase, number)
        except NodeError as error:
            return _failed(error, phase, number)
        return Outcome(login.node, Result.APPLIED, number)

    async def _ask(
        self, session: Session, verb: str, stdin: bytes = b"", number: int | None = None
    ) -> int:
        """One request; returns the generation that the node names."""
        node = self.delivery.login.node
        self.progress(node, verb)
        words = () if number is None else (str(number),)
        answer = await ask(session, node, verb, self.tailnet, *words, stdin=stdin)
        named = answer.every("generation")
        if len(named) != 1 or not re.fullmatch("[1-9][0-9]{0,8}", named[0]):
            raise BadAnswer(node, f"its answer to `{verb}` names no generation")
        if number is not None and int(named[0]) != number:
            raise BadAnswer(node, f"its answer to `{verb}` names another generation")
        return int(named[0])

    async def _anew(self, verb: str, number: int) -> None:
        """One request over a new connection, again while the node is out of reach."""
        for pause in (*self.pauses, None):
            try:
                async with self.executor.connect(self.delivery.login) as session:
                    await self._ask(session, verb, number=number)
                return
            except (Unreachable, NodeRefused) as error:
                # `busy`: the request whose answer was lost is still at work.
                lost = isinstance(error, Unreachable) or error.code == "busy"
                if pause is None or not lost:
                    raise
            await asyncio.sleep(pause)


def _failed(error: NodeError, phase: str, number: int | None) -> Outcome:
    """What an error in one phase leaves behind on the node."""
    code = error.code if isinstance(error, NodeRefused) else ""
    if phase == "stage":
        out = isinstance(error, Unreachable)
        result = Result.UNREACHABLE if out else Result.FAILED
    elif code and code != "busy" and (phase == "activate" or code == "not-pending"):
        result = Result.FAILED
    else:
        result = Result.UNCONFIRMED
    return Outcome(error.node, result, number, phase, code, error.message)
