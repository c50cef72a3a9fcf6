"""`exclude`: paths below the root that are no part of the tailnet.

`*` stands for any text without `/`, and an entry for what lies below it, too. A
pattern comes from strangers, so matching never tries again: between two stars the
first place that fits is as good as any later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tailgit.load.located import Items, Map
from tailgit.model.codes import finding
from tailgit.model.findings import Finding

MAX_STARRED = 100


@dataclass(slots=True)
class Globs:
    """The entries of `exclude`; `used` are those that have matched a path so far."""

    plain: set[str] = field(default_factory=set)
    starred: dict[str, list[list[str]]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, sections: Map | None, findings: list[Finding]) -> Globs:
        """What tailnet.yaml excludes; too many stars are a finding."""
        globs = cls()
        excludes = sections.get("exclude") if sections is not None else None
        if sections is None or not isinstance(excludes, Items):
            return globs
        for text in excludes:
            if not isinstance(text, str):
                continue  # the schema has said so
            path = text.removesuffix("/")
            if "*" in path:
                globs.starred[path] = [part.split("*") for part in path.split("/")]
            else:
                globs.plain.add(path)
        if len(globs.starred) > MAX_STARRED:
            at = sections.key("exclude")
            message = f"{len(globs.starred)} entries with `*`; {MAX_STARRED} may be"
            help_ = "name folders instead of files"
            findings.append(finding("too-large", at, message, help_))
            globs.starred.clear()
        return globs

    def is_used(self, text: str) -> bool:
        """Whether an entry, as it is written, has matched."""
        return text.removesuffix("/") in self.used

    def match(self, path: str) -> bool:
        """Whether an entry names the path or a folder that it lies in."""
        found = self.plain.intersection(around(path)) if self.plain else set()
        names = path.split("/") if self.starred else []
        for text, parts in self.starred.items():
            if len(parts) <= len(names) and all(map(fits, parts, names)):
                found.add(text)
        self.used |= found
        return bool(found)


def around(path: str) -> Iterator[str]:
    """The folders that a path lies in, outermost first, and the path itself."""
    index = path.find("/")
    while index >= 0:
        yield path[:index]
        index = path.find("/", index + 1)
    yield path


def fits(pieces: list[str], name: str) -> bool:
    """Whether a name is the pieces with any text between them, in linear time."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return name == first
    if not name.startswith(first) or not name.endswith(last):
        return False
    index, end = len(first), len(name) - len(last)
    for piece in pieces[1:-1]:
        index = name.find(piece, index, end)
        if index < 0:
            return False
        index += len(piece)
    return index <= end
