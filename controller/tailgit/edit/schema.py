"""One JSON Schema for editors: all of ours in one document, with a repository's names.

Editors follow a reference into another file badly and know draft 7 best, so everything
is put into `definitions` of one draft-7 document. A schema can't look into other files;
names that exist (users, groups, tags, devices, aliases) are therefore offered as the
likely values, while anything else that fits is still allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tailgit.load.shape import ROOT, Schema, schemas
from tailgit.model.tailnet import Tailnet

_AUTOGROUPS = (
    *("autogroup:member", "autogroup:tagged", "autogroup:self", "autogroup:internet"),
    "*",
)
_COMMON = "common.schema.json"

SCHEMA = ".tailgit/schema.json"
"""Where `init` puts it, below the root; the loader passes over dot names."""


_LATER = {
    "error": "(Refused so far)",
    "apply": "(Not yet on nodes: plan and apply refuse it)",
    "warning": "(Without effect so far)",
}


def editor_schema(tailnet: Tailnet | None = None) -> Schema:
    """The whole format as one schema; with the names of a tailnet as suggestions."""
    definitions = {name: _moved(schema, name) for name, schema in schemas().items()}
    if tailnet is not None:
        _offer(definitions[_COMMON]["definitions"], tailnet)
        _offer_owners(definitions, tailnet)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "tailgit",
        "allOf": [{"$ref": f"#/definitions/{ROOT}"}],
        "definitions": definitions,
    }


def _moved(schema: Any, file: str) -> Any:
    """The schema as a part of the one document: references lead into `definitions`."""
    if isinstance(schema, list):
        return [_moved(each, file) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved: Schema = {}
    for key, value in sorted(schema.items(), key=lambda item: item[0] == "x-not-yet"):
        if key == "$schema":
            continue
        if key == "x-not-yet":
            later = _LATER[value["severity"]]
            said = schema.get("description", "")
            moved["description"] = f"{said} {later}: {value['why']}.".strip()
            continue
        if key == "$ref":
            target, _, pointer = value.partition("#")
            target = target or file
            pointer = pointer.replace("/$defs/", "/definitions/")
            # Draft 7 ignores what stands beside a reference; inside allOf it counts.
            moved["allOf"] = [{"$ref": f"#/definitions/{target}{pointer}"}]
        else:
            name = "definitions" if key == "$defs" else key
            moved[name] = value if key == "examples" else _moved(value, file)
    return moved


def _offer(common: Schema, tailnet: Tailnet) -> None:
    """Known names as the first choice wherever a selector or a name is wanted."""
    devices, tags = list(tailnet.devices), list(tailnet.tag_owners)
    anybody = [*tailnet.users, *tailnet.groups, *tags, *devices, *tailnet.hosts]
    for name, known in (
        ("selector", [*anybody, *_AUTOGROUPS]),
        ("tagName", tags),
    ):
        common[name] = _either(known, common[name])


def _offer_owners(definitions: Schema, tailnet: Tailnet) -> None:
    device = definitions["devices.schema.json"]["definitions"]["device"]["properties"]
    device["owner"] = _either(tailnet.users, device["owner"])
    for field in ("gateway", "useExitNode"):
        device[field] = _either(tailnet.devices, device[field])
    groups = definitions["groups.schema.json"]["additionalProperties"]
    groups["items"] = _either(tailnet.users, groups["items"])


def _either(known: Iterable[str], schema: Schema) -> Schema:
    """What is known, or whatever the schema allows."""
    names = list(dict.fromkeys(known))
    if not names:
        return schema
    either: Schema = {"anyOf": [{"enum": names}, schema]}
    for key in ("title", "description"):
        if key in schema:
            either[key] = schema[key]
    return either
