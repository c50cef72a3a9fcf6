"""The YAML reader: values, places, refusals, and that no input breaks it."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.load.located import Map, Quoted
from tailgit.load.yaml import read_yaml
from tailgit.model.findings import Finding, Place
from tests.load.files import ACME

PIECES = [
    *("a", "tag:db", "*", "&x", "*x", "!t", "@", "%", "`", "|", ">", "?", "-", ":"),
    *(",", "[", "]", "{", "}", "'", '"', "#", " ", "  ", "\n", "\r\n", "\t", "\\"),
    *("::/0", "2001:db8::", "[fd00::1]:22", "---", "...", "<<", "~", "no", "1e3"),
    *("\ufeff", "\u2028", "\x00", "\x85", "\u202e", "\U0001f600", "key: value\n"),
    *("devices:\n", "  db-1: {}\n", "- x\n"),
]


def read(text: str | bytes) -> tuple[Map | None, list[Finding]]:
    data = text.encode() if isinstance(text, str) else text
    findings: list[Finding] = []
    return read_yaml(data, "a.yaml", findings), findings


def test_everything_has_a_place() -> None:
    """Keys, values and list items know their line and column, counted from 1."""
    document, findings = read('a:\n  "b": [x, {c: d}]\n  e:\n  - f\n')
    assert findings == []
    assert document == {"a": {"b": ["x", {"c": "d"}], "e": ["f"]}}
    assert document.key("a") == Place("a.yaml", 1, 1)
    assert document["a"].key("b") == Place("a.yaml", 2, 3)
    assert document.at("a", "b") == Place("a.yaml", 2, 8)
    assert document.at("a", "b", 0) == Place("a.yaml", 2, 9)
    assert document.at("a", "b", 1, "c") == Place("a.yaml", 2, 16)
    assert document.at("a", "e", 0) == Place("a.yaml", 4, 5)


def test_absent_parts_have_the_place_of_what_holds_them() -> None:
    """A finding about something that is missing points at where it should be."""
    document, _ = read("a:\n  b: [x]\n")
    assert document is not None
    assert document.at("a", "missing") == Place("a.yaml", 2, 3)
    assert document.at("a", "b", 7) == Place("a.yaml", 2, 6)


@pytest.mark.parametrize("text", ["no", "on", "22:22", "1e3", "0x1f", "null", "~", "1"])
def test_nothing_is_typed_by_its_looks(text: str) -> None:
    """A plain scalar is text, whatever a YAML library would make of it."""
    document, findings = read(f"a: {text}\n")
    assert (document, findings) == ({"a": text}, [])
    assert type(document["a"]) is str


@pytest.mark.parametrize("text", ["'1'", '"1"', "|-\n  1", ">-\n  1"])
def test_quoted_text_is_known_as_such(text: str) -> None:
    """Text in quotes or in a block can never become a number."""
    document, _ = read(f"a: {text}\n")
    assert document is not None
    assert document["a"] == "1"
    assert type(document["a"]) is Quoted


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n# x\n"])
def test_a_file_of_comments_is_empty(text: str) -> None:
    """Somebody may comment out everything."""
    document, findings = read(text)
    assert not document
    assert findings == []


def test_crlf_and_byte_order_mark() -> None:
    """Windows editors write both; places don't move."""
    document, findings = read(b"\xef\xbb\xbfa: b\r\nc: [d,\r\n  e]\r\n")
    assert (document, findings) == ({"a": "b", "c": ["d", "e"]}, [])
    assert document.key("a") == Place("a.yaml", 1, 1)
    assert document.at("c", 1) == Place("a.yaml", 3, 3)


@pytest.mark.parametrize("end", ["\r", "\x85", "\u2028", "\u2029", "\x0b", "\x00"])
def test_no_rule_hides_in_a_comment(end: str) -> None:
    """YAML ends a line at signs that an editor shows as one line, or not at all."""
    document, findings = read(f"a: b\n# harmless{end}hosts: {{}}\n")
    assert document is None
    assert [(f.code, f.place) for f in findings] == [
        ("bad-character", Place("a.yaml", 2, 11))
    ]


def test_columns_count_characters() -> None:
    """Letters that take several bytes count as one, as editors do."""
    document, _ = read("ä😀ü: x\n")
    assert document is not None
    assert document.at("ä😀ü") == Place("a.yaml", 1, 6)


def test_first_of_two_keys_is_kept_and_both_are_named() -> None:
    """The second definition is a finding that points at the first."""
    document, findings = read("a: 1\nb: {}\na: {x: [y]}\n")
    assert document == {"a": "1", "b": {}}
    assert [(f.code, f.place.line, f.see[0].line) for f in findings] == [
        ("duplicate-key", 3, 1)
    ]


def test_all_refusals_of_a_file_come_at_once() -> None:
    """What can be read past is read past."""
    _, findings = read("a: &x 1\nb: !t 2\nc: *x\nno: 3\na: 4\n")
    assert [f.code for f in findings] == [
        "yaml-alias",
        "yaml-tag",
        "yaml-alias",
        "yaml-key",
        "duplicate-key",
    ]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(max_examples=600)
def test_reading_agrees_with_pyyaml_or_refuses(text: str) -> None:
    """Whatever is accepted without a finding means what YAML says it means."""
    document, findings = read(text)
    assert all(finding.message and finding.place.line >= 1 for finding in findings)
    if findings or document is None:
        assert findings
        assert document is None or isinstance(document, Map)
        return
    plain = yaml.load(text.removeprefix("\ufeff"), Loader=yaml.CBaseLoader)
    assert document == (plain or {})


@given(st.binary(max_size=200))
@settings(max_examples=600)
def test_any_bytes_give_a_document_or_findings(data: bytes) -> None:
    """No input raises, and nothing is refused in silence."""
    document, findings = read(data)
    assert document is not None or findings


@given(st.data())
@settings(max_examples=300)
def test_damaged_files_never_raise(data: st.DataObject) -> None:
    """A real file with a few bytes changed, taken out or doubled."""
    content = bytearray(ACME[data.draw(st.sampled_from(sorted(ACME)))].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(content) - 1))
        content[index : index + data.draw(st.integers(0, 5))] = data.draw(
            st.binary(max_size=3)
        )
    document, findings = read(bytes(content))
    assert document is not None or findings


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "a: " + "{x: " * 100_000,
        "- " * 100_000,
        "a: " + "&x " * 100_000,
        "a: " + "?" * 100_000,
        "a: " + "!" * 100_000,
        "a: [" + "x: y, " * 100_000 + "]",
        "a: [" + "1, " * 200_000 + "]",
        "a: 'x\n" + "\n" * 200_000 + "'",
        "a:\n" + "  - x\n" * 200_000,
        "".join(f"k{i}: v\n" for i in range(100_000)),
        "a: 1\n" * 100_000,
        "a: " + "x " * 300_000,
        "# " + "x" * 1_000_000,
    ],
    ids=lambda text: text[:8].strip(),
)
def test_hostile_files_end_soon(text: str) -> None:
    """Depth, width and repetition cost no more than their bytes."""
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 5


def test_faster_than_a_plain_load() -> None:
    """With every place and check, ten thousand devices load faster than without."""
    text = "devices:\n" + "".join(
        f"  dev-{i}:\n    owner: user{i % 500}@acme.example\n"
        f"    publicKey: 6Zg1hk2gZLIdZbvcOZtPzqTdgLHbfBv9ZEUVLKz{i:05}=\n"
        f'    endpoints: ["203.0.113.{i % 250}:51820"]\n'
        for i in range(10_000)
    )
    data = text.encode()

    def seconds(work: Any) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    plain = min(
        seconds(lambda: yaml.load(data, Loader=yaml.CSafeLoader)) for _ in range(2)
    )
    gc.disable()
    try:
        ours = min(seconds(lambda: read(data)) for _ in range(3))
    finally:
        gc.enable()
    assert plain / ours > 2
