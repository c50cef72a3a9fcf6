"""HuJSON as people write it: one entry a line where it fits, comments above entries."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from tailgit.model.text import shown

_WIDTH = 90
_TAB = "\t"


class Page:
    """Lines of a document's inside, section by section."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def join(self, other: Page) -> None:
        if self.lines and other.lines:
            self.lines.append("")
        self.lines += other.lines

    def open(self, name: str, sign: str) -> None:
        if self.lines:
            self.lines.append("")
        self.lines.append(f"{_TAB}{_text(name)}: {sign}")

    def close(self, sign: str) -> None:
        if not self.lines[-1]:
            self.lines.pop()
        opening = {"]": "[", "}": "{"}[sign]
        if self.lines[-1].endswith(f": {opening}"):
            self.lines[-1] += f"{sign},"
        else:
            self.lines.append(f"{_TAB}{sign},")

    def value(self, name: str, value: Any) -> None:
        """A section whose entries have no comments."""
        if self.lines:
            self.lines.append("")
        self.lines += _written(value, 1, f"{_text(name)}: ")

    def remark(self, text: str) -> None:
        """A comment above the next entry."""
        self.lines += _comment(text, 2)

    def left_out(self, text: str) -> None:
        """A comment that describes nothing that follows."""
        self.lines += [*_comment(text, 2), ""]

    def entry(self, value: Any, key: str = "") -> None:
        self.lines += _written(value, 2, f"{_text(key)}: " if key else "")

    def text(self, head: list[str]) -> str:
        """The whole document."""
        above = [f"// {shown(line)}" for line in head]
        while self.lines and not self.lines[0]:
            self.lines.pop(0)
        return "\n".join([*above, "{", *self.lines, "}", ""])


def _comment(text: str, level: int) -> list[str]:
    lines = textwrap.wrap(
        shown(text), _WIDTH - 8, break_long_words=False, break_on_hyphens=False
    )
    return [f"{_TAB * level}// {line}" for line in lines]


def _text(value: Any) -> str:
    """JSON in one line; what nobody sees is written as an escape."""
    plain = json.dumps(value, ensure_ascii=False)
    return plain if shown(plain) == plain else json.dumps(value)


def _written(value: Any, level: int, start: str) -> list[str]:
    """The lines of a value, with a comma behind it."""
    one = f"{_TAB * level}{start}{_text(value)},"
    narrow = len(one) + 3 * level <= _WIDTH  # a tab is as wide as four
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or not value:
        return [one]
    # A section always has its entries on lines of their own.
    if narrow and (level > 1 or not isinstance(value, dict)):
        return [one]
    signs = "{}" if isinstance(value, dict) else "[]"
    lines = [f"{_TAB * level}{start}{signs[0]}"]
    keys = [f"{_text(key)}: " for key in value] if isinstance(value, dict) else None
    for index, each in enumerate(inner):
        lines += _written(each, level + 1, keys[index] if keys else "")
    return [*lines, f"{_TAB * level}{signs[1]},"]
