"""Markdown for the pages that `make docs` writes: fences, table cells, filled blocks.

A page is either written whole, or holds blocks between `<!-- generated: NAME -->` and
`<!-- end -->` that are filled; what stands around them is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

_BLOCK = re.compile(
    r"^<!-- generated: (?P<name>[^\n]+) -->\n.*?^<!-- end -->$",
    re.MULTILINE | re.DOTALL,
)


def filled(page: str, content: Callable[[str], str]) -> str:
    """The page with each block holding what `content` says for its name."""
    if page.count("<!-- generated: ") != page.count("<!-- end -->"):
        raise ValueError("a generated block has no end, or an end no block")
    return _BLOCK.sub(
        lambda block: (
            f"<!-- generated: {block['name']} -->\n\n"
            f"{content(block['name'])}\n\n<!-- end -->"
        ),
        page,
    )


def blocks(page: str) -> list[str]:
    """The names of the page's blocks, in their order."""
    return [block["name"] for block in _BLOCK.finditer(page)]


def fence(text: str, language: str = "") -> str:
    """A code block; its fence is longer than any inside of the text."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{text.rstrip(chr(10))}\n{ticks}"


def code(text: str) -> str:
    """Inline code; two backquotes around a text that has one."""
    if "`" not in text:
        return f"`{text}`"
    ticks = "`" * (max(len(run) for run in re.findall("`+", text)) + 1)
    return f"{ticks} {text} {ticks}"


def plain(text: str) -> str:
    """Text whose signs mean themselves; what stands in backquotes stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"[*<]", r"\\\g<0>", part)
        for part in parts
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; what would end a cell or a row is taken out of the cells."""
    head = tuple(head)
    lines = [f"| {' | '.join(map(_cell, line))} |" for line in (head, *rows)]
    return "\n".join((lines[0], "|---" * len(head) + "|", *lines[1:]))


def _cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", r"\|")
