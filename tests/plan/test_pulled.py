"""What a plan says of devices that nobody logs in to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailgit.errors import NodeError, Unreachable
from tailgit.plan.observed import Deposited, Fetched, Observed
from tailgit.plan.pulled import ago, lacking, newest, pulled, sentence
from tests.plan.small import fresh

OLD, NEW, COMMIT = "1" * 64, "2" * 64, "3f9c2e1" + "0" * 33
AT = "2026-11-22T13:00:00Z"


def box(*parts: Deposited | Fetched, time: int = 1_000_000) -> Observed:
    """A mailbox that holds and heard these, at `time` by its clock."""
    return replace(
        fresh("box"),
        time=time,
        deposited=tuple(each for each in parts if isinstance(each, Deposited)),
        fetched=tuple(each for each in parts if isinstance(each, Fetched)),
    )


OLDER = (
    "2 hours ago, has an older parcel than its mailbox holds; what it tried then "
    "ended with `rolledback`"
)
HELD = Deposited("pc", NEW, AT, COMMIT, "a" * 64)


@pytest.mark.parametrize(
    ("heard", "says"),
    [
        (Fetched("pc", 1_000_000 - 172_800, NEW, "ok"), "2 days ago, has 3f9c2e1"),
        (Fetched("pc", 999_990, NEW, "confirming"), "just now, has 3f9c2e1"),
        (Fetched("pc", 999_900, None, "none"), "1 minute ago, has nothing yet"),
        (
            Fetched("pc", 990_000, OLD, "rolledback"),
            OLDER,
        ),
        (Fetched("pc", 2_000_000, NEW, "ok"), "just now, has 3f9c2e1"),
        (
            Fetched("pc", 999_999, NEW, "\x1b[2J"),
            "just now, has 3f9c2e1; what it tried then ended with `\\x1b[2J`",
        ),
    ],
)
def test_the_sentence(heard: Fetched, says: str) -> None:
    """When it asked by the mailbox's clock, what it has, and what went wrong."""
    assert sentence("pc", {"box": box(HELD, heard)}) == f"last fetched {says}"


def test_who_never_asked() -> None:
    """A mailbox that is out of reach says nothing, which is not that all is well."""
    seen: dict[str, Observed | NodeError] = {
        "box": box(HELD),
        "other": Unreachable("other", "no answer"),
    }
    assert sentence("pc", seen) == "never asked a mailbox that answers"
    assert pulled(seen) == {}


def test_the_latest_of_several_counts() -> None:
    """Each mailbox goes by its own clock, so no two clocks are compared."""
    seen: dict[str, Observed | NodeError] = {
        "a": box(HELD, Fetched("pc", 5_000, OLD, "ok"), time=6_000),
        "b": box(Fetched("pc", 1_000, NEW, "ok"), time=1_100),
    }
    heard = pulled(seen)["pc"]
    assert (heard.mailbox, heard.age, heard.commit) == ("b", 100, COMMIT)


def test_which_mailboxes_lack_a_parcel() -> None:
    """Those that hold another one, nothing, or did not answer."""
    seen: dict[str, Observed | NodeError] = {
        "a": box(HELD),
        "b": box(replace(HELD, manifest="b" * 64)),
        "c": box(),
        "d": Unreachable("d", "no answer"),
    }
    assert lacking("pc", "a" * 64, "abcd", seen) == ("b", "c", "d")


def test_the_newest_time_of_each() -> None:
    """The next envelope must be later than what any mailbox holds."""
    later = AT.replace("13:", "14:")
    seen = {"a": box(HELD), "b": box(replace(HELD, at=later))}
    assert newest(seen) == {"pc": later}


def test_a_fetch_makes_no_plan_stale() -> None:
    """What a laptop asked meanwhile is not what a plan rests on; a deposit is."""
    asked = box(HELD, Fetched("pc", 1, NEW, "ok"))
    assert asked.digest == box(HELD).digest != box().digest


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (86400 * 400, "400 days ago"),
    ],
)
def test_ago(seconds: int, text: str) -> None:
    """The largest unit, rounded down."""
    assert ago(seconds) == text
