"""Findings as SARIF 2.1.0, for code scanning and editors.

Rules are the codes that occur; paths are relative to the repository's top. The
fingerprint is our own: GitHub's `primaryLocationLineHash` is a hash of the line, which
its uploader adds by itself.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any

from tailgit import __version__
from tailgit.check.together import Checked, all_findings
from tailgit.model.codes import CODES
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown
from tailgit.report.findings import fingerprints

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
)
_PLACEHOLDER = re.compile(r"\{([0-9]+)\}")
_LINK = re.compile(r"(\\*)\](?=\()")


def as_sarif(checked: Sequence[Checked]) -> str:
    """One log with one run."""
    findings = all_findings(checked)
    codes = sorted({finding.code for finding in findings})
    index = {code: number for number, code in enumerate(codes)}
    run = {
        "tool": {
            "driver": {
                "name": "tailgit",
                "version": __version__,
                "rules": [_rule(code) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {
            "%SRCROOT%": {"description": {"text": "The top of the repository."}}
        },
        "results": [
            _result(finding, index[finding.code], fingerprint)
            for finding, fingerprint in fingerprints(findings)
        ],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: str) -> dict[str, Any]:
    about = CODES.get(code)
    title = about.title if about else code
    rule: dict[str, Any] = {
        "id": code,
        "shortDescription": {"text": f"{title[0].upper()}{title[1:]}."},
        "help": {"text": f"docs/findings/{code}.md of tailgit explains it."},
    }
    if about:
        rule["defaultConfiguration"] = {"level": str(about.severity)}
        rule["properties"] = {"tags": [about.layer]}
    return rule


def _result(finding: Finding, rule: int, fingerprint: str) -> dict[str, Any]:
    said = shown(finding.message)
    if finding.help:
        said += f"\nhelp: {shown(finding.help)}"
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": str(finding.severity),
        "message": {"text": _plain(said)},
        "locations": [{"physicalLocation": _location(finding.place)}],
        "partialFingerprints": {"tailgitFinding/v1": fingerprint},
    }
    if finding.see:
        result["relatedLocations"] = [
            {"id": number, "physicalLocation": _location(place)}
            for number, place in enumerate(finding.see, 1)
        ]
    return result


def _location(place: Place) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": _uri(place.file), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": place.line, "startColumn": place.column},
    }


def _uri(path: str) -> str:
    """A relative reference; `:` is escaped, too, since `a:b` would name a scheme."""
    return "".join(
        chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"
        for byte in os.fsencode(path)
    )


def _plain(text: str) -> str:
    """Without what SARIF takes for a link (`[a](b)`) or a placeholder (`{0}`)."""
    return _PLACEHOLDER.sub(r"{{\1}}", _LINK.sub(r"\1\1\\]", text))
