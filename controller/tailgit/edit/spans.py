"""Edits of YAML text: spans are replaced, every other byte stays.

The text is composed once for its marks; all edits become spans of it. Block style is
edited by lines, flow style (`[…]`, `{…}`) by what stands between the commas. YAML has
many ways to write one thing, so nothing here is trusted: `change.prove` loads what
came out and compares it with what was meant.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from tailgit.edit.entries import (
    WORDS,
    Append,
    Edit,
    Path,
    Put,
    Remove,
    Rename,
    Value,
    flow,
    needed,
    scalar,
)
from tailgit.edit.lines import (
    Span,
    line_end,
    own_lines,
    replaced,
    starts_line,
    with_blanks,
)
from tailgit.errors import Refused, SourceError
from tailgit.model.text import shown

BOM = "\ufeff"

_DASH = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*-")
_COLON = re.compile(r"[ \t]*:")
_COMMA = re.compile(r"[ \t]*(,)?[ \t]*")
_LATER_COMMA = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*,[ \t]*")
_TO_LINE_END = re.compile(r"[ \t]*,?[ \t\r]*(?:[ \t]#[^\n]*)?\n")
_WORD = re.compile(r"[A-Za-z0-9@.-]*")


@dataclass(frozen=True, slots=True)
class Child:
    """An entry of a mapping or an item of a list, with where its text is."""

    start: int
    end: int
    key: Node | None
    value: Node


def rewritten(text: str, edits: Iterable[Edit]) -> str:
    """The text of a file with the edits made; `Refused` where that can't be done."""
    mark = BOM if text.startswith(BOM) else ""
    return mark + _Page(text.removeprefix(BOM)).edited(needed(edits))


class _Page:
    """The text of one file and its nodes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.open = not text.endswith("\n")
        """Whether the last line needs a line break before another one may follow."""
        self.root: Node | None = yaml.compose(text, Loader=yaml.CSafeLoader)

    def edited(self, edits: Sequence[Edit]) -> str:
        spans: list[Span] = []
        removed: defaultdict[Path, set[int]] = defaultdict(set)
        added: defaultdict[Path, list[str]] = defaultdict(list)
        for edit in edits:
            holder = self.node(edit.path[:-1])
            if isinstance(edit, Append):
                added[edit.path].append(flow(edit.value))
            elif isinstance(edit, Put) and self.place(holder, edit.path[-1]) is None:
                key = scalar(str(edit.path[-1]), quoted=False)
                added[edit.path[:-1]].append(f"{key}: {flow(edit.value)}")
            else:
                number = self.place(holder, edit.path[-1])
                if number is None:
                    raise Refused(f"there is no {_shown(edit.path)} in the file")
                child = self.children(holder)[number]
                if isinstance(edit, Remove):
                    removed[edit.path[:-1]].add(number)
                elif isinstance(edit, Rename):
                    spans.append(self.renamed(child, edit.key))
                elif isinstance(edit, Put):
                    spans += self.put(child, edit.value)
        for path, numbers in removed.items():
            spans += self.without(path, numbers)
        for path in sorted(added, key=len, reverse=True):  # inner ones end first
            spans.append(self.with_more(self.node(path), added[path]))
        return replaced(self.text, spans)

    # Finding

    def node(self, path: Path) -> CollectionNode:
        found = self.root
        for step in path:
            number = self.place(found, step)
            if number is None or found is None:
                raise Refused(f"there is no {_shown(path)} in the file")
            entry = found.value[number]
            found = entry[1] if isinstance(entry, tuple) else entry
        if not isinstance(found, CollectionNode):
            raise Refused(f"{_shown(path)} is neither a mapping nor a list in the file")
        return found

    def place(self, node: Node | None, step: str | int) -> int | None:
        """The number of the child that a step of a path leads to."""
        if isinstance(node, MappingNode):
            for number, (key, _) in enumerate(node.value):
                if key.value == step:
                    return number
        elif isinstance(node, SequenceNode) and isinstance(step, int):
            return step if step < len(node.value) else None
        return None

    def children(self, node: CollectionNode) -> list[Child]:
        if isinstance(node, MappingNode):
            return [
                Child(_span(key)[0], max(_span(key)[1], _end(value)), key, value)
                for key, value in node.value
            ]
        found = []
        index = _span(node)[0]
        for value in node.value:
            start = _span(value)[0]
            if not node.flow_style:
                dash = _DASH.match(self.text, index)
                if dash is None:
                    raise Refused("a list has an item without a dash")
                start = dash.end() - 1
            index = max(_end(value), start + 1)
            found.append(Child(start, index, None, value))
        return found

    # Replacing

    def renamed(self, child: Child, key: str) -> Span:
        if child.key is None:
            raise Refused("an item of a list has no key")
        return self.over(child.key, key)

    def over(self, node: Node, value: str | int) -> Span:
        """Another scalar in the place of one, in quotes if that one is."""
        if not isinstance(node, ScalarNode):
            raise Refused("the field holds more than one value", "set it by hand")
        start, end = _span(node)
        raw, mark = self.text[start:end], ""
        if node.style in ("'", '"'):
            mark = node.style
        if raw == f"{mark}{node.value}{mark}" and isinstance(value, str):
            new = _alike(node.value, value)
            if new and (mark or value.lower() not in WORDS):
                return Span(start, end, f"{mark}{value}{mark}")
        tail = "\n" if raw.endswith("\n") else ""  # a block scalar
        return Span(start, end, scalar(value, quoted=bool(mark)) + tail)

    def put(self, child: Child, value: Value) -> list[Span]:
        """Another value in the place of one: a scalar, or a whole list."""
        if isinstance(value, (str, int)):
            return [self.over(child.value, value)]
        node = child.value
        start, end = _span(node)
        if not isinstance(node, SequenceNode) or not isinstance(value, (list, tuple)):
            raise Refused("the field holds something else", "set it by hand")
        if not node.flow_style:
            start, end = self.behind_key(child.key), _end(node)
        if "#" in self.text[start:end]:
            raise Refused("there are comments inside of the list", "set it by hand")
        return [Span(start, end, ("" if node.flow_style else " ") + flow(value))]

    # Taking out

    def without(self, path: Path, numbers: set[int]) -> list[Span]:
        node = self.node(path)
        children = self.children(node)
        if node.flow_style:
            if len(numbers) == len(children):
                start, end = _span(node)
                return [Span(start + 1, end - 1)]
            return self.without_items(node, children, numbers)
        key = self.key_of(path)
        floor = line_end(self.text, _span(key)[1]) if key is not None else 0
        first, bare, spans = True, True, list[Span]()
        if len(numbers) == len(children):
            empty = " {}" if isinstance(node, MappingNode) else " []"
            behind = self.behind_key(key)
            spans.append(Span(behind, behind, empty))
        for number, child in enumerate(children):
            if not starts_line(self.text, child.start):
                if number in numbers:
                    spans.append(self.without_head(children, numbers, number))
                floor, first, bare = line_end(self.text, child.end), False, False
                continue
            lines = own_lines(self.text, child.start, child.end, floor, first=first)
            if number in numbers:
                lines, bare = with_blanks(self.text, lines, floor, bare=bare)
                spans.append(lines)
            else:
                bare = False
            kept = child.end if self.ends_with_blanks(child.value) else 0
            floor, first = max(lines.end, kept if number not in numbers else 0), False
        return spans

    def ends_with_blanks(self, node: Node) -> bool:
        """Whether blank lines behind a value belong to it: a block scalar with `+`."""
        while isinstance(node, CollectionNode) and node.value:
            last = node.value[-1]
            node = last[1] if isinstance(last, tuple) else last
        if not isinstance(node, ScalarNode):
            return False
        start = _span(node)[0]
        header = self.text[start : line_end(self.text, start)]
        return node.style in ("|", ">") and "+" in header.partition("#")[0]

    def without_head(
        self, children: list[Child], numbers: set[int], number: int
    ) -> Span:
        """Without the entry that shares its line with the dash of its item."""
        start = children[number].start
        if number + 1 == len(children) or number + 1 in numbers:
            raise Refused("an entry shares its line with a dash")
        end = children[number + 1].start
        if "#" in self.text[children[number].end : end]:
            raise Refused("a comment stands where an entry would move to")
        return Span(start, end)

    def without_items(
        self, node: CollectionNode, children: list[Child], numbers: set[int]
    ) -> list[Span]:
        """Without some of what stands in `[…]` or `{…}`."""
        text, spans = self.text, list[Span]()
        without_commas = text.replace(",", " ")  # a comma is part of its line
        floor = _span(node)[0] + 1
        last_kept = max(set(range(len(children))) - numbers)
        tail = text[children[last_kept].end : children[-1].end]
        if last_kept < len(children) - 1 and "\n" not in tail:
            spans.append(Span(children[last_kept].end, children[-1].end))
            numbers = {each for each in numbers if each < last_kept}
        for number, child in enumerate(children):
            whole = _TO_LINE_END.match(text, child.end)
            first_line = line_end(text, floor) if "\n" in text[floor:] else floor
            if whole and starts_line(text, child.start):
                if number in numbers:
                    lines = own_lines(
                        without_commas,
                        child.start,
                        child.end,
                        first_line,
                        first=number == 0,
                    )
                    spans.append(Span(lines.start, lines.end))
            elif number in numbers:
                comma = _COMMA.match(text, child.end)
                end = comma.end() if comma and comma[1] else child.end
                if end == child.end and number + 1 < len(children):
                    later = _LATER_COMMA.match(text, child.end)
                    if later is None or "#" in later[0]:
                        raise Refused("a comma stands behind a comment")
                    end = later.end()
                spans.append(Span(child.start, end))
            floor = child.end
        return spans

    def key_of(self, path: Path) -> Node | None:
        """The key whose value the node at `path` is."""
        if not path:
            return None
        holder = self.node(path[:-1])
        number = self.place(holder, path[-1])
        return self.children(holder)[number].key if number is not None else None

    def behind_key(self, key: Node | None) -> int:
        """Behind the colon of a key, where a value in flow style may begin."""
        colon = _COLON.match(self.text, _span(key)[1]) if key is not None else None
        if colon is None:
            raise Refused("nothing would be left of a list or mapping without a key")
        return colon.end()

    # Adding

    def with_more(self, node: CollectionNode, texts: list[str]) -> Span:
        """New entries behind the last one, in the container's own style."""
        text = self.text
        children = self.children(node)
        if not children:  # only `{}` and `[]` can be empty
            end = _span(node)[1] - 1
            return Span(end, end, ", ".join(texts))
        end = children[-1].end
        if node.flow_style:
            return Span(end, end, "".join(f", {each}" for each in texts))
        column = _span(node)[0] - (text.rfind("\n", 0, _span(node)[0]) + 1)
        dash = "- " if isinstance(node, SequenceNode) else ""
        lines = [f"{' ' * column}{dash}{each}{self.newline}" for each in texts]
        if text[end - 1] == "\n":  # behind a block scalar
            return Span(end, end, "".join(lines))
        end = line_end(text, end)
        if end == len(text) and self.open:
            self.open = False
            lines = [self.newline, *lines]
        return Span(end, end, "".join(lines))


def _alike(old: str, new: str) -> bool:
    """Whether the two differ in one word alone, so that the style still fits."""
    if json.dumps(new, ensure_ascii=False) != f'"{new}"' or "'" in new:
        return False
    size = min(len(old), len(new))
    head = next((i for i in range(size) if old[i] != new[i]), size)
    most = size - head
    rest = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    middles = old[head : len(old) - rest], new[head : len(new) - rest]
    return all(map(_WORD.fullmatch, middles)) and new[:1].isalnum()


def _end(node: Node) -> int:
    """Behind the last character of a value; libyaml ends a block at the next token."""
    if not isinstance(node, CollectionNode) or node.flow_style:
        return _span(node)[1]
    last = node.value[-1]
    if isinstance(last, tuple):
        return max(_span(last[0])[1], _end(last[1]))
    return _end(last)


def _span(node: Node) -> tuple[int, int]:
    if node.start_mark is None or node.end_mark is None:
        raise SourceError("the YAML parser gave no positions")
    return node.start_mark.index, node.end_mark.index


def _shown(path: Path) -> str:
    return f"`{shown('.'.join(map(str, path)))}`"
