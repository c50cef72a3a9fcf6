"""The comment directly above a rule: its description, shown wherever the rule is."""

from __future__ import annotations

from tailgit.load.unite import Document
from tailgit.model.findings import Place


def comment_above(document: Document, at: Place) -> str:
    """The comment lines directly above a place, as one line of text.

    `#` in YAML, `//` and `/* … */` in HuJSON; plain JSON has no comments.
    """
    if document.file.endswith(".json"):
        return ""
    above = _hujson if document.file.endswith(".hujson") else _yaml
    return " ".join(filter(None, reversed(above(document.lines, at.line - 2))))


def _yaml(lines: list[str], index: int) -> list[str]:
    """From the last line of the comment to its first."""
    while index >= 0 and lines[index].strip() == "-":
        index -= 1
    comment = []
    while index >= 0 and lines[index].lstrip().startswith("#"):
        comment.append(lines[index].strip().lstrip("#").strip())
        index -= 1
    return comment


def _hujson(lines: list[str], index: int) -> list[str]:
    comment: list[str] = []
    while index >= 0:
        line = lines[index].strip()
        if line.startswith("//"):
            comment.append(line.lstrip("/").strip())
        elif line.endswith("*/"):
            block = _block(lines, index)
            if not block:
                break
            comment.extend(block)
            index -= len(block) - 1
        else:
            break
        index -= 1
    return comment


def _block(lines: list[str], index: int) -> list[str]:
    """The lines of a `/* … */` that ends here, if it begins its own line."""
    block: list[str] = []
    for line in map(str.strip, lines[index::-1]):
        starts = line.startswith("/*")
        text = line.removesuffix("*/") if not block else line
        block.append(text.removeprefix("/*").strip("* \t"))
        if starts:
            return block
        if "/*" in line or (len(block) > 1 and "*/" in line):
            break
    return []
