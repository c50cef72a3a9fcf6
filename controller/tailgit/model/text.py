"""Text that came from a repository or a node, made fit for a terminal and a log.

A name or a comment may hold an ANSI sequence that rewrites the screen, a bidi control
that turns a line round, or a character that nobody sees. Everything that prints such
text passes it through `shown` first; nothing is stored in that form.
"""

from __future__ import annotations

import re

_BLANK_LETTERS = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
"""Invisible characters that Unicode counts as letters or marks, so "printable"."""

_BLANK = re.compile(f"[{_BLANK_LETTERS}]")


def shown(text: str) -> str:
    """`text` with control, bidi, zero-width and other unseen characters escaped.

    `\\x1b`, `\\u202e`, `\\U000e0041`, as Python writes them. Plain text is returned
    as it is; the result never holds a line break.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(c) if not c.isprintable() or _BLANK.match(c) else c for c in text
    )


def _escaped(character: str) -> str:
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
