"""Edits of YAML text: whatever the style, what is meant changes and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.edit.entries import (
    Append,
    Edit,
    Path,
    Put,
    Remove,
    Rename,
    applied,
    needed,
    plain,
)
from tailgit.edit.spans import rewritten
from tailgit.edit.tree import raw
from tailgit.errors import Refused

CASES: dict[str, tuple[str, list[Edit], str]] = {
    "an entry with its comments": (
        "a:\n  # about x\n  # more\n  x: 1  # why\n    # deeper\n  # about y\n  y: 2\n",
        [Remove(("a", "x"))],
        "a:\n  # about y\n  y: 2\n",
    ),
    "one stretch of blank lines stays": (
        "a:\n  x: 1\n\n  y: 2\n\n  z: 3\n",
        [Remove(("a", "y"))],
        "a:\n  x: 1\n\n  z: 3\n",
    ),
    "a comment apart stays": (
        "a:\n  # --- all of them ---\n\n  x: 1\n  y: 2\n",
        [Remove(("a", "x"))],
        "a:\n  # --- all of them ---\n\n  y: 2\n",
    ),
    "the last one at the end of the file": (
        "a:\n  x: 1\n\n  y: 2\n",
        [Remove(("a", "y"))],
        "a:\n  x: 1\n",
    ),
    "no entry left": (
        "a:  # ours\n  x: 1\n  y: {}\nb: 2\n",
        [Remove(("a", "x")), Remove(("a", "y"))],
        "a: {}  # ours\nb: 2\n",
    ),
    "no item left, without indentation": (
        "a:\n- x\nb:\n- y\n",
        [Remove(("a", 0))],
        "a: []\nb:\n- y\n",
    ),
    "an item of blocks": (
        "a:\n  - src: [x]\n    dst: [y]\n  # next\n  - src: [z]\n",
        [Remove(("a", 0))],
        "a:\n  # next\n  - src: [z]\n",
    ),
    "a dash on its own line": (
        "a:\n  -\n    x: 1\n  - y: 2\n",
        [Remove(("a", 0))],
        "a:\n  - y: 2\n",
    ),
    "an entry on the line of the dash": (
        "a:\n  - x: 1\n    y: 2\n",
        [Remove(("a", 0, "x"))],
        "a:\n  - y: 2\n",
    ),
    "first, middle and last in flow": (
        "a: [x, y, z]\nb: [x, y, z]\nc: [x, y, z]\n",
        [Remove(("a", 0)), Remove(("b", 1)), Remove(("c", 2))],
        "a: [y, z]\nb: [x, z]\nc: [x, y]\n",
    ),
    "all but one in flow": (
        "a: {x: 1, y: 2, z: 3, }\nb: [x, y, z]\n",
        [Remove(("a", "x")), Remove(("a", "z")), Remove(("b", 1)), Remove(("b", 2))],
        "a: {y: 2, }\nb: [x]\n",
    ),
    "all in flow": ("a: [x, y]\n", [Remove(("a", 0)), Remove(("a", 1))], "a: []\n"),
    "flow over lines": (
        "a: [\n  x,  # one\n  # two\n  y,\n  z  # three\n]\n",
        [Remove(("a", 1))],
        "a: [\n  x,  # one\n  z  # three\n]\n",
    ),
    "the last in flow over lines": (
        "a: [\n  x,\n  z  # three\n]\n",
        [Remove(("a", 1))],
        "a: [\n  x,\n]\n",
    ),
    "behind a block scalar": (
        "a: |\n  text\n  # no comment\nb: 1\n",
        [Remove(("b",))],
        "a: |\n  text\n  # no comment\n",
    ),
    "blank lines that are text": (
        "a:\n  x: |+\n    text\n\n  y: 2\n",
        [Remove(("a", "y"))],
        "a:\n  x: |+\n    text\n\n",
    ),
    "a block scalar": (
        "a: 1\nb: |\n  text\n\n# about c\nc: 2\n",
        [Remove(("b",))],
        "a: 1\n\n# about c\nc: 2\n",
    ),
    "keys": (
        "a: {'x': 1, \"y\": 2, z: 3}\n",
        [Rename(("a", "x"), "u"), Rename(("a", "y"), "v"), Rename(("a", "z"), "on")],
        'a: {\'u\': 1, "v": 2, "on": 3}\n',
    ),
    "a word inside of a text keeps its quotes": (
        "a: ['old:22', old:22, \"old:22\", old]\n",
        [Put(("a", n), "new:22") for n in range(3)],
        "a: ['new:22', new:22, \"new:22\", old]\n",
    ),
    "added": (
        "a: []\nb: [x]\nc:\n  - x  # why\nd: {}\n",
        [Append((each,), "new") for each in "abc"] + [Put(("d", "k"), 3)],
        "a: [new]\nb: [x, new]\nc:\n  - x  # why\n  - new\nd: {k: 3}\n",
    ),
    "a number, a list, a mapping": (
        "d:\n  x: 1\n",
        [
            Put(("d", "slot"), 3),
            Put(("d", "formerly"), ("a", "null")),
            Put(("d", "ssh"), {"host": "h", "port": 22}),
        ],
        'd:\n  x: 1\n  slot: 3\n  formerly: [a, "null"]\n  ssh: {host: h, port: 22}\n',
    ),
    "a list for a list": (
        "a: [x]\nb:\n  - x\nc: 1\n",
        [Put(("a",), ("p", "q")), Put(("b",), ("p",))],
        "a: [p, q]\nb: [p]\nc: 1\n",
    ),
    "byte order mark and CR LF": (
        "\ufeffa:\r\n  # x\r\n  x: 1\r\n  y: 2\r\n",
        [Remove(("a", "x")), Put(("a", "z"), "3")],
        "\ufeffa:\r\n  y: 2\r\n  z: 3\r\n",
    ),
    "inside of what goes": (
        "a: [[x], [y]]\n",
        [Remove(("a", 0, 0)), Remove(("a", 0)), Remove(("a", 0))],
        "a: [[y]]\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_edit(case: str) -> None:
    """The new text, byte for byte, and the data that was meant."""
    before, edits, after = CASES[case]
    assert rewritten(before, edits) == after
    meant = applied(plain(raw(before.encode(), "f.yaml")), edits)
    assert plain(raw(after.encode(), "f.yaml")) == meant


REFUSED: dict[str, tuple[str, Edit]] = {
    "no such entry": ("a: 1\n", Remove(("b",))),
    "no such item": ("a: [x]\n", Remove(("a", 1))),
    "nothing to be in": ("a: 1\n", Remove(("a", "b"))),
    "a mapping for a text": ("a: {b: 1}\n", Put(("a",), "x")),
    "comments in a list": ("a:\n  - x\n  # why\n  - y\n", Put(("a",), ("z",))),
    "nothing left without a key": ("a:\n  - - x\n", Remove(("a", 0, 0))),
    "a control character": ("a: 1\n", Put(("a",), "x\ny")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """What can't be edited is said, not guessed."""
    text, edit = REFUSED[case]
    with pytest.raises(Refused):
        rewritten(text, [edit])


@dataclass
class Written:
    """A random document: its text, and whose each comment is."""

    text: str = ""
    comments: dict[str, Path] = field(default_factory=dict)
    values: list[Path] = field(default_factory=list)
    items: list[Path] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)
    maps: list[Path] = field(default_factory=list)


class Writer:
    """Writes random data in random styles, with comments that know their owner."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.done = Written()
        self.count = 0

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def comment(self, path: Path) -> str:
        if self.draw(st.integers(0, 3)):
            return ""
        name = f"# c{len(self.done.comments)}."
        self.done.comments[name] = path
        return name

    def word(self) -> str:
        self.count += 1
        styles = ["w{}", "w{}", "'w{}'", '"w{} #x"', "tag:w{}", "w {}"]
        return self.draw(st.sampled_from(styles)).format(self.count)

    def mapping(self, path: Path, indent: str, depth: int) -> None:
        self.done.maps.append(path)
        for number in range(self.draw(st.integers(1, 3))):
            key = f"k{number}"
            here = (*path, key)
            if number or path:
                self.above(here, indent)
            self.done.text += f"{indent}{key}:"
            self.value(here, indent, depth)

    def above(self, path: Path, indent: str) -> None:
        if self.draw(st.integers(0, 4)) == 0:
            self.done.text += "\n"
        comment = self.comment(path)
        if comment:
            self.done.text += f"{indent}{comment}\n"

    def end(self, path: Path) -> None:
        comment = self.comment(path)
        self.done.text += f"  {comment}\n" if comment else "\n"

    def value(self, path: Path, indent: str, depth: int) -> None:
        self.done.items.append(path)
        kind = self.draw(st.sampled_from(["text", "block", "flow", "list", "map"]))
        if kind == "map" and depth:
            self.end(path)
            self.mapping(path, indent + "  ", depth - 1)
        elif kind == "list" and depth:
            self.end(path)
            self.sequence(path, indent + ("  " if self.flag() else ""), depth - 1)
        elif kind == "flow":
            self.done.text += " "
            self.flow(path, indent, 1)
            self.end(path)
        elif kind == "block":
            mark = self.draw(st.sampled_from(["|", ">-", "|+"]))
            self.done.text += f" {mark}\n{indent}  text {self.word()}\n"
            self.done.text += "\n" if self.flag() else f"{indent}  # text\n"
        else:
            self.done.text += f" {self.word()}"
            self.done.values.append(path)
            self.end(path)

    def sequence(self, path: Path, indent: str, depth: int) -> None:
        self.done.lists.append(path)
        for number in range(self.draw(st.integers(1, 3))):
            here = (*path, number)
            self.above(here, indent)
            self.done.items.append(here)
            if depth and self.flag():
                self.done.text += f"{indent}- k: {self.word()}\n"
                self.done.text += f"{indent}  l: {self.word()}\n"
            else:
                self.done.text += f"{indent}- {self.word()}"
                self.done.values.append(here)
                self.end(here)

    def flow(self, path: Path, indent: str, depth: int) -> None:
        is_map, lines = self.flag(), self.flag()
        (self.done.maps if is_map else self.done.lists).append(path)
        self.done.text += "{" if is_map else "["
        count = self.draw(st.integers(0, 3))
        for number in range(count):
            here: Path = (*path, f"k{number}" if is_map else number)
            if lines:
                self.done.text += "\n"
                self.above(here, indent + "    ")
                self.done.text += indent + "    "
            self.done.items.append(here)
            self.done.text += f"k{number}: " if is_map else ""
            if depth and self.draw(st.integers(0, 3)) == 0:
                self.flow(here, indent + "    ", 0)
            else:
                self.done.text += self.word()
                self.done.values.append(here)
            if number < count - 1 or self.flag():
                self.done.text += "," if lines else ", "
            comment = self.comment(here) if lines else ""
            self.done.text += f"  {comment}" if comment else ""
        self.done.text += f"\n{indent}  " if lines and count else ""
        self.done.text += "}" if is_map else "]"


@st.composite
def documents(draw: st.DrawFn) -> tuple[Written, list[Edit]]:
    """A document and edits that do not get in each other's way."""
    writer = Writer(draw)
    writer.mapping((), "", 3)
    done = writer.done
    inner = [path for path in done.items if len(path) > 1]
    edits: list[Edit] = []
    if inner:
        edits += map(Remove, draw(st.lists(st.sampled_from(inner), max_size=4)))
    gone = {edit.path for edit in edits}
    free = {
        path
        for path in [*done.values, *done.maps, *done.lists]
        if not any(path[:n] in gone for n in range(len(path) + 1))
        and not any(each[:-1] == path for each in gone)
    }
    for path in draw(st.lists(st.sampled_from(sorted(free, key=str)), unique=True)):
        if path in done.values:
            edits.append(Put(path, f"new{len(edits)}"))
        elif path in done.lists:
            edits.append(Append(path, f"new{len(edits)}"))
        else:
            edits.append(Put((*path, "new"), len(edits)))
    if draw(st.booleans()):
        done.text = done.text.replace("\n", "\r\n")
    return done, edits


HONEST = ("an entry shares its line with a dash", "a comma stands behind a comment")


@given(documents())
@settings(max_examples=max(400, settings().max_examples))
def test_only_what_is_meant_changes(case: tuple[Written, list[Edit]]) -> None:
    """The data is as meant; comments go with their owners alone; lines stay."""
    written, edits = case
    before = plain(raw(written.text.encode(), "f.yaml"))
    try:
        after = rewritten(written.text, edits)
    except Refused as error:
        if error.message not in HONEST:
            raise
        return
    assert plain(raw(after.encode(), "f.yaml")) == applied(before, edits), after
    gone = {edit.path for edit in needed(edits) if isinstance(edit, Remove)}
    for comment, owner in written.comments.items():
        removed = any(owner[:n] in gone for n in range(len(owner) + 1))
        if not removed:
            assert comment in after, (comment, owner, written.text, edits, after)
    old = written.text.split("\n")
    index, touched = 0, 0
    for line in after.split("\n"):
        if line in old[index:]:
            index = old.index(line, index) + 1
        else:
            touched += 1
    assert touched <= len(edits) + 1, (written.text, edits, after)
    if not edits:
        assert after == written.text
