"""Findings on GitHub: annotations at the lines of a change, and a job's summary.

An annotation is a line of output that the runner takes for a command. It shows ten of
each kind for a step and drops the others without a word, so nine are printed and the
tenth says how many are missing. The summary has room for all of them, up to 1 MiB for
a step; one byte more, and GitHub drops it whole.

The runner finds commands of its older form (`##[...]`) anywhere in a line. So no line
may hold text from the repository unless it is itself a command.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tailgit.check.together import Checked, all_findings
from tailgit.model.findings import Finding, Severity
from tailgit.model.text import shown
from tailgit.report.findings import sentence, summaries

ANNOTATIONS = 9
"""Of each kind; one more says how many are left out."""
SUMMARY_BYTES = 1 << 20
_NOT_PLAIN = re.compile(r"[^\w ,/-]|_", re.ASCII)


def as_github(checked: Sequence[Checked]) -> str:
    """Workflow commands, then a line for each tailnet."""
    findings = all_findings(checked)
    lines = []
    for severity in (Severity.ERROR, Severity.WARNING):
        chosen = [each for each in findings if each.severity is severity]
        lines += [_annotation(each) for each in chosen[:ANNOTATIONS]]
        if len(chosen) > ANNOTATIONS:
            lines.append(
                f"::{severity} title=tailgit::and {len(chosen) - ANNOTATIONS} more: "
                "run `tailgit check`, or see the job's summary"
            )
    # Only the name of a tailnet that could be loaded has a grammar that is harmless.
    loaded = [each for each in checked if each.tailnet is not None]
    lines += [f"tailgit check: {line}" for line in summaries(loaded)]
    return "\n".join(lines)


def _annotation(finding: Finding) -> str:
    place = finding.place
    properties = {
        "file": shown(place.file),
        "line": str(place.line),
        "col": str(place.column),
        "title": finding.code,
    }
    said = ",".join(f"{key}={_property(text)}" for key, text in properties.items())
    return f"::{finding.severity} {said}::{_data(sentence(finding))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_summary(checked: Sequence[Checked], room: int = SUMMARY_BYTES) -> str:
    """Markdown with every finding, in at most `room` bytes; what is cut off is said.

    Empty if there is no room for as much as that.
    """
    findings = all_findings(checked)
    head = ["### tailgit check", "", *(f"- {_code(s)}" for s in summaries(checked)), ""]
    if findings:
        head += ["| | Where | Finding | What | Help |", "|-|-|-|-|-|"]
    kept = [*head]
    used = sum(len(line.encode()) + 1 for line in head)
    for index, each in enumerate(findings):
        row = _row(each)
        tail = f"\n**and {len(findings) - index} more**: run `tailgit check`\n"
        # The last row has nothing behind it, but then the tail's place is not needed.
        if used + len(row.encode()) + 1 + len(tail) > room:
            kept.append(tail)
            used += len(tail)
            break
        kept.append(row)
        used += len(row.encode()) + 1
    return "\n".join([*kept, ""]) if used < room else ""


def _row(finding: Finding) -> str:
    where = [finding.place, *finding.see]
    return (
        "| "
        + " | ".join(
            (
                str(finding.severity),
                "<br>".join(_code(str(place)) for place in where),
                finding.code,
                _code(finding.message),
                _code(finding.help),
            )
        )
        + " |"
    )


def _code(text: str) -> str:
    """Text that Markdown takes for nothing but text: in a table, no link, no mention.

    A character reference stands for the character and never for a mark of Markdown;
    inside of `code`, GitHub looks for no names, issues or commits either.
    """
    if not text:
        return ""
    plain = _NOT_PLAIN.sub(_reference, shown(text))
    return f"<code>{plain}</code>"


def _reference(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"
