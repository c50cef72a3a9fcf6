"""What still names a device or a person after an edit: comments, and other text.

Comments are for people, so they are left and listed. Text that is no reference, such
as a description, is listed too; but a login that is left in a field after its person
is gone would be access, so that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml.nodes import Node, ScalarNode

from tailgit.edit.change import Change, Edited
from tailgit.edit.tree import Tree, raw
from tailgit.errors import Refused
from tailgit.load.located import Items, Map
from tailgit.model.findings import Place
from tailgit.model.text import shown

_COMMENT = re.compile(r"(?:^|(?<=[ \t\n]))#[^\n]*", re.MULTILINE)
_SEARCHED = 1 << 20
"""Bytes of each file that is no part of the tailnet, but may mention a person."""


@dataclass(frozen=True, slots=True)
class Note:
    """A place that was left as it is, and why it is worth a look."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{shown(str(self.place))}: {shown(self.text)}"


def device_notes(tree: Tree, change: Change, name: str) -> Iterator[Note]:
    """Comments, and text that is no reference, with the device's name or address."""
    word = _word(name)
    tailnet = tree.loaded.tailnet or tree.loaded.partial
    device = tailnet.devices.get(name) if tailnet is not None else None
    addresses = {str(each) for each in device.addresses} if device else set()
    for file, text, document in _after(tree, change):
        for place in _in_comments(file, text, word):
            yield Note(place, f"a comment mentions `{name}`")
        for path, value in _scalars(document):
            if word.search(value) and "formerly" not in path:
                yield Note(document.at(*path), f"`{value}` mentions `{name}`")
            elif any(address in value for address in addresses):
                yield Note(document.at(*path), f"`{value}` is an address of `{name}`")


def user_notes(tree: Tree, change: Change, login: str) -> list[Note]:
    """Comments with the login; `Refused` if anything else still has it."""
    word = _word(login)
    notes, left = list[Note](), list[Place]()
    after = list(_after(tree, change))
    for file, text, document in after:
        said = f"a comment mentions `{login}`"
        notes += [Note(place, said) for place in _in_comments(file, text, word)]
        left += [
            document.at(*path)
            for path, value in _scalars(document)
            if word.search(value)
        ]
    if left:
        places = ", ".join(shown(str(place)) for place in left[:8])
        raise Refused(
            f"`{shown(login)}` is also written where it is no reference: {places}",
            "take it out there by hand first",
        )
    parts = {file for file, _, _ in after}
    notes += _elsewhere(tree, change, parts, login)
    return notes


def _elsewhere(
    tree: Tree, change: Change, parts: set[str], login: str
) -> Iterator[Note]:
    """Files below the root that are no part of the tailnet: excluded, or no YAML."""
    source = Edited(tree.source, change)
    others = [
        entry.path
        for entry in source.entries(tree.root)
        if entry.kind == "file" and entry.path not in parts
    ]
    word = _word(login)
    beginnings = source.beginnings(others, _SEARCHED)
    for file, data in zip(others, beginnings, strict=True):
        if login.encode() not in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
            found = word.search(line)
            if found:
                place = Place(file, number, found.start() + 1)
                yield Note(place, f"`{login}` is mentioned; no part of the tailnet")


def _word(name: str) -> re.Pattern[str]:
    """The name, but not as a part of a longer one."""
    return re.compile(
        rf"(?<![\w.+@-]){re.escape(name)}(?![\w@-]|\.\w+@)"
        if "@" not in name
        else rf"(?<![\w.+-]){re.escape(name)}(?![\w-]|\.\w)",
        re.IGNORECASE,
    )


def _after(tree: Tree, change: Change) -> Iterator[tuple[str, str, Map]]:
    """Every document as the change makes it: file, text, data."""
    changed = {each.file: each.after for each in change.files}
    files = {*tree.documents, *changed}
    for file in sorted(files):
        data = changed[file] if file in changed else tree.data(file)
        if data is not None:
            yield file, data.decode("utf-8-sig"), raw(data, file)


def _in_comments(file: str, text: str, word: re.Pattern[str]) -> Iterator[Place]:
    if file.endswith(".json") or not word.search(text):
        return
    for start, comment in comments(text):
        found = word.search(comment)
        if found:
            index = start + found.start()
            line = text.count("\n", 0, index) + 1
            yield Place(file, line, index - text.rfind("\n", 0, index))


def comments(text: str) -> Iterator[tuple[int, str]]:
    """The comments of a YAML text, with where they begin."""
    spans = sorted(_scalar_spans(yaml.compose(text, Loader=yaml.CSafeLoader)))
    index = 0
    for start, end in [*spans, (len(text), len(text))]:
        for comment in _COMMENT.finditer(text, index, start):
            yield comment.start(), comment[0]
        index = max(index, end)


def _scalar_spans(node: Node | None) -> Iterator[tuple[int, int]]:
    if isinstance(node, ScalarNode):
        if node.start_mark is not None and node.end_mark is not None:
            yield node.start_mark.index, node.end_mark.index
    elif node is not None:
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                yield from _scalar_spans(each)


def _scalars(
    value: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of a document with its path; of an entry, also the key."""
    if isinstance(value, Map):
        for key, inner in value.items():
            yield (*path, key), key
            yield from _scalars(inner, (*path, key))
    elif isinstance(value, Items):
        for number, inner in enumerate(value):
            yield from _scalars(inner, (*path, number))
    elif isinstance(value, str):
        yield path, value
