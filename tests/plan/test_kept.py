"""Plan files: what was agreed on is what is done, or nothing is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tailgit.errors import NodeError, Unreachable, UsageError
from tailgit.plan.file import (
    document,
    dumps,
    loads,
    order_of,
    resumed,
    stale_because,
)
from tailgit.plan.observed import Observed
from tailgit.plan.order import Pace, Wave
from tailgit.plan.plan import History, Lineage, Order, Plan
from tailgit.plan.row import State
from tests.plan.small import (
    NEW,
    OLD,
    bundle,
    device,
    fresh,
    planned,
    running,
    tailnet,
)

NAMES = tuple(f"n{number}" for number in range(8))
OLDER = {name: bundle(name, hosts="x\n", firewall_nft="a\nb\n") for name in NAMES}
NEWER = {name: bundle(name, hosts="x\n", firewall_nft="b\nc\n") for name in NAMES}
BASE = History(
    applied=OLD,
    lineage={OLD: Lineage.ANCESTOR, NEW: Lineage.ANCESTOR},
    before={OLD: OLDER, NEW: NEWER},
    declared={OLD: tailnet(*map(device, NAMES)), NEW: tailnet(*map(device, NAMES))},
)
Seen = dict[str, Observed | NodeError]


def at_first() -> Seen:
    return {name: running(OLDER[name]) for name in NAMES}


def plan(seen: Seen, order: Order | None = None) -> Plan:
    net = tailnet(*map(device, NAMES))
    return planned(net, NEWER, seen, BASE, order or Order(pace=Pace(size="3")))


ALLOWED = Order(pace=Pace("n4", "3"), allow={"nodes-losing": "all of it is old"})


def kept() -> Plan:
    """A plan with everything in it: waves, guards, a reason, a base."""
    made = plan(at_first(), ALLOWED)
    assert made.refusals == ()
    return made


def test_all_of_a_plan_is_read_back() -> None:
    """Waves, guards with their reasons, kind and base."""
    made = kept()
    again = loads(dumps(made), "x.tgplan")
    assert again == made
    assert [len(wave.nodes) for wave in again.waves] == [1, 3, 3, 1]
    assert [g.reason for g in again.guards if g.reason] == ["all of it is old"]
    assert (again.base, again.kind) == (OLD, "apply")
    back = replace(made, kind="rollback")
    assert loads(dumps(back), "x.tgplan") == back


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON document."""
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def changed(value: Any) -> list[Any]:
    """Other values that somebody, or a bug, might put there."""
    match value:
        case bool():
            return [not value, None]
        case int():
            return [value + 1, str(value), None]
        case str():
            return [value + "x", "", None, [value]]
        case None:
            return ["x", {}, [1]]
        case list():
            return [[*value, "x"], value[1:] if value else [None], None, {}]
        case _:
            return [{**value, "more": 1}, dict(list(value.items())[1:]), None, []]


TEXT = dumps(kept())
PATHS = [path for path in leaves(json.loads(TEXT)) if path]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_a_file_that_was_edited_anywhere_is_refused(path: tuple[Any, ...]) -> None:
    """Also where only what is shown was touched: a count, `applyable`."""
    for index in range(4):
        found = json.loads(TEXT)
        inner = found
        for key in path[:-1]:
            inner = inner[key]
        others = changed(inner[path[-1]])
        if index >= len(others) or others[index] == inner[path[-1]]:
            continue
        inner[path[-1]] = others[index]
        with pytest.raises(UsageError, match=r"x\.tgplan is not a plan: .+"):
            loads(json.dumps(found), "x.tgplan")
        del inner[path[-1]]
        with pytest.raises(UsageError, match="is not a plan"):
            loads(json.dumps(found), "x.tgplan")


@pytest.mark.parametrize(
    "waves",
    [
        (),
        (Wave("wave", NAMES[1:]),),
        (Wave("canary", NAMES[:1]), Wave("wave", NAMES)),
        (Wave("wave", (*NAMES, "other")),),
    ],
)
def test_waves_that_are_not_the_steps_are_refused(waves: tuple[Wave, ...]) -> None:
    """Even with a digest that fits: a node without a turn would only be staged."""
    odd = replace(kept(), waves=waves)
    with pytest.raises(UsageError, match="its waves are not its steps"):
        loads(dumps(odd), "x.tgplan")


@pytest.mark.parametrize("text", ["[" * 5000, '{"format_version": 1}', "\ud800", "7"])
def test_odd_files_are_a_sentence_and_no_traceback(text: str) -> None:
    """Whatever the file holds."""
    with pytest.raises(UsageError, match="is not a plan"):
        loads(text, "x.tgplan")


def test_no_secret_is_in_a_plan() -> None:
    """Names, counts and digests: people put plans into artifacts that anybody reads."""
    assert sorted(document(kept())) == sorted(
        [
            *("format_version", "plan", "complete", "applyable", "counts", "tailnet"),
            *("commit", "compiled", "rows", "refusals", "waves", "guards", "kind"),
            *("base", "tailgit"),
        ]
    )


def test_the_same_plan_is_finished_in_its_own_order() -> None:
    """The canary that was agreed on has it, two fell asleep: the rest, as it was."""
    before = kept()
    assert before.waves[0] == Wave("canary", ("n4",))
    seen = at_first()
    seen["n4"] = running(NEWER["n4"], NEW, 7)
    seen["n0"] = running(NEWER["n0"], NEW, 7)
    seen["n7"] = Unreachable("n7", "asleep")
    now = plan(seen, order_of(before))
    assert now.refusals == ()
    assert stale_because(before, now) == ()
    left = resumed(before, now)
    assert left.rows == now.rows
    assert [wave.nodes for wave in left.waves] == [
        ("n1", "n2"),
        ("n3", "n5", "n6"),
    ]
    assert [node for wave in left.waves for node in wave.nodes] == [
        row.node for row in now.steps
    ]


def test_nothing_is_left_of_a_plan_that_was_done() -> None:
    """A second run of the same file changes nothing."""
    seen: Seen = {name: running(NEWER[name], NEW, 7) for name in NAMES}
    now = plan(seen, order_of(kept()))
    assert stale_because(kept(), now) == ()
    assert resumed(kept(), now).waves == ()


def test_a_kept_plan_is_asked_for_again_as_it_was() -> None:
    """Its kind, its reasons and, where some were left out, its nodes."""
    order = order_of(kept())
    assert (order.kind, order.only) == ("apply", None)
    assert order.allow == {"nodes-losing": "all of it is old"}
    some = frozenset({"n1", "n2"})
    few = plan(at_first(), Order(only=some))
    assert order_of(few).only == some
    again = plan(at_first(), order_of(few))
    assert again.rows == few.rows
    assert order_of(replace(few, kind="rollback")).kind == "rollback"


def test_a_reason_that_was_not_given_is_not_made_up() -> None:
    """A guard that held when it was planned, and stops now, stops."""
    fine = plan({name: running(NEWER[name], NEW, 7) for name in NAMES})
    assert order_of(fine).allow == {}


@pytest.mark.parametrize(
    "now",
    [
        replace(running(OLDER["n1"]), live=2),
        replace(running(OLDER["n1"]), interface="absent"),
        running(bundle("n1", hosts="z\n")),
        fresh("n1"),
        replace(running(OLDER["n1"]), public_keys=("another",)),
        replace(running(OLDER["n1"]), damaged=True, record=None),
    ],
)
def test_a_node_that_is_not_as_it_was_makes_the_plan_stale(now: Observed) -> None:
    """People agreed to something else."""
    after = plan({**at_first(), "n1": now}, order_of(kept()))
    said = stale_because(kept(), after)
    assert "n1 is not as it was when this was planned" in said


def test_a_node_that_was_asleep_and_answers_makes_it_stale() -> None:
    """Nobody was shown what would change there."""
    before = plan({**at_first(), "n3": Unreachable("n3", "asleep")}, ALLOWED)
    said = stale_because(before, plan(at_first(), order_of(before)))
    assert said == ("n3 is not as it was when this was planned",)


def test_a_plan_of_another_kind_or_commit_is_stale() -> None:
    """Going back and going on are different things, with the same bundles."""
    before = kept()
    assert stale_because(before, replace(before, kind="rollback")) == (
        "it is for apply, not for rollback",
    )
    assert stale_because(before, replace(before, tailnet="other"))
    assert stale_because(before, replace(before, rows=before.rows[1:])) == ()
    assert stale_because(replace(before, rows=before.rows[1:]), before) == (
        "n0 is not as it was when this was planned",
    )


def test_what_was_left_out_is_left_out_again() -> None:
    """A file made with --only never grows, whatever is asleep by then."""
    few = plan(at_first(), Order(only=frozenset({"n1"})))
    seen = {**at_first(), "n1": running(NEWER["n1"], NEW, 7)}
    now = plan(seen, order_of(few))
    assert stale_because(few, now) == ()
    assert resumed(few, now).waves == ()
    assert now.counts == {State.IN_SYNC: 1, State.LEFT_OUT: 7}
