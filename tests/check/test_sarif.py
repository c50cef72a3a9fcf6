"""Findings as SARIF 2.1.0: what the standard requires, in the part that is used.

The schema below is strict (no other properties) and says, for each object that we
write, what section 3 of the standard and its published schema demand of it.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from jsonschema import Draft202012Validator

from tailgit.model.codes import CODES, finding
from tailgit.model.findings import Place
from tailgit.report.sarif import as_sarif
from tests.check.reports import EVIL, GROUP, HOSTILE, SITE, TWICE, checked


def exactly(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


TEXT = {"type": "string", "minLength": 1}
MESSAGE = exactly({"text": TEXT})
LEVEL = {"enum": ["none", "note", "warning", "error"]}
PHYSICAL = exactly(
    {
        "artifactLocation": exactly(
            {
                # A relative reference: no scheme, no root, only what RFC 3986 allows.
                "uri": {
                    "pattern": r"^(?![a-zA-Z][\w+.-]*:|/)([\w./~-]|%[0-9A-F]{2})+$"
                },
                "uriBaseId": {"const": "%SRCROOT%"},
            }
        ),
        "region": exactly(
            {
                "startLine": {"type": "integer", "minimum": 1},
                "startColumn": {"type": "integer", "minimum": 1},
            }
        ),
    }
)
RULE = exactly(
    {"id": {"pattern": "^[a-z-]+$"}, "shortDescription": MESSAGE, "help": MESSAGE},
    defaultConfiguration=exactly({"level": LEVEL}),
    properties=exactly({"tags": {"type": "array", "uniqueItems": True}}),
)
RESULT = exactly(
    {
        "ruleId": TEXT,
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": LEVEL,
        "message": MESSAGE,
        "locations": {
            "type": "array",
            "minItems": 1,
            "items": exactly({"physicalLocation": PHYSICAL}),
        },
        "partialFingerprints": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": TEXT,
        },
    },
    relatedLocations={
        "type": "array",
        "uniqueItems": True,
        "items": exactly(
            {"id": {"type": "integer", "minimum": 0}, "physicalLocation": PHYSICAL}
        ),
    },
)
LOG = exactly(
    {
        "$schema": {"pattern": "^https://.*sarif-2.1.0.json$"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": exactly(
                {
                    "tool": exactly(
                        {
                            "driver": exactly(
                                {
                                    "name": {"const": "tailgit"},
                                    "version": TEXT,
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": RULE,
                                    },
                                }
                            )
                        }
                    ),
                    "results": {"type": "array", "items": RESULT},
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "originalUriBaseIds": {
                        "type": "object",
                        "additionalProperties": exactly({"description": MESSAGE}),
                    },
                }
            ),
        },
    }
)


def run_of(*findings: Any) -> Any:
    log = json.loads(as_sarif([checked(*findings)]))
    Draft202012Validator(LOG).validate(log)
    (run,) = log["runs"]
    for result in run["results"]:
        rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]
    return run


def test_results_have_place_rule_and_fingerprint() -> None:
    """Columns count characters, as tailgit's do; the code is the rule."""
    run = run_of(GROUP, SITE, TWICE)
    assert run["columnKind"] == "unicodeCodePoints"
    group = run["results"][2]
    assert group["ruleId"] == "unknown-group"
    assert group["level"] == "error"
    assert group["message"]["text"] == (
        "no group `group:dta-team`\nhelp: did you mean `group:data-team`?"
    )
    (location,) = group["locations"]
    assert location["physicalLocation"]["region"] == {"startLine": 14, "startColumn": 9}
    (related,) = group["relatedLocations"]
    assert related["physicalLocation"]["artifactLocation"]["uri"] == "groups.yaml"
    assert len({r["partialFingerprints"]["tailgitFinding/v1"] for r in run["results"]})
    assert run_of()["results"] == []


def test_every_code_makes_a_rule() -> None:
    """Each code that exists has a title, a level and the name of its page."""
    findings = [finding(code, Place("a.yaml"), "m") for code in CODES]
    rules = run_of(*findings)["tool"]["driver"]["rules"]
    assert {rule["id"] for rule in rules} == set(CODES)
    for rule in rules:
        assert f"docs/findings/{rule['id']}.md" in rule["help"]["text"]
        level = rule["defaultConfiguration"]["level"]
        assert level == str(CODES[rule["id"]].severity)


def test_hostile_text_is_no_link_and_no_placeholder() -> None:
    """A path is percent-encoded whole; a message has neither link nor placeholder."""
    (result,) = run_of(EVIL)["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert urlsplit(uri).path == uri
    raw = f"{HOSTILE}.yaml".encode("utf-8", "surrogateescape")
    assert unquote_to_bytes(uri) == raw
    text = result["message"]["text"]
    assert "[a\\](http" in text
    assert "\\\\\\](u)" in text  # the backslash that was there, and one for the bracket
    assert "{{0}}" in text
    assert len(text.splitlines()) == 2


def test_name_that_looks_like_a_scheme_is_relative() -> None:
    """`javascript:x` is a file; so is a name that begins with two slashes' worth."""
    (result,) = run_of(finding("odd-name", Place("javascript:x.YAML"), "m"))["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "javascript%3Ax.YAML"
