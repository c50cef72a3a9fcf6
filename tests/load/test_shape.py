"""The schemas, and the quick verdict that must be jsonschema's."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tailgit.load.explain import MOST, explain, validator
from tailgit.load.located import Map
from tailgit.load.shape import (
    ROOT,
    _compile,
    all_shapes,
    fit,
    resolve,
    root_shape,
    schemas,
)
from tailgit.load.yaml import read_yaml
from tests.load.files import ACME

EVERYTHING = (
    "\n".join(ACME.values())
    + """
include: [../people.yaml]
exclude: [drafts/]
hosts: {printer: 10.20.0.9}
dns: {records: {}}
"""
)
VALUES = [
    *("", "x", "1", "0", "65536", "true", "no", "null", "tag:db", "ana@acme.com"),
    *("10.0.0.0/8", '"*"', "[]", "{}", "[x]", "{a: b}", "[[x]]", '"1"', '"true"'),
    *("db-1", "DB", "ssh", '"203.0.113.10:51820"', "100.64.0.1", '"x\\n"'),
]


def parsed(text: str) -> Map:
    findings: list[Any] = []
    document = read_yaml(text.encode(), "a.yaml", findings)
    assert document is not None
    return document


def keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in pairs:
        yield (*path, key)
        yield from keys(inner, (*path, key))


BASE = yaml.load(EVERYTHING, Loader=yaml.CBaseLoader)
PATHS = sorted(keys(BASE), key=repr)


@given(st.data())
@settings(max_examples=200)
def test_verdict_is_that_of_jsonschema(data: st.DataObject) -> None:
    """A document with a few parts replaced, taken out or renamed is judged alike."""
    plain = copy.deepcopy(BASE)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(PATHS))
        holder: Any = plain
        for step in path:
            try:
                holder = holder[step]
            except (KeyError, IndexError, TypeError):
                break
        if not isinstance(holder, dict) or last not in holder:
            continue
        match data.draw(st.sampled_from(["replace", "remove", "rename", "add"])):
            case "replace":
                new = data.draw(st.sampled_from(VALUES))
                holder[last] = yaml.load(new, Loader=yaml.CBaseLoader)
            case "remove":
                del holder[last]
            case "rename":
                holder[data.draw(st.sampled_from(["x", "DB_1", "owner"]))] = holder.pop(
                    last
                )
            case "add":
                holder[data.draw(st.sampled_from(["y", "expires", "disabled"]))] = (
                    "true"
                )
    document = parsed(yaml.dump(plain, Dumper=yaml.CSafeDumper))

    valid = fit(root_shape(), document).valid

    assert valid == validator().is_valid(document)
    assert valid == (not explain(document))


def test_scalars_get_their_type_from_the_schema() -> None:
    """Numbers and truth values only where a field says so, and never from quotes."""
    document = parsed(
        "devices:\n"
        "  a: {disabled: true, ssh: {port: 22, host: '22', user: root}, owner: 12}\n"
        "  b: {disabled: 'true', ssh: {port: '22'}, tags: ['1']}\n"
        "grants: [{src: [1], dst: [true], ip: [22, null]}]\n"
    )
    fit(root_shape(), document)
    a, b = document["devices"]["a"], document["devices"]["b"]
    assert (a["disabled"], a["ssh"]["port"], a["ssh"]["host"]) == (True, 22, "22")
    assert (a["owner"], b["disabled"], b["ssh"]["port"]) == ("12", "true", "22")
    assert document["grants"][0] == {
        "src": ["1"],
        "dst": ["true"],
        "ip": ["22", "null"],
    }


@pytest.mark.parametrize("name", sorted(schemas()))
def test_schemas_are_valid_and_speak(name: str) -> None:
    """Each is draft 2020-12; titles stand in messages, so none may be missing."""
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    for part in inner_schemas(schema):
        if "type" in part or "anyOf" in part:
            assert part.get("title") or part.get("properties"), part
        if "pattern" in part:
            assert part["description"] or part["examples"]


def inner_schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        # A field of a record may itself be called `type`.
        if isinstance(value.get("type", {}), str) or "anyOf" in value:
            yield value
        for key, inner in value.items():
            if key != "examples":
                yield from inner_schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from inner_schemas(inner)


def test_examples_are_valid() -> None:
    """What a schema gives as an example fits it."""
    count = 0
    for name, schema in schemas().items():
        for part in inner_schemas(schema):
            for example in part.get("examples", ()):
                if "…" in repr(example):
                    continue
                around = {"type": "object", "properties": {"x": part}}
                shape = _compile({**around, "additionalProperties": False}, name)
                document = parsed(yaml.dump({"x": example}))
                assert fit(shape, document).valid, (name, example)
                assert document == {"x": example}
                count += 1
    for section, about in schemas()[ROOT]["properties"].items():
        for example in resolve(about, ROOT)[0].get("examples", ()):
            document = parsed(yaml.dump({section: example}))
            assert fit(root_shape(), document).valid, (section, example)
            count += 1
    assert count > 150


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "ipv4"},
        {"format": "ipv4"},
        {"type": "object", "properties": {}},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"anyOf": [{"type": "string"}], "minLength": 1},
        {"type": "number"},
    ],
)
def test_unknown_keywords_are_refused(schema: dict[str, Any]) -> None:
    """A keyword that the quick verdict does not know would be a hole in it."""
    with pytest.raises((ValueError, KeyError)):
        _compile(schema, ROOT)


def test_every_schema_is_reached() -> None:
    """No schema lies about that no file is judged by."""
    used = {ROOT}
    waiting = [schemas()[ROOT]]
    while waiting:
        for reference in re.findall(r"'\$ref': '([^#']+)", repr(waiting.pop())):
            if reference not in used:
                used.add(reference)
                waiting.append(schemas()[reference])
    assert used == set(schemas())
    assert sum(1 for _ in all_shapes()) > 100


def test_the_worst_file_has_a_limited_list() -> None:
    """A file with thousands of wrong values gives a list that somebody can read."""
    document = parsed("devices:\n" + "".join(f"  D_{i}: {{}}\n" for i in range(5000)))
    assert not fit(root_shape(), document).valid
    findings = explain(document)
    assert len(findings) == MOST + 1
    assert findings[-1].code == "more-findings"
