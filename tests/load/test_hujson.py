"""The reader of JSON and HuJSON: as strict as Python's own, and it has places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.load import load
from tailgit.load.hujson import read_hujson, read_json
from tailgit.load.located import Items, Map, Quoted
from tailgit.load.reading import read_document
from tailgit.load.yaml import read_yaml
from tailgit.model.findings import Finding, Place
from tests.load.files import HEAD, write

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
COMMENTS = ["", " ", "\n", "// c\n", "/* c */", "/* a\n * b\n */\n", "//\n", "/**/"]
Reader = Callable[[bytes, str, list[Finding]], Map | None]
READERS = [(read_json, "a.json"), (read_hujson, "policy.hujson")]
NAMES = ["json", "hujson"]


def read(
    data: bytes, reader: Reader = read_json, file: str = "a.json"
) -> tuple[Map | None, list[Finding]]:
    findings: list[Finding] = []
    return reader(data, file, findings), findings


def as_python(value: Any) -> Any:
    if isinstance(value, Map):
        return {key: as_python(inner) for key, inner in value.items()}
    if isinstance(value, Items):
        return [as_python(inner) for inner in value]
    return str(value) if isinstance(value, Quoted) else json.loads(value)


@pytest.mark.parametrize(("reader", "file"), READERS, ids=NAMES)
@given(DOCUMENTS, st.sampled_from([None, 2]), st.booleans())
@settings(max_examples=150)
def test_agrees_with_python(
    reader: Reader, file: str, document: Any, indent: int | None, ascii_only: bool
) -> None:
    """What Python writes is read as Python reads it."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    got, findings = read(text.encode(), reader, file)
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


def decorated(value: Any, draw: Callable[[st.SearchStrategy[str]], str]) -> str:
    """The value as HuJSON, with comments and last commas wherever they may be."""
    gaps = st.sampled_from(COMMENTS)

    def gap() -> str:
        return draw(gaps)

    def inner(value: Any) -> str:
        match value:
            case dict():
                entries = [
                    f"{gap()}{json.dumps(key)}{gap()}:{gap()}{inner(each)}{gap()}"
                    for key, each in value.items()
                ]
                signs = "{}"
            case list():
                entries = [f"{gap()}{inner(each)}{gap()}" for each in value]
                signs = "[]"
            case _:
                return json.dumps(value)
        last = draw(st.sampled_from(["", ","])) if entries else ""
        return f"{signs[0]}{gap()}{','.join(entries)}{last}{gap()}{signs[1]}"

    return f"{gap()}{inner(value)}{gap()}"


@given(DOCUMENTS, st.data())
@settings(max_examples=150)
def test_comments_and_last_commas_change_nothing(
    document: Any, data: st.DataObject
) -> None:
    """HuJSON is the JSON below its comments; JSON itself has neither."""
    plain = json.dumps(document)
    text = decorated(document, data.draw)
    got, findings = read(text.encode(), read_hujson, "policy.hujson")
    expected, refused = read(plain.encode())
    assert (got, [f.code for f in findings]) == (expected, [f.code for f in refused])


VALUES = st.recursive(
    st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc*:@/. -_", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def typed(value: Any) -> Any:
    """Keys, values and which of them were in quotes; places apart."""
    if isinstance(value, Map):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, Items):
        return [typed(inner) for inner in value]
    return (isinstance(value, Quoted), str(value))


@given(st.dictionaries(st.sampled_from(["acls", "groups", "dns"]), VALUES))
@settings(max_examples=200)
def test_three_languages_one_document(document: Any) -> None:
    """HuJSON, JSON and YAML with the same values give the same documents."""
    as_json = json.dumps(document).encode()
    first, second, third = (
        read(data, reader, file)
        for data, reader, file in (
            (as_json, read_json, "a.json"),
            (b"// one\n" + as_json, read_hujson, "policy.hujson"),
            (as_yaml(document).encode(), read_yaml, "a.yaml"),
        )
    )
    assert first[1] == second[1] == third[1] == []
    assert typed(first[0]) == typed(second[0]) == typed(third[0])


def as_yaml(value: Any, depth: int = 0) -> str:
    """The value in YAML's own style: a line for each entry."""
    pad = "  " * depth
    match value:
        case dict() if value:
            return "".join(
                f"\n{pad}{json.dumps(key)}: {as_yaml(each, depth + 1)}"
                for key, each in value.items()
            )
        case list() if value:
            return "".join(f"\n{pad}- {as_yaml(each, depth + 1)}" for each in value)
        case _:
            return json.dumps(value)


def test_everything_has_a_place() -> None:
    """Lines and columns of keys, values and items, counted from 1, behind comments."""
    got, _ = read(b'{"a": [1,\n  {"b": "c"}],\n "d": true}')
    assert got is not None
    assert got.key("d") == Place("a.json", 3, 2)
    assert got.at("a", 0) == Place("a.json", 1, 8)
    assert got.at("a", 1, "b") == Place("a.json", 2, 9)
    text = b'// x\n{ /* "no": 1,\n */ "a": [ // y\n  "b", ],\n}\n'
    hujson, findings = read(text, read_hujson, "policy.hujson")
    assert hujson == {"a": ["b"]}
    assert findings == []
    assert hujson.key("a") == Place("policy.hujson", 3, 5)
    assert hujson.at("a", 0) == Place("policy.hujson", 4, 3)


@pytest.mark.parametrize("text", ['{"a": ' + "[" * 99_999, '{"a": ' * 99_999])
@pytest.mark.parametrize(("reader", "file"), READERS, ids=NAMES)
def test_depth_is_limited(reader: Reader, file: str, text: str) -> None:
    """A hostile depth ends no recursion of ours."""
    got, findings = read(text.encode(), reader, file)
    assert (got, [finding.code for finding in findings]) == (None, ["too-deep"])


@pytest.mark.parametrize(
    "text",
    ["/*" * 200_000, '{"a": "' + "\\" * 400_001, "//" * 500_000, "/**/" * 200_000],
)
def test_comments_and_escapes_cost_little(text: str) -> None:
    """No text makes the reader go over it again and again."""
    read(text.encode(), read_hujson, "policy.hujson")


SLIPS = [
    ('{"a": 1,}', 1, 8, "a comma stands behind the last entry"),
    ('{"a": [1,\n]}', 1, 9, "a comma stands behind the last entry"),
    ('{"a": 01}', 1, 7, "`01` is no number"),
    ('{"a": NaN}', 1, 7, "`NaN` stands without quotes"),
    ('{"a": 1} x', 1, 10, "something follows the document"),
    ('// c\n{"a": 1}', 1, 1, "JSON has no comments"),
    ('{"a": 1 /* c */}', 1, 9, "JSON has no comments"),
    ("[]", 1, 1, "the file is not a mapping of sections"),
]
BOTH = [
    ("{'a': 1}", 1, 2, "text in single quotes"),
    ("{\"a\": 'b'}", 1, 7, "text in single quotes"),
    ('{"a": "b\nc"}', 1, 7, "the quoted text is not closed on its line"),
    ('{"a": "b\tc"}', 1, 9, "a tab stands in quoted text"),
    ('{"a": "b\\d"}', 1, 9, "`\\d` is no escape"),
    ('{"a": 1\n "b": 2}', 1, 8, "a comma is missing here"),
    ('{"a": ["x"\n  "y"]}', 1, 11, "a comma is missing here"),
    ('{"a": ["x"}', 1, 11, "`}` does not close `[`"),
    ('{"a": ["x": 1]}', 1, 11, "a colon can't stand here"),
    ('{"a" 1}', 1, 5, "a colon is missing behind the key `a`"),
    ("{a: 1}", 1, 2, "the key `a` stands without quotes"),
    ('{"a": b}', 1, 7, "`b` stands without quotes"),
    ('{"a": True}', 1, 7, "`True` is no value"),
    ('{"a": None}', 1, 7, "`None` is no value"),
    ('{"a": ,}', 1, 7, "a value is missing before `,`"),
    ('{"a": +1}', 1, 7, "`+1` is no number"),
    ('{"a": 1\n', 1, 8, "the file ends too early"),
    ('# c\n{"a": 1}', 1, 1, "`#` begins no comment here"),
    ('{\n # c\n "a": 1}', 2, 2, "`#` begins no comment here"),
    ('{"a": ${ips}}', 1, 7, "`${ips}` is a template that nobody filled in"),
    ('{"a": {{ .ips }}}', 1, 7, "`{{ .ips }}` is a template that nobody filled in"),
    ('{"a": [{% for %}]}', 1, 8, "`{% for %}` is a template that nobody filled in"),
    ("{{ groups }}", 1, 1, "`{{ groups }}` is a template that nobody filled in"),
]
HUMAN = [
    ("{\n/* a\n", 2, 1, "the comment that begins here has no end"),
    ('{"a": [,]}', 1, 8, "a value is missing before `,`"),
    ('{"a": 1 / 2}', 1, 8, "a comma is missing here"),
]


@pytest.mark.parametrize(
    ("reader", "file", "slip"),
    [
        *((read_json, "a.json", each) for each in [*SLIPS, *BOTH]),
        *((read_hujson, "policy.hujson", each) for each in [*BOTH, *HUMAN]),
    ],
)
def test_slips_are_explained(
    reader: Reader, file: str, slip: tuple[str, int, int, str]
) -> None:
    """The finding points at what has to change, and says what it is."""
    text, line, column, message = slip
    got, findings = read(text.encode(), reader, file)
    assert got is None
    (found,) = findings
    assert (found.place, found.message) == (Place(file, line, column), message)
    assert found.code in ("bad-json", "yaml-root")
    assert found.help


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ('{"a": 1}'.encode("utf-16"), "bad-encoding"),
        (b'{"a": "\xff"}', "bad-encoding"),
        (b'{\n<<<<<<< HEAD\n"a": 1}', "bad-json"),
        (b'{"a": 1, "a": 2}', "duplicate-key"),
    ],
)
def test_other_files_are_refused(data: bytes, code: str) -> None:
    """UTF-16, other bytes, a merge conflict and a key twice are named as such."""
    _, findings = read(data, read_hujson, "policy.hujson")
    assert [finding.code for finding in findings] == [code]


def test_a_byte_order_mark_is_no_mistake() -> None:
    """Editors on Windows write one; it is not part of the text."""
    got, findings = read(b'\xef\xbb\xbf{"a": 1}', read_hujson, "policy.hujson")
    assert (got, findings) == ({"a": "1"}, [])


def test_nothing_but_comments_is_an_empty_file() -> None:
    """As in YAML: a file that is kept for its comment says nothing."""
    assert read(b"// later\n", read_hujson, "policy.hujson") == ({}, [])
    assert read(b"", read_hujson, "policy.hujson") == ({}, [])


# Tailscale's spelling


def spelt(text: str) -> tuple[Map | None, list[Finding]]:
    findings: list[Finding] = []
    return read_document(text.encode(), "policy.hujson", findings), findings


def test_tailscales_spellings_are_understood() -> None:
    """Names in any case, the older names of fields, and `autogroup:members`."""
    got, findings = spelt(
        '{"ACLs": [{"Action": "accept", "Users": ["autogroup:members"],\n'
        '  "Ports": ["autogroup:members:22", "tag:a:*"], "#ha-state": 1}],\n'
        ' "TagOwners": {"tag:a": ["autogroup:members"]},\n'
        ' "tests": [{"user": "autogroup:members", "allow": ["a:1"]}]}'
    )
    assert findings == []
    assert got == {
        "acls": [
            {
                "action": "accept",
                "src": ["autogroup:member"],
                "dst": ["autogroup:member:22", "tag:a:*"],
            }
        ],
        "tagOwners": {"tag:a": ["autogroup:member"]},
        "tests": [{"src": "autogroup:member", "accept": ["a:1"]}],
    }
    assert got.at("acls", 0, "dst", 1) == Place("policy.hujson", 2, 37)


def test_one_section_by_two_names_is_a_key_twice() -> None:
    """Go's reader would take the last one without a word."""
    _, (found,) = spelt('{"acls": [],\n "ACLs": []}')
    assert (found.code, found.place.line) == ("duplicate-key", 2)
    assert [each.line for each in found.see] == [1]


def test_names_of_groups_keep_their_case() -> None:
    """Only what the format itself names has no case."""
    got, _ = spelt('{"Groups": {"group:ACLs": []}, "hosts": {"SRC": "10.0.0.1"}}')
    assert got == {"groups": {"group:ACLs": []}, "hosts": {"SRC": "10.0.0.1"}}


def test_yaml_has_one_spelling(tmp_path: Path) -> None:
    """What Tailscale reads in its own file is a mistake in ours."""
    write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": "ACLs: []\n"})
    (found,) = load(tmp_path).findings
    assert (found.code, found.help) == ("unknown-section", "did you mean `acls`?")


# A file of a tailnet


def test_a_policy_is_one_more_file(tmp_path: Path) -> None:
    """Its rules join those of the YAML files, with their comments and places."""
    policy = """\
{
  // Who is on call
  // may log in.
  "grants": [
    /* The team reads. */
    {"src": ["tag:a"], "dst": ["tag:a"], "ip": ["22"]},
    {"src": ["tag:a"], "dst": ["tag:a"], "ip": [443]}, // not above
  ],
}
"""
    files = {
        "tailnet.yaml": HEAD,
        "a.yaml": "tagOwners: {tag:a: []}\ngrants: []\n",
        "policy.hujson": policy,
    }
    loaded = load(write(tmp_path, dict(files)))
    assert loaded.findings == ()
    assert loaded.tailnet is not None
    first, second = loaded.tailnet.rules
    assert (first.description, second.description) == ("The team reads.", "")
    assert first.place == Place("policy.hujson", 6, 5)


@pytest.mark.parametrize("name", ["acl.hujson", "Policy.hujson", "POLICY.HUJSON"])
def test_other_hujson_is_not_passed_over(tmp_path: Path, name: str) -> None:
    """A policy under another name would have no effect, and nobody would notice."""
    write(tmp_path, {"tailnet.yaml": HEAD, name: "{}"})
    (found,) = load(tmp_path).findings
    assert (found.code, found.place.file) == ("odd-name", name)
