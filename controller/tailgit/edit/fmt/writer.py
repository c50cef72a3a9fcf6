"""From the formatter's tree to its one canonical text.

Two blanks for each level, lists indented below their key, one entry in a line. What
the author wrote in braces or brackets stays so where it fits and holds no comment;
else it becomes a block, and its comments go where they say the same:

    tags: [a, b]  # why      tags:  # why        - {a: b,  # x     - a: b  # x
                               - a                 c: d}             c: d
                               - b

A comment behind an opened list goes to the key. An item of a list has none: there it
goes to the first thing in it, since a comment between the dash and a rule would take
the place of the rule's description above.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailgit.edit.fmt.scalars import ends_blank, one_line, written
from tailgit.edit.fmt.tree import Collection, Comment, Entry, File, Scalar

WIDTH = 120  # so that a device with its key and endpoint stays on one line


def write_file(file: File) -> str:
    """The canonical text; empty for an empty file."""
    writer = _Writer()
    writer.comments(file.head, 0)
    if file.root is not None:
        writer.root(file.root)
    writer.comments(file.tail, 0)
    return writer.text()


class _Writer:
    """Lines so far.

    `sealed` means that a blank line now would change a value, `apart` that one must
    follow: a bracket that kept a comment away from a rule below it has gone.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sealed = False
        self.apart = False

    def text(self) -> str:
        return "\n".join(self.lines) + "\n" if self.lines else ""

    def line(self, text: str, behind: Comment | None = None) -> None:
        if self.apart:
            self.apart = False
            self.blank()
        self.lines.append(f"{text}  {behind.text}" if behind else text)
        self.sealed = False

    def blank(self) -> None:
        if self.lines and self.lines[-1] and not self.sealed:
            self.lines.append("")

    def comments(self, comments: Iterable[Comment], indent: int) -> None:
        for comment in comments:
            if comment.blank:
                self.blank()
            self.line(" " * indent + comment.text)

    def root(self, root: Collection) -> None:
        """The sections, with a blank line between two."""
        if root.flow and not root.entries:
            self.empty("", root, 0)
            return
        if root.flow:
            self.open_list(None, root)
        for number, entry in enumerate(root.entries):
            apart = entry.blank or any(c.blank for c in entry.leading)
            if number and not apart and not self.describes(entry):
                self.blank()
            self.entry(entry, 0, "")
        self.comments(root.end, 0)

    def entry(self, entry: Entry, indent: int, prefix: str) -> None:
        """One entry; with a `prefix` it begins behind the dash of the list around."""
        if not prefix:
            self.comments(entry.leading, indent)
            if entry.blank:
                self.blank()
            prefix = " " * indent
        head = prefix + (_key(entry.key) + ":" if entry.key else "-")
        value = entry.value
        if isinstance(value, Scalar):
            self.scalar(entry, value, head, indent)
        else:
            self.collection(entry, value, head, indent)
        self.comments(entry.below, indent + 2)

    def scalar(self, entry: Entry, value: Scalar, head: str, indent: int) -> None:
        if value.is_empty:
            self.head(head, [*entry.mid, *_some(value.behind)], indent)
            return
        first, *more = written(value, indent + 2)
        start, behind = self.start(entry, head, indent, value.behind)
        on_first = behind if not more or value.style in ("|", ">") else None
        self.line(start + first, on_first)
        if more:
            self.lines += more[:-1]
            self.line(more[-1], None if on_first else behind)
        self.sealed = ends_blank(value)

    def start(
        self, entry: Entry, head: str, indent: int, behind: Comment | None
    ) -> tuple[str, Comment | None]:
        """What stands in front of a value in its line, and the comment behind it."""
        mid = entry.mid
        if not mid and not _is_cut_off(entry, indent):
            return head + " ", behind
        if len(mid) == 1 and not mid[0].own and behind is None:
            return head + " ", mid[0]
        self.head(head, mid, indent)
        return " " * (indent + 2), behind

    def head(self, head: str, mid: list[Comment], indent: int) -> None:
        """A key or dash alone in its line, and the comments before its value."""
        first = mid[0] if mid and not mid[0].own else None
        self.line(head, first)
        self.comments(mid[1:] if first else mid, indent + 2)

    def collection(
        self, entry: Entry, value: Collection, head: str, indent: int
    ) -> None:
        was_flow = value.flow
        if value.flow and not value.entries:
            start, behind = self.start(entry, head, indent, value.behind)
            value.behind = behind
            self.empty(start, value, indent + 2)
            return
        if value.flow:
            text = flow_text(value)
            alone = len(entry.mid) > 1 or any(c.own or value.behind for c in entry.mid)
            room = WIDTH - (indent + 2 if alone else len(head) + 1)
            if text is not None and _stays(entry, value, len(text) <= room, indent):
                start, behind = self.start(entry, head, indent, value.behind)
                if value.blank and not start.strip():
                    self.blank()
                self.line(start + text, behind)
                return
            self.open_list(entry, value, rule=value.mapping and indent == 2)
        prefix = head + " "
        if entry.key or entry.mid or _is_cut_off(entry, indent):
            self.head(head, entry.mid, indent)
            prefix = ""
            self.apart = was_flow and not value.mapping and self.ends_in_comment()
            if value.blank:
                self.blank()
        for inner in value.entries:
            self.entry(inner, indent + 2, prefix)
            prefix = ""
        self.comments(value.end, indent + 2)
        self.apart |= was_flow and bool(value.end)

    def describes(self, entry: Entry) -> bool:
        """Whether the comment so far goes on to a list of rules in its key's line."""
        value = entry.value
        if isinstance(value, Scalar) or not value.flow or value.mapping:
            return False
        if entry.key is None or entry.key.line != value.last_line:
            return False
        rules = any(isinstance(each.value, Collection) for each in value.entries)
        return rules and self.ends_in_comment()

    def ends_in_comment(self) -> bool:
        return self.lines[-1].lstrip().startswith("#")

    def empty(self, start: str, value: Collection, indent: int) -> None:
        """`[]` or `{}`, or over several lines if comments are all that is in it."""
        left, right = "{}" if value.mapping else "[]"
        if not value.opening and not value.end:
            self.line(start + left + right, value.behind)
            return
        self.line(start + left, value.opening)
        self.comments(value.end, indent)
        self.line(" " * indent + right, value.behind)

    def open_list(
        self, entry: Entry | None, value: Collection, *, rule: bool = False
    ) -> None:
        """Finds the comments of a flow collection their places in a block."""
        first, last = value.entries[0], value.entries[-1].value
        behind = value.behind
        moved = _some(value.opening)
        if behind is not None and value.has_inner_comments:
            if last.behind is None and last.last_line == behind.line:
                last.behind = behind
            else:
                value.end.append(behind)
        elif behind is not None:
            moved.append(behind)
        value.opening = value.behind = None
        if entry is not None and entry.key is not None:
            entry.mid += moved
        elif entry is not None and first.leading and not rule:
            entry.mid += moved + first.leading
            first.leading = []
        elif entry is not None:
            first.mid[:0] = moved + first.leading
            first.leading = []
        else:
            first.leading[:0] = moved


def flow_text(value: Collection) -> str | None:
    """The collection in one line; None if a comment or a text needs more."""
    if value.opening or value.end:
        return None
    parts = []
    for entry in value.entries:
        inner = entry.value
        if entry.leading or entry.mid or inner.behind:
            return None
        text = one_line(inner) if isinstance(inner, Scalar) else flow_text(inner)
        if text is None:
            return None
        parts.append(f"{_key(entry.key)}: {text}" if entry.key else text)
    inside = ", ".join(parts)
    return f"{{{inside}}}" if value.mapping else f"[{inside}]"


def _stays(entry: Entry, value: Collection, fits: bool, indent: int) -> bool:
    """Whether a flow collection that has no comment inside stays one.

    It does where it fits, and where a block would win nothing, as for `ssh: {hostKey:
    "ssh-ed25519 AAAA…"}`. A section's list of rules stays in its key's line if a
    comment above has to go on describing the rules, and gets no description by
    being moved up there.
    """
    rules = not indent and any(isinstance(e.value, Collection) for e in value.entries)
    if rules and not value.mapping and entry.key is not None:
        one_line = entry.key.line == value.last_line
        described = bool(entry.leading) and not entry.blank
        return one_line and (fits or described)
    single = len(value.entries) == 1 and isinstance(value.entries[0].value, Scalar)
    return fits or single


def _is_cut_off(entry: Entry, indent: int) -> bool:
    """Whether a blank line below its dash keeps a rule from having a description."""
    value = entry.value
    if isinstance(value, Scalar) or entry.key or entry.mid:
        return False
    return indent == 2 and value.blank


def _key(key: Scalar) -> str:
    text = one_line(key)
    return text if text is not None else key.value


def _some(comment: Comment | None) -> list[Comment]:
    return [comment] if comment is not None else []
