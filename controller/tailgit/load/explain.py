"""What is wrong with a document, in words: jsonschema's errors as findings.

jsonschema says *that* `[5432]` is not of type "string" at some path; here it becomes
a place in the file and a sentence with the schema's own title and description.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from tailgit.load.located import Items, Map, Quoted
from tailgit.load.shape import ROOT, Schema, schemas
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.near import meant
from tailgit.model.text import shown

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

MOST = 200

_OTHER_NAMES = {
    "destination": ("dst",),
    "from": ("src",),
    "port": ("ip", "dst"),
    "ports": ("ip", "dst"),
    "proto": ("ip",),
    "protocol": ("proto", "ip"),
    "source": ("src",),
    "to": ("dst",),
    "users": ("src",),
}
"""What other tools, and older policies, call a field of a rule."""

_HOST_NAME = re.compile(
    r"(?=[^:]*[A-Za-z])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?(:[0-9]*)?"
)

_HOLDERS = (
    ("devices.schema.json", ("$defs", "device"), "a device"),
    ("grants.schema.json", ("items",), "a rule"),
    ("acls.schema.json", ("items",), "a rule"),
    ("tailnet.schema.json", (), "`tailnet`"),
    ("tests.schema.json", ("items",), "a test"),
)

_KINDS = {
    "array": "a list: write `[…]`, or lines that begin with `-`",
    "boolean": "`true` or `false`, without quotes",
    "integer": "a whole number, without quotes",
    "object": "a mapping: lines of `key: value`",
    "string": "text",
}


@cache
def validator() -> Draft202012Validator:
    """The reference validator of a whole file."""
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema, DRAFT202012))
        for name, schema in schemas().items()
    )
    root = {"$ref": ROOT}
    return Draft202012Validator(root, registry=registry)


def explain(document: Map) -> list[Finding]:
    """In which ways a typed document does not fit the schemas; at most `MOST`."""
    every = (
        each
        for error in validator().iter_errors(document)
        for each in _explain(document, _deepest(error))
    )
    found = list(islice(every, MOST))
    if len(found) == MOST:
        found.append(
            finding(
                "more-findings",
                document.at(),
                f"more is wrong in this file than these {MOST} findings",
                "mend these first",
            )
        )
    return found


def _deepest(error: ValidationError) -> ValidationError:
    """Inside `anyOf`: the error of the branch that was most likely meant."""
    while error.validator == "anyOf" and error.context:
        right_kind = [
            each
            for each in error.context
            if not (each.validator == "type" and len(each.relative_path) == 0)
        ]
        if not right_kind:
            return error
        error = max(right_kind, key=lambda each: len(each.absolute_path))
    return error


def _explain(document: Map, error: ValidationError) -> Iterator[Finding]:
    path = list(error.absolute_path)
    schema: Schema = error.schema if isinstance(error.schema, dict) else {}
    at = document.at(*path)
    match error.validator:
        case "additionalProperties":
            owner = _walk(document, path)
            yield from _unknown_keys(owner, schema, is_root=not path)
        case "required":
            yield _missing(error, schema, _holder(document, path), is_root=not path)
        case "pattern" | "minLength" | "maxLength" | "enum" if _is_name(error):
            owner = _walk(document, path)
            key = str(error.instance)
            place = owner.key(key) if isinstance(owner, Map) else at
            if path == ["tagOwners"] and key.startswith("tag:"):
                yield _bad_tag(place, key)
            else:
                yield _bad_value(place, key, schema)
        case "type" | "anyOf":
            yield _wrong_type(at, error, schema, path)
        case "minItems":
            noun = schema.get("title", "a list")
            yield finding(
                "bad-value", at, f"{noun} can't be empty", "leave the field out"
            )
        case _:
            yield _bad_value(at, error.instance, schema)


def _is_name(error: ValidationError) -> bool:
    return "propertyNames" in error.absolute_schema_path


def _walk(value: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


def _holder(document: Map, path: list[str | int]) -> Place:
    """Where to point for something that is absent: the key it should be under."""
    if path and isinstance(path[-1], str):
        owner = _walk(document, path[:-1])
        if isinstance(owner, Map):
            return owner.key(path[-1])
    return document.at(*path)


def _unknown_keys(instance: Map, schema: Schema, *, is_root: bool) -> Iterator[Finding]:
    known = schema.get("properties", {})
    few = f"it may have {', '.join(known)}" if 0 < len(known) <= 12 else ""
    for key in instance:
        if key in known:
            continue
        if key.lower().startswith("private"):
            yield finding(
                "private-key",
                instance.key(key),
                f"`{shown(key)}`: private keys never enter a repository",
                "take it out of the history too; `tailgit device enroll` makes the "
                "key on the device",
            )
            continue
        if is_root:
            code, message = "unknown-section", f"no section `{shown(key)}`"
        else:
            noun = schema.get("title", "this mapping")
            code, message = "unknown-key", f"no key `{shown(key)}` in {noun}"
        hint = _known_as(key, known) or (_deeper(key) if is_root else "") or few
        yield finding(code, instance.key(key), message, hint)


def _deeper(key: str) -> str:
    """For a field that stands where sections do: what it should be indented below."""
    for file, path, noun in _HOLDERS:
        holder: Any = schemas()[file]
        for step in path:
            holder = holder[step]
        if key in holder["properties"]:
            return f"it is a field of {noun}: indent it below one"
    return ""


def _known_as(key: str, known: Iterable[str]) -> str:
    other = next((each for each in _OTHER_NAMES.get(key, ()) if each in known), None)
    return f"did you mean `{other}`?" if other else meant(key, known)


def _missing(
    error: ValidationError, schema: Schema, at: Place, *, is_root: bool
) -> Finding:
    absent = next(key for key in schema["required"] if f"'{key}'" in error.message)
    noun = schema.get("title", "this mapping")
    about = schema.get("properties", {}).get(absent, {})
    example = about.get("examples", [None])[0]
    if absent == "action":
        example = "accept"
    elif example is None and "minimum" in about:
        example = about["minimum"]
    code = "missing-section" if is_root else "missing-key"
    hint = (
        f"for example `{absent}: {example}`" if isinstance(example, (int, str)) else ""
    )
    if about.get("minimum", 0) == about.get("maximum"):  # nothing else is possible
        hint = f"write `{absent}: {example}`"
    return finding(code, at, f"`{absent}` is missing in {noun}", hint)


def _wrong_type(
    at: Place, error: ValidationError, schema: Schema, path: list[str | int]
) -> Finding:
    wanted = schema.get("type", "")
    noun = schema.get("title") or "what must stand here"
    value = error.instance
    if value == "" and path:
        key = path[-1] if isinstance(path[-1], str) else ""
        empty = {"array": "[]", "object": "{}"}.get(wanted)
        hint = f"write `{shown(key)}: {empty}`, or leave it out"
        hint = hint if empty and key else "take it out"
        message = f"`{shown(key)}` has no value" if key else "an item has no value"
        return finding("wrong-type", at, message, hint)
    said = "a mapping" if isinstance(value, Map) else None
    said = "a list" if isinstance(value, Items) else said
    if isinstance(value, Quoted) and wanted in ("boolean", "integer"):
        said = f'`"{_clipped(value)}"`'
    said = said or f"`{_clipped(value)}`"
    kind = _KINDS.get(wanted, schema.get("description", "something else"))
    hint = f"it must be {kind}"
    if wanted == "array" and isinstance(value, str | int) and "," not in str(value):
        hint = f'it must be a list: write `["{_clipped(value)}"]`'
    elif wanted == "object" and isinstance(value, Items):
        hint = "it must be a mapping: lines of `name: …`, without `-`"
    return finding("wrong-type", at, f"{said} is not {noun}", hint)


def _bad_value(at: Place, value: Any, schema: Schema) -> Finding:
    noun = schema.get("title", "a value that fits here")
    hint = schema.get("description", "")
    examples = [str(each) for each in schema.get("examples", ())][:1]
    if examples:
        hint = f"{hint} For example `{examples[0]}`.".lstrip()
    if "enum" in schema and isinstance(value, str):
        hint = meant(value, schema["enum"]) or hint
    if isinstance(value, str):
        if noun == "an endpoint" and _HOST_NAME.fullmatch(value):
            hint = f"names are not resolved, an address is needed: {hint}"
        likely = _likely(value, schema.get("pattern"))
        hint = f"write `{shown(likely)}`? {hint}".rstrip() if likely else hint
    return finding("bad-value", at, f"`{_clipped(value)}` is not {noun}", hint)


def _bad_tag(at: Place, tag: str) -> Finding:
    """A tag that nothing can have, in Tailscale's words."""
    first = tag.removeprefix("tag:")[:1]
    if not first:
        why = "tag names must not be empty"
    elif not (first.isascii() and first.isalpha()):
        why = "tag names must start with a letter, after 'tag:'"
    else:
        why = "tag names can only contain numbers, letters, or dashes"
    message = f'tagOwners["{_clipped(tag)}"]: {why}'
    return finding("bad-tag", at, message, "for example `tag:db`, in ASCII letters")


def _likely(text: str, pattern: str | None) -> str | None:
    """A value that fits, if only a prefix, case, `_` or a domain is in the way."""
    if pattern is None or len(text) > 60:
        return None
    lower = text.lower()
    plain = lower.replace("_", "-")
    guesses = (f"tag:{text}", f"group:{text}", lower, plain, plain.partition(".")[0])
    return next((each for each in guesses if re.search(pattern, each)), None)


def _clipped(value: Any) -> str:
    text = shown(str(value))
    return text if len(text) <= 60 else text[:57] + "…"
