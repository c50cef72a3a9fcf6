"""`tailgit schema`: the one document judges as the loader does, and offers names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from tailgit.cli import run
from tailgit.edit.schema import editor_schema
from tailgit.errors import Exit
from tailgit.load import load
from tailgit.load.shape import ROOT, fit, root_shape, schemas
from tailgit.load.yaml import read_yaml

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))
VALIDATOR = Draft7Validator(editor_schema())


ODD = ["x", "", 7, True, None, [], {}, ["x"], {"x": 1}]


def typed(text: str) -> Any:
    document = read_yaml(text.encode(), "a.yaml", [])
    assert document is not None
    fit(root_shape(), document)
    return document


def test_it_is_a_schema_of_draft_7() -> None:
    """Older language servers know no later one; nothing leads out of the document."""
    Draft7Validator.check_schema(editor_schema())
    text = json.dumps(editor_schema())
    assert ".schema.json#" not in text.replace("#/definitions/", "")
    assert "$defs" not in text


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: "/".join(f.parts[-3:]))
def test_examples_fit(file: Path) -> None:
    """What people read as an example is not underlined in their editor."""
    assert list(VALIDATOR.iter_errors(typed(file.read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "devices: {db-1: {tag: [tag:a]}}",
        "devices: {db-1: {tags: tag:a}}",
        "devices: {db-1: {ssh: {port: 70000}}}",
        "grants: [{src: [a]}]",
        "tailnet: {format: 2}",
        "nonsense: {}",
        "dns: {records: [{name: a}]}",
    ],
)
def test_mistakes_do_not_fit(text: str) -> None:
    """A mistake that the loader finds by the schemas is seen in the editor, too."""
    assert list(VALIDATOR.iter_errors(typed(text)))


examples = [
    {section: example}
    for section, about in schemas()[ROOT]["properties"].items()
    if "$ref" in about
    for example in schemas()[about["$ref"]].get("examples", ())
]


@given(st.sampled_from(examples), st.data())
def test_both_judge_alike(example: dict[str, Any], data: st.DataObject) -> None:
    """Change one value anywhere: the one document says what the many say."""
    document = json.loads(json.dumps(example))
    here, holders = document, []
    waiting = [here]
    while waiting:
        each = waiting.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each))
        for key in keys:
            holders.append((each, key))
            if isinstance(each[key], dict | list):
                waiting.append(each[key])
    holder, key = data.draw(st.sampled_from(holders))
    holder[key] = data.draw(st.sampled_from(ODD))
    read = read_yaml(json.dumps(document).encode(), "a.yaml", [])
    assert read is not None
    assert fit(root_shape(), read).valid == VALIDATOR.is_valid(read)


def test_names_are_offered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a tailnet its names are in it; what is not known is still allowed."""
    acme = Path(__file__).parents[2] / "examples" / "acme"
    out = tmp_path / "a" / "schema.json"
    assert run(["schema", "--repo", str(acme), "--out", str(out)]) == Exit.DONE
    assert capsys.readouterr().out == f"wrote {out}\n"
    schema = json.loads(out.read_text())
    common = schema["definitions"]["common.schema.json"]["definitions"]
    tailnet = load(acme).tailnet
    assert tailnet is not None
    offered = common["selector"]["anyOf"][0]["enum"]
    assert {*tailnet.devices, *tailnet.groups, *tailnet.tag_owners} <= set(offered)
    grant = {"src": ["group:new"], "dst": ["tag:web"], "ip": ["tcp:80"]}
    assert Draft7Validator(schema).is_valid({"grants": [grant]})
    assert not Draft7Validator(schema).is_valid({"grants": [{"src": [7]}]})


def test_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file it goes to standard output, and nothing else does."""
    assert run(["schema"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == editor_schema()
