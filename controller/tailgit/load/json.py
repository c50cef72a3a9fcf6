"""The JSON reader: strict RFC 8259, with a place for everything.

It gives the same values as the YAML reader: strings are `Quoted`, other scalars are
plain text that the schema types. Python's own reader keeps no positions and takes the
last of two equal keys.
"""

from __future__ import annotations

import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any

from tailgit.load.decode import decode
from tailgit.load.located import Items, Map, Quoted, place, position
from tailgit.load.yaml import MAX_DEPTH
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

_BLANK = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(
    r"(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
    r"(?![0-9A-Za-z_.+-])"
)

_HELP = {
    "bad-json": "JSON has double quotes, no comments and no comma after the last entry",
    "yaml-root": 'begin with a section: `{"devices": …}`',
}


class _Bad(Exception):
    def __init__(self, index: int, message: str, code: str = "bad-json") -> None:
        super().__init__(message)
        self.index = index
        self.code = code


def read_json(data: bytes, file: str, findings: list[Finding]) -> Map | None:
    """The file's mapping, or None if it can't be read; what is odd goes to `findings`.

    The first error ends the reading of the file.
    """
    text = decode(data, file, findings)
    if text is None:
        return None
    reader = _Reader(text, file, findings)
    try:
        start = reader.blank(0)
        value, end = reader.value(start, 0)
        end = reader.blank(end)
        if end != len(text):
            raise _Bad(end, "something follows the document")
        if not isinstance(value, Map):
            raise _Bad(start, "the file is not a mapping of sections", "yaml-root")
    except _Bad as bad:
        at = reader.place(bad.index)
        findings.append(finding(bad.code, at, str(bad), _HELP.get(bad.code, "")))
        return None
    return value


class _Reader:
    """Recursive descent; `MAX_DEPTH` bounds the recursion."""

    def __init__(self, text: str, file: str, findings: list[Finding]) -> None:
        self.text = text
        self.file = file
        self.findings = findings
        self.line = 0
        self.line_start = 0
        self.seen = 0  # the index up to which lines are counted

    def at(self, index: int) -> int:
        """The position of an index; indices must not go back."""
        count = self.text.count("\n", self.seen, index)
        if count:
            self.line += count
            self.line_start = self.text.rfind("\n", self.seen, index) + 1
        self.seen = index
        return position(self.line, index - self.line_start)

    def place(self, index: int) -> Place:
        before = self.text[:index]
        column = index - (before.rfind("\n") + 1)
        return place(self.file, position(before.count("\n"), column))

    def blank(self, index: int) -> int:
        match = _BLANK.match(self.text, index)
        return match.end() if match else index

    def value(self, index: int, depth: int) -> tuple[Any, int]:
        """The value that begins at `index`, and the index behind it."""
        first = self.text[index : index + 1]
        if first == '"':
            return self.string(index)
        if first in ("{", "["):
            if depth >= MAX_DEPTH:
                raise _Bad(index, f"nested deeper than {MAX_DEPTH} levels", "too-deep")
            return (self.map if first == "{" else self.items)(index, depth + 1)
        match = _PLAIN.match(self.text, index)
        if match is None:
            raise _Bad(index, "a value must stand here")
        return match.group(), match.end()

    def string(self, index: int) -> tuple[Quoted, int]:
        try:
            value, end = scanstring(self.text, index + 1, True)
        except JSONDecodeError as error:
            raise _Bad(min(error.pos, len(self.text)), error.msg) from None
        return Quoted(value), end

    def map(self, index: int, depth: int) -> tuple[Map, int]:
        result = Map(self.file, self.at(index))
        index = self.blank(index + 1)
        if self.text[index : index + 1] == "}":
            return result, index + 1
        while True:
            if self.text[index : index + 1] != '"':
                raise _Bad(index, "a key in double quotes must stand here")
            key_at = self.at(index)
            key, after = self.string(index)
            after = self.blank(after)
            if self.text[after : after + 1] != ":":
                raise _Bad(after, "a colon must stand here")
            start = self.blank(after + 1)
            value_at = self.at(start)
            value, after = self.value(start, depth)
            self.store(result, key, key_at, value, value_at)
            index, more = self.next(after, "}")
            if not more:
                return result, index

    def store(self, result: Map, key: str, key_at: int, value: Any, at: int) -> None:
        if key in result:
            self.findings.append(
                finding(
                    "duplicate-key",
                    place(self.file, key_at),
                    f"`{shown(key)}` is defined twice",
                    "keep one of the two",
                    [result.key(key)],
                )
            )
            return
        key = str(key)
        result[key] = value
        result.keys_at[key] = key_at
        result.values_at[key] = at

    def items(self, index: int, depth: int) -> tuple[Items, int]:
        result = Items(self.file, self.at(index))
        index = self.blank(index + 1)
        if self.text[index : index + 1] == "]":
            return result, index + 1
        while True:
            at = self.at(index)
            value, after = self.value(index, depth)
            result.append(value)
            result.values_at.append(at)
            index, more = self.next(after, "]")
            if not more:
                return result, index

    def next(self, index: int, closing: str) -> tuple[int, bool]:
        """Behind a comma (more follows) or behind the closing sign (no more)."""
        index = self.blank(index)
        sign = self.text[index : index + 1]
        if sign == closing:
            return index + 1, False
        if sign != ",":
            raise _Bad(index, f"a comma or `{closing}` must stand here")
        return self.blank(index + 1), True
