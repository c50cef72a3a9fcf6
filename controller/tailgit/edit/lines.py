"""Which lines of a block belong to an entry, when it is taken out.

Its own ones, the comment directly above it, comments below that are indented deeper
than the entry, and of the blank lines around it so many that one stretch stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tailgit.errors import Refused

_COMMENT = re.compile(r"([ \t]*)#[^\n]*(?:\n|\Z)")
_REST = re.compile(r"[ \t\r]*(?:[ \t]#[^\n]*)?(?:\n|\Z)")
_BLANK = re.compile(r"[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text, and what takes its place."""

    start: int
    end: int
    text: str = ""


def line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def line_end(text: str, index: int) -> int:
    """Behind the line break of the line that `index` is in."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def replaced(text: str, spans: list[Span]) -> str:
    """The text with every span replaced; spans may touch, but not overlap."""
    parts, index = [], 0
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if span.start < index:
            raise Refused("two edits of one line can't be made at once")
        parts += [text[index : span.start], span.text]
        index = span.end
    return "".join([*parts, text[index:]])


def starts_line(text: str, index: int) -> bool:
    """Whether only blanks stand before `index` on its line."""
    return not text[line_start(text, index) : index].strip(" \t")


def own_lines(text: str, start: int, end: int, floor: int, *, first: bool) -> Span:
    """The lines of a block entry whose content is `start` to `end`.

    `floor` is where the lines of its container (for the first one) or of the entry
    before it end: nothing above is looked at.
    """
    column = start - line_start(text, start)
    end = start + len(text[start:end].rstrip())
    rest = _REST.match(text, end)
    if rest is None:
        raise Refused("an entry shares its line with another one")
    end = rest.end()
    while (comment := _COMMENT.match(text, end)) and len(comment[1]) > column:
        end = comment.end()
    start = _comment_above(text, line_start(text, start), floor, column, first=first)
    return Span(start, end)


def _comment_above(
    text: str, start: int, floor: int, column: int, *, first: bool
) -> int:
    """Where the comment begins that stands directly above the line at `start`."""
    while start > floor:
        above = line_start(text, start - 1)
        comment = _COMMENT.match(text, above)
        if above < floor or comment is None or comment.end() != start:
            break
        if len(comment[1]) > column and not first:
            break  # it belongs to the entry before
        start = above
    return start


def with_blanks(text: str, span: Span, floor: int, *, bare: bool) -> tuple[Span, bool]:
    """The span and the blank lines that would be too many without it.

    `bare` says that what is left above `floor` needs no blank line behind it: it is
    blank, or the key of the container. The same is told of what is above the span.
    """
    start, end = span.start, span.end
    above = line_start(text, start - 1) if start > floor else start
    bare = is_blank(text, above) if start > floor else bare
    if bare:
        while is_blank(text, end):
            end = line_end(text, end)
    if end == len(text):
        while start > floor and is_blank(text, above):
            start, above = above, line_start(text, above - 1)
    return Span(start, end), bare


def is_blank(text: str, index: int) -> bool:
    """Whether the line that begins at `index` is blank, and is not the end."""
    return _BLANK.match(text, index) is not None
