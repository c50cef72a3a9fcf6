"""Deadlines: what a date and a time mean, whatever the machine's own zone is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.model.deadline import DeadlineError, deadline_text, parse_deadline


@pytest.fixture(params=["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's own time zone, which must not matter."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2027-01-31", 1_801_440_000),  # 2027-02-01T00:00:00Z
        ("2028-02-29", 1_835_481_600),
        ("2027-01-31T12:00:00Z", 1_801_396_800),
        ("2027-01-31 12:00:00z", 1_801_396_800),
        ("2027-01-31t13:00:00.25+01:00", 1_801_396_800),
        ("2027-01-31T06:30:00-05:30", 1_801_396_800),
        ("2016-12-31T23:59:60Z", 1_483_228_800),  # the leap second
    ],
)
def test_deadlines(text: str, epoch: int) -> None:
    """A date is its last moment in UTC, a time is the instant that its offset says."""
    assert parse_deadline(text) == epoch


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2027-01-31T12:00:00", "`2027-01-31T12:00:00` does not say its offset"),
        ("2027-02-29", "`2027-02-29` is no day of the calendar"),
        ("2027-01-31T25:00:00Z", "is no day of the calendar"),
        ("2027-01-31T12:00:00+24:00", "is no day of the calendar"),
        ("1970-01-01", "is not between 2000 and 2999"),
        ("31.1.2027", "`31.1.2027` is neither a date nor a time"),
        ("tomorrow", "is neither a date nor a time"),
        ("\u0662027-01-31", "is neither a date nor a time"),
        ("", "is neither a date nor a time"),
    ],
)
def test_refused(text: str, why: str) -> None:
    """What could be read in two ways, or in none, is refused with the reason."""
    with pytest.raises(DeadlineError) as raised:
        parse_deadline(text)
    assert why in str(raised.value)


@given(st.integers(946_771_200, 32_000_000_000))
def test_text_means_the_deadline(epoch: int) -> None:
    """What is shown of a deadline reads back as the same deadline."""
    assert parse_deadline(deadline_text(epoch)) == epoch


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """Any text is a deadline or a `DeadlineError`."""
    with contextlib.suppress(DeadlineError):
        assert parse_deadline(text) > 0
