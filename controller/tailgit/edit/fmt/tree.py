"""A YAML file as the formatter sees it: entries, their comments and blank lines.

Every comment hangs at one place of the tree, so that none can be lost on the way and
none can change places with another:

    # leading
    key:  # mid
      # mid
      [  # opening
        # leading of a
        a,  # behind a
        # end of the list
      ]  # behind the list
    other:
      # below, since `other` has no value that it could belong to
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Comment:
    """A comment with its `#`; `own` if it has its line for itself."""

    text: str
    index: int
    line: int
    column: int
    own: bool
    blank: bool
    """Whether a blank line is above it."""


@dataclass(slots=True)
class Scalar:
    """Text: `value` is what it means, `raw` how the author wrote it.

    `style` is libyaml's: empty for plain, a quote, `|` or `>`. For a block scalar
    `raw` holds its lines, and `indent` is the column that they begin in.
    """

    value: str
    style: str
    raw: str
    line: int
    last_line: int
    indent: int = 0
    behind: Comment | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing at all, as behind `acls:`; empty quotes are something."""
        return not self.style and not self.value


@dataclass(slots=True)
class Collection:
    """A mapping or a list, in block or in flow style.

    `blank` says that a blank line is between it and its key, dash or comments.
    """

    flow: bool
    mapping: bool
    line: int
    last_line: int = 0
    blank: bool = False
    entries: list[Entry] = field(default_factory=list)
    opening: Comment | None = None
    end: list[Comment] = field(default_factory=list)
    behind: Comment | None = None

    @property
    def has_inner_comments(self) -> bool:
        """Whether a comment stands inside of it, at any depth."""
        return bool(self.opening or self.end) or any(
            entry.leading
            or entry.mid
            or entry.value.behind
            or (isinstance(entry.value, Collection) and entry.value.has_inner_comments)
            for entry in self.entries
        )


@dataclass(slots=True)
class Entry:
    """A key with its value, or an item of a list (which has no key)."""

    key: Scalar | None
    value: Scalar | Collection
    leading: list[Comment]
    mid: list[Comment]
    blank: bool
    """Whether a blank line is above it, or between it and the leading comments."""
    below: list[Comment] = field(default_factory=list)


@dataclass(slots=True)
class File:
    """A whole file; without a root it has nothing but comments.

    `head` are those above a root that has no entries to hold them.
    """

    root: Collection | None
    head: list[Comment]
    tail: list[Comment]
