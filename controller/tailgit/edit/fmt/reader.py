"""From text to the formatter's tree, along libyaml's events.

Events tell where each scalar and each bracket stands. What lies between them is
blanks, punctuation and comments, so a `#` there always begins a comment. The text has
passed the loader before: no anchors, tags, odd keys or second documents.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import yaml
from yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    ScalarEvent,
)

from tailgit.edit.fmt.tree import Collection, Comment, Entry, File, Scalar

_COMMENT = re.compile("#[^\n]*")
_INDICATOR = re.compile("[1-9]")
_TO_TOKEN = re.compile(r"(?:[ \t\n]+|#[^\n]*)*+")
_BLOCK = ("|", ">")


def read_file(text: str) -> File:
    """The tree of a valid text whose lines end with LF."""
    return _Reader(text).file()


def comments_of(text: str) -> list[str]:
    """Every comment of a valid text, in order."""
    return [comment.text for comment in _Reader(text).comments]


class _Reader:
    """One pass over the events; comments are taken as their place comes by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.events: list[Any] = [
            event
            for event in yaml.parse(text, Loader=yaml.CSafeLoader)
            if isinstance(
                event, (ScalarEvent, CollectionStartEvent, CollectionEndEvent)
            )
        ]
        self.at = 0  # the event that comes next
        self.position = 0  # behind what has been read
        self.comments = list(self.find_comments())
        self.taken = 0  # comments that have their place

    def find_comments(self) -> Iterator[Comment]:
        covered = [(0, 0)]
        for event in filter(_is_scalar, self.events):
            start, end = event.start_mark.index, event.end_mark.index
            if event.style in _BLOCK:
                start = self.header_end(start)
            covered.append((start, max(start, end)))
        covered.append((len(self.text), len(self.text)))
        for (_, start), (end, _) in pairwise(covered):
            for match in _COMMENT.finditer(self.text, start, end):
                yield self.comment(match)

    def comment(self, match: re.Match[str]) -> Comment:
        line = self.line_of(match.start())
        column = match.start() - self.starts[line]
        own = not self.text[self.starts[line] : match.start()].strip()
        text = match.group().rstrip()
        blank = own and self.is_blank(line - 1)
        return Comment(text, match.start(), line, column, own, blank)

    def file(self) -> File:
        if not self.events:
            return File(None, [], self.take(len(self.text)))
        head = self.take(self.events[0].start_mark.index)
        root = self.node(-1, self.events[0].start_mark.index)
        assert isinstance(root, Collection)  # the loader has seen to it
        if root.entries:
            root.entries[0].leading[:0] = head
            head = []
        return File(root, head, self.take(len(self.text)))

    def take(self, until: int) -> list[Comment]:
        """The comments before a position that have no place yet."""
        begin = self.taken
        while (
            self.taken < len(self.comments) and self.comments[self.taken].index < until
        ):
            self.taken += 1
        return self.comments[begin : self.taken]

    def take_behind(self, line: int) -> Comment | None:
        """The comment behind something that ends in this line."""
        more = self.at < len(self.events)
        until = self.events[self.at].start_mark.index if more else len(self.text)
        if self.taken < len(self.comments):
            comment = self.comments[self.taken]
            if comment.line == line and not comment.own and comment.index < until:
                self.taken += 1
                return comment
        return None

    def take_deeper(self, column: int) -> list[Comment]:
        """The next comments with a line of their own that begin at `column` or later.

        Which block a comment at the end of one belongs to is told by its indentation.
        """
        begin, until = self.taken, self.next_token()
        while self.taken < len(self.comments):
            comment = self.comments[self.taken]
            if comment.index >= until or comment.column < column or not comment.own:
                break
            self.taken += 1
        return self.comments[begin : self.taken]

    def node(self, column: int, owner_end: int) -> Scalar | Collection:
        """The value that begins here, inside of a block collection at `column`."""
        event = self.events[self.at]
        self.at += 1
        if isinstance(event, ScalarEvent):
            return self.scalar(event, column, owner_end)
        mapping = isinstance(event, MappingStartEvent)
        self.position = max(self.position, event.start_mark.index)
        blank = self.is_below_blank(event.start_mark.index)
        found = (
            self.flow(event, mapping)
            if event.flow_style
            else self.block(event, column, mapping)
        )
        found.blank = blank
        return found

    def scalar(self, event: Any, column: int, owner_end: int) -> Scalar:
        start, end = event.start_mark.index, event.end_mark.index
        self.position = max(self.position, end)
        raw, indent = self.text[start:end], 0
        if start == end:
            start = end = self.start_of(event, owner_end)
        elif event.style in _BLOCK:
            end = self.header_end(start)
            raw = self.text[end + 1 : event.end_mark.index]
            indicator = _INDICATOR.search(self.text[start : start + 3])
            indent = (
                max(column, 0) + int(indicator.group())
                if indicator
                else _indent_of(raw)
            )
        line, last = self.line_of(start), self.line_of(end)
        scalar = Scalar(event.value, event.style, raw, line, last, indent)
        scalar.behind = self.take_behind(last)
        return scalar

    def key(self) -> Scalar:
        event = self.events[self.at]
        self.at += 1
        start, end = event.start_mark.index, event.end_mark.index
        self.position = end
        line, last = self.line_of(start), self.line_of(end)
        return Scalar(event.value, event.style, self.text[start:end], line, last)

    def block(self, start: Any, parent: int, mapping: bool) -> Collection:
        column = start.start_mark.column
        block = Collection(False, mapping, self.line_of(start.start_mark.index))
        while not isinstance(self.events[self.at], CollectionEndEvent):
            entry = self.map_entry(column) if mapping else self.item(column)
            block.entries.append(entry)
            if _has_nothing(entry.value):
                entry.below = self.take_deeper(column + 1)
        if column > parent:  # else a comment belongs to what comes next in the parent
            block.end = self.take_deeper(parent + 1)
        self.at += 1
        block.last_line = block.entries[-1].value.last_line
        return block

    def map_entry(self, column: int) -> Entry:
        start = self.next_token()  # the key, or a `?` in front of it
        leading = self.take(start)
        blank = self.is_below_blank(start)
        key = self.key()
        end = self.position
        mid = self.mid()
        return Entry(key, self.node(column, end), leading, mid, blank)

    def item(self, column: int) -> Entry:
        at = self.next_token()  # the dash
        leading = self.take(at)
        self.position = at + 1
        mid = self.mid()
        return Entry(
            None, self.node(column, at + 1), leading, mid, self.is_below_blank(at)
        )

    def mid(self) -> list[Comment]:
        """The comments between a key or dash and its value."""
        return self.take(self.start_of(self.events[self.at], self.position))

    def start_of(self, event: Any, owner_end: int) -> int:
        """Where a value begins; libyaml puts one that is missing before what follows.

        Then it is where its colon, key or dash ends.
        """
        start: int = event.start_mark.index
        missing = _is_scalar(event) and start == event.end_mark.index
        return owner_end if missing and self.text[start - 1] != ":" else start

    def flow(self, start: Any, mapping: bool) -> Collection:
        flow = Collection(True, mapping, self.line_of(start.start_mark.index))
        flow.opening = self.take_behind(flow.line)
        while not isinstance(self.events[self.at], CollectionEndEvent):
            at = self.events[self.at].start_mark.index
            leading = self.flow_leading(flow, at)
            blank = self.is_below_blank(at)
            if mapping:
                key = self.key()
                end = self.position
                mid = self.mid()
                value = self.node(-1, end)
                flow.entries.append(Entry(key, value, leading, mid, blank))
            else:
                value = self.node(-1, at)
                flow.entries.append(Entry(None, value, leading, [], blank))
        end = self.events[self.at].end_mark.index
        flow.end = self.flow_leading(flow, end)
        self.at += 1
        self.position = end
        flow.last_line = self.line_of(end)
        flow.behind = self.take_behind(flow.last_line)
        return flow

    def flow_leading(self, flow: Collection, until: int) -> list[Comment]:
        """The comments in front of something; one behind a comma is taken out."""
        found = self.take(until)
        if found and not found[0].own and flow.entries:
            last = flow.entries[-1].value
            if last.behind is None:
                last.behind = found.pop(0)
        return found

    def next_token(self) -> int:
        """Where the next thing that is neither blank nor comment begins."""
        match = _TO_TOKEN.match(self.text, self.position)
        return match.end() if match else self.position

    def header_end(self, start: int) -> int:
        """The end of the line in which a block scalar begins."""
        end = self.text.find("\n", start)
        return end if end >= 0 else len(self.text)

    def line_of(self, index: int) -> int:
        return bisect_right(self.starts, index) - 1

    def is_blank(self, line: int) -> bool:
        if line < 0:
            return False
        return not self.text[self.starts[line] : self.starts[line + 1]].strip()

    def is_below_blank(self, index: int) -> bool:
        """Whether something is the first in its line, and the line above is blank."""
        line = self.line_of(index)
        first = not self.text[self.starts[line] : index].strip()
        return first and self.is_blank(line - 1)


def _is_scalar(event: object) -> bool:
    return isinstance(event, ScalarEvent)


def _has_nothing(value: Scalar | Collection) -> bool:
    if isinstance(value, Scalar):
        return value.is_empty
    return not value.entries and not value.has_inner_comments


def _indent_of(raw: str) -> int:
    """The indentation of the first line that is not blank."""
    for line in raw.split("\n"):
        if line.strip(" "):
            return len(line) - len(line.lstrip(" "))
    return 0
