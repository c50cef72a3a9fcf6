"""Findings as text for people and as JSON for programs.

Text from a repository is shown with its unseen characters escaped: a finding is read
in terminals and logs, and its author may be a stranger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from tailgit.model.codes import CODES
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

FORMAT_VERSION = 1


def as_text(findings: Iterable[Finding]) -> str:
    """One block for each finding, without a line break at the end.

    `acl.yaml:14:9: error[unknown-group]: …`, then `  help: …` if there is any, with
    the other places that matter behind it.
    """
    return "\n".join(_block(finding) for finding in findings)


def _block(finding: Finding) -> str:
    head = (
        f"{shown(str(finding.place))}: {finding.severity}[{finding.code}]: "
        f"{shown(finding.message)}"
    )
    places = ", ".join(shown(str(place)) for place in finding.see)
    if finding.help:
        see = f" ({places})" if places else ""
        return f"{head}\n  help: {shown(finding.help)}{see}"
    return f"{head}\n  see: {places}" if places else head


def as_json(findings: Iterable[Finding]) -> str:
    """One JSON document; escaped like the text, so that it is safe to print too."""
    return json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "findings": [_entry(finding) for finding in findings],
        },
        indent=2,
    )


def _entry(finding: Finding) -> dict[str, object]:
    code = CODES.get(finding.code)
    return {
        "code": finding.code,
        "layer": code.layer if code else "tailgit",
        "severity": str(finding.severity),
        **_place(finding.place),
        "message": shown(finding.message),
        "help": shown(finding.help),
        "see": [_place(place) for place in finding.see],
    }


def _place(place: Place) -> dict[str, object]:
    return {"file": shown(place.file), "line": place.line, "column": place.column}
