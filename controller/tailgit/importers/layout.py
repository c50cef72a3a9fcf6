"""From the tree of a HuJSON file to one that the formatter writes as we write YAML.

Sections are blocks, what stands in them is in braces where that fits a line. The
comments of a rule that does not fit move so that none becomes the description of a
rule that it did not describe.
"""

from __future__ import annotations

from tailgit.edit.fmt import formatted
from tailgit.edit.fmt.tree import Collection, Comment, Entry, File, Scalar
from tailgit.edit.fmt.writer import write_file
from tailgit.errors import SourceError
from tailgit.model.findings import Finding

_SECTION, _RULE = 1, 2


def as_yaml(file: File) -> bytes:
    """The canonical text of a tree whose comments are YAML's."""
    if file.root is not None and file.root.entries:
        _lay_out(file.root, 0)
        file.head, file.root.entries[0].leading = _apart(file.head, file.root)
    text = write_file(file).encode()
    found: list[Finding] = []
    after = formatted(text, "policy.yaml", found)
    if after is None:
        first = next(iter(found), None)
        why = f": line {first.place.line}: {first.message}" if first else ""
        raise SourceError(
            f"the policy can't be written as YAML{why}",
            "shorten or plain-write that part of it, and import it again",
        )
    return after


def _apart(
    head: list[Comment], root: Collection
) -> tuple[list[Comment], list[Comment]]:
    """The comments above the document keep a blank line to those of its first section.

    What stood behind the opening brace belongs to the whole as well.
    """
    if root.opening is not None:
        root.opening.own = True
        head = [*head, root.opening]
        root.opening = None
    leading, first = root.entries[0].leading, root.entries[0]
    if head and leading:
        leading[0].blank = True
    elif head:
        first.blank = True
    return head, leading


def _lay_out(value: Collection, depth: int) -> None:
    ended_in_comment = False
    for number, entry in enumerate(value.entries):
        inner = entry.value
        if depth == _SECTION and ended_in_comment:
            _keep_apart(entry)
        ended_in_comment = False
        if isinstance(inner, Collection):
            here = depth + 1
            as_block = here <= _SECTION or inner.has_inner_comments
            if as_block and inner.entries:
                _open(entry, inner, in_list=not value.mapping)
                ended_in_comment = bool(inner.end)
            _lay_out(inner, here)
        elif entry.value.behind is not None and not value.flow:
            ended_in_comment = False
        if number == 0 and not value.flow and not entry.leading:
            entry.blank = False


def _open(entry: Entry, inner: Collection, *, in_list: bool) -> None:
    """Makes a block of it, whose comments stand where a block can hold them."""
    inner.flow = False
    if inner.behind is not None:
        inner.behind.own = True
        inner.end.append(inner.behind)
        inner.behind = None
    first = inner.entries[0]
    moved = [inner.opening] if inner.opening is not None else []
    inner.opening = None
    if not in_list:
        entry.mid += moved
        return
    moved += first.leading
    first.leading, first.blank = [], False
    for comment in moved:
        comment.own, comment.blank = True, False
    if len(inner.entries) > 1:
        inner.entries[1].leading[:0] = moved
    else:
        inner.end[:0] = moved


def _keep_apart(entry: Entry) -> None:
    """A blank line, so that a comment above does not describe what follows."""
    if entry.leading:
        entry.leading[0].blank = True
    else:
        entry.blank = True


def mapping(pairs: dict[str, Scalar | Collection], *, flow: bool = True) -> Collection:
    """A mapping made by us."""
    from tailgit.importers.remarks import quoted

    entries = [Entry(quoted(key), value, [], [], False) for key, value in pairs.items()]
    return Collection(flow, mapping=True, line=0, entries=entries)


def listing(values: list[Scalar | Collection], *, flow: bool = True) -> Collection:
    """A list made by us."""
    entries = [Entry(None, value, [], [], False) for value in values]
    return Collection(flow, mapping=False, line=0, entries=entries)


def remark(text: str) -> Comment:
    """A comment made by us, on a line of its own."""
    return Comment(f"# {text}", 0, 0, 0, own=True, blank=False)
