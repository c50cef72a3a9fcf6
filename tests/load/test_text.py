"""Text of strangers, fit to be shown."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tailgit.model.text import shown

UNSEEN = "\x00\x07\x1b\x7f\x9b\u00ad\u061c\u200b\u200d\u200e\u202e\u2066\u2028\ufeff"


def test_plain_text_stays() -> None:
    """Letters of any script, signs and emoji are shown as they are."""
    for text in ("", "db-1", "Ana Lima", "Zürich", "日本", "tag:сервер", "🙂"):
        assert shown(text) == text


def test_what_nobody_sees_is_escaped() -> None:
    """Control, bidi, zero-width, tag and filler characters become visible."""
    for character in (*UNSEEN, "\U000e0041", "\u3164", "\u034f", "\ufe0f", "\ud800"):
        text = shown(f"a{character}b")
        assert text.isprintable()
        assert text.startswith("a\\")
        assert text.endswith("b")


@given(st.text())
def test_the_result_is_one_printable_line(text: str) -> None:
    """Nothing of category "other" or "separator" is left but blanks."""
    result = shown(text)
    assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in result)
