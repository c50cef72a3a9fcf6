"""Every field of a tailnet's files, from the schemas, and other values for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from tailgit.resources import directory

Schema = dict[str, Any]

MORE_TEXT = (
    *("other", "ana@acme.com", "ben@acme.com", "tag:web", "tag:db", "web-1", "db-1"),
    *("2031-05-06", "100.64.9.9", "fd5c::99", "10.20.0.77", "10.30.0.0/24", "udp"),
    *("127.0.0.1:9", "192.0.2.77:4444", "posture:b", "pull", "tunnel"),
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJtV1c8mJ0rBuQZ3qIhIXwH4Wv6dq2Kf8s6kq0Yt0Zb1",
    *("6naMHJ82eek3e9rcZNfgvkTTrATbytdgHSECIAQ7XDw=", "tailgit >=0.0.1", "9.9.9.9"),
    *("other.internal", "tcp:99", "udp:77", "tag:db:99", "web-1:99", "root", "accept"),
    *("custom:tier == 9", "remove 10.20.0.5", "funnel", "3h", "100.65.0.0/16"),
    *("fd5d::/48", "other@acme.com", "other-1"),
)
"""Texts that some field takes, tried in order."""


@cache
def schema_of(name: str) -> Schema:
    found: Schema = json.loads((directory("schemas") / name).read_text())
    return found


def resolved(schema: Schema, file: str) -> tuple[Schema, str]:
    """The schema behind `$ref`, and the file that it is in."""
    while "$ref" in schema:
        name, _, path = schema["$ref"].partition("#")
        file = name or file
        schema = schema_of(file)
        for step in path.strip("/").split("/") if path else ():
            schema = schema[step]
    return schema, file


def leaves(
    schema: Schema | None = None, file: str = "tailnet-file.schema.json", path: str = ""
) -> Iterator[tuple[str, Schema]]:
    """Each field: `devices.*.ssh.host`, `grants[].ip`, `groups.*`."""
    schema = schema_of(file) if schema is None else schema
    schema, file = resolved(schema, file)
    wide = schema.get("additionalProperties")
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from leaves(inner, file, f"{path}.{name}".lstrip("."))
    elif isinstance(wide, dict) and _is_deep(wide, file):
        yield from leaves(wide, file, f"{path}.*")
    elif isinstance(schema.get("items"), dict) and _is_deep(schema["items"], file):
        yield from leaves(schema["items"], file, f"{path}[]")
    else:
        yield path, schema
        if isinstance(schema.get("items"), dict):
            for each in resolved(schema["items"], file)[0].get("anyOf", ()):
                if _is_deep(each, file):
                    yield from leaves(each, file, f"{path}[]")


def _is_deep(schema: Schema, file: str) -> bool:
    schema, _ = resolved(schema, file)
    return "properties" in schema


def holders(world: Any, path: str) -> Iterator[tuple[Any, Any]]:
    """Where a field stands in a tailnet: what holds it, and its key there."""
    head, _, rest = path.partition(".")
    name, is_list = head.removesuffix("[]"), head.endswith("[]")
    keys = list(world) if name == "*" else [name] if name in world else []
    for key in keys:
        if is_list:
            for item in world[key]:
                if isinstance(item, dict):
                    yield from holders(item, rest)
        elif rest:
            yield from holders(world[key], rest)
        else:
            yield world, key


def others(value: Any) -> Iterator[Any]:
    """Values like this one that are not it, whatever the field takes of them."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value + 100)
    elif isinstance(value, str):
        yield from (each for each in MORE_TEXT if each != value)
    elif isinstance(value, list):
        if value:
            yield from (value[:-1], [])
        yield from ([*value, each] for each in MORE_TEXT if each not in value)
        if value and not isinstance(value[0], str):
            yield from ([*value[:-1], each] for each in others(value[-1]))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: each} for each in others(inner))
        yield {}
