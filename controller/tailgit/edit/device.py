"""Setting a few fields of one device in the file that defines it.

The edit replaces or inserts a span of the text; every other byte, comment and blank
stays. YAML has many ways to write one thing, so the edit is not trusted: the new text
is loaded with the rest of the tailnet before anything is written, and must give the
same document with exactly the wanted change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from tailgit.edit.files import replace_file
from tailgit.errors import InvalidTailnet, Refused, SourceError, UsageError
from tailgit.load import load_from
from tailgit.load.located import Items, Map
from tailgit.load.source import Overlay, open_source, root_of, top_of
from tailgit.load.yaml import read_yaml
from tailgit.model.findings import Finding
from tailgit.model.near import meant
from tailgit.model.text import shown

Field = tuple[str, ...]

_PLAIN = re.compile(r"[A-Za-z+/][A-Za-z0-9+/=._-]*|[0-9]{1,9}|[0-9]+(\.[0-9]+){3}")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_BOM = "\ufeff"


def set_device(folder_root: Path, name: str, fields: Mapping[Field, str]) -> Path:
    """Sets fields such as `("ssh", "hostKey")` of a device; the file it changed.

    `UsageError` if there is no such device, `InvalidTailnet` if the tailnet is not
    valid before or after, `Refused` if the text can't be changed without changing
    something else. In every such case nothing is written.
    """
    source, folder = open_source(folder_root, None)
    root = root_of(source, folder, folder_root)
    loaded = load_from(source, root)
    if loaded.tailnet is None:
        raise InvalidTailnet(loaded.findings)
    device = loaded.tailnet.devices.get(name)
    if device is None:
        known = loaded.tailnet.devices
        raise UsageError(f"no device `{shown(name)}`", meant(name, known))
    file = device.place.file
    path = top_of(folder_root) / file
    if file.endswith(".json"):
        raise Refused(f"{shown(file)} is JSON; only YAML can be edited in place")

    data = path.read_bytes()
    text = data.decode("utf-8")
    before = _document(data, file)
    wanted = {field: value for field, value in fields.items() if value}
    defaults = _plain(before["deviceDefaults"]) if "deviceDefaults" in before else {}
    for field, value in wanted.items():
        text = _set(text, ("devices", name), field, value, defaults)
    after_data = text.encode()
    if after_data == data:
        return path
    _must_differ_only_by(wanted, name, before, _document(after_data, file), file)
    after = load_from(Overlay(source, file, after_data), root)
    if after.tailnet is None:
        raise InvalidTailnet(after.findings)
    replace_file(path, data, after_data)
    return path


def _document(data: bytes, file: str) -> Map:
    findings: list[Finding] = []
    document = read_yaml(data, file, findings)
    if document is None or any(finding.is_error for finding in findings):
        raise _cannot(file)
    return document


def _cannot(file: str) -> Refused:
    return Refused(
        f"{shown(file)} is written in a way that can't be edited safely",
        "set the fields by hand",
    )


def _must_differ_only_by(
    fields: Mapping[Field, str], name: str, before: Map, after: Map, file: str
) -> None:
    """Both documents as data: the new one is the old one with the fields set."""
    expected, got = _plain(before), _plain(after)
    device, defaults = expected["devices"][name], expected.get("deviceDefaults", {})
    for field, value in fields.items():
        holder = device
        for step in field[:-1]:
            inherited = defaults.get(step, {}) if holder is device else {}
            holder = holder.setdefault(step, dict(inherited))
        holder[field[-1]] = value
    if expected != got:
        raise _cannot(file)


def _plain(value: Any) -> Any:
    if isinstance(value, Map):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Items):
        return [_plain(inner) for inner in value]
    return str(value)


def _set(
    text: str,
    parent: Field,
    field: Field,
    value: str,
    defaults: Mapping[str, Any],
) -> str:
    """The text with one field of the mapping at `parent` set."""
    mark = _BOM if text.startswith(_BOM) else ""
    text = text.removeprefix(_BOM)
    node = _mapping(text, parent)
    key, *rest = field
    found = _entry(node, key)
    if found is None:
        inherited = defaults.get(key, {})
        inner = dict(inherited) if rest and isinstance(inherited, dict) else {}
        text = _insert(text, node, key, _flow(rest, value, inner))
    elif rest:
        text = _set(text, (*parent, key), tuple(rest), value, {})
    else:
        text = _replace(text, found, value)
    return mark + text


def _mapping(text: str, path: Field) -> MappingNode:
    node: Node | None = yaml.compose(text, Loader=yaml.CSafeLoader)
    for step in path:
        if not isinstance(node, MappingNode):
            break
        node = _entry(node, step)
    if not isinstance(node, MappingNode):
        raise Refused(f"`{shown('.'.join(path))}` is not a mapping in the file")
    return node


def _entry(node: MappingNode, key: str) -> Node | None:
    for key_node, value in node.value:
        if key_node.value == key:
            found: Node = value
            return found
    return None


def _replace(text: str, node: Node, value: str) -> str:
    if not isinstance(node, ScalarNode):
        raise Refused("the field holds more than one value", "set it by hand")
    start, end = _span(node)
    tail = "\n" if text[start:end].endswith("\n") else ""  # a block scalar
    quoted = node.style in ("'", '"')
    return text[:start] + _scalar(value, quoted=quoted) + tail + text[end:]


def _insert(text: str, node: MappingNode, key: str, value: str) -> str:
    """A new entry behind the last one, in the mapping's own style."""
    if not node.value:  # only `{}` can be empty
        start, end = _span(node)
        return f"{text[:start]}{{{key}: {value}}}{text[end:]}"
    end = _end(node.value[-1][1])
    if node.flow_style:
        return f"{text[:end]}, {key}: {value}{text[end:]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = " " * node.value[0][0].start_mark.column
    line = f"{indent}{key}: {value}"
    if text[end - 1] == "\n":  # behind a block scalar
        return f"{text[:end]}{line}{newline}{text[end:]}"
    end_of_line = text.find("\n", end)
    if end_of_line < 0:
        return f"{text}{newline}{line}{newline}"
    return f"{text[: end_of_line + 1]}{line}{newline}{text[end_of_line + 1 :]}"


def _end(node: Node) -> int:
    """Behind the last character of a value; libyaml ends a block at the next token."""
    if not isinstance(node, CollectionNode) or node.flow_style:
        return _span(node)[1]
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _span(node: Node) -> tuple[int, int]:
    if node.start_mark is None or node.end_mark is None:
        raise SourceError("the YAML parser gave no positions")
    return node.start_mark.index, node.end_mark.index


def _flow(rest: list[str], value: str, beside: Mapping[str, Any]) -> str:
    """The value in flow style, inside as many mappings as are still missing."""
    if not rest:
        return _scalar(value, quoted=False)
    entries = {**beside, rest[0]: value}
    if len(rest) > 1 or not all(isinstance(each, str) for each in entries.values()):
        raise Refused(f"`{shown(rest[0])}` can't be added", "set it by hand")
    inner = ", ".join(f"{k}: {_scalar(v, quoted=False)}" for k, v in entries.items())
    return f"{{{inner}}}"


def _scalar(value: str, *, quoted: bool) -> str:
    """The value as YAML text that is one line and means itself."""
    if not value.isprintable():
        raise Refused("a value with control characters can't be written")
    if not quoted and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
