"""How one text is written.

Quotes are neither taken away nor added: `"22"` is text and `22` a number to us, `no`
is text to us and a truth value to other readers of YAML, and who wrote `"db-1:5432"`
meant one piece. Only their kind is ours: double quotes, single ones where double
quotes would need backslashes. What nobody sees is written as an escape.
"""

from __future__ import annotations

from tailgit.edit.fmt.tree import Scalar
from tailgit.model.text import shown

_BLOCK = ("|", ">")
_SHORT = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def one_line(scalar: Scalar) -> str | None:
    """The scalar in one line; None if it needs more."""
    if scalar.style in _BLOCK and scalar.value.strip("\n"):
        return None
    if scalar.style:
        return _quoted(scalar.value)
    return scalar.value if "\n" not in scalar.value else None


def written(scalar: Scalar, indent: int) -> list[str]:
    """Its lines; those after the first begin at `indent`."""
    if scalar.style in _BLOCK and scalar.value.strip("\n"):
        return _block(scalar, indent)
    text = one_line(scalar)
    if text is not None and (scalar.style in _BLOCK or "\n" not in scalar.raw):
        return [text]
    return _folded(scalar, indent)


def ends_blank(scalar: Scalar) -> bool:
    """Whether line breaks at its end count: a blank line more would change it."""
    return scalar.style in _BLOCK and scalar.value.endswith("\n\n")


def _quoted(value: str) -> str:
    seen = shown(value) == value
    if seen and ('"' in value or "\\" in value):
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(_SHORT.get(c) or shown(c) for c in value) + '"'


def _folded(scalar: Scalar, indent: int) -> list[str]:
    """Plain or quoted text over several lines: the author's line breaks stay."""
    lines = scalar.raw.split("\n")
    found = []
    for number, line in enumerate(lines):
        text = line.strip(" \t") if number else line
        if number < len(lines) - 1:
            text = _stripped_behind(line, text, scalar.style)
        found.append(" " * indent + text if number and text else text)
    return found


def _stripped_behind(line: str, text: str, style: str) -> str:
    """Without blanks at the end, but for one that is behind a backslash."""
    short = text.rstrip(" \t")
    slashes = len(short) - len(short.rstrip("\\"))
    if style == '"' and slashes % 2:
        return short + line.rstrip("\n")[len(line.rstrip(" \t")) :][:1]
    return short


def _block(scalar: Scalar, indent: int) -> list[str]:
    """A literal or folded text; the lines' own indentation moves as a whole."""
    breaks = len(scalar.value) - len(scalar.value.rstrip("\n"))
    lines = (
        scalar.value.rstrip("\n").split("\n")
        if scalar.style == "|"
        else _folded_lines(scalar)
    )
    first = next(line for line in lines if line)
    hint = "2" if first[0] in " \t" else ""
    header = scalar.style + hint + ("-" if not breaks else "+" if breaks > 1 else "")
    found = [header, *(" " * indent + line if line else "" for line in lines)]
    return found + [""] * (breaks - 1)


def _folded_lines(scalar: Scalar) -> list[str]:
    lines = [line[scalar.indent :] for line in scalar.raw.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
