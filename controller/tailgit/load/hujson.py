"""The reader of JSON and HuJSON: strict, with a place for everything.

HuJSON, Tailscale's form of policy files, is JSON with `//` and `/* */` comments and
commas after the last entry. Both give the same values as the YAML reader: strings are
`Quoted`, other scalars are plain text that the schema types. Python's own reader keeps
no positions and takes the last of two equal keys.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tailgit.load.decode import decode
from tailgit.load.located import Items, Map, Quoted, place, position
from tailgit.load.slips import Slip, comma_slip, key_slip, string_slip, value_slip
from tailgit.load.yaml import MAX_DEPTH
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

_BLANK = re.compile(r"[ \t\r\n]*+")
_BLANK_OR_COMMENT = re.compile(r"(?:[ \t\r\n]++|//[^\n]*+|/\*(?s:.*?)\*/)*+", re.ASCII)
_SIMPLE = re.compile(r'"([^"\\\x00-\x1f]*+)"')
_STRING = re.compile(
    r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+"', re.ASCII
)
_PLAIN = re.compile(
    r"(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
    r"(?![0-9A-Za-z_.+-])"
)


def read_json(data: bytes, file: str, findings: list[Finding]) -> Map | None:
    """The file's mapping, or None if it can't be read; what is odd goes to `findings`.

    The first error ends the reading of the file.
    """
    return _read(data, file, findings, human=False)


def read_hujson(data: bytes, file: str, findings: list[Finding]) -> Map | None:
    """As `read_json`, with comments and commas after the last entry."""
    return _read(data, file, findings, human=True)


def _read(
    data: bytes, file: str, findings: list[Finding], *, human: bool
) -> Map | None:
    text = decode(data, file, findings)
    if text is None:
        return None
    reader = _Reader(text, file, findings, human=human)
    try:
        return reader.document()
    except Slip as slip:
        at = reader.place(slip.index)
        findings.append(finding(slip.code, at, shown(str(slip)), slip.help))
        return None


class _Reader:
    """Recursive descent; `MAX_DEPTH` bounds the recursion."""

    def __init__(
        self, text: str, file: str, findings: list[Finding], *, human: bool
    ) -> None:
        self.text = text
        self.file = file
        self.findings = findings
        self.human = human
        self.blank = (_BLANK_OR_COMMENT if human else _BLANK).match
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

    def skip(self, index: int) -> int:
        """Behind blanks and comments."""
        match = self.blank(self.text, index)
        return match.end() if match else index

    def document(self) -> Map:
        start = self.skip(0)
        if self.human and start == len(self.text):
            return Map(self.file, 0)  # nothing but comments, as in YAML
        value, end = self.value(start, 0)
        end = self.skip(end)
        if end != len(self.text):
            raise comma_slip(self.text, end, end, "", human=self.human)
        if not isinstance(value, Map):
            message = "the file is not a mapping of sections"
            help_ = 'begin with a section: `{"devices": …}`'
            raise Slip(start, message, help_, "yaml-root")
        return value

    def value(self, index: int, depth: int) -> tuple[Any, int]:
        """The value that begins at `index`, and the index behind it."""
        first = self.text[index : index + 1]
        if first == '"':
            return self.string(index)
        if first in ("{", "["):
            if depth >= MAX_DEPTH:
                message = f"nested deeper than {MAX_DEPTH} levels"
                raise Slip(index, message, "", "too-deep")
            return (self.map if first == "{" else self.items)(index, depth + 1)
        match = _PLAIN.match(self.text, index)
        if match is None:
            raise value_slip(self.text, index, human=self.human)
        return match.group(), match.end()

    def string(self, index: int) -> tuple[Quoted, int]:
        match = _SIMPLE.match(self.text, index)
        if match is not None:
            return Quoted(match[1]), match.end()
        match = _STRING.match(self.text, index)
        if match is None:
            raise string_slip(self.text, index)
        return Quoted(json.loads(match.group())), match.end()

    def map(self, index: int, depth: int) -> tuple[Map, int]:
        result, opened = Map(self.file, self.at(index)), index
        index = self.skip(index + 1)
        while True:
            sign = self.text[index : index + 1]
            if sign == "}" and (self.human or not result):
                return result, index + 1
            if sign != '"':
                raise key_slip(self.text, index, opened, human=self.human)
            key_at = self.at(index)
            key, end = self.string(index)
            after = self.skip(end)
            if self.text[after : after + 1] != ":":
                message = f"a colon is missing behind the key `{key}`"
                raise Slip(end, message, 'write `"key": value`')
            start = self.skip(after + 1)
            value_at = self.at(start)
            value, end = self.value(start, depth)
            self.store(result, key, key_at, value, value_at)
            index = self.skip(end)
            sign = self.text[index : index + 1]
            if sign == "}":
                return result, index + 1
            if sign != ",":
                raise comma_slip(self.text, end, index, "}", human=self.human)
            index = self.skip(index + 1)

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
        index = self.skip(index + 1)
        while True:
            sign = self.text[index : index + 1]
            if sign == "]" and (self.human or not result):
                return result, index + 1
            at = self.at(index)
            value, end = self.value(index, depth)
            result.append(value)
            result.values_at.append(at)
            index = self.skip(end)
            sign = self.text[index : index + 1]
            if sign == "]":
                return result, index + 1
            if sign != ",":
                raise comma_slip(self.text, end, index, "]", human=self.human)
            index = self.skip(index + 1)
