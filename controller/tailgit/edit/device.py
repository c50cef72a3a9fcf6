"""Setting fields of devices in the files that define them.

Every other byte, comment and blank stays. The new text is loaded with the rest of the
tailnet before anything is written, and must give the same documents with exactly the
wanted change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tailgit.edit.change import Change, change_of, prove
from tailgit.edit.entries import Edit, Put, Scalar
from tailgit.edit.tree import Tree, open_tree
from tailgit.errors import InvalidTailnet, Refused, UsageError
from tailgit.load.located import Map
from tailgit.model.near import meant
from tailgit.model.text import shown

Field = tuple[str, ...]
FieldValue = str | int | Sequence[str]


def set_device(
    folder_root: Path, name: str, fields: Mapping[Field, FieldValue]
) -> Path:
    """Sets fields such as `("ssh", "hostKey")` of a device; the file that defines it.

    `UsageError` if there is no such device, `InvalidTailnet` if the tailnet can't be
    read before or has new errors after, `Refused` if the text can't be changed without
    changing something else. In every such case nothing is written. Empty text sets
    nothing.
    """
    tree = open_tree(folder_root)
    change = _change(tree, {name: fields})
    change.write()
    return tree.top / _file(tree, name)


def set_devices(
    folder_root: Path, devices: Mapping[str, Mapping[Field, FieldValue]]
) -> tuple[Path, ...]:
    """The same for several devices at once; the files that were changed.

    They are loaded once, and all written or none.
    """
    change = devices_change(folder_root, devices)
    change.write()
    return tuple(change.top / each.file for each in change.files)


def devices_change(
    folder_root: Path, devices: Mapping[str, Mapping[Field, FieldValue]]
) -> Change:
    """The proven change of `set_devices`, not written yet."""
    return _change(open_tree(folder_root), devices)


def _change(tree: Tree, devices: Mapping[str, Mapping[Field, FieldValue]]) -> Change:
    if tree.loaded.tailnet is None:
        raise InvalidTailnet(tree.findings)
    edits: defaultdict[str, list[Edit]] = defaultdict(list)
    for name, fields in devices.items():
        file = _file(tree, name)
        document = tree.documents[file]
        wanted = {field: value for field, value in fields.items() if value != ""}
        edits[file] += _edits(document, name, wanted)
    change = change_of(tree, edits)
    if change.files:
        prove(tree, change)
    return change


def _file(tree: Tree, name: str) -> str:
    devices = tree.loaded.tailnet.devices if tree.loaded.tailnet else {}
    if name not in devices:
        raise UsageError(f"no device `{shown(name)}`", meant(name, devices))
    return devices[name].place.file


def _edits(document: Map, name: str, fields: Mapping[Field, FieldValue]) -> list[Edit]:
    """One edit for each field; for what `ssh` needs as a whole, one with all of it."""
    device = document["devices"][name]
    defaults = document.get("deviceDefaults")
    edits: list[Edit] = []
    missing: dict[str, dict[str, Scalar]] = {}
    for field, value in fields.items():
        first, *rest = field
        if not rest or isinstance(device.get(first), Map):
            edits.append(Put(("devices", name, *field), _value(value)))
            continue
        if len(rest) > 1 or not isinstance(value, (str, int)):
            raise Refused(f"`{shown(first)}` can't be added", "set it by hand")
        if first not in missing:
            missing[first] = _inherited(defaults, first)
        missing[first][rest[0]] = value
    return edits + [
        Put(("devices", name, first), inner) for first, inner in missing.items()
    ]


def _value(value: FieldValue) -> FieldValue:
    return value if isinstance(value, (str, int)) else tuple(value)


def _inherited(defaults: Any, key: str) -> dict[str, Scalar]:
    """What a file's defaults say, which an own value would replace whole."""
    inherited = defaults.get(key) if isinstance(defaults, Map) else None
    if inherited is None:
        return {}
    if not isinstance(inherited, Map) or not all(
        isinstance(each, (str, int)) for each in inherited.values()
    ):
        raise Refused(f"`{shown(key)}` can't be added", "set it by hand")
    return dict(inherited)
