"""One folder for each finding: the files of a tailnet, and what is said about them.

The folder's name is the finding's code. `make golden` writes `expected.txt` again.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tailgit.check import examine
from tailgit.load import load
from tailgit.model.codes import CODES
from tailgit.report.findings import as_text

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/tailnet.yaml"))

# What no small folder can show; each has a test of its own.
ELSEWHERE = {
    "more-findings": "tests/load/test_limits.py",
    "test-failed": "tests/access",
    "too-large": "tests/load/test_limits.py",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_finding(case: Path, tmp_path: Path, golden) -> None:
    """A tailnet with one kind of mistake gives exactly the expected text."""
    folder = tmp_path / "tailnet"
    ignored = shutil.ignore_patterns("expected.txt", "links.txt")
    shutil.copytree(case, folder, ignore=ignored)
    for line in _lines(case / "links.txt"):  # links don't travel in every archive
        name, target = line.split()
        (folder / name).symlink_to(target)
    findings = examine(load(folder))

    golden(case / "expected.txt", as_text(findings) + "\n")

    assert case.name in {finding.code for finding in findings}


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_every_code_has_a_case() -> None:
    """A finding that nobody has ever seen printed is not finished."""
    assert {case.name for case in CASES} | set(ELSEWHERE) == set(CODES)


def test_every_code_is_documented() -> None:
    """docs/findings.md has one heading for each code, and for nothing else."""
    text = (HERE.parents[1] / "docs" / "findings.md").read_text()
    headings = re.findall(r"^### (\S+)$", text, re.MULTILINE)
    assert sorted(headings) == sorted(CODES)
