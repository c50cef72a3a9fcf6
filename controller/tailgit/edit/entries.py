"""What an edit of one YAML file may be: four small changes, by path.

A path leads from the document to an entry of a mapping or an item of a list; all
paths of one edit mean the document as it was before. `applied` makes the changes to
plain data. `spans.rewritten` makes the same ones to the text, in another way, and the
two results are compared before anything is written.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailgit.errors import Refused
from tailgit.load.located import Items, Map

Path = tuple[str | int, ...]
Scalar = str | int
Value = Scalar | Sequence[str] | Mapping[str, Scalar]

_PLAIN = re.compile(
    r"[A-Za-z+/][A-Za-z0-9+/=._-]*|[0-9]{1,9}|[0-9]+(\.[0-9]+){3}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}|[A-Za-z0-9._-]+@[A-Za-z0-9.-]*[A-Za-z0-9]"
    r"|(tag|group):[A-Za-z][A-Za-z0-9_-]*|[0-9]+(\.[0-9]+){3}/[0-9]+"
)
WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""What some reader of YAML takes for something else than text."""


@dataclass(frozen=True, slots=True)
class Put:
    """Sets the value at a path; its last step may be a new key."""

    path: Path
    value: Value


@dataclass(frozen=True, slots=True)
class Append:
    """Adds one item at the end of the list at a path."""

    path: Path
    value: Scalar


@dataclass(frozen=True, slots=True)
class Remove:
    """Takes out an entry or item, and the comment that stands directly above it.

    A mapping or list that loses its last one stays, as `{}` or `[]`.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class Rename:
    """Gives the entry at a path another key."""

    path: Path
    key: str


Edit = Put | Append | Remove | Rename


def needed(edits: Iterable[Edit]) -> list[Edit]:
    """Each edit once, without those inside of what another one takes out."""
    once = {repr(edit): edit for edit in edits}.values()
    gone = {edit.path for edit in once if isinstance(edit, Remove)}
    return [
        edit
        for edit in once
        if not any(edit.path[:length] in gone for length in range(len(edit.path)))
    ]


def applied(data: Any, edits: Iterable[Edit]) -> Any:
    """The plain data of a document with the edits made; the data given stays."""
    data = copy.deepcopy(data)
    later: list[Remove | Rename] = []
    for edit in needed(edits):
        if isinstance(edit, Put):
            _at(data, edit.path[:-1])[edit.path[-1]] = plain(edit.value)
        elif isinstance(edit, Append):
            _at(data, edit.path).append(plain(edit.value))
        else:
            later.append(edit)
    # From behind, so that no index means another item by now; keys last, inner first.
    for edit in sorted(later, key=_order, reverse=True):
        holder, step = _at(data, edit.path[:-1]), edit.path[-1]
        if isinstance(edit, Remove):
            del holder[step]
        else:
            holder[edit.key] = holder.pop(step)
    return data


def _order(edit: Remove | Rename) -> tuple[bool, list[tuple[int, str]]]:
    steps = [(s, "") if isinstance(s, int) else (-1, s) for s in edit.path]
    return isinstance(edit, Remove), steps


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def plain(value: Any) -> Any:
    """A document or a value as dicts, lists and text, to be compared."""
    if isinstance(value, (Map, Mapping)):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (Items, list, tuple)):
        return [plain(inner) for inner in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def flow(value: Value) -> str:
    """The value as YAML text of one line."""
    if isinstance(value, (str, int)):
        return scalar(value, quoted=False)
    if isinstance(value, Mapping):
        inner = (f"{scalar(k, quoted=False)}: {flow(v)}" for k, v in value.items())
        return f"{{{', '.join(inner)}}}"
    return f"[{', '.join(scalar(each, quoted=False) for each in value)}]"


def scalar(value: Scalar, *, quoted: bool) -> str:
    """The value as YAML text that is one line and means itself."""
    if isinstance(value, int):
        return str(plain(value))
    if not value.isprintable():
        raise Refused("a value with control characters can't be written")
    if not quoted and _PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
