"""How Tailscale spells its policy file, made ours: for `*.hujson` only.

Its reader takes names of sections and fields in any case (`ACLs`, `acls`) and the names
of older versions (`users` and `ports` in acls). A YAML file has one spelling of
everything; what was written for Tailscale is read as Tailscale reads it.
"""

from __future__ import annotations

from tailgit.load.located import Items, Map, Quoted, place
from tailgit.load.shape import Shape, root_shape
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.text import shown

_OLDER = {
    "acls": {"users": "src", "ports": "dst"},
    "tests": {"user": "src", "allow": "accept"},
}
"""Section -> older name of a field -> its name now."""
_MEMBERS, _MEMBER = "autogroup:members", "autogroup:member"
_UI_STATE = "#"
"""Begins a key that Tailscale's web interface keeps for itself."""


def respell(document: Map, findings: list[Finding]) -> None:
    """Gives keys and autogroups the spelling of the schemas, in place."""
    _spell(root_shape(), document, findings)
    for section, older in _OLDER.items():
        for item in _items(document.get(section)):
            if isinstance(item, Map):
                _spell_keys(item, older, findings)
                _drop_state(item)
    _members(document)


def _spell(shape: Shape, value: object, findings: list[Finding]) -> None:
    if shape.anything:
        return
    if isinstance(value, Items) and shape.items is not None:
        for item in value:
            if isinstance(item, (Map, Items)):
                _spell(shape.items, item, findings)
    elif isinstance(value, Map):
        fields = shape.fields or {}
        if fields:
            _spell_keys(value, {name.lower(): name for name in fields}, findings)
        for key, inner in value.items():
            about = fields.get(key, shape.others)
            if about is not None and isinstance(inner, (Map, Items)):
                _spell(about, inner, findings)


def _spell_keys(value: Map, names: dict[str, str], findings: list[Finding]) -> None:
    """Renames the keys that are spelt otherwise; the order stays."""
    wanted = {key: names.get(key.lower(), key) for key in value}
    if all(key == name for key, name in wanted.items()):
        return
    before, keys_at, values_at = dict(value), value.keys_at, value.values_at
    value.clear()
    value.keys_at, value.values_at = {}, {}
    for key, inner in before.items():
        name = wanted[key]
        if name in value:
            at = place(value.file, keys_at[key])
            message = f"`{shown(key)}` is `{shown(name)}` again"
            see = [value.key(name)]
            help_ = "keep one of the two"
            findings.append(finding("duplicate-key", at, message, help_, see))
            continue
        value[name] = inner
        value.keys_at[name] = keys_at[key]
        value.values_at[name] = values_at[key]


def _drop_state(item: Map) -> None:
    for key in [key for key in item if key.startswith(_UI_STATE)]:
        del item[key], item.keys_at[key], item.values_at[key]


def _members(value: object) -> None:
    """`autogroup:members`, with or without ports behind it, everywhere in a list."""
    inner = value.values() if isinstance(value, Map) else _items(value)
    for each in inner:
        if isinstance(each, (Map, Items)):
            _members(each)
    if isinstance(value, Items):
        for index, text in enumerate(value):
            if isinstance(text, str) and text.startswith(_MEMBERS):
                rest = text.removeprefix(_MEMBERS)
                if not rest or rest.startswith(":"):
                    value[index] = Quoted(_MEMBER + rest)
    elif isinstance(value, Map) and value.get("src") == _MEMBERS:
        value["src"] = Quoted(_MEMBER)


def _items(value: object) -> list[object]:
    return value if isinstance(value, Items) else []
