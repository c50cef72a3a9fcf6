"""Times that nodes name: we count on from them, so odd ones are no answer."""

from __future__ import annotations

import pytest

from tailgit.deploy.observe import _instant


@pytest.mark.parametrize(
    "text", ["2026-11-22T13:00:00Z", "2000-02-29T00:00:00Z", "2999-12-31T23:59:59Z"]
)
def test_a_time_of_the_calendar_is_one(text: str) -> None:
    """As envelopes write it."""
    assert _instant(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "none", "2026-11-22", "2026-11-22T13:00:00", "2026-11-22T13:00:00+00:00"),
        *("2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:61:00Z"),
        *("9999-12-31T23:59:59Z", "3000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        *("٢٠٢٦-11-22T13:00:00Z", "2026-11-22T13:00:60Z"),
    ],
)
def test_another_time_is_none(text: str) -> None:
    """The next order's time is a second after it, and that has to exist."""
    with pytest.raises(ValueError, match=r".+"):
        _instant(text)
