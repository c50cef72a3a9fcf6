"""The JSON reader agrees with Python's own, and has places."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.load.json import read_json
from tailgit.load.located import Items, Map, Quoted
from tailgit.model.findings import Finding, Place

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
DOCUMENTS = st.dictionaries(
    TEXT,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
        ),
        max_leaves=12,
    ),
    max_size=5,
)


def read(data: bytes) -> tuple[Map | None, list[Finding]]:
    findings: list[Finding] = []
    return read_json(data, "a.json", findings), findings


def as_python(value: Any) -> Any:
    if isinstance(value, Map):
        return {key: as_python(inner) for key, inner in value.items()}
    if isinstance(value, Items):
        return [as_python(inner) for inner in value]
    return str(value) if isinstance(value, Quoted) else json.loads(value)


@given(DOCUMENTS, st.sampled_from([None, 2]), st.booleans())
@settings(max_examples=300)
def test_agrees_with_python(
    document: Any, indent: int | None, ascii_only: bool
) -> None:
    """What Python writes is read as Python reads it."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    got, findings = read(text.encode())
    if findings:  # unseen characters that no file may have
        assert {finding.code for finding in findings} == {"bad-character"}
        return
    assert as_python(got) == document


@given(st.text(alphabet='{}[]",:\\ \n019.eE-+truefalsn/u', max_size=30))
@settings(max_examples=600)
def test_accepts_no_more_than_python(text: str) -> None:
    """Strict: what Python's reader refuses is refused, and says where."""
    got, findings = read(text.encode())
    try:
        python = json.loads(text)
    except (ValueError, RecursionError):
        assert got is None
        assert findings
        return
    if got is not None and not findings:
        assert as_python(got) == python


def test_everything_has_a_place() -> None:
    """Lines and columns of keys, values and items, counted from 1."""
    got, _ = read(b'{"a": [1,\n  {"b": "c"}],\n "d": true}')
    assert got is not None
    assert got.key("d") == Place("a.json", 3, 2)
    assert got.at("a", 0) == Place("a.json", 1, 8)
    assert got.at("a", 1, "b") == Place("a.json", 2, 9)


@pytest.mark.parametrize("text", ['{"a": ' + "[" * 99_999, '{"a": ' * 99_999])
def test_depth_is_limited(text: str) -> None:
    """A hostile depth ends no recursion of ours."""
    got, findings = read(text.encode())
    assert (got, [finding.code for finding in findings]) == (None, ["too-deep"])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"a": 1,}', Place("a.json", 1, 9)),
        (b'{"a": 01}', Place("a.json", 1, 7)),
        (b"{'a': 1}", Place("a.json", 1, 2)),
        (b'{"a": NaN}', Place("a.json", 1, 7)),
        (b'{"a": 1} x', Place("a.json", 1, 10)),
        (b'{"a": "b\nc"}', Place("a.json", 1, 9)),
        (b'// c\n{"a": 1}', Place("a.json", 1, 1)),
    ],
)
def test_slips_are_located(text: bytes, place: Place) -> None:
    """The finding points at the character that does not fit."""
    got, findings = read(text)
    assert got is None
    assert [finding.place for finding in findings] == [place]
