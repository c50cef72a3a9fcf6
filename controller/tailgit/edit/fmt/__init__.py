"""The one canonical way to write a tailnet's YAML.

Only blanks, line breaks, the kind of quotes and the choice between brackets and block
change; keys, entries, comments and what is text stay, in their order. That is not
taken on trust: the new text is read again and must say the same as the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tailgit.edit.fmt.reader import comments_of, read_file
from tailgit.edit.fmt.writer import write_file
from tailgit.errors import SourceError
from tailgit.load.decode import decode
from tailgit.load.located import Items, Map, Quoted
from tailgit.load.remarks import comment_above
from tailgit.load.unite import Document
from tailgit.load.whole import foreign, is_foreign
from tailgit.load.yaml import read_yaml
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

__all__ = ["formatted"]


def formatted(
    data: bytes, file: str, findings: list[Finding], root: str | None = None
) -> bytes | None:
    """The canonical bytes of a YAML file; None, with findings, if it can't be read.

    With the `root` of a tailnet, a file without any section of one can't be read: it
    belongs to some other program, whose YAML may be more than ours.
    `SourceError` if the new text would not say the same: a fault of ours, or a
    comment that has no place in the canonical form.
    """
    found: list[Finding] = []
    before = read_yaml(data, file, found)
    if root is not None and before is not None and _is_foreign(before, found):
        place = before.key(next(iter(before))) if before else Place(file)
        findings.append(foreign(place, root))
        return None
    findings.extend(found)
    if before is None or any(finding.is_error for finding in found):
        return None
    text = decode(data, file, [])
    assert text is not None  # read_yaml has decoded it, too
    text = text.replace("\r\n", "\n")
    after_text = write_file(read_file(text))
    after = after_text.encode()
    _must_say_the_same(text, before, after_text, after, file)
    return after


def _is_foreign(sections: Map, found: list[Finding]) -> bool:
    odd_key = any(each.code == "yaml-key" for each in found)  # `on: push`
    return is_foreign(sections) or (odd_key and not sections)


def _must_say_the_same(
    text: str, before: Map, after_text: str, after: bytes, file: str
) -> None:
    found: list[Finding] = []
    again = read_yaml(after, file, found)
    if again is None or found or _data(before) != _data(again):
        raise _cannot(file, "its values", "write its long lines as a block by hand")
    if comments_of(text) != comments_of(after_text):
        raise _cannot(file, "its comments", "give its comments lines of their own")
    pairs = zip(
        _descriptions(text, before), _descriptions(after_text, again), strict=True
    )
    for (at, described), (_, anew) in pairs:
        if described != anew:
            what = f"the description of the rule in line {at.line}"
            help_ = "put each rule on lines of its own, its comment directly above it"
            raise _cannot(file, what, help_)


def _cannot(file: str, what: str, help_: str) -> SourceError:
    return SourceError(
        f"{shown(file)} can't be formatted without changing {what}", help_
    )


def _data(value: Any) -> Any:
    """A document as comparable values: order and quotes count, places do not."""
    if isinstance(value, Map):
        return "map", [(key, _data(inner)) for key, inner in value.items()]
    if isinstance(value, Items):
        return "list", [_data(inner) for inner in value]
    return "quoted" if isinstance(value, Quoted) else "plain", str(value)


def _descriptions(text: str, document: Map) -> Iterator[tuple[Place, str]]:
    """What `load` takes for the description of each mapping in a section's list."""
    whole = Document(document.file, document, text.split("\n"))
    for section in document.values():
        if not isinstance(section, Items):
            continue
        for index, item in enumerate(section):
            if isinstance(item, Map):
                at = section.at(index)
                yield at, comment_above(whole, at)
