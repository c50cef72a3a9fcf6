"""Writes the generated blocks of docs/format.md from the schemas (`make docs`).

What a field is, what it may hold and whether this version enforces it stands in
`schemas/`, how sections of many files become one in `load/unite.py`. The page shows
both and adds by hand what neither can say. Patterns are not shown: a description and
an example say the same to people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.pages import DOCS, blocks, code, fence, filled, plain, table
from scripts.sample import block, flow
from tailgit.load import unite
from tailgit.load.shape import ROOT, Schema, schemas

PAGE = DOCS / "format.md"

STATUS = {
    "error": "Not enforced yet",
    "apply": "Not applied yet",
    "warning": "Not used yet",
}
"""`x-not-yet.severity` -> how the page marks such a field; its prose explains it."""

_OWN_FILE = ("deviceDefaults", "generated")
_OVERVIEW = "sections"
_SETTINGS = "settings"


def document() -> str:
    """docs/format.md with its blocks written anew."""
    return filled(PAGE.read_text(), _block)


def sections() -> dict[str, Schema]:
    """Every section of a file by name, its references followed."""
    return {
        name: merged(about, ROOT)[0]
        for name, about in schemas()[ROOT]["properties"].items()
    }


def expected_blocks() -> list[str]:
    """The blocks that the page must have."""
    kinds = [f"status {severity}" for severity in STATUS]
    typed = [name for name, about in sections().items() if _is_typed(about)]
    return sorted([_OVERVIEW, _SETTINGS, *kinds, *typed])


def merged(schema: Schema, base: str) -> tuple[Schema, str]:
    """A schema without `$ref`, and the file its own references are relative to.

    What stands beside a `$ref` wins: it says what the thing is in this place.
    """
    beside: Schema = {}
    while "$ref" in schema:
        beside = {**schema, **beside}
        file, _, pointer = beside.pop("$ref").partition("#")
        base = file or base
        target: Any = schemas()[base]
        for step in filter(None, pointer.split("/")):
            target = target[step]
        schema = target
    return {**schema, **beside}, base


def _is_typed(about: Schema) -> bool:
    return "type" in about or "anyOf" in about


def _block(name: str) -> str:
    if name == _OVERVIEW:
        return _overview()
    if name == _SETTINGS:
        return _settings()
    if name.startswith("status "):
        return _reserved(name.removeprefix("status "))
    return _section(name)


# How the files become one.


def _overview() -> str:
    rows = [
        ("`tailnet.yaml` only", "one place", unite.ROOT_FILE_ONLY),
        ("one file", "one place; a second one is an error", _one_place()),
        ("any file", "by key; the same key twice is an error", unite.BY_KEY),
        (
            "any file",
            "one after the other, in order of path",
            unite.ONE_AFTER_THE_OTHER,
        ),
        ("any file", "for its own file", _OWN_FILE),
    ]
    return table(
        ("Sections", "Where", "United"),
        ((" ".join(map(_linked, names)), where, how) for where, how, names in rows),
    )


def _one_place() -> list[str]:
    return [name for name in unite.ONE_PLACE if name not in unite.ROOT_FILE_ONLY]


def _linked(name: str) -> str:
    return f"[{code(name)}](#{name.partition('.')[0].lower()})"


def _union(name: str) -> str:
    """How one section is united, as a sentence."""
    if name in unite.NESTED:
        return "Any file may have a part of it."
    if name in unite.ROOT_FILE_ONLY:
        return ""  # its description says so
    if name in unite.BY_KEY:
        return "Any file may have it; the same key twice is an error."
    if name in unite.ONE_AFTER_THE_OTHER:
        return "Any file may have it; the lists follow each other."
    return "Any file may have its own." if name in _OWN_FILE else ""


# One section.


def _section(name: str) -> str:
    about, base = merged(schemas()[ROOT]["properties"][name], ROOT)
    parts = [" ".join(filter(None, [_sentence(about), _union(name), _status(about)]))]
    if about.get("examples"):
        parts.append(fence(block({name: about["examples"][0]}), "yaml"))
    entry, entry_base = about, base
    if about.get("propertyNames"):
        parts.append(_keys(about, base))
    if isinstance(about.get("additionalProperties"), dict):
        entry, entry_base = merged(about["additionalProperties"], base)
        parts.append(_entry("value", entry))
    elif "items" in about:
        entry, entry_base = merged(about["items"], base)
        parts.append(_entry("entry", entry))
    borrowed = _borrowed(entry)
    if borrowed:
        parts.append(borrowed)
    rows = list(_rows(entry, entry_base, ""))
    if rows:
        parts.append(table(("Field", "Value", "Meaning"), rows))
    return "\n\n".join(parts)


def _keys(about: Schema, base: str) -> str:
    names, _ = merged(about["propertyNames"], base)
    return f"Each key is {names['title']}. {_sentence(names)}{_example(names)}"


def _entry(word: str, entry: Schema) -> str:
    example = "" if "properties" in entry else _example(entry)
    return f"Each {word} is {entry['title']}. {_sentence(entry)}{example}".rstrip()


def _borrowed(entry: Schema) -> str:
    """The fields that are another section's, which describes them."""
    found: dict[str, list[str]] = {}
    for name, each in entry.get("properties", {}).items():
        if other := _lender(each):
            found.setdefault(other, []).append(code(name))
    return "\n\n".join(
        f"These fields of [{other}](#{other.lower()}) may stand here: "
        f"{', '.join(names)}."
        for other, names in found.items()
    )


def _lender(schema: Schema) -> str:
    """The section whose file a `$ref` leads into the middle of, if it does."""
    file, _, pointer = schema.get("$ref", "").partition("#")
    every: dict[str, Schema] = schemas()[ROOT]["properties"]
    lenders = (name for name, about in every.items() if about.get("$ref") == file)
    return next(lenders, "") if pointer else ""


def _rows(schema: Schema, base: str, path: str) -> Iterator[tuple[str, str, str]]:
    """Each field of a mapping, with those further in below it."""
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        if _lender(each):
            continue
        about, inner = merged(each, base)
        field = code(path + name) + (" (required)" if name in required else "")
        yield field, _value(about, inner), _meaning(about, inner)
        yield from _inside(about, inner, path + name)


def _inside(schema: Schema, base: str, path: str) -> Iterator[tuple[str, str, str]]:
    yield from _rows(schema, base, f"{path}.") if "properties" in schema else ()
    for branch in schema.get("anyOf", ()):
        yield from _inside(*merged(branch, base), path)
    if "items" in schema:
        yield from _inside(*merged(schema["items"], base), f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _inside(*merged(schema["additionalProperties"], base), f"{path}.…")


# One field.


def _value(about: Schema, base: str) -> str:
    """What may stand there, in a few words."""
    said = about.get("description", "")
    if "anyOf" in about:
        branches = [merged(branch, base) for branch in about["anyOf"]]
        kinds = [_value(*branch) for branch in branches]
        return ", or ".join(dict.fromkeys(kinds))
    if any(str(word) not in said for word in about.get("enum", ())):
        return ", ".join(code(str(word)) for word in about["enum"])
    match about.get("type"):
        case "boolean":
            return "`true` or `false`"
        case "null":
            return "`null`"
        case "integer":
            return "a whole number" + _bounds(about, said)
        case "array":
            return _list(about, base)
        case "object" if isinstance(about.get("additionalProperties"), dict):
            names, _ = merged(about.get("propertyNames", {}), base)
            inner, inner_base = merged(about["additionalProperties"], base)
            key = names.get("title", "a key")
            return f"a mapping: {key} to {_value(inner, inner_base)}"
        case "object":
            return "a mapping"
        case "string":
            return str(about.get("title", "text"))
    return "anything"


def _list(about: Schema, base: str) -> str:
    items, inner = merged(about["items"], base)
    each = items.get("title") or _value(items, inner)
    title = about.get("title", "")
    named = title if title.startswith("a list") else f"a list; each is {each}"
    return f"{named}, not empty" if about.get("minItems") == 1 else named


def _bounds(about: Schema, said: str) -> str:
    low, high = about.get("minimum"), about.get("maximum")
    if any(str(bound) in said for bound in (low, high) if bound):
        return ""
    if low is not None and high is not None:
        return f", {low} to {high}" if low != high else f", {low}"
    if low is not None:
        return f", {low} at least"
    return f", {high} at most" if high is not None else ""


def _meaning(about: Schema, base: str) -> str:
    parts = []
    title = about.get("title", "")
    if not about.get("description") or (
        about.get("type") in ("object", "array") and not title.startswith("a ")
    ):
        parts.append(_stopped(title[:1].upper() + title[1:]))
    parts += [_sentence(about), _example(about, base).strip()]
    if "default" in about:
        parts.append(f"{code(flow(about['default']))} if left out.")
    return " ".join(filter(None, [*parts, _status(about)]))


def _sentence(about: Schema) -> str:
    return plain(_stopped(about.get("description", "")))


def _stopped(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _example(about: Schema, base: str = ROOT) -> str:
    """The examples of a field that is neither yes-or-no nor described further in."""
    examples = about.get("examples", ())
    said = f"{about.get('description', '')} {' '.join(map(str, about.get('enum', ())))}"
    if about.get("type") == "boolean" or any(_inside(about, base, "")):
        return ""
    texts = [each if isinstance(each, str) else flow(each) for each in examples]
    shown = [text for text in texts if text not in said]
    return f" For example {' or '.join(map(code, shown[:2]))}." if shown else ""


def _status(about: Schema) -> str:
    mark = about.get("x-not-yet")
    return f"**{STATUS[mark['severity']]}:** {_stopped(mark['why'])}" if mark else ""


# What is known and does nothing yet.


def _settings() -> str:
    rows = [
        (code(name), f"{_sentence(about)} {_status(about)}".strip())
        for name, about in sections().items()
        if not _is_typed(about)
    ]
    return table(("Section", "Meaning"), rows)


def _reserved(severity: str) -> str:
    rows = [
        (where, code(name), mark["why"])
        for where, name, mark in reserved()
        if mark["severity"] == severity
    ]
    return table(("In", "Field", "Why"), rows) if rows else "None."


def reserved() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every field with `x-not-yet`: (where it stands, its name, the mark)."""
    for name, about in schemas()[ROOT]["properties"].items():
        section, base = merged(about, ROOT)
        if "x-not-yet" in section:
            yield "a file", name, section["x-not-yet"]
        yield from _marked(section, base, name)


def _marked(
    schema: Schema, base: str, path: str
) -> Iterator[tuple[str, str, dict[str, str]]]:
    for name, each in schema.get("properties", {}).items():
        if not _lender(each):
            about, inner = merged(each, base)
            if "x-not-yet" in about:
                yield code(path), name, about["x-not-yet"]
            yield from _marked(about, inner, f"{path}.{name}")
    others = schema.get("additionalProperties")
    further = [*schema.get("anyOf", ()), schema.get("items"), others]
    for each in further:
        if isinstance(each, dict):
            yield from _marked(*merged(each, base), path)


if __name__ == "__main__":
    missing = set(expected_blocks()) ^ set(blocks(PAGE.read_text()))
    if missing:
        raise SystemExit(f"docs/format.md: blocks that differ: {sorted(missing)}")
    PAGE.write_text(document())
