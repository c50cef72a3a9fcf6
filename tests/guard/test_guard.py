"""What a guard is: a count, a limit, and one named way past it."""

from __future__ import annotations

import pytest

from tailgit.errors import UsageError
from tailgit.guard.guard import GUARDS, Guard, allowed, few, most, overrides
from tailgit.plan.refusals import stopped


@pytest.mark.parametrize(
    ("total", "rare", "common"),
    [(1, 1, 5), (5, 1, 5), (9, 1, 5), (25, 2, 15), (99, 9, 59), (5000, 10, 1000)],
)
def test_limits_protect_five_nodes_as_well_as_five_thousand(
    total: int, rare: int, common: int
) -> None:
    """The tighter of a share and a number, and never so tight that nothing is left."""
    assert (few(total), most(total)) == (rare, common)


def test_a_guard_holds_up_to_its_limit() -> None:
    """At the limit is fine, one more is not."""
    assert Guard("cut-off", ("a", "b"), 25, 2).holds
    assert Guard("cut-off", ("a", "b", "c"), 25, 2).stops


def test_one_guard_is_let_pass_and_no_other() -> None:
    """A reason for one does not open the next; one that holds keeps no reason."""
    removed = Guard("devices-removed", ("a", "b"), 5, 1)
    moved = Guard("addresses-changed", ("a", "b"), 5, 1)
    fine = Guard("cut-off", ("a",), 5, 1)
    why = {"devices-removed": "the old site is closed", "cut-off": "never needed"}
    passed, still, idle = allowed((removed, moved, fine), why)
    assert (passed.stops, passed.reason) == (False, "the old site is closed")
    assert still.stops
    assert idle.reason == ""


def test_every_guard_can_be_overruled_by_its_name() -> None:
    """There is no name that stands for all of them."""
    words = [f"{name}= because " for name in GUARDS]
    assert overrides(words) == dict.fromkeys(GUARDS, "because")


@pytest.mark.parametrize(
    ("word", "message", "help_"),
    [
        ("all=yes", "there is no guard `all`", "addresses-changed, cut-off"),
        ("=yes", "there is no guard ``", "unknown-base"),
        ("cut-off", "--allow cut-off needs a reason", '--allow cut-off="why'),
        ("cut-off=  ", "--allow cut-off needs a reason", '--allow cut-off="why'),
        ("Cut-Off=x", "there is no guard `Cut-Off`", "cut-off"),
    ],
)
def test_an_override_without_a_guard_or_a_reason_is_refused(
    word: str, message: str, help_: str
) -> None:
    """A typo must not pass for an override, nor an empty word for a reason."""
    with pytest.raises(UsageError) as caught:
        overrides([word])
    assert caught.value.message.startswith(message)
    assert help_ in caught.value.help


def test_a_guard_that_stops_says_what_it_counted_and_the_way_past_it() -> None:
    """Names first, then the exact words to type."""
    names = tuple(f"n{i}" for i in range(5))
    assert stopped(Guard("devices-removed", names, 25, 2)) == (
        "devices that are gone or disabled: 5 of 25 (limit 2): n0, n1, n2 and 2 more; "
        'if that is right, --allow devices-removed="REASON" lets it pass once'
    )
    told = stopped(Guard("lockout", ("a",), 3, 0, ("a: no rule lets ops-1 in",)))
    assert "(limit 0): a: no rule lets ops-1 in; if that is right" in told
