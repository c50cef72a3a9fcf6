"""Findings as JUnit XML: a suite for each tailnet, a case for each file.

GitLab and Jenkins show the one `failure` of a case, so it holds all errors of a file,
and its warnings behind them. Warnings alone make no case fail: they are `system-out`,
which Jenkins shows and GitLab does not (its Code Quality report has them). `skipped`
would be shown by both and be untrue. The file tailnet.yaml always has its case, since
a report without any is an error to Jenkins and nothing at all to GitLab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from tailgit.check.together import Checked
from tailgit.model.findings import Finding
from tailgit.model.text import shown
from tailgit.report.findings import as_text

# Both servers look in the output for files to publish; a repository may name none.
_ATTACHMENT = re.compile(r"\[(?=\[ATTACHMENT)", re.IGNORECASE)


def as_junit(checked: Sequence[Checked]) -> str:
    """One document with all suites."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="tailgit">']
    for each in checked:
        lines += _suite(each)
    return "\n".join([*lines, "</testsuites>"])


def _suite(each: Checked) -> Iterator[str]:
    root_file = f"{each.root}/tailnet.yaml" if each.root else "tailnet.yaml"
    files: dict[str, list[Finding]] = {root_file: []}
    for finding in each.findings:
        files.setdefault(finding.place.file, []).append(finding)
    failures = sum(any(f.is_error for f in found) for found in files.values())
    name = each.name or each.root or "tailnet"
    yield (
        f'  <testsuite name="{_xml(name)}" tests="{len(files)}" '
        f'failures="{failures}" errors="0" skipped="0">'
    )
    # The folder, not the name: GitLab drops the second of two cases of one name.
    suite = f"tailgit check {each.root or '.'}"
    for file, findings in sorted(files.items()):
        yield from _case(suite, file, findings)
    yield "  </testsuite>"


def _case(suite: str, file: str, findings: list[Finding]) -> Iterator[str]:
    name = _xml(file)
    case = f'    <testcase classname="{_xml(suite)}" name="{name}" file="{name}"'
    errors = [finding for finding in findings if finding.is_error]
    warnings = [finding for finding in findings if not finding.is_error]
    if not findings:
        yield f"{case}/>"
        return
    yield f"{case}>"
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        yield (
            f'      <failure type="{_xml(errors[0].code)}" '
            f'message="{_xml(errors[0].message + more)}">'
            f"{_lines([*errors, *warnings])}</failure>"
        )
    else:
        yield f"      <system-out>{_lines(warnings)}</system-out>"
    yield "    </testcase>"


def _lines(findings: list[Finding]) -> str:
    return "\n".join(_xml(line) for line in as_text(findings).split("\n"))


def _xml(text: str) -> str:
    """Escaped for XML; what XML 1.0 forbids is among the characters `shown` escapes."""
    return escape(_ATTACHMENT.sub(r"\\x5b", shown(text)))
