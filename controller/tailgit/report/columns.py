"""Lines of two columns, 100 wide: what is said, and on the right where that stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tailgit.model.text import shown

WIDTH = 100
_SECOND = 60
"""Where the second column begins, if the first has room before it."""


def headed(sign: str, what: str, said: Sequence[str]) -> Iterator[str]:
    """A line with its place or cause on the right, or below where it is too long."""
    head = f"  {sign} {shown(what)}"
    first = shown(said[0]) if said else ""
    column = max(_SECOND, len(head) + 2)
    if len(said) == 1 and column + len(first) <= WIDTH:
        yield f"{head:<{column}}{first}"
        return
    yield from wrapped(what, f"  {sign} ", "      ")
    for each in said:
        yield from wrapped(each, " " * 8)


def wrapped(text: str, first: str, rest: str = "") -> list[str]:
    return wrap(
        shown(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest or first,
        break_long_words=False,
        break_on_hyphens=False,
    )
