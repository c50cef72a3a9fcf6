"""Order, guards and the states of nodes as people read them, at 100 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.errors import Unreachable
from tailgit.guard.guard import GUARDS, Guard
from tailgit.plan.observed import Suspension
from tailgit.plan.order import Wave
from tailgit.plan.outcome import Applied, Outcome, Result
from tailgit.plan.plan import History, Lineage, Order, Plan
from tailgit.plan.row import State
from tailgit.report.plan import applied_text, plan_text
from tests.plan.small import (
    NOW,
    OLD,
    bundle,
    device,
    fresh,
    planned,
    running,
    tailnet,
)

NAMES = ("api-1", "db-1", "db-2", "lap-1", "stg-1", "web-1")


def whole() -> Plan:
    """Most states at once, in three waves, with a guard that was let pass."""
    had = {name: bundle(name, firewall_nft="a\nb\n") for name in NAMES}
    wanted = {name: bundle(name, firewall_nft="a\n") for name in NAMES}
    devices = [device(name) for name in NAMES]
    until = NOW // 86400 * 86400 + 86400
    seen = {name: running(each) for name, each in had.items()}
    history = History(
        applied=OLD,
        lineage={OLD: Lineage.ANCESTOR},
        before={OLD: had},
        declared={OLD: tailnet(*devices)},
    )
    order = Order(
        only=frozenset(set(NAMES) - {"api-1"}), allow={"missing-record": "new disk"}
    )
    return planned(
        tailnet(*devices),
        wanted,
        {
            **seen,
            "db-2": replace(
                seen["db-2"], suspended=Suspension(until, "Ben", "disk swap")
            ),
            "lap-1": Unreachable("lap-1", "no answer"),
            "web-1": fresh("web-1"),
        },
        history,
        order,
    )


WHOLE = """\
acme: 1111111 -> 2222222 "Postgres for data"
5 of 6 nodes answered

  = api-1  left out, not yet: filter -1
  ~ db-1   change, hot, filter -1
  x db-2   suspended, not yet: filter -1
           ! nothing of this is enforced there until it is resumed
           ! suspended until {day} by Ben: disk swap
  ? lap-1  unreachable, not yet: filter -1
           ! no answer
{unreached}
  ~ stg-1  change, hot, filter -1
  + web-1  first, cold

Order
  1  db-1 (canary)
  2  stg-1 web-1

Guards
  ok nodes that lose peers or rules: 2 of 5 (limit 5): db-1 stg-1
{passed}

compiled {compiled}
Plan {digest}: 1 first, 2 change, 1 left out, 1 suspended, 1 unreachable.
To apply:  tailgit apply
"""

DAY = "2027-01-15"
UNREACHED = (
    "           ! until it is reached it keeps its old rules: what is taken away stays "
    "open there; nodes\n             that have the change refuse"
)
PASSED = (
    "  !  nodes that lost what was applied to them: 1 of 6 (limit 0): web-1; let pass: "
    "new disk"
)


def test_a_plan_with_all_that_can_be_in_it_reads_like_this() -> None:
    """Who is left as it is and why, the order, and what was let pass."""
    made = whole()
    assert plan_text(made, "tailgit apply") == WHOLE.format(
        compiled=made.compiled,
        digest=made.digest[:8],
        day=DAY,
        unreached=UNREACHED,
        passed=PASSED,
    )


def in_sync_but(state: State) -> Plan:
    made = whole()
    rows = tuple(
        replace(row, state=state if row.node == "db-2" else State.IN_SYNC, notes=())
        for row in made.rows
    )
    rows = tuple(replace(row, unserved=False) for row in rows)
    return replace(made, rows=rows, waves=(), guards=())


@pytest.mark.parametrize("state", [State.LEFT_OUT, State.SUSPENDED])
def test_nothing_to_do_never_hides_who_lacks_something(state: State) -> None:
    """A node that was left out or is suspended does not have what the commit says."""
    text = plan_text(in_sync_but(state), "x")
    assert text.startswith("acme: 1111111 -> 2222222")
    assert "Left as they are, and not up to date: db-2.\n" in text
    assert text.endswith("\nNothing to do on the other nodes.\n")
    assert "every node" not in text
    assert "in sync with" not in text
    fine = plan_text(in_sync_but(State.IN_SYNC), "x")
    assert "Nothing to do: every node has what 2222222 says." in fine
    assert "not up to date" not in fine


def test_one_wave_is_no_order() -> None:
    """What goes at once needs no list."""
    made = replace(whole(), waves=(Wave("wave", ("db-1",)),))
    assert "Order" not in plan_text(made, "x")


def test_each_kind_of_wave_has_its_words() -> None:
    """Canary, who is taken off, the controller's own; a long wave is counted."""
    waves = (
        Wave("canary", ("a",)),
        Wave("wave", tuple(f"n{i}" for i in range(9))),
        Wave("leaving", ("old",)),
        Wave("controller", ("ops",)),
    )
    text = plan_text(replace(whole(), waves=waves), "x")
    assert (
        "Order\n"
        "  1  a (canary)\n"
        "  2  n0 n1 n2 n3 n4 n5 and 3 more\n"
        "  3  old (taken off the tailnet)\n"
        "  4  ops (the controller's own)\n"
    ) in text


def test_a_guard_that_found_nothing_is_not_told() -> None:
    """Unless all is quiet there is a line for each that counted something."""
    text = plan_text(whole(), "x")
    assert "cut-off" not in text
    assert GUARDS["cut-off"] not in text
    quiet = replace(whole(), guards=tuple(Guard(n, (), 6, 1) for n in GUARDS))
    assert "Guards" not in plan_text(quiet, "x")


def test_a_guard_that_stops_is_told_as_a_refusal_alone() -> None:
    """With the way past it, and once."""
    had = {name: bundle(name, hosts="x\n") for name in NAMES}
    devices = [device(name) for name in NAMES]
    history = History(
        applied=OLD,
        lineage={OLD: Lineage.ANCESTOR},
        before={OLD: had},
        declared={OLD: tailnet(*devices)},
    )
    rest = {name: had[name] for name in NAMES[2:]}
    made = planned(
        tailnet(*devices[2:]), rest, {n: running(b) for n, b in rest.items()}, history
    )
    text = plan_text(made, "tailgit apply")
    assert text.count(GUARDS["devices-removed"]) == 1
    assert (
        "This can't be applied:\n"
        "  - devices that are gone or disabled: 2 of 6 (limit 1): api-1, db-1; if that "
        "is right, --allow\n"
        '    devices-removed="REASON" lets it pass once\n'
    ) in text
    assert "To apply" not in text


def test_a_result_names_what_was_left_as_it_was() -> None:
    """Suspended and left out are no failure, and are told all the same."""
    outcomes = (
        Outcome("api-1", Result.LEFT_OUT),
        Outcome("db-1", Result.APPLIED, 4),
        Outcome("db-2", Result.SUSPENDED, message="suspended until tomorrow by Ben"),
        Outcome("stg-1", Result.ROLLED_BACK, 3, "health", "", "no peer came back"),
        Outcome("web-1", Result.NOT_STARTED, message="wave 1 of 2 did not end well"),
    )
    assert (
        applied_text(Applied(whole(), outcomes), "tailgit apply")
        == """\
acme: 1111111 -> 2222222 "Postgres for data"

  = api-1  left out
  + db-1   applied, generation 4
  x db-2   suspended: suspended until tomorrow by Ben
  x stg-1  rolled back, generation 3, at health: no peer came back
  x web-1  not started: wave 1 of 2 did not end well

1 of 5 nodes have 2222222: 1 applied, 1 rolled back, 1 not started, 1 suspended, \
1 left out.
To finish:  tailgit apply
"""
    )


HOSTILE = st.text(max_size=200) | st.sampled_from(
    ["\x1b[2J", "a\nb", "\u202eevil", "x" * 300, "\u200b", "\r", "\x9b31m"]
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_of_a_person_or_a_node_can_steer_a_terminal(
    by: str, reason: str, note: str
) -> None:
    """Who suspended and why, drift, reasons of overrides, refusals, messages."""
    made = whole()
    guards = tuple(
        replace(guard, reason=reason) if guard.reason else guard
        for guard in made.guards
    )
    rows = tuple(
        replace(row, notes=(f"suspended by {by}: {reason}", f"drift: {note}"))
        for row in made.rows
    )
    open_, shut = (
        replace(made, rows=rows, guards=guards, refusals=said)
        for said in ((), (note, f"{by}: {reason}"))
    )
    applied = Applied(
        open_,
        (
            Outcome("db-1", Result.SUSPENDED, message=f"{by}: {reason}"),
            Outcome("db-2", Result.FAILED, 1, "stage", note, reason),
        ),
    )
    for text in (
        plan_text(open_, "x"),
        plan_text(shut, "x"),
        applied_text(applied, "x"),
    ):
        for line in text.splitlines():
            assert line.isprintable()
            assert len(line) <= 100


@given(st.lists(st.integers(1, 63), min_size=1, max_size=60))
def test_long_names_and_many_of_them_stay_on_the_page(lengths: list[int]) -> None:
    """Device names have up to 63 characters."""
    names = tuple(f"{'n' * length}" for length in lengths)
    waves = (Wave("canary", names[:1]), Wave("wave", names), Wave("leaving", names))
    guards = (Guard("cut-off", names, 60, 60), Guard("lockout", names, 9, 0, (), "y"))
    rows = tuple(replace(row, node=names[0]) for row in whole().rows)
    made = replace(whole(), rows=rows, waves=waves, guards=guards)
    assert all(len(line) <= 100 for line in plan_text(made, "x").splitlines())
