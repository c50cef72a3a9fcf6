"""In which order nodes are written to, for any plan."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.errors import UsageError
from tailgit.plan.difference import Difference
from tailgit.plan.order import SMALLEST, Pace, Wave, wave_size, waves
from tailgit.plan.row import WRITTEN, Row, State

GAINS = Difference(("wireguard.conf",), peers_added=("x",))
LOSES = Difference(("wireguard.conf",), peers_removed=("x",))


def change(
    node: str, what: Difference | None = GAINS, state: State = State.CHANGE, **more: int
) -> Row:
    return Row(node, state, "m", difference=what, **more)


@st.composite
def fleets(draw: st.DrawFn) -> list[Row]:
    """Rows of any state, sorted by name as a plan has them."""
    kinds = st.tuples(
        st.sampled_from(list(State)),
        st.sampled_from([None, GAINS, LOSES]),
        st.integers(0, 5),
    )
    made = draw(st.lists(kinds, max_size=40))
    return [
        change(f"n{number:02}", what, state, peers=peers)
        for number, (state, what, peers) in enumerate(made)
    ]


SIZES = st.sampled_from(["1", "2", "7", "1%", "25%", "100%"])


@given(fleets(), SIZES, st.data())
def test_the_order_of_any_plan(rows: list[Row], size: str, data: st.DataObject) -> None:
    """Each written node has one turn; canary, losses, gains, who leaves, home."""
    names = [row.node for row in rows]
    home = data.draw(st.sampled_from([None, "elsewhere", *names]))
    canary = data.draw(st.sampled_from(["", *names]))
    made = waves(rows, Pace(canary, size), home)
    by_name = {row.node: row for row in rows}
    turns = [node for wave in made for node in wave.nodes]
    assert sorted(turns) == [row.node for row in rows if row.state in WRITTEN]

    kinds = [wave.kind for wave in made]
    assert kinds == sorted(kinds, key=["canary", "wave", "leaving", "controller"].index)
    assert all(wave.nodes for wave in made)
    written = [row for row in rows if row.written]
    rest = [r.node for r in written if r.node != home and r.state != State.LEAVING]
    first = [wave.nodes for wave in made if wave.kind == "canary"]
    assert bool(first) is (len(rest) > 1 or canary in rest)
    assert all(len(nodes) == 1 and nodes[0] in rest for nodes in first)
    if canary in rest:
        assert first == [(canary,)]

    middle = [[*map(by_name.get, w.nodes)] for w in made if w.kind == "wave"]
    losing = [n for n, w in enumerate(middle) if any(r and r.loses for r in w)]
    gaining = [n for n, w in enumerate(middle) if any(r and not r.loses for r in w)]
    assert max(losing, default=0) <= min(gaining, default=len(middle))

    for wave in made:
        leaves = {by_name[node].state is State.LEAVING for node in wave.nodes}
        if wave.kind == "leaving":
            assert leaves == {True}
        if wave.kind in ("canary", "wave"):
            assert leaves == {False}
        if wave.kind == "controller":
            assert wave.nodes == (home,)
    assert (home in turns) is (kinds[-1:] == ["controller"])

    most = wave_size(size, len(written))
    assert all(len(wave.nodes) <= most for wave in made)
    assert made == waves(list(rows), Pace(canary, size), home)


@given(fleets(), st.booleans())
def test_a_revocation_is_one_wave(rows: list[Row], with_home: bool) -> None:
    """No canary and no waiting: everybody at once, who loses something begun first."""
    home = rows[0].node if rows and with_home else None
    made = waves(rows, Pace(at_once=True), home)
    written = [row for row in rows if row.written]
    if not written:
        assert made == ()
        return
    (wave,) = made
    assert wave.kind == "wave"
    by_name = {row.node: row.loses for row in written}
    order = [by_name[node] for node in wave.nodes]
    assert order == sorted(order, reverse=True)
    assert sorted(wave.nodes) == [row.node for row in written]


def test_the_order_of_rows_decides_nothing() -> None:
    """The same plan has the same order, whoever answered first."""
    rows = [change(f"n{i}", LOSES if i % 3 else GAINS, peers=i % 4) for i in range(20)]
    mixed = random.Random(5).sample(rows, len(rows))
    assert waves(rows, Pace(), "n3") == waves(mixed, Pace(), "n3")


@pytest.mark.parametrize(
    ("text", "nodes", "size"),
    [
        *(("1", 5000, 1), ("20", 5, 20), ("999999", 3, 999999)),
        *(("25%", 0, SMALLEST), ("25%", 5, SMALLEST), ("25%", 20, 5)),
        *(("25%", 21, 6), ("10%", 5000, 500), ("1%", 5000, 50), ("100%", 7, 7)),
        ("1%", 40, SMALLEST),
    ],
)
def test_a_wave_has_a_number_or_a_share(text: str, nodes: int, size: int) -> None:
    """A share is rounded up and never less than five nodes; a number is as it says."""
    assert wave_size(text, nodes) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0%", "101%", "-1", "+5", "1.5", "5 %", "%", "٣", "1_0", "all"),
        *("1000000", "05", "10%%", "1e3", "10%\n"),
    ],
)
def test_another_wave_size_is_refused(text: str) -> None:
    """Nothing is guessed from it."""
    with pytest.raises(UsageError, match="neither a number of nodes nor a share"):
        wave_size(text, 10)


def test_the_canary_is_who_fewest_depend_on() -> None:
    """Of the nodes that change, the one with the fewest peers, then by name."""
    rows = [change("a", peers=9), change("b", peers=2), change("c", peers=2)]
    assert waves(rows, Pace(), None)[0] == Wave("canary", ("b",))


def test_a_new_node_or_a_repair_is_no_canary_for_a_change() -> None:
    """Making an interface where none was says nothing about the hundred that change."""
    rows = [
        change("a", None, State.REPAIR, peers=1),
        change("b", GAINS, State.FIRST),
        change("c", peers=50),
    ]
    assert waves(rows, Pace(), None)[0] == Wave("canary", ("c",))
    assert waves(rows[:2], Pace(), None)[0] == Wave("canary", ("b",))


@pytest.mark.parametrize(
    "state", [State.IN_SYNC, State.UNREACHABLE, State.SUSPENDED, State.LEFT_OUT]
)
def test_a_named_canary_that_is_not_written_to_is_replaced(state: State) -> None:
    """stg-1 sleeps today: that must not mean no canary at all."""
    rows = [change("a"), change("b"), change("stg-1", state=state)]
    assert waves(rows, Pace("stg-1"), None)[0] == Wave("canary", ("a",))


def test_the_controllers_own_node_is_no_canary() -> None:
    """Named or not, it goes last: it is the hand that mends the others."""
    rows = [change("a", peers=9), change("b", peers=9), change("ops")]
    made = waves(rows, Pace("ops"), "ops")
    assert made == (
        Wave("canary", ("a",)),
        Wave("wave", ("b",)),
        Wave("controller", ("ops",)),
    )


def test_a_controllers_node_that_leaves_has_one_turn() -> None:
    """The last of all, and not a second one among who leaves."""
    rows = [change("a"), change("ops", None, State.LEAVING)]
    assert [wave.kind for wave in waves(rows, Pace(), "ops")] == ["wave", "controller"]


def test_a_canary_that_nobody_knows_is_refused() -> None:
    """Also where nothing is to be written: it is a typo."""
    with pytest.raises(UsageError, match="--canary b: there is no such device"):
        waves([change("a", state=State.IN_SYNC)], Pace("b"), None)


def test_a_fleet_of_fifty_goes_like_this() -> None:
    """One, then the twelve that lose something first, then the rest by shares."""
    rows = [change(f"n{i:02}", LOSES if i >= 40 else GAINS) for i in range(50)]
    made = waves(rows, Pace("n00"), None)
    assert [len(wave.nodes) for wave in made] == [1, 13, 13, 13, 10]
    assert made[1].nodes[:10] == tuple(f"n{i}" for i in range(40, 50))
