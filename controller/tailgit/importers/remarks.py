"""A policy in HuJSON as the formatter's tree, with every comment at a place of it.

`load.hujson` gives values and their places; comments mean nothing to it. Here they are
what it is about. The text has been read by that reader before, so it is valid: this
one only finds out what stands where.

    // leading
    "key": [ // opening
      // leading of the item
      "item", // behind
      // end of the list
    ],
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tailgit.edit.fmt.tree import Collection, Comment, Entry, File, Scalar
from tailgit.model.text import shown

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)|(?P<line>//[^\n]*)|(?P<block>/\*(?s:.*?)\*/)"
    r'|(?P<string>"(?:[^"\\]|\\.)*+")|(?P<sign>[{}\[\],:])|(?P<word>[^\s,:{}\[\]"/]+)'
)
_PLAIN = re.compile(
    r"[A-Za-z][A-Za-z0-9_.+-]*(?:[:@/][A-Za-z0-9_.+-]+)?"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?"
)
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@dataclass(slots=True)
class _Remark:
    """One comment: its lines, and whether it begins and ends a line of its own."""

    lines: list[str]
    own: bool
    blank: bool
    line: int

    def comments(self) -> list[Comment]:
        """As YAML's; only the first has the blank line above."""
        return [
            Comment(_yaml(text), 0, 0, 0, own=True, blank=self.blank and not number)
            for number, text in enumerate(self.lines)
        ]


def _yaml(text: str) -> str:
    plain = shown(text.expandtabs(2))
    return f"# {plain}" if plain else "#"


def quoted(value: str) -> Scalar:
    """Text, without quotes where it reads as nothing else in any reader of YAML."""
    bare = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
    return Scalar(value, "" if bare else '"', "", 0, 0)


def read_remarks(text: str) -> File:
    """The tree of a valid text; an empty one has no root."""
    return _Reader(text).file()


def source_at(text: str, line: int, column: int) -> str:
    """The entry of a mapping whose key is at a place, as it is written."""
    above = text.split("\n", line - 1)[: line - 1]
    start = sum(len(each) + 1 for each in above) + column - 1
    reader = _Reader(text)
    reader.at = start
    reader.entry(mapping=True)
    return text[start : reader.at].rstrip()


class _Reader:
    """One pass over the tokens; what stands between two of them is gathered first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 0
        self.waiting: list[_Remark] = []
        self.blank = False  # a blank line stands right above the next token
        self.fresh = True  # nothing but blanks stands before it on its line

    def gather(self) -> None:
        """Moves to the next token; comments on the way wait for their place."""
        while match := _TOKEN.match(self.text, self.at):
            kind, found = match.lastgroup, match.group()
            if kind == "blank":
                self.blank |= found.count("\n") > 1
                self.fresh |= "\n" in found
            elif kind in ("line", "block"):
                self.remark(found)
            else:
                return
            self.at = match.end()
            self.line += found.count("\n")

    def remark(self, found: str) -> None:
        if found.startswith("//"):
            lines = [found.lstrip("/").strip()]
        else:
            lines = [
                each.strip().strip("*").strip() for each in found[2:-2].split("\n")
            ]
            while len(lines) > 1 and not lines[-1]:
                lines.pop()
            while len(lines) > 1 and not lines[0]:
                lines.pop(0)
        self.waiting.append(_Remark(lines, self.fresh, self.blank, self.line))
        self.blank = self.fresh = False

    def take(self) -> list[Comment]:
        """The comments that wait, as comments with lines of their own."""
        waiting, self.waiting = self.waiting, []
        return [comment for each in waiting for comment in each.comments()]

    def behind(self) -> Comment | None:
        """The comment that waits on the line of what was just read."""
        if not self.waiting or self.waiting[0].own or len(self.waiting[0].lines) > 1:
            return None
        comment = self.waiting.pop(0).comments()[0]
        comment.own = comment.blank = False
        return comment

    def next(self) -> str:
        """The token that was gathered up to."""
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        self.blank = self.fresh = False
        return match.group()

    def peek(self) -> str:
        self.gather()
        return self.text[self.at : self.at + 1]

    def file(self) -> File:
        self.gather()
        head = self.take()
        if self.at == len(self.text):
            return File(None, head, [])
        root = self.value()
        assert isinstance(root, Collection)  # the other reader has seen to it
        self.gather()
        return File(root, head, self.take())

    def value(self) -> Scalar | Collection:
        line, found = self.line, self.next()
        if found in ("{", "["):
            return self.collection(found, line)
        if found.startswith('"'):
            return quoted(json.loads(found, strict=False))
        return Scalar(found, "", "", line, line)

    def collection(self, sign: str, line: int) -> Collection:
        value = Collection(flow=True, mapping=sign == "{", line=line)
        closing = "}" if value.mapping else "]"
        self.gather()
        value.opening = self.behind()
        while self.peek() != closing:
            entry = self.entry(mapping=value.mapping)
            value.entries.append(entry)
            behind = self.behind()
            if self.peek() == ",":
                self.next()
                self.gather()
                behind = behind or self.behind()
            entry.value.behind = behind
        value.end = self.take()
        self.next()
        self.gather()
        value.last_line = self.line
        return value

    def entry(self, *, mapping: bool) -> Entry:
        blank, leading = self.blank, self.take()
        key = None
        if mapping:
            key = quoted(json.loads(self.next(), strict=False))
            self.gather()
            self.next()  # the colon
            self.gather()
            leading += self.take()
        value = self.value()
        self.gather()
        return Entry(key, value, leading, [], blank)
