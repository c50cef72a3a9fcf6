"""Findings as GitHub, GitLab and JUnit readers take them, hostile text included."""

from __future__ import annotations

import html
import json
import re
from xml.etree import ElementTree

import pytest

from tailgit.check.together import Checked
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.report.github import SUMMARY_BYTES, as_github, as_summary
from tailgit.report.gitlab import as_gitlab
from tailgit.report.junit import as_junit
from tests.check.reports import EVIL, GROUP, HOSTILE, SITE, checked, tailnet


def many(number: int, code: str = "bad-value") -> list[Finding]:
    return [finding(code, Place("a.yaml", n), f"no. {n}") for n in range(1, number + 1)]


def test_annotation() -> None:
    """One command a finding, help and other places behind the sentence."""
    assert as_github([checked(GROUP)]) == (
        "::error file=tailnet/acl.yaml,line=14,col=9,title=unknown-group::no group "
        "`group:dta-team`; help: did you mean `group:data-team`? (groups.yaml:8:3)\n"
        "tailgit check: acme: 0 devices, 0 rules, 0 tests, 1 error"
    )


def test_annotation_escapes_what_the_runner_reads() -> None:
    """`%` in data, also `:` and `,` in properties: the runner gets back the text."""
    odd = finding("bad-value", Place("a,b:c%0A.yaml"), "100%, a:b\n::x")
    command = as_github([checked(odd)]).splitlines()[0]
    assert command.startswith("::error file=a%2Cb%3Ac%250A.yaml,line=1,col=1,")
    assert command.endswith("::100%25, a:b\\x0a::x")


def test_no_line_on_github_is_the_repositorys() -> None:
    """Hostile text stays inside of the one command that carries it."""
    lines = as_github([checked(EVIL, ok=False)]).splitlines()
    assert len(lines) == 1
    properties, _, data = lines[0].removeprefix("::error ").partition("::")
    parsed = dict(each.split("=", 1) for each in properties.split(","))
    assert sorted(parsed) == ["col", "file", "line", "title"]
    assert "\n" not in data
    assert data.isprintable()


def test_annotations_are_counted() -> None:
    """GitHub shows ten of a kind: nine, and one that says how many more."""
    printed = as_github([checked(*many(30), *many(9, "not-used"))]).splitlines()
    errors = [line for line in printed if line.startswith("::error")]
    warnings = [line for line in printed if line.startswith("::warning")]
    assert len(errors) == 10
    assert "::and 21 more: run `tailgit check`" in errors[-1]
    assert len(warnings) == 9
    assert "more" not in "".join(warnings)


def cells(summary: str) -> list[list[str]]:
    rows = [line for line in summary.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]


def test_summary_is_a_table_of_everything() -> None:
    """All findings, without a limit on their number."""
    table = cells(as_summary([checked(*many(30), SITE)]))
    assert len(table) == 31
    assert table[0][0::2] == ["error", "bad-value", ""]


def test_summary_takes_nothing_for_markdown() -> None:
    """Each cell is code with character references: what is read is what was said."""
    (row,) = cells(as_summary([checked(EVIL)]))
    assert len(row) == 5
    code = re.fullmatch("<code>(.*)</code>", row[3])
    assert code is not None
    assert not re.search(r"[^\w ,/&#;-]", code[1])
    assert html.unescape(code[1]).startswith("x\\x0a::error file=a::b\\x0d\\x0a%0A##[")


@pytest.mark.parametrize("room", [SUMMARY_BYTES, 5000, 700, 301, 20])
def test_summary_is_cut_and_says_so(room: int) -> None:
    """It never passes the room that is left, and never ends as if it were whole."""
    text = as_summary([checked(*many(20000))], room)
    assert len(text.encode()) <= room
    if text:
        shown_rows = len(cells(text))
        assert shown_rows > 0 or room == 301
        assert f"**and {20000 - shown_rows} more**: run `tailgit check`" in text
    else:
        assert room < 301


def test_code_quality_report() -> None:
    """What GitLab documents: path and line, a severity of its own, a fingerprint."""
    entries = json.loads(as_gitlab([checked(GROUP, SITE, EVIL)]))
    by_name = {entry["check_name"]: entry for entry in entries}
    assert by_name["unknown-group"] == {
        "description": (
            "no group `group:dta-team`; help: did you mean `group:data-team`? "
            "(groups.yaml:8:3)"
        ),
        "check_name": "unknown-group",
        "fingerprint": by_name["unknown-group"]["fingerprint"],
        "severity": "major",
        "location": {"path": "tailnet/acl.yaml", "lines": {"begin": 14}},
    }
    assert by_name["not-used"]["severity"] == "minor"
    assert len({entry["fingerprint"] for entry in entries}) == 3
    assert as_gitlab([checked()]) == "[]"


def parsed(*tailnets: Checked) -> ElementTree.Element:
    return ElementTree.fromstring(as_junit(tailnets))


def test_junit_has_a_suite_for_each_tailnet() -> None:
    """A case for each file; no two cases of one name, which GitLab would drop."""
    prod = checked(GROUP, SITE, root="prod", about=tailnet("prod"))
    staging = checked(root="staging", about=tailnet("staging"))
    suites = list(parsed(prod, staging))
    assert [(s.get("name"), s.get("tests"), s.get("failures")) for s in suites] == [
        ("prod", "3", "1"),
        ("staging", "1", "0"),
    ]
    cases = [case for suite in suites for case in suite]
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(cases) == 4
    assert ("tailgit check staging", "staging/tailnet.yaml") in names


def test_junit_fails_for_errors_alone() -> None:
    """One failure holds all errors of a file; warnings alone are output."""
    warning = finding("not-used", Place("a.yaml", 9), "w")
    suite = parsed(checked(*many(2), warning, SITE, root="x"))[0]
    broken = next(case for case in suite if case.get("name") == "a.yaml")
    (failure,) = broken
    assert failure.tag == "failure"
    assert failure.get("message") == "no. 1 (and 1 more)"
    assert [line.split(":")[1] for line in (failure.text or "").splitlines()] == [
        *("1", "2"),
        *("1", "9"),
    ]
    assert [part.tag for part in parsed(checked(SITE))[0][0]] == ["system-out"]


def test_junit_survives_hostile_text() -> None:
    """It parses, and no server finds the name of a file to publish in it."""
    (suite,) = parsed(checked(EVIL, root=HOSTILE, ok=False))
    assert len(suite) == 2
    text = "".join(suite.itertext())
    assert "]]>" in text
    assert "[[ATTACHMENT" not in text
