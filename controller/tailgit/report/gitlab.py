"""Findings as GitLab's Code Quality report, shown at the lines of a merge request.

GitLab compares the reports of two branches by fingerprint, so that of a finding must
stay when lines move above it, and no two of one report may be the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tailgit.check.together import Checked, all_findings
from tailgit.model.findings import Severity
from tailgit.model.text import shown
from tailgit.report.findings import fingerprints, sentence

_SEVERITY = {Severity.ERROR: "major", Severity.WARNING: "minor"}


def as_gitlab(checked: Sequence[Checked]) -> str:
    """A JSON list, for `artifacts: reports: codequality`."""
    entries = [
        {
            "description": sentence(finding),
            "check_name": finding.code,
            "fingerprint": fingerprint,
            "severity": _SEVERITY[finding.severity],
            "location": {
                "path": shown(finding.place.file),
                "lines": {"begin": finding.place.line},
            },
        }
        for finding, fingerprint in fingerprints(all_findings(checked))
    ]
    return json.dumps(entries, indent=2)
