"""Execute a plan: stage everywhere, switch wave by wave, stop at the first bad one.

What is written is what the plan's rows say and nothing else. All nodes verify and
store what they get before one of them is switched; a wave in which a node does not end
well is the last one. A node that fails is a row, and never keeps another of its wave
from being finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailgit.deploy.delivery import Delivery
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.mailbox import deposit_all
from tailgit.deploy.observe import Progress
from tailgit.deploy.stage import Staged, lost, stage_all, unlock_all
from tailgit.deploy.switch import Terms, Trial, Turn
from tailgit.plan.observed import Observed
from tailgit.plan.order import Wave
from tailgit.plan.outcome import Applied, Outcome, Result
from tailgit.plan.plan import Plan
from tailgit.plan.row import Row, State

Outcomes = dict[str, Outcome]

_STILL_LOCKED = {Result.FAILED, Result.ROLLED_BACK}
"""Ends that may leave our lock on a node that can be asked to let go."""


@dataclass(frozen=True, slots=True)
class Applying:
    """One apply under way: the plan, what is sent, and how nodes are treated.

    `seen` is how the nodes were when the plan was made, `token` names the lock. When
    `stop` is set no further node is begun; those under way are finished. `mailboxes`
    are the nodes that hold parcels for others, filled `regardless` of how waves end. It
    also means that what one node refuses keeps no other from being switched: nobody may
    hold up a revocation on all nodes by what stands in his own `local.nft`.
    """

    plan: Plan
    sent: Mapping[str, Delivery]
    seen: Mapping[str, Observed]
    fleet: Fleet
    token: str
    progress: Progress
    stop: asyncio.Event
    terms: Terms
    trial: Trial | None = None
    mailboxes: Sequence[str] = ()
    regardless: bool = False

    async def run(self) -> Applied:
        """Do what the plan says; raises `Locked`, and then nothing was switched."""
        outcomes: Outcomes = {}
        if self.plan.steps:
            outcomes = await self._written()
        if self.plan.deposits:
            outcomes |= await self._deposited(outcomes)
        left = (outcomes.get(row.node) or _untouched(row) for row in self.plan.rows)
        return Applied(self.plan, tuple(outcome for outcome in left if outcome))

    async def _written(self) -> Outcomes:
        nodes = [row.node for row in self.plan.steps]
        staged = await stage_all(
            nodes, self.sent, self.seen, self.fleet, self.token, self.progress
        )
        outcomes = dict(staged.failed)
        why = ""
        if staged.fatal and not self.regardless:
            why = "a node refused its parcel, so nothing was switched anywhere"
        for number, wave in enumerate(self.plan.waves, start=1):
            if not why:
                turned = await self._wave(wave, staged)
                outcomes |= turned
                which = f"wave {number} of {len(self.plan.waves)}"
                why = self._verdict(which, turned)
        begun = outcomes.keys() | staged.failed.keys()
        waiting = {n: g for n, g in staged.numbers.items() if n not in begun}
        # A switch that failed at once ended the node's work, but not our lock on it.
        left = (n for n, o in outcomes.items() if o.result in _STILL_LOCKED)
        held = (*waiting, *left, *lost(staged.failed))
        await unlock_all(held, self.fleet, self.token)
        outcomes |= {n: Outcome(n, Result.NOT_STARTED, message=why) for n in waiting}
        return outcomes

    async def _deposited(self, written: Outcomes) -> Outcomes:
        """Fill the mailboxes, after the waves: a mailbox takes parcels for the devices
        that its own generation names."""
        nodes = [row.node for row in self.plan.deposits]
        bad = [o.node for o in written.values() if o.result is not Result.APPLIED]
        if bad and not self.regardless:
            why = f"not all of the waves ended well: {bad[0]}"
            return {n: Outcome(n, Result.NOT_STARTED, message=why) for n in nodes}
        ends = await deposit_all(
            {node: self.sent[node].parcel() for node in nodes},
            self.mailboxes,
            self.fleet,
            self.progress,
        )
        return {
            node: Outcome(
                node,
                Result.DEPOSITED if end.is_done else Result.UNREACHABLE,
                phase="" if end.is_done else "deposit",
                message=end.sentence,
            )
            for node, end in ends.items()
        }

    async def _wave(self, wave: Wave, staged: Staged) -> Outcomes:
        """Every staged node of a wave, at the same time, begun in the wave's order."""
        rows = {row.node: row for row in self.plan.steps}

        async def one(node: str) -> tuple[str, Outcome] | None:
            async with self.fleet.at(node) as contact:
                if self.stop.is_set():
                    return None
                turn = Turn(
                    contact,
                    rows[node],
                    staged.numbers[node],
                    self.seen[node],
                    self.token,
                    self.terms,
                    self.progress,
                    self.trial,
                )
                outcome = await turn.take()
                self.progress(node, outcome.message or outcome.result)
                return node, outcome

        ready = [node for node in wave.nodes if node in staged.numbers]
        done = await asyncio.gather(*map(one, ready))
        return dict(each for each in done if each is not None)

    def _verdict(self, which: str, turned: Outcomes) -> str:
        """Why no further wave is begun; "" if the next one may be."""
        bad = [o.node for o in turned.values() if o.result is not Result.APPLIED]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            return f"{which} did not end well: {bad[0]}{more}"
        return "interrupted" if self.stop.is_set() else ""


def _untouched(row: Row) -> Outcome | None:
    """What a row amounts to that apply leaves alone; None if it is not concerned."""
    message = "; ".join(row.notes)
    match row.state:
        case State.IN_SYNC | State.DEPOSITED:
            return Outcome(row.node, Result.UNCHANGED)
        case State.LEFT_OUT:
            return Outcome(row.node, Result.LEFT_OUT)
        case State.SUSPENDED:
            return Outcome(row.node, Result.SUSPENDED, message=message)
        case State.UNREACHABLE if row.unserved:
            return Outcome(row.node, Result.UNREACHABLE, message=message)
        case State.REFUSED:
            return Outcome(row.node, Result.FAILED, phase="observe", message=message)
        case State.NOT_ENROLLED if row.unserved:
            return Outcome(row.node, Result.NOT_ENROLLED, message=message)
    return None
