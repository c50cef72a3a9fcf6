"""Findings as text for people and as JSON for programs.

Text from a repository is shown with its unseen characters escaped: a finding is read
in terminals and logs, and its author may be a stranger. The forms that a forge or a CI
server reads are in the modules beside this one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from tailgit.check.together import Checked, all_findings
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


def sentence(finding: Finding) -> str:
    """Message, help and the other places on one line, for forms without fields."""
    said = shown(finding.message)
    if finding.help:
        said += f"; help: {shown(finding.help)}"
    if finding.see:
        said += f" ({', '.join(shown(str(place)) for place in finding.see)})"
    return said


def text_report(checked: Sequence[Checked]) -> str:
    """All findings by tailnet, then a line for each tailnet."""
    findings = all_findings(checked)
    lines = [as_text(findings)] if findings else []
    return "\n".join([*lines, *summaries(checked)])


def summaries(checked: Sequence[Checked]) -> Iterator[str]:
    """A line for each tailnet: what it has, and how many findings.

    One that can't be loaded has nothing to count but findings.
    """
    for each in checked:
        said = _numbers(each)
        tailnet = each.tailnet
        if tailnet is not None:
            yield (
                f"{tailnet.name}: {_count(len(tailnet.devices), 'device')}, "
                f"{_count(len(tailnet.rules), 'rule')}, "
                f"{_count(len(tailnet.tests), 'test')}, {said}"
            )
        else:
            yield f"{shown(each.name or each.root or 'the tailnet')}: not valid, {said}"


def _numbers(each: Checked) -> str:
    counts = ((each.errors, "error"), (each.warnings, "warning"))
    said = [_count(number, noun) for number, noun in counts if number]
    return ", ".join(said) or "no findings"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_json(findings: Iterable[Finding]) -> str:
    """Bare findings as one document; as safe to print as the text."""
    entries = [_entry(finding) for finding in findings]
    return json.dumps({"format_version": FORMAT_VERSION, "findings": entries}, indent=2)


def json_report(checked: Sequence[Checked]) -> str:
    """The document of a check: `schemas/report/findings.json` describes it."""
    document = {
        "format_version": FORMAT_VERSION,
        "commit": next((each.loaded.commit for each in checked), None),
        "valid": not any(each.errors for each in checked),
        "tailnets": [_tailnet(each) for each in checked],
        "findings": [_entry(finding) for finding in all_findings(checked)],
    }
    return json.dumps(document, indent=2)


def _tailnet(each: Checked) -> dict[str, object]:
    """The numbers are null where the tailnet can't be loaded: 0 would be a claim."""
    tailnet = each.tailnet
    return {
        "root": shown(each.root),
        "name": shown(each.name) if each.name else None,
        "valid": not each.errors,
        "devices": len(tailnet.devices) if tailnet else None,
        "rules": len(tailnet.rules) if tailnet else None,
        "tests": len(tailnet.tests) if tailnet else None,
        "errors": each.errors,
        "warnings": each.warnings,
    }


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


def fingerprints(findings: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    """Each finding with a name of its own that stays when lines move.

    Code, file and message; those of which all three are the same are counted.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    for finding in findings:
        key = (finding.code, finding.place.file, finding.message)
        text = "\0".join((*key, str(seen[key])))
        seen[key] += 1
        yield finding, sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
