"""The schemas as shapes: types for plain scalars, and a quick verdict.

YAML's reader leaves every scalar as text; a shape walks a document along its JSON
Schema and turns `true`, `22` and `null` into values where the schema wants them. On
that walk it also sees whether the document is valid, so that `jsonschema`, which is
twenty times slower, is asked only for the words when something is wrong. That both
always say the same is a property test.

Shapes understand the part of JSON Schema 2020-12 that our schemas use, and refuse to
compile anything else: a keyword that is ignored here would be a hole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from tailgit.load.located import Items, Map
from tailgit.model.findings import Place
from tailgit.resources import directory

Schema = dict[str, Any]

ROOT = "tailnet-file.schema.json"
_ANNOTATIONS = {"$schema", "$defs", "title", "description", "examples", "x-not-yet"}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_LOWEST, _HIGHEST = -(10**18), 10**18
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}([eE][-+]?[0-9]{1,2})?")
_WORDS: dict[str, dict[str, Any]] = {
    "boolean": {"true": True, "false": False},
    "null": {"null": None, "~": None},
}


@dataclass(slots=True)
class Text:
    """One way that text may look."""

    pattern: re.Pattern[str] | None = None
    words: frozenset[str] | None = None
    shortest: int = 0
    longest: int | None = None

    def fits(self, text: str) -> bool:
        if self.words is not None and text not in self.words:
            return False
        if len(text) < self.shortest:
            return False
        if self.longest is not None and len(text) > self.longest:
            return False
        return self.pattern is None or self.pattern.search(text) is not None


@dataclass(slots=True)
class Shape:
    """What a value may be; several kinds at once where a schema says `anyOf`."""

    anything: bool = False
    words: dict[str, Any] = field(default_factory=dict)
    integers: range | None = None
    texts: list[Text] = field(default_factory=list)
    fields: dict[str, Shape] | None = None
    required: tuple[str, ...] = ()
    names: Text | None = None
    others: Shape | None = None
    items: Shape | None = None
    fewest: int = 0
    not_yet: Schema | None = None


@dataclass(slots=True)
class Walk:
    """What one walk over a document found out."""

    valid: bool = True
    not_yet: list[tuple[Map, str, Schema]] = field(default_factory=list)
    unprintable: list[tuple[Place, str]] = field(default_factory=list)


@cache
def schemas() -> dict[str, Schema]:
    """All schemas by file name."""
    return {
        path.name: json.loads(path.read_bytes())
        for path in sorted(directory("schemas").glob("*.schema.json"))
    }


@cache
def root_shape() -> Shape:
    """The shape of a whole file."""
    return _compile({"$ref": ROOT}, ROOT)


def resolve(schema: Schema, base: str) -> tuple[Schema, str]:
    """A schema without `$ref`, and the file that its own references are relative to."""
    while "$ref" in schema:
        file, _, pointer = schema["$ref"].partition("#")
        base = file or base
        target: Any = schemas()[base]
        for step in filter(None, pointer.split("/")):
            target = target[step]
        schema = target
    return schema, base


def fit(shape: Shape, document: Map) -> Walk:
    """Types the scalars of `document` in place and says whether it is valid."""
    walk = Walk()
    _map(shape, document, walk)
    return walk


def _map(shape: Shape, value: Map, walk: Walk) -> None:
    if shape.anything:
        for key, inner in value.items():
            if not key.isprintable():
                walk.unprintable.append((value.key(key), key))
            if isinstance(inner, str):
                value[key] = _scalar(shape, inner, value, key, walk)
            else:
                _container(shape, inner, walk)
        return
    fields = shape.fields
    if fields is None:
        walk.valid = False
        return
    for name in shape.required:
        if name not in value:
            walk.valid = False
    names, others = shape.names, shape.others
    for key, inner in value.items():
        field_shape = fields.get(key, others)
        if field_shape is None or (names is not None and not names.fits(key)):
            walk.valid = False
            continue
        if not key.isprintable():
            walk.unprintable.append((value.key(key), key))
        if field_shape.not_yet is not None:
            walk.not_yet.append((value, key, field_shape.not_yet))
        if isinstance(inner, str):
            value[key] = _scalar(field_shape, inner, value, key, walk)
        else:
            _container(field_shape, inner, walk)


def _container(shape: Shape, value: Map | Items, walk: Walk) -> None:
    if isinstance(value, Map):
        _map(shape, value, walk)
        return
    inner = shape if shape.anything else shape.items
    if inner is None:
        walk.valid = False
        return
    if len(value) < shape.fewest:
        walk.valid = False
    for index, item in enumerate(value):
        if isinstance(item, str):
            value[index] = _scalar(inner, item, value, index, walk)
        else:
            _container(inner, item, walk)


def _scalar(
    shape: Shape, text: str, parent: Map | Items, step: str | int, walk: Walk
) -> Any:
    if not text.isprintable() and _CONTROL.search(text):
        walk.unprintable.append((parent.at(step), text))
    if shape.anything:
        return _free(text)
    if type(text) is str:  # not Quoted
        if text in shape.words:
            return shape.words[text]
        if shape.integers is not None and _INTEGER.fullmatch(text):
            number = int(text)
            if number not in shape.integers:
                walk.valid = False
            return number
    for each in shape.texts:
        if each.fits(text):
            return text
    walk.valid = False
    return text


def _free(text: str) -> Any:
    """A value that no schema types: what JSON would make of it, if it is plain."""
    if type(text) is not str:
        return text
    for words in _WORDS.values():
        if text in words:
            return words[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _compile(schema: Schema, base: str) -> Shape:
    mark = schema.get("x-not-yet")
    schema, base = resolve(schema, base)
    mark = mark or schema.get("x-not-yet")
    shape = _unmarked(schema, base)
    return replace(shape, not_yet=mark) if mark else shape


def _unmarked(schema: Schema, base: str) -> Shape:
    if "type" not in schema and set(schema) <= _ANNOTATIONS:
        return Shape(anything=True)
    if "anyOf" in schema:
        rest = set(schema) - _ANNOTATIONS - {"anyOf"}
        if rest:
            raise ValueError(f"{base}: anyOf beside {rest}")
        return _united([_compile(each, base) for each in schema["anyOf"]], base)
    return _of_type(schema, base)


def _of_type(schema: Schema, base: str) -> Shape:
    kind = schema["type"]
    shape, known = Shape(), {"type"}
    match kind:
        case "boolean" | "null":
            shape.words = dict(_WORDS[kind])
        case "integer":
            known |= {"minimum", "maximum"}
            low, high = schema.get("minimum", _LOWEST), schema.get("maximum", _HIGHEST)
            shape.integers = range(low, high + 1)
        case "string":
            known |= {"pattern", "enum", "minLength", "maxLength"}
            shape.texts = [_text(schema)]
        case "array":
            known |= {"items", "minItems"}
            shape.items = _compile(schema["items"], base)
            shape.fewest = schema.get("minItems", 0)
        case "object":
            known |= {"properties", "required", "propertyNames", "additionalProperties"}
            _compile_fields(shape, schema, base)
        case _:
            raise ValueError(f"{base}: type {kind}")
    unknown = set(schema) - _ANNOTATIONS - known
    if unknown:
        raise ValueError(f"{base}: {kind} with {unknown}")
    return shape


def _text(schema: Schema) -> Text:
    pattern = schema.get("pattern")
    words = schema.get("enum")
    return Text(
        re.compile(pattern) if pattern is not None else None,
        frozenset(words) if words is not None else None,
        schema.get("minLength", 0),
        schema.get("maxLength"),
    )


def _compile_fields(shape: Shape, schema: Schema, base: str) -> None:
    properties = schema.get("properties", {})
    shape.fields = {name: _compile(each, base) for name, each in properties.items()}
    shape.required = tuple(schema.get("required", ()))
    # Absent would mean "anything", which none of our schemas may say.
    others = schema["additionalProperties"]
    shape.others = _compile(others, base) if others is not False else None
    if "propertyNames" in schema:
        names, _ = resolve(schema["propertyNames"], base)
        shape.names = _text(names)


def _united(shapes: list[Shape], base: str) -> Shape:
    """One shape for `anyOf`; its branches must differ in kind, text aside."""
    united = Shape()
    for shape in shapes:
        if (shape.fields is not None and united.fields is not None) or (
            shape.items is not None and united.items is not None
        ):
            raise ValueError(f"{base}: anyOf with two mappings or two lists")
        united.words |= shape.words
        united.integers = shape.integers or united.integers
        united.texts += shape.texts
        if shape.fields is not None:
            united.fields, united.required = shape.fields, shape.required
            united.names, united.others = shape.names, shape.others
        if shape.items is not None:
            united.items, united.fewest = shape.items, shape.fewest
        united.anything |= shape.anything
    return united


def all_shapes(shape: Shape | None = None) -> Iterator[Shape]:
    """Every shape inside a shape, itself first; for tests of the schemas."""
    shape = shape or root_shape()
    yield shape
    inner = [*(shape.fields or {}).values(), shape.others, shape.items]
    for each in inner:
        if each is not None:
            yield from all_shapes(each)
