"""A change of several files: proven, shown as one diff, written whole.

Edits of YAML text are not trusted. `change_of` makes every edit twice, in the text and
in the data, and refuses unless both agree; `prove` loads the whole tailnet as it would
be, and every other tailnet of the repository that reads one of the files, and refuses
what would bring a new error.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgit.edit.entries import Edit, applied, plain
from tailgit.edit.files import Replacement, replace_files
from tailgit.edit.spans import rewritten
from tailgit.edit.tree import (
    Tree,
    editable,
    judged,
    new_errors,
    other_roots,
    raw,
)
from tailgit.errors import InvalidTailnet, Refused
from tailgit.load import Loaded
from tailgit.load.source import Entry, Source
from tailgit.model.text import shown


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after, by its path from the top; None = there is none."""

    file: str
    before: bytes | None
    after: bytes | None
    like: str | None = None

    @property
    def word(self) -> str:
        if self.before is None:
            return "new"
        return "deleted" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """Files of one repository that change together."""

    top: Path
    files: tuple[FileChange, ...] = ()

    def diff(self) -> str:
        """All of it as one unified diff, fit for a terminal and for `git apply`."""
        return "".join(line for each in self.files for line in _diff(each))

    def write(self) -> None:
        """Writes all files or none, see `files.replace_files`."""
        replace_files(
            [
                Replacement(
                    self.top / each.file,
                    each.before,
                    each.after,
                    self.top / each.like if each.like else None,
                )
                for each in self.files
            ]
        )


def change_of(tree: Tree, edits: Mapping[str, Sequence[Edit]]) -> Change:
    """What the edits, by file, make of the files; those without effect are left out."""
    files = []
    for file, wanted in sorted(edits.items()):
        editable(file, tree.documents[file], _paths(wanted))
        before = tree.data(file)
        after = _edited(file, before, wanted)
        if after != before:
            files.append(FileChange(file, before, after))
    return Change(tree.top, tuple(files))


def _edited(file: str, before: bytes, edits: Sequence[Edit]) -> bytes:
    expected = applied(plain(raw(before, file)), edits)
    try:
        after = rewritten(before.decode("utf-8"), edits).encode()
    except Refused as error:
        raise Refused(
            f"{shown(file)} can't be edited: {error.message}",
            error.help or f"change {shown(_paths(edits))} by hand",
        ) from None
    if plain(raw(after, file)) != expected:
        raise Refused(
            f"{shown(file)} is written in a way that can't be edited safely",
            f"change {shown(_paths(edits))} by hand",
        )
    return after


def _paths(edits: Iterable[Edit]) -> str:
    paths = [".".join(map(str, edit.path)) for edit in edits]
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(f"`{path}`" for path in paths[:3]) + more


def prove(
    tree: Tree,
    change: Change,
    words: Mapping[str, str] | None = None,
    passed_over: Collection[str] = (),
) -> tuple[Loaded, tuple[str, ...]]:
    """The tailnet as it would be, and the other roots that see a changed file.

    `InvalidTailnet` with the new errors, if there are any; `Refused` if they are in
    another root. `words` are names that the change gives to what had other ones;
    errors with a code that is `passed_over` are somebody else's matter.
    """
    words = words or {}
    after = Edited(tree.source, change)
    loaded, findings = judged(after, tree.root)
    found = new_errors(tree.findings, findings, words=words)
    found = tuple(each for each in found if each.code not in passed_over)
    if found:
        raise InvalidTailnet(found)
    others = other_roots(tree, [each.file for each in change.files])
    for root in others:
        before = judged(tree.source, root)[1]
        found = new_errors(before, judged(after, root)[1], words=words)
        if found:
            raise Refused(
                f"the tailnet in {shown(root) or 'the top folder'} reads one of the "
                f"files, too, and would not be valid: {shown(str(found[0].place))}: "
                f"{shown(found[0].message)}",
                "mend that first, by hand: an edit changes one tailnet",
            )
    return loaded, others


class Edited:
    """A source as a change would make it."""

    commit: str | None = None

    def __init__(self, below: Source, change: Change) -> None:
        self._below = below
        self._files = {each.file: each.after for each in change.files}

    def entries(self, below: str) -> Sequence[Entry]:
        found = {entry.path: entry for entry in self._below.entries(below)}
        for path in self._files:
            if not below or path.startswith(f"{below}/"):
                entry = self.entry(path)
                if entry is None:
                    found.pop(path, None)
                else:
                    found[path] = entry
        return sorted(found.values(), key=lambda entry: os.fsencode(entry.path))

    def entry(self, path: str) -> Entry | None:
        if path not in self._files:
            return self._below.entry(path)
        after = self._files[path]
        return None if after is None else Entry(path, "file", len(after))

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        wanted = list(paths)
        found = self._below.read(path for path in wanted if path not in self._files)
        changed = {
            path: self._files[path] or b"" for path in wanted if path not in found
        }
        return {**found, **changed}

    def beginnings(self, paths: Sequence[str], most: int) -> Iterator[bytes]:
        for path in paths:
            if path in self._files:
                yield (self._files[path] or b"")[:most]
            else:
                yield from self._below.beginnings([path], most)


def _diff(change: FileChange) -> Iterator[str]:
    file = shown(change.file)
    before, after = _lines(change.before), _lines(change.after)
    names = (
        f"a/{file}" if change.before is not None else "/dev/null",
        f"b/{file}" if change.after is not None else "/dev/null",
    )
    for number, line in enumerate(difflib.unified_diff(before, after, *names)):
        if number < 2:
            yield line
            continue
        text = line.rstrip("\r\n")
        end = line[len(text) :]
        yield "\t".join(map(shown, text.split("\t"))) + (
            end or "\n\\ No newline at end of file\n"
        )


def _lines(data: bytes | None) -> list[str]:
    """Lines as an editor counts them: a form feed or NEL in a comment ends none."""
    text = (data or b"").decode("utf-8", "replace")
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")
    return lines if lines[-1] else lines[:-1]
