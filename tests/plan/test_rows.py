"""What a plan says about nodes that can't, or shall not, have their bundle now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailgit.errors import LoginRefused, NodeError, Unreachable
from tailgit.model.deadline import deadline_text
from tailgit.plan.observed import Hold, Observed, Suspension
from tailgit.plan.plan import History, Lineage, Order, Plan
from tailgit.plan.row import Row, State
from tests.plan.small import (
    NOW,
    OLD,
    bundle,
    device,
    fresh,
    key_of,
    planned,
    running,
    tailnet,
)


def conf(*names: str) -> str:
    return "".join(f"[Peer]\n# {n}\nPublicKey = {key_of(n)}\n" for n in names)


HAD = bundle("a", wireguard_conf=conf("ana", "kim"), firewall_nft="one\ntwo\n")
GAINS = bundle("a", wireguard_conf=conf("ana", "kim", "lee"), firewall_nft="one\ntwo\n")
LOSES = bundle("a", wireguard_conf=conf("ana"), firewall_nft="one\ntwo\n")
TIGHTER = bundle("a", wireguard_conf=conf("ana", "kim"), firewall_nft="one\n")
KNOWN = History(
    applied=OLD,
    lineage={OLD: Lineage.ANCESTOR},
    before={OLD: {"a": HAD}},
    declared={OLD: tailnet()},
)
GONE = Unreachable("a", "no answer within 10 s", "is it on?")


def plan(
    seen: Observed | NodeError,
    wanted: object = LOSES,
    history: History = KNOWN,
    order: Order | None = None,
) -> Plan:
    """The plan for `a`, and for `b`, which is in sync."""
    other = bundle("b", hosts="x\n")
    bundles = {"a": wanted, "b": other}
    answers: dict[str, Observed | NodeError] = {"a": seen, "b": running(other)}
    return planned(
        tailnet(device("a"), device("b")),
        bundles,  # type: ignore[arg-type]
        answers,
        history,
        order or Order(),
    )


def row(*args: object, **more: object) -> Row:
    return plan(*args, **more).rows[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            GAINS,
            "lacks what is new; it grants nothing extra",
        ),
        (
            LOSES,
            "trusts kim as before: what they reach there stays open to them",
        ),
        (
            TIGHTER,
            "keeps its old rules: what is taken away stays open there",
        ),
    ],
)
def test_a_node_out_of_reach_is_told_with_what_it_misses(
    wanted: object, said: str
) -> None:
    """Whether it is safe to leave it so is the first question at night."""
    found = row(GONE, wanted)
    assert found.state is State.UNREACHABLE
    more = "; nodes that have the change refuse" if wanted is not GAINS else ""
    said = f"until it is reached it {said}{more}"
    assert found.notes == ("no answer within 10 s", "is it on?", said)
    assert found.difference is not None
    assert found.unserved


def test_a_node_out_of_reach_that_misses_nothing() -> None:
    """It has what this commit says, as far as the fleet's record goes."""
    assert row(GONE, HAD).notes == ("no answer within 10 s", "is it on?")


def test_without_a_record_nothing_soothing_is_said() -> None:
    """What others have says nothing about a laptop that slept for months."""
    history = replace(KNOWN, applied="")
    said = "what it has is not on record; it may lack more than this"
    for wanted in (GAINS, LOSES, HAD):
        assert row(GONE, wanted, history).notes[-1] == said


def test_a_node_that_takes_no_login_is_out_of_reach_not_in_sync() -> None:
    """It is named, and the plan is not complete."""
    made = plan(LoginRefused("a", "it does not take our key"), HAD)
    assert made.rows[0].state is State.UNREACHABLE
    assert not made.complete
    assert not made.in_sync


def suspended(until: int) -> Observed:
    why = Suspension(until, "Ben <ben@acme.com>", "disk swap")
    return replace(running(HAD), suspended=why)


def test_a_suspended_node_gets_nothing_and_says_so() -> None:
    """By whom, why, until when; and that the change is not enforced there."""
    made = plan(suspended(NOW + 3600))
    found = made.rows[0]
    assert found.state is State.SUSPENDED
    until = deadline_text(NOW + 3600)
    assert found.notes == (
        "nothing of this is enforced there until it is resumed",
        f"suspended until {until} by Ben <ben@acme.com>: disk swap",
    )
    assert made.steps == ()
    assert made.waves == ()
    assert made.complete
    assert not made.in_sync
    assert [each.node for each in made.withheld] == ["a"]


def test_a_suspended_node_that_lacks_nothing_is_in_sync() -> None:
    """Suspension is shown, and is no state of its own then."""
    made = plan(suspended(NOW + 3600), HAD)
    assert made.rows[0].state is State.IN_SYNC
    assert made.rows[0].notes[0].startswith("suspended until ")
    assert made.in_sync


def test_a_node_that_names_impossible_times_stops_nobody() -> None:
    """One that lies, or whose disk rots, is a row like others."""
    found = row(replace(suspended(10**18), clock_high=10**18))
    assert found.state is State.SUSPENDED
    assert any("until the end of time" in note for note in found.notes)


@pytest.mark.parametrize("until", [0, NOW - 1, NOW])
def test_a_suspension_that_is_over_is_none(until: int) -> None:
    """The node takes bundles again by itself at that second."""
    found = row(suspended(until))
    assert (found.state, found.notes) == (State.CHANGE, ())


@pytest.mark.parametrize(
    ("off", "said"),
    [
        (0, None),
        (60, None),
        (-60, None),
        (61, "its clock is 61 s ahead; deadlines end by it"),
        (-86400, "its clock is 86400 s behind; deadlines end by it"),
    ],
)
def test_a_clock_that_is_wrong_is_told(off: int, said: str | None) -> None:
    """From a minute on: deadlines end by the node's clock."""
    found = row(replace(running(HAD), time=NOW + off), HAD)
    assert found.state is State.IN_SYNC
    assert found.notes == ((said,) if said else ())


def test_a_clock_that_was_ahead_leaves_a_trace() -> None:
    """Peers remember the highest time of a handshake and refuse all before it."""
    found = row(replace(running(HAD), clock_high=NOW + 86400), HAD)
    (said,) = found.notes
    assert said.startswith("its clock was 86400 s ahead: peers that heard from it then")
    assert deadline_text(NOW + 86400) in said
    assert "`tailgit device rotate`" in said
    assert row(replace(running(HAD), clock_high=NOW + 60), HAD).notes == ()


def test_a_clock_that_is_behind_what_is_known_is_repaired() -> None:
    """All that has a deadline is off there, so the node is not as it should be."""
    found = row(replace(running(HAD), behind=True), HAD)
    assert found.state is State.REPAIR
    assert found.notes[0] == "its clock is behind: what has a deadline is off"


def test_drift_is_told_line_by_line_with_whose_change_it_undoes() -> None:
    """What the node says differs, and who applied last."""
    parts = tuple(
        (part, "differs" if part == "peers" else "ok") for part, _ in running(HAD).parts
    )
    seen = replace(running(HAD), parts=parts, drift=("peers + k 100.64.0.9/32",))
    assert row(seen, HAD).notes == (
        "peers differs",
        "last applied: 1111111 by Ana <ana@acme.com> at 2026-11-22T13:00:00Z",
        "drift: peers + k 100.64.0.9/32",
    )


def test_what_was_left_out_is_named_and_not_in_sync() -> None:
    """`--only b`: a was read, and lacks the change on purpose."""
    made = plan(running(HAD), LOSES, order=Order(only=frozenset({"b"})))
    assert made.rows[0].state is State.LEFT_OUT
    assert made.rows[0].difference is not None
    assert made.steps == ()
    assert made.complete
    assert not made.in_sync
    assert [each.node for each in made.withheld] == ["a"]


def test_only_leaves_the_others_as_they_are() -> None:
    """Nodes out of reach and in sync stay what they are; the one asked for goes."""
    made = plan(running(HAD), LOSES, order=Order(only=frozenset({"a"})))
    assert [each.state for each in made.rows] == [State.CHANGE, State.IN_SYNC]
    asleep = plan(GONE, LOSES, order=Order(only=frozenset({"b"})))
    assert asleep.rows[0].state is State.UNREACHABLE
    assert not asleep.complete


def test_a_device_whose_owner_is_disabled_is_not_said_to_await_a_key() -> None:
    """It has one; it gets nothing since its person has nothing any more."""
    one = replace(device("a"), owner="kim@acme.com", tags=())
    (found,) = planned(tailnet(one), {}, {}).rows
    assert (found.state, found.notes) == (
        State.NOT_DELIVERED,
        ("its owner is disabled",),
    )


def test_who_holds_a_node_is_no_part_of_what_a_plan_rests_on() -> None:
    """A lock, a suspension and free space pass by; what runs does not."""
    before = running(HAD)
    hold = Hold("0" * 16, OLD, "2026-11-22T13:00:00Z", "Ben", 3)
    after = replace(suspended(NOW + 1), hold=hold, free=9, clock_high=9, confirm_in=3)
    assert before.digest == after.digest
    for changed in ({"behind": True}, {"damaged": True}, {"serial": 4}):
        assert before.digest != replace(before, **changed).digest  # type: ignore[arg-type]


def test_the_newest_order_is_that_of_any_generation() -> None:
    """One that was staged and never switched counts: nothing older is taken then."""
    from tailgit.plan.observed import Generation

    kept = tuple(
        Generation(n, OLD, 5, "apply", f"2026-11-22T13:00:0{n}Z", "e", "m")
        for n in (3, 1, 2)
    )
    assert replace(running(HAD), generations=kept).newest == "2026-11-22T13:00:03Z"
    assert fresh("a").newest == ""
