"""The field `expires`, wherever it stands."""

from __future__ import annotations

from tailgit.load.located import Map
from tailgit.model.codes import finding
from tailgit.model.deadline import Deadline, DeadlineError, parse_deadline
from tailgit.model.findings import Finding
from tailgit.model.text import shown


def read_deadline(about: Map, findings: list[Finding]) -> Deadline | None:
    """When the thing ends; None if never, and with a finding if it can't be read."""
    text = about.get("expires")
    if not isinstance(text, str):
        return None
    try:
        return parse_deadline(text)
    except DeadlineError as error:
        help_ = "a date, `2027-01-31`, or a time, `2027-01-31T18:00:00+01:00`"
        at = about.at("expires")
        findings.append(finding("bad-date", at, shown(str(error)), help_))
        return None
