"""Deadlines: when a device, a user or a rule ends, as integer epoch seconds.

A date stands for the whole day, in UTC: `2027-01-31` is valid through that day, so its
deadline is the first second of February. Anything finer is RFC 3339 and must say its
offset: a time without one means another instant on every machine. Something has ended
when `now >= deadline`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

Deadline = int

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(
    rf"{_DATE.pattern}[Tt ]([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}})(?:\.[0-9]{{1,9}})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)

_FIRST_YEAR, _LAST_YEAR = 2000, 2999


class DeadlineError(ValueError):
    """The text is no deadline; the message says why."""


def parse_deadline(text: str) -> Deadline:
    """Epoch seconds of a date (its end, UTC) or an RFC 3339 time with offset."""
    date, time = _DATE.fullmatch(text), _TIME.fullmatch(text)
    year = int(text[:4]) if date or time else _FIRST_YEAR
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise DeadlineError(f"`{text}` is not between {_FIRST_YEAR} and {_LAST_YEAR}")
    try:
        if date is not None:
            year, month, day = map(int, date.groups())
            end = datetime(year, month, day, tzinfo=UTC) + timedelta(days=1)
            return int(end.timestamp())
        if time is None:
            raise DeadlineError(f"`{text}` is neither a date nor a time")
        *numbers, offset = time.groups()
        if offset is None:
            raise DeadlineError(f"`{text}` does not say its offset from UTC")
        year, month, day, hour, minute, second = map(int, numbers)
        zone = _zone(offset)
        # A leap second is the first second of the next minute to a clock in epochs.
        leap = second == 60
        at = datetime(year, month, day, hour, minute, 59 if leap else second, 0, zone)
        return int(at.timestamp()) + leap
    except ValueError as error:
        if isinstance(error, DeadlineError):
            raise
        raise DeadlineError(f"`{text}` is no day of the calendar") from None


def _zone(offset: str) -> timezone:
    if offset in "Zz":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if minutes > 59 or hours > 23:
        raise ValueError(offset)
    delta = timedelta(hours=hours, minutes=minutes)
    return timezone(-delta if offset[0] == "-" else delta)


def deadline_text(deadline: Deadline) -> str:
    """The shortest text that means the deadline: a date for the end of a day."""
    at = datetime.fromtimestamp(deadline, UTC)
    if deadline % 86400 == 0:
        return (at - timedelta(days=1)).strftime("%Y-%m-%d")
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
