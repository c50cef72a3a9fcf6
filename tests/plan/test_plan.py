"""What a plan says about each kind of node, and when it may not be applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.compile import Bundle, compiled_digest
from tailgit.errors import NodeError, NodeRefused, Unreachable, UsageError
from tailgit.model.tailnet import Delivery, Device, Ssh
from tailgit.plan.file import dumps, loads, stale_because
from tailgit.plan.observed import Observed, Peer
from tailgit.plan.plan import History, Lineage, Plan
from tailgit.plan.row import Row, State, Switch
from tests.plan.small import (
    ANCESTOR,
    COMMIT,
    NEW,
    OLD,
    bundle,
    device,
    fresh,
    planned,
    running,
    tailnet,
)

PEER = "[Interface]\nListenPort = 51820\n\n"
APPLIED_BY = "last applied: 1111111 by Ana <ana@acme.com> at 2026-11-22T13:00:00Z"
BEFORE = bundle("db-1", wireguard_conf=PEER, firewall_nft="a\nb\n", interface="mtu\n")
AFTER = bundle("db-1", wireguard_conf=PEER, firewall_nft="a\nc\nd\n", interface="mtu\n")


def plan_of(
    seen: Observed | NodeError | None,
    *,
    one: Device | None = None,
    wanted: Bundle | None = AFTER,
    history: History = ANCESTOR,
) -> Plan:
    """The plan for one device."""
    one = one or device("db-1")
    bundles = {one.name: wanted} if wanted else {}
    answers = {one.name: seen} if seen else {}
    return planned(tailnet(one), bundles, answers, history)


def row_of(*args: Observed | NodeError | None, **more: object) -> Row:
    return plan_of(*args, **more).rows[0]  # type: ignore[arg-type]


def test_a_node_that_runs_what_is_wanted_is_in_sync() -> None:
    """The same manifest and all parts well: nothing to do, whatever the commit."""
    made = plan_of(running(AFTER))
    assert made.rows[0].state is State.IN_SYNC
    assert made.steps == ()
    assert made.refusals == ()
    assert made.complete


def test_a_node_without_anything_gets_its_first_generation() -> None:
    """The interface is made: a cold change."""
    row = row_of(fresh("db-1"))
    assert (row.state, row.switch) == (State.FIRST, Switch.COLD)
    assert row.difference is not None
    assert row.difference.files == ("firewall.nft", "interface", "wireguard.conf")


def test_another_filter_is_a_hot_change_told_by_its_lines() -> None:
    """What the node has is known from git, so the plan says what comes and goes."""
    history = replace(ANCESTOR, before={OLD: {"db-1": BEFORE}})
    row = row_of(running(BEFORE), history=history)
    assert (row.state, row.switch) == (State.CHANGE, Switch.HOT)
    assert row.difference is not None
    assert row.difference.files == ("firewall.nft",)
    (lines,) = row.difference.lines
    assert (lines.what, lines.added, lines.removed) == ("filter", 2, 1)


def test_another_interface_file_is_a_warm_change() -> None:
    """Addresses, routes and MTU can't change without anybody noticing."""
    wanted = bundle("db-1", interface="mtu 1380\n", firewall_nft="a\n")
    old = bundle("db-1", interface="mtu 1420\n", firewall_nft="a\n")
    history = replace(ANCESTOR, before={OLD: {"db-1": old}})
    row = row_of(running(old), wanted=wanted, history=history)
    assert (row.state, row.switch) == (State.CHANGE, Switch.WARM)


@pytest.mark.parametrize("known", [{}, {"db-1": AFTER}])
def test_what_git_can_not_reproduce_is_only_said_to_differ(
    known: Mapping[str, Bundle],
) -> None:
    """A commit that compiles to something else here explains nothing."""
    history = replace(ANCESTOR, before={OLD: known})
    row = row_of(running(BEFORE), history=history)
    assert (row.state, row.switch) == (State.CHANGE, Switch.UNKNOWN)
    assert row.difference is None


@pytest.mark.parametrize(
    ("drift", "switch", "note"),
    [
        ({"live": 2}, Switch.HOT, "runs generation 2, confirmed is 3"),
        ({"live": None}, Switch.HOT, "nothing runs"),
        ({"pending": 4}, Switch.HOT, "generation 4 was activated, never confirmed"),
        ({"interface": "absent"}, Switch.COLD, "interface absent"),
        ({"interface": "down"}, Switch.WARM, "interface down"),
        ({"parts": (("filter", "differs"),)}, Switch.WARM, "filter differs"),
    ],
)
def test_a_node_that_runs_something_else_is_repaired(
    drift: dict[str, object], switch: Switch, note: str
) -> None:
    """The right generation on record is not enough: what runs has to be it."""
    row = row_of(replace(running(AFTER), **drift))  # type: ignore[arg-type]
    assert (row.state, row.switch) == (State.REPAIR, switch)
    assert note in row.notes


def test_a_drifting_filter_alone_is_repaired_hot() -> None:
    """Putting a table back touches neither addresses nor routes."""
    parts = tuple(
        (part, "absent" if part == "filter" else state)
        for part, state in running(AFTER).parts
    )
    row = row_of(replace(running(AFTER), parts=parts))
    assert (row.state, row.switch, row.notes) == (
        State.REPAIR,
        Switch.HOT,
        ("filter absent", APPLIED_BY),
    )


def test_a_node_without_its_guard_is_repaired_hot() -> None:
    """All is as it should be, but nobody watches that it stays so."""
    parts = (*running(AFTER).parts[:-1], ("guard", "absent"))
    row = row_of(replace(running(AFTER), parts=parts))
    assert (row.state, row.switch, row.notes) == (
        State.REPAIR,
        Switch.HOT,
        ("guard absent", APPLIED_BY),
    )


def test_a_node_with_another_key_is_refused_and_left_alone() -> None:
    """It would refuse the bundle; the plan says so before anything is sent."""
    made = plan_of(replace(running(BEFORE), public_keys=("another",)))
    assert made.rows[0].state is State.REFUSED
    assert made.steps == ()
    assert not made.complete


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unreachable("db-1", "no answer"), State.UNREACHABLE),
        (NodeRefused("db-1", "not-enrolled", "no such tailnet"), State.REFUSED),
    ],
)
def test_a_node_that_was_not_read_is_a_row_and_never_a_skip(
    error: NodeError, state: State
) -> None:
    """The row carries the sentence, and the plan is not complete."""
    made = plan_of(error)
    assert (made.rows[0].state, made.rows[0].notes) == (state, (error.message,))
    assert not made.complete
    assert made.refusals == ("none of the 1 nodes could be read",)


def test_devices_that_get_nothing_over_ssh_are_listed_for_information() -> None:
    """A file device, a disabled one and one that awaits its key are no failures."""
    for one, wanted, state in (
        (replace(device("db-1"), delivery=Delivery.FILE), AFTER, State.NOT_DELIVERED),
        (replace(device("db-1"), disabled=True), None, State.NOT_DELIVERED),
        (replace(device("db-1"), public_key=None), None, State.NOT_ENROLLED),
    ):
        made = plan_of(None, one=one, wanted=wanted)
        assert made.rows[0].state is state
        assert made.complete


def test_a_node_whose_host_key_is_not_pinned_can_not_be_served() -> None:
    """Its peers already count on it, so the plan is not complete."""
    made = plan_of(None, one=replace(device("db-1"), ssh=Ssh("192.0.2.1")))
    assert made.rows[0].state is State.NOT_ENROLLED
    assert not made.complete


def test_an_older_commit_is_refused() -> None:
    """A job that is run again must not undo what came after it."""
    history = History(lineage={OLD: Lineage.NOT_ANCESTOR})
    made = plan_of(running(BEFORE), history=history)
    (said,) = made.refusals
    assert said.startswith("db-1: applied is 1111111, which 2222222 does not contain;")


def test_an_unknown_commit_is_refused() -> None:
    """What this clone does not know can't be shown to be older."""
    made = plan_of(running(BEFORE), history=History())
    assert "which this clone does not know; fetch the branch" in made.refusals[0]


def test_a_node_in_sync_is_judged_by_the_same_rule() -> None:
    """Nothing would be written to it, but the fleet has moved on to another commit."""
    history = History(lineage={OLD: Lineage.NOT_ANCESTOR})
    assert plan_of(running(AFTER), history=history).refusals


def test_the_commit_that_is_applied_already_needs_no_proof() -> None:
    """Applying the same commit again is no step back."""
    assert plan_of(running(AFTER, NEW, 7), history=History()).refusals == ()


def test_a_shallow_clone_is_refused_whatever_it_holds() -> None:
    """Its ancestors are cut off; the sentence names what CI has to set."""
    made = plan_of(running(AFTER), history=History(shallow=True))
    assert "fetch-depth: 0" in made.refusals[0]


def test_a_fleet_of_nobody_is_refused() -> None:
    """Zero of zero nodes is never a success."""
    one = replace(device("db-1"), delivery=Delivery.FILE)
    assert "no device" in plan_of(None, one=one).refusals[0]


def test_a_fleet_that_is_not_enrolled_yet_is_told_how_to_begin() -> None:
    """The command names the first device that is reached over SSH."""
    devices = [device(name) for name in ("a", "b", "c")]
    devices[0] = replace(devices[0], delivery=Delivery.FILE)
    devices[1] = replace(devices[1], disabled=True)
    (said,) = planned(tailnet(*devices), {}, {}).refusals
    assert said.endswith("; begin with `tailgit device enroll c`")


def test_the_foreign_drop_policies_of_a_node_are_said() -> None:
    """ufw or firewalld would still drop what the policy allows."""
    row = row_of(replace(fresh("db-1"), foreign=("ip filter INPUT input",)))
    assert row.notes == ("its own firewall may drop, too: ip filter INPUT input",)


def test_traffic_and_the_clock_are_no_part_of_what_a_plan_rests_on() -> None:
    """A handshake between plan and apply does not make the plan stale."""
    before = running(AFTER)
    peer = Peer("k", "192.0.2.1:5", 9, 1, 2)
    assert before.digest == replace(before, time=9, peers=(peer,)).digest
    assert before.digest != replace(before, live=2).digest


def mixed() -> Plan:
    """A plan with rows of every kind."""
    names = ["a", "b", "c", "d", "e", "f"]
    devices = [device(name) for name in names]
    devices[4] = replace(devices[4], delivery=Delivery.FILE)
    devices[5] = replace(devices[5], ssh=None)
    wanted = {name: bundle(name, firewall_nft="x\n") for name in names}
    old = bundle("b", wireguard_conf="[Peer]\n# z\nPublicKey = k\n")
    seen: dict[str, Observed | NodeError] = {
        "a": fresh("a"),
        "b": running(old),
        "c": running(wanted["c"]),
        "d": Unreachable("d", "no answer"),
    }
    history = replace(ANCESTOR, before={OLD: {"b": old}})
    return planned(tailnet(*devices), wanted, seen, history)


def test_rows_are_sorted_and_the_digest_is_that_of_the_value() -> None:
    """The same facts give the same plan, in any order; another fact another digest."""
    made = mixed()
    assert [row.node for row in made.rows] == sorted(row.node for row in made.rows)
    assert made == mixed()
    assert made.digest == mixed().digest
    other = replace(made, commit=replace(made.commit, height=8))
    assert other.digest != made.digest


def test_the_compiled_digest_is_that_of_all_bundles() -> None:
    """Also of those that are not delivered over SSH: it is what reviewers saw."""
    wanted = {"db-1": AFTER}
    assert plan_of(fresh("db-1")).compiled == compiled_digest(wanted)


def test_a_plan_file_is_read_back_as_the_same_value() -> None:
    """Nothing is lost or added on the way through JSON."""
    made = mixed()
    assert loads(dumps(made), "x.tgplan") == made
    document = json.loads(dumps(made))
    assert document["format_version"] == 1
    assert document["plan"] == made.digest
    assert document["complete"] is False
    assert document["applyable"] is True


@given(st.data())
def test_a_plan_file_that_was_touched_is_refused(data: st.DataObject) -> None:
    """Any change of a value, and any cut, is noticed."""
    text = dumps(mixed())
    where = data.draw(st.integers(0, len(text) - 2))
    if data.draw(st.booleans()):
        touched = text[:where]
    else:
        touched = f"{text[:where]}7{text[where + 1 :]}"
    try:
        same = json.loads(touched) == json.loads(text)
    except ValueError:
        same = False
    derived = ("complete", "applyable", "counts")
    if not same:
        try:
            read = json.loads(touched)
            whole = json.loads(text)
            same = isinstance(read, dict) and all(
                read.get(k) == v for k, v in whole.items() if k not in derived
            )
        except ValueError:
            same = False
    if not same:
        with pytest.raises(UsageError, match="is not a plan"):
            loads(touched, "x.tgplan")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"format_version": 2}'])
def test_what_is_no_plan_file_is_refused_with_a_reason(text: str) -> None:
    """An empty or foreign file is never an empty plan."""
    with pytest.raises(UsageError, match=r"x\.tgplan is not a plan: .+") as caught:
        loads(text, "x.tgplan")
    assert "tailgit plan --out" in caught.value.help


def test_a_plan_is_stale_when_a_node_changed_meanwhile() -> None:
    """Also if the node only drifted: people saw something else."""
    kept = plan_of(running(BEFORE))
    assert stale_because(kept, plan_of(running(BEFORE))) == ()
    now = plan_of(replace(running(BEFORE), live=2))
    assert stale_because(kept, now) == ("db-1 is not as it was when this was planned",)


def test_a_plan_is_stale_for_another_commit_or_compiler() -> None:
    """The digest of what is compiled decides, not the commit's name alone."""
    kept = plan_of(running(BEFORE))
    other = replace(kept, commit=replace(COMMIT, sha="3" * 40))
    assert "it is for acme 2222222, not for acme 3333333" in stale_because(kept, other)
    compiled = replace(kept, compiled="0" * 64)
    assert "compiles to something else" in stale_because(kept, compiled)[0]


def test_a_plan_may_finish_its_own_work() -> None:
    """Nodes that have it by now, or don't answer any more, don't make it stale."""
    kept = plan_of(running(BEFORE))
    assert stale_because(kept, plan_of(running(AFTER, NEW, 7))) == ()
    assert stale_because(kept, plan_of(Unreachable("db-1", "gone"))) == ()


def test_a_node_that_answers_again_was_not_planned_for() -> None:
    """What nobody was shown is not applied."""
    kept = plan_of(Unreachable("db-1", "gone"))
    assert stale_because(kept, plan_of(running(BEFORE)))
