"""Executing a plan: what is asked in which order, and what every kind of loss leaves
behind. The nodes are simulated (tests/deploy/simulated.py); the true script is held to
the same in tests/chaos."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.compile import Bundle
from tailgit.deploy.apply import Applying
from tailgit.deploy.delivery import Delivery, deliveries
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.ssh import Login
from tailgit.deploy.switch import Terms
from tailgit.errors import Exit, Locked
from tailgit.plan.make import make
from tailgit.plan.observed import Observed
from tailgit.plan.order import Pace
from tailgit.plan.outcome import Applied, Result
from tailgit.plan.plan import Desired, History, Lineage, Order, Plan
from tailgit.plan.row import State
from tests.deploy.simulated import Fabric, Machine, at_once, lost
from tests.plan.small import COMMIT, OLD, bundle, device, fresh, tailnet

NOW = datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC)
TOKEN = "0123456789abcdef"
BY_TWO = Pace(size="2")
FIVE = ("a", "b", "c", "d", "e")


def plan_for(
    *names: str, pace: Pace = BY_TWO
) -> tuple[Plan, dict[str, Bundle], dict[str, Observed]]:
    """A plan that brings a first generation to each node."""
    bundles = {name: bundle(name, firewall_nft=f"for {name}\n") for name in names}
    seen = {name: fresh(name) for name in names}
    wanted = Desired(tailnet(*map(device, names)), bundles)
    history = History(lineage={OLD: Lineage.ANCESTOR})
    plan = make(wanted, seen, COMMIT, history, Order(pace=pace), 1_800_000_000)
    return plan, bundles, seen


def parcels(plan: Plan, bundles: dict[str, Bundle]) -> dict[str, Delivery]:
    return deliveries(
        plan, bundles, {}, by="Ana <ana@acme.com>", at=NOW, sign=lambda _: b"signed\n"
    )


class Trial:
    """A fleet of simulated nodes and an apply to it."""

    def __init__(self, *names: str, pace: Pace = BY_TWO) -> None:
        self.plan, self.bundles, self.seen = plan_for(*names, pace=pace)
        self.machines = {name: Machine(name) for name in names}
        self.fabric = Fabric(self.machines)
        self.said: list[tuple[str, str]] = []
        self.stop = asyncio.Event()
        self.regardless = False

    def run(self, *, confirm: int = 90, parallel: int = 8) -> Applied:
        async def work() -> Applied:
            fleet = Fleet(self.fabric, "acme", parallel=parallel)
            fleet.call(Login(n, "192.0.2.1", 22, "x", "k") for n in self.machines)
            try:
                return await Applying(
                    self.plan,
                    parcels(self.plan, self.bundles),
                    self.seen,
                    fleet,
                    TOKEN,
                    lambda *words: self.said.append(words),
                    self.stop,
                    Terms(confirm=confirm),
                    regardless=self.regardless,
                ).run()
            finally:
                await fleet.close()

        return at_once(work())

    def verbs(self, verb: str) -> list[str]:
        return [node for node, asked in self.fabric.log if asked == verb]


def results(applied: Applied) -> dict[str, Result]:
    return {outcome.node: outcome.result for outcome in applied.outcomes}


def test_all_are_staged_before_one_is_switched() -> None:
    """What a node will not take comes out while all still run what they ran."""
    trial = Trial(*FIVE)
    done = trial.run()
    assert set(results(done).values()) == {Result.APPLIED}
    assert done.exit is Exit.DONE
    asked = [verb for _, verb in trial.fabric.log if verb in ("stage", "activate")]
    assert asked == ["stage"] * 5 + ["activate"] * 5


def test_a_wave_is_confirmed_before_the_next_begins() -> None:
    """Canary, then two at a time: nobody is switched while a wave is under way."""
    trial = Trial(*FIVE)
    trial.run()
    assert [len(wave.nodes) for wave in trial.plan.waves] == [1, 2, 2]
    events = [
        (node, verb)
        for node, verb in trial.fabric.log
        if verb in ("activate", "confirm")
    ]
    for wave in trial.plan.waves:
        now, events = events[: 2 * len(wave.nodes)], events[2 * len(wave.nodes) :]
        assert {node for node, _ in now} == set(wave.nodes)
        assert sorted(verb for _, verb in now) == ["activate"] * len(wave.nodes) + [
            "confirm"
        ] * len(wave.nodes)


def test_the_confirmation_comes_over_a_new_connection() -> None:
    """One for all until the switch, one for the rest."""
    trial = Trial("a")
    trial.run()
    assert [verb for _, verb in trial.fabric.log] == [
        *("connect", "stage", "activate"),
        *("connect", "confirm"),
    ]


def test_a_wave_that_does_not_end_well_is_the_last_one() -> None:
    """The canary differs after it was loaded: rolled back, and nobody else begun."""
    trial = Trial(*FIVE)
    canary = trial.plan.waves[0].nodes[0]
    trial.machines[canary].well = False
    done = trial.run()
    assert results(done)[canary] is Result.ROLLED_BACK
    others = {n: r for n, r in results(done).items() if n != canary}
    assert set(others.values()) == {Result.NOT_STARTED}
    assert trial.verbs("activate") == [canary]
    assert done.exit is Exit.INCOMPLETE
    assert {m.token for m in trial.machines.values()} == {"none"}
    assert all("wave 1 of 3" in o.message for o in done.outcomes if o.node != canary)


@pytest.mark.parametrize("code", ["bad-hash", "bad-grammar", "check-failed"])
def test_a_parcel_that_no_node_would_take_switches_nobody(code: str) -> None:
    """Wrong for one, wrong for all: the apply ends with everything as it was."""
    trial = Trial(*FIVE)
    trial.machines["c"].refuses["stage"] = code
    done = trial.run()
    assert results(done)["c"] is Result.FAILED
    assert trial.verbs("activate") == []
    assert {m.token for m in trial.machines.values()} == {"none"}
    assert done.exit is Exit.INCOMPLETE


def test_no_node_has_a_veto_on_a_revocation() -> None:
    """What one refuses (its owner's local.nft may be the reason) the others do."""
    trial = Trial(*FIVE, pace=Pace(at_once=True))
    trial.machines["c"].refuses["stage"] = "check-failed"
    trial.regardless = True
    done = trial.run()
    assert results(done) == {
        **dict.fromkeys("abde", Result.APPLIED),
        "c": Result.FAILED,
    }


@pytest.mark.parametrize(
    "code", ["io", "no-space", "busy", "suspended", "bad-signature", "own-denials"]
)
def test_a_node_with_a_trouble_of_its_own_is_left_out(code: str) -> None:
    """A full disk on one is no reason to leave a revocation undone on the others."""
    trial = Trial(*FIVE)
    trial.machines["c"].refuses["stage"] = code
    done = trial.run()
    assert results(done)["c"] in (Result.FAILED, Result.SUSPENDED)
    assert trial.verbs("activate").count("c") == 0
    assert len(trial.verbs("confirm")) == 4


def test_a_node_that_is_down_keeps_no_other_from_being_finished() -> None:
    """It is a row and exit 5; every other node has the commit."""
    trial = Trial(*FIVE)

    def down(_: str) -> None:
        raise lost("b")

    trial.machines["b"].fault = down
    done = trial.run()
    assert results(done)["b"] is Result.UNREACHABLE
    assert [r for n, r in results(done).items() if n != "b"] == [Result.APPLIED] * 4
    assert done.exit is Exit.INCOMPLETE


def test_somebody_elses_lock_stops_everything_and_leaves_no_lock_of_ours() -> None:
    """Exit 6 names the holder; the nodes that were locked already are let go."""
    trial = Trial(*FIVE)
    trial.machines["d"].token = "f" * 16
    with pytest.raises(Locked, match="d: ana holds it"):
        trial.run()
    assert trial.verbs("activate") == []
    tokens = {name: machine.token for name, machine in trial.machines.items()}
    assert tokens == {**dict.fromkeys("abce", "none"), "d": "f" * 16}


def test_a_node_that_changed_meanwhile_is_let_go_when_another_is_locked() -> None:
    """It was staged and locked before we saw that it is not as it was."""
    trial = Trial(*FIVE)
    trial.machines["b"].live = 7
    trial.machines["d"].token = "f" * 16
    with pytest.raises(Locked):
        trial.run()
    assert trial.machines["b"].token == "none"


def test_of_two_at_once_the_first_node_decides() -> None:
    """Who finds the first node locked asks no other, so both can't block each other."""
    trial = Trial(*FIVE)
    trial.machines["a"].token = "f" * 16
    with pytest.raises(Locked):
        trial.run()
    assert {node for node, _ in trial.fabric.log} == {"a"}


def test_a_lock_that_was_broken_meanwhile_stops_us() -> None:
    """Who was thought dead and comes back does not go on."""
    trial = Trial(*FIVE)
    machine = trial.machines["e"]

    def broken(moment: str) -> None:
        if moment == "before activate":
            machine.token = "none"

    machine.fault = broken
    done = trial.run()
    assert (results(done)["e"], machine.live) == (Result.FAILED, None)


def test_a_node_that_changed_since_it_was_read_is_not_switched() -> None:
    """The plan rests on what was seen; the node says at `stage` that it is not so."""
    trial = Trial(*FIVE)
    trial.machines["c"].live = 7
    done = trial.run()
    outcome = next(o for o in done.outcomes if o.node == "c")
    assert (outcome.result, outcome.code) == (Result.FAILED, "changed")
    assert trial.machines["c"].live == 7


def test_a_node_that_says_too_little_is_a_row_and_stops_nobody() -> None:
    """What a hostile node leaves out of an answer is its own failure."""
    trial = Trial(*FIVE)
    trial.machines["c"].bare = {"stage"}
    done = trial.run()
    outcome = next(o for o in done.outcomes if o.node == "c")
    assert (outcome.result, outcome.phase) == (Result.FAILED, "stage")
    assert "`envelope` is missing" in outcome.message
    assert [r for n, r in results(done).items() if n != "c"] == [Result.APPLIED] * 4


def test_interrupting_begins_no_other_node_and_finishes_the_first() -> None:
    """After the first Ctrl-C what is under way is confirmed, the rest let go."""
    trial = Trial(*FIVE)
    first = trial.plan.waves[0].nodes[0]

    def interrupt(moment: str) -> None:
        if moment == "before activate":
            trial.stop.set()

    trial.machines[first].fault = interrupt
    done = trial.run()
    assert results(done)[first] is Result.APPLIED
    rest = [r for n, r in results(done).items() if n != first]
    assert rest == [Result.NOT_STARTED] * 4
    assert {m.token for m in trial.machines.values()} == {"none"}


def test_a_node_that_lost_all_its_peers_is_rolled_back() -> None:
    """It is well by its own account, but nobody speaks to it any more."""
    trial = Trial("a")
    machine = trial.machines["a"]
    before = at_once(_observed(trial))
    trial.seen = {"a": before}

    def cut(moment: str) -> None:
        verb = moment.rpartition(" ")[2]
        machine.handshakes = verb not in ("activate", "observe")

    machine.fault = cut
    done = trial.run()
    (outcome,) = done.outcomes
    assert (outcome.result, outcome.phase) == (Result.ROLLED_BACK, "health")
    assert machine.live is None


async def _observed(trial: Trial) -> Observed:
    from tailgit.deploy.observe import observe

    fleet = Fleet(trial.fabric, "acme")
    fleet.call([Login("a", "192.0.2.1", 22, "x", "k")])
    async with fleet.at("a") as contact:
        seen = await observe(contact)
    await fleet.close()
    return seen


def once(at: int, node: str) -> Callable[[str], None]:
    """Loses the connection at the N-th moment, and at no other."""
    moments = itertools.count()

    def fault(_: str) -> None:
        if next(moments) == at:
            raise lost(node)

    return fault


def from_then_on(at: int, node: str) -> Callable[[str], None]:
    """Loses every connection from the N-th moment on."""
    moments = itertools.count()

    def fault(_: str) -> None:
        if next(moments) >= at:
            raise lost(node)

    return fault


MOMENTS = 8
"""Two connections, three requests: before and after each."""


@pytest.mark.parametrize("at", range(MOMENTS))
def test_one_lost_connection_is_never_the_end(at: int) -> None:
    """Wherever it breaks, everything that was begun is finished over a new one."""
    trial = Trial("a")
    trial.machines["a"].fault = once(at, "a")
    done = trial.run()
    if at == 0:
        assert results(done) == {"a": Result.UNREACHABLE}
    else:
        assert results(done) == {"a": Result.APPLIED}
        assert trial.machines["a"].current == trial.machines["a"].live == 1


@pytest.mark.parametrize("at", range(MOMENTS))
def test_a_node_that_stays_away_ends_on_one_generation(at: int) -> None:
    """And the row never says more than is true."""
    trial = Trial("a")
    machine = trial.machines["a"]
    machine.fault = from_then_on(at, "a")
    (outcome,) = trial.run().outcomes
    trial.fabric.settle()
    assert machine.current == machine.live
    if outcome.result is Result.APPLIED:
        assert machine.current == outcome.generation


@given(
    moments=st.dictionaries(st.sampled_from(FIVE), st.sets(st.integers(0, 14))),
    sick=st.sets(st.sampled_from(FIVE)),
    confirm=st.sampled_from([15, 90]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_lost_no_row_lies(
    moments: dict[str, set[int]], sick: set[str], confirm: int
) -> None:
    """Applied means confirmed there; failed and rolled back mean the old one runs."""
    trial = Trial(*FIVE)
    for name, machine in trial.machines.items():
        machine.well = name not in sick
        machine.fault = _losing(name, moments.get(name, set()))
    done = trial.run(confirm=confirm)
    trial.fabric.settle()
    for outcome in done.outcomes:
        machine = trial.machines[outcome.node]
        assert machine.current == machine.live, "half way, long after"
        match outcome.result:
            case Result.APPLIED:
                assert machine.current == outcome.generation
            case Result.UNCONFIRMED:
                pass
            case _:
                assert machine.current is None
    bad = {o.node for o in done.outcomes if o.result is not Result.APPLIED}
    assert done.exit is (Exit.INCOMPLETE if bad else Exit.DONE)


def _losing(name: str, lose: set[int]) -> Callable[[str], None]:
    moments = itertools.count()

    def fault(_: str) -> None:
        if next(moments) in lose:
            raise lost(name)

    return fault


def test_rows_that_apply_leaves_alone_are_in_the_result() -> None:
    """Unreachable, refused and not enrolled nodes count; a file device does not."""
    trial = Trial("a")
    row = trial.plan.rows[0]
    rows = tuple(
        replace(row, node=str(state), state=state, unserved=unserved)
        for state, unserved in (
            (State.IN_SYNC, False),
            (State.LEFT_OUT, False),
            (State.NOT_DELIVERED, False),
            (State.NOT_ENROLLED, True),
            (State.REFUSED, True),
            (State.SUSPENDED, False),
            (State.UNREACHABLE, True),
        )
    )
    trial.plan = replace(trial.plan, rows=rows)
    done = trial.run()
    assert [(o.node, o.result) for o in done.outcomes] == [
        ("in-sync", Result.UNCHANGED),
        ("left-out", Result.LEFT_OUT),
        ("not-enrolled", Result.NOT_ENROLLED),
        ("refused", Result.FAILED),
        ("suspended", Result.SUSPENDED),
        ("unreachable", Result.UNREACHABLE),
    ]
    assert done.exit is Exit.INCOMPLETE
    assert trial.fabric.log == []
