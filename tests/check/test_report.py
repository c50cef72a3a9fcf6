"""Findings as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tailgit.model.codes import CODES
from tailgit.model.findings import Finding, Place, Severity, in_order
from tailgit.report.findings import (
    as_json,
    as_text,
    fingerprints,
    json_report,
    text_report,
)
from tailgit.resources import directory
from tests.check.reports import EVIL, GROUP, SITE, TWICE, checked, tailnet


def document(*args: Any) -> Any:
    """The JSON document, which its published schema must take."""
    schema = json.loads((directory("schemas") / "report" / "findings.json").read_text())
    Draft202012Validator.check_schema(schema)
    parsed = json.loads(json_report(args))
    Draft202012Validator(schema).validate(parsed)
    return parsed


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
    """The same for programs, with a format version and a line for the tailnet."""
    parsed = document(checked(GROUP, SITE))
    assert parsed["format_version"] == 1
    assert parsed["valid"] is False
    assert [each["severity"] for each in parsed["findings"]] == ["warning", "error"]
    assert parsed["findings"][1] == {
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
    assert parsed["tailnets"] == [
        {
            "root": "",
            "name": "acme",
            "valid": False,
            "devices": 0,
            "rules": 0,
            "tests": 0,
            "errors": 1,
            "warnings": 1,
        }
    ]


def test_json_counts_nothing_that_was_not_loaded() -> None:
    """Null is not 0: of a tailnet that can't be loaded nobody knows its devices."""
    (entry,) = document(checked(GROUP, ok=False))["tailnets"]
    assert (entry["name"], entry["devices"], entry["valid"]) == ("acme", None, False)
    assert document(checked())["findings"] == []
    assert json.loads(as_json([])) == {"format_version": 1, "findings": []}


def test_schema_refuses_what_is_not_the_format() -> None:
    """The schema is strict, so that it says something."""
    schema = json.loads((directory("schemas") / "report" / "findings.json").read_text())
    parsed = document(checked(GROUP))
    parsed["findings"][0]["extra"] = 1
    with pytest.raises(ValidationError, match="extra"):
        Draft202012Validator(schema).validate(parsed)


def test_several_tailnets_in_one_text() -> None:
    """Findings by tailnet, those of a shared file once, then a line for each."""
    prod = checked(SITE, root="prod", about=tailnet("prod"))
    staging = checked(SITE, TWICE, root="staging", about=tailnet("staging"), ok=False)
    assert text_report([prod, staging]).splitlines() == [
        "a.yaml:1:1: warning[not-used]: `site` has no effect",
        "b.yaml:2:1: error[duplicate-key]: twice",
        "  see: a.yaml:1:1",
        "prod: 0 devices, 0 rules, 0 tests, 1 warning",
        "staging: not valid, 1 error, 1 warning",
    ]
    assert len(document(prod, staging)["findings"]) == 2


def test_findings_are_sorted_and_said_once() -> None:
    """By place, then code and sentence."""
    assert in_order([TWICE, GROUP, SITE, GROUP]) == (SITE, TWICE, GROUP)


def test_what_strangers_wrote_is_escaped() -> None:
    """In every part of a finding, in both forms."""
    evil = "\x1b[31m\u202e"
    odd = Finding("x", Place(f"{evil}.yaml"), evil, evil, Severity.ERROR)
    assert as_text([odd]).replace("\n", "").isprintable()
    (entry,) = json.loads(as_json([odd]))["findings"]
    assert "\\x1b[31m\\u202e" in entry["message"]
    assert document(checked(odd))["findings"] == [entry]
    assert json_report([checked(EVIL)]).isascii()
    assert len(as_text([EVIL]).splitlines()) == 2


def test_fingerprint_stays_when_lines_move() -> None:
    """It follows from code, file and message; equal ones are told apart by number."""

    def at(line: int, message: str = "m") -> Finding:
        return Finding("bad-value", Place("a.yaml", line), f"{message}\ud800")

    before = [mark for _, mark in fingerprints([at(3), at(4), at(5, "n")])]
    after = [mark for _, mark in fingerprints([at(30), at(41), at(52, "n")])]
    assert before == after
    assert len(set(before)) == 3


def test_codes_are_words() -> None:
    """Stable, lower-case, with a title that is no sentence."""
    for code, about in CODES.items():
        assert code == code.lower()
        assert " " not in code
        assert not about.title[0].isupper()
        assert not about.title.endswith(".")
