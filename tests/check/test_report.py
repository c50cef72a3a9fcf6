"""Findings as text and as JSON."""

from __future__ import annotations

import json

from tailgit.model.codes import CODES, finding
from tailgit.model.findings import Finding, Place, Severity, in_order
from tailgit.report.findings import as_json, as_text

GROUP = finding(
    "unknown-group",
    Place("tailnet/acl.yaml", 14, 9),
    "no group `group:dta-team`",
    "did you mean `group:data-team`?",
    [Place("groups.yaml", 8, 3)],
)
SITE = finding("not-used", Place("a.yaml"), "`site` has no effect")
TWICE = finding("duplicate-key", Place("b.yaml", 2), "twice", see=[Place("a.yaml")])


def test_text() -> None:
    """The grammar of every finding: place, severity, code, sentence, help."""
    assert as_text([GROUP, SITE, TWICE]) == (
        "tailnet/acl.yaml:14:9: error[unknown-group]: no group `group:dta-team`\n"
        "  help: did you mean `group:data-team`? (groups.yaml:8:3)\n"
        "a.yaml:1:1: warning[not-used]: `site` has no effect\n"
        "b.yaml:2:1: error[duplicate-key]: twice\n"
        "  see: a.yaml:1:1"
    )


def test_json() -> None:
    """The same for programs, with a format version."""
    document = json.loads(as_json([GROUP, SITE]))
    assert document["format_version"] == 1
    assert document["findings"][0] == {
        "code": "unknown-group",
        "layer": "policy",
        "severity": "error",
        "file": "tailnet/acl.yaml",
        "line": 14,
        "column": 9,
        "message": "no group `group:dta-team`",
        "help": "did you mean `group:data-team`?",
        "see": [{"file": "groups.yaml", "line": 8, "column": 3}],
    }
    assert document["findings"][1]["severity"] == "warning"
    assert json.loads(as_json([])) == {"format_version": 1, "findings": []}


def test_findings_are_sorted_and_said_once() -> None:
    """By place, then code and sentence."""
    assert in_order([TWICE, GROUP, SITE, GROUP]) == (SITE, TWICE, GROUP)


def test_what_strangers_wrote_is_escaped() -> None:
    """In every part of a finding, in both forms."""
    evil = "\x1b[31m\u202e"
    odd = Finding("x", Place(f"{evil}.yaml"), evil, evil, Severity.ERROR)
    assert as_text([odd]).replace("\n", "").isprintable()
    assert "\\x1b[31m\\u202e" in json.loads(as_json([odd]))["findings"][0]["message"]


def test_codes_are_words() -> None:
    """Stable, lower-case, with a title that is no sentence."""
    for code, about in CODES.items():
        assert code == code.lower()
        assert " " not in code
        assert not about.title[0].isupper()
        assert not about.title.endswith(".")
