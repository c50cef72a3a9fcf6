"""docs/format.md: what the schemas say, and examples that can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource

from scripts import format as format_page
from scripts.pages import blocks
from tailgit.check import examine
from tailgit.load import load
from tailgit.load.shape import ROOT as ROOT_SCHEMA
from tailgit.load.shape import schemas
from tailgit.resources import directory
from tests.house.project import ROOT, files


def test_format_page_is_what_the_schemas_say() -> None:
    """docs/format.md's blocks are the schemas and the merge table; `make docs`."""
    page = format_page.PAGE.read_text()
    assert sorted(blocks(page)) == format_page.expected_blocks()
    assert page == format_page.document(), "`make docs` writes it anew"


def test_format_page_has_every_section_and_reserved_field() -> None:
    """Each section has its heading, and each field that does nothing yet its row."""
    page = format_page.PAGE.read_text()
    documented = set(format_page.expected_blocks()) & set(format_page.sections())
    assert [name for name in documented if f"\n### {name}\n" not in page] == []
    reserved = [*format_page.reserved()]
    assert reserved
    for _, name, mark in reserved:
        assert f"| `{name}` | {mark['why']} |" in page, name
        assert f"**{format_page.STATUS[mark['severity']]}:** {mark['why']}" in page, (
            name
        )


def test_every_section_has_its_place_in_the_merge_table() -> None:
    """The page says of each section where it stands and how it is united."""
    page = format_page.PAGE.read_text()
    overview = page[page.index("<!-- generated: sections -->") :].split("<!-- end")[0]
    united = {name.partition(".")[0] for name in re.findall(r"\[`([^`]+)`\]", overview)}
    described = set(format_page.expected_blocks()) & set(format_page.sections())
    assert united == described


def test_links_inside_the_page_lead_to_a_heading() -> None:
    """A link to a section of the page names one that is there."""
    page = format_page.PAGE.read_text()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {
        re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings
    }
    assert [to for to in re.findall(r"\]\(#([^)]+)\)", page) if to not in anchors] == []


@pytest.mark.parametrize(
    ("schema", "value", "meaning"),
    [
        ({"type": "boolean", "title": "whether"}, "`true` or `false`", "Whether."),
        (
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "A port"},
            "a whole number, 1 to 9",
            "A port.",
        ),
        (
            {
                "type": "integer",
                "maximum": 9,
                "description": "9 at most.",
                "default": 3,
            },
            "a whole number",
            "9 at most. `3` if left out.",
        ),
        (
            {"type": "string", "enum": ["a1", "b2"], "description": "Either."},
            "`a1`, `b2`",
            "Either.",
        ),
        (
            {
                "type": "string",
                "enum": ["a1", "b2"],
                "title": "x",
                "description": "a1, b2.",
            },
            "x",
            "a1, b2.",
        ),
        (
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"title": "a b"}},
                ],
                "description": "One or many.",
                "examples": ["x", ["x", "443"]],
            },
            "text, or a list; each is a b",
            'One or many. For example `x` or `[x, "443"]`.',
        ),
        (
            {
                "type": "object",
                "propertyNames": {"title": "a name"},
                "additionalProperties": {"type": "integer"},
                "title": "sizes",
                "description": "By name.",
            },
            "a mapping: a name to a whole number",
            "Sizes. By name.",
        ),
        (
            {"description": "Kept.", "x-not-yet": {"severity": "apply", "why": "no x"}},
            "anything",
            "Kept. **Not applied yet:** no x.",
        ),
    ],
)
def test_field_is_said_in_words(
    schema: dict[str, Any], value: str, meaning: str
) -> None:
    """Each form that a schema may have becomes a kind of value and a sentence."""
    assert format_page._value(schema, ROOT_SCHEMA) == value
    assert format_page._meaning(schema, ROOT_SCHEMA) == meaning


def test_fields_further_in_are_listed_below_theirs() -> None:
    """Mappings in mappings, lists and choices get a row for each of their fields."""
    inner = {"type": "object", "properties": {"b": {"type": "string", "title": "t"}}}
    choice = {"type": "array", "items": {"anyOf": [{"type": "string"}, inner]}}
    schema = {"properties": {"a": inner, "c": choice}, "required": ["a"]}
    rows = [row[0] for row in format_page._rows(schema, ROOT_SCHEMA, "")]
    assert rows == ["`a` (required)", "`a.b`", "`c`", "`c[].b`"]


def test_pages_show_no_patterns() -> None:
    """What a field may look like is said in words, never as a regular expression."""
    page = format_page.PAGE.read_text()
    patterns = {
        pattern
        for _, field in described()
        if (pattern := field.get("pattern")) and len(pattern) > 3
    }
    assert patterns
    assert [pattern for pattern in patterns if pattern in page] == []


def described() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of a property, list entry or key, by where it stands."""
    for file, schema in schemas().items():
        for path, inner in inside(schema, file):
            yield path, format_page.merged(inner, file)[0]


def inside(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    named = {**schema.get("properties", {}), **schema.get("$defs", {})}
    for key in ("items", "propertyNames", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            named[key] = schema[key]
    for name, each in named.items():
        yield f"{path} {name}", each
        yield from inside(each, f"{path} {name}")
    for each in schema.get("anyOf", ()):
        yield from inside(each, path)


def test_every_field_is_described() -> None:
    """Each property of the schemas has a title and a description."""
    silent = [
        f"{path}: {key}"
        for path, field in described()
        for key in ("title", "description")
        if not field.get(key)
    ]
    assert silent == []


def test_every_free_text_has_an_example() -> None:
    """Whoever may write any text sees one that is right; words of a list suffice."""
    without = [
        path
        for path, field in described()
        if field.get("type") == "string"
        and "enum" not in field
        and not field.get("examples")
    ]
    assert without == []


YAML_EXAMPLES = re.findall(
    r"^```yaml\n(.*?)^```$", format_page.PAGE.read_text(), re.MULTILINE | re.DOTALL
)


TAILNET = next(text for text in YAML_EXAMPLES if text.startswith("tailnet:"))


@pytest.mark.parametrize("text", YAML_EXAMPLES, ids=lambda text: text.split(":")[0])
def test_example_of_the_format_can_be_read(text: str, tmp_path: Path) -> None:
    """Each YAML example of docs/format.md is one that the loader understands."""
    (tmp_path / "tailnet.yaml").write_text(TAILNET)
    if text.startswith(("tailnet:", "include:", "exclude:")):
        whole = text if text.startswith("tailnet:") else TAILNET + text
        (tmp_path / "tailnet.yaml").write_text(whole)
    else:
        (tmp_path / "example.yaml").write_text(text)

    codes = {finding.code for finding in examine(load(tmp_path))}

    unread = {"bad-value", "missing-key", "unknown-key", "unknown-section"}
    assert codes & unread == set()
    assert [
        code for code in codes if code.startswith(("yaml-", "wrong-", "bad-y"))
    ] == []


def test_editors_find_the_schemas_by_file_address() -> None:
    """A consumer that knows only the address of one file gets all of its references."""

    def read(uri: str) -> Resource[Any]:
        path = Path(url2pathname(uri.removeprefix("file://")))
        return Resource.from_contents(json.loads(path.read_bytes()))

    # An `$id` would make them relative to it, and there is nothing on any server.
    assert [name for name, schema in schemas().items() if "$id" in schema] == []
    address = (directory("schemas").resolve() / ROOT_SCHEMA).as_uri()
    # Attrs gives `retrieve` its name in the signature, which mypy does not see.
    validator = jsonschema.Draft202012Validator(
        {"$ref": address},
        registry=Registry(retrieve=read),  # type: ignore[call-arg]
    )

    for name in files("examples/acme"):
        if name.endswith(".yaml"):
            document = yaml.load((ROOT / name).read_text(), yaml.CBaseLoader)
            # Without types only the kinds of containers and the keys are judged.
            wrong = [
                error.message
                for error in validator.iter_errors(document)
                if error.validator in ("additionalProperties", "required")
            ]
            assert wrong == [], name
    assert not validator.is_valid({"devices": {"db-1": {"colour": "red"}}})
    assert not validator.is_valid({"grants": [{"src": ["*"]}]})
    assert validator.is_valid({"groups": {"group:data-team": ["ana@acme.com"]}})
