"""One folder for each finding: a tailnet with that mistake, and what is said about it.

The folder's name is the finding's code. Beside the files of the tailnet lie

- `about.md`, the prose of its page in the documentation,
- `expected.txt`, what `check` says (`make golden` writes it again),
- `mended`, the files that differ where the mistake is mended (`removed.txt` names
  those that are gone),
- `links.txt`, symbolic links, and `surroundings.json`, the time (`now`) and the local
  `routes` that a check may know, where a case needs them.

`make docs` makes the page of the code from them.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from scripts import findings as pages
from tailgit.check import Surroundings
from tailgit.check.together import all_findings
from tailgit.cli.tailnet import examined_all
from tailgit.load.source import open_source
from tailgit.model.codes import CODES
from tailgit.model.findings import Finding
from tailgit.report.findings import as_text

HERE = Path(__file__).parent
CASES = sorted(
    folder
    for folder in HERE.iterdir()
    if folder.is_dir()
    and any(Path(name).name == "tailnet.yaml" for name in pages.files(folder))
)
NAMES = [case.name for case in CASES]

# What no small folder can show; each has a test of its own, and an `about.md` here.
ELSEWHERE = {
    "more-findings": "tests/load/test_limits.py",
    "too-large": "tests/load/test_limits.py",
}

# Cases that can't be mended by changing files, and why.
NOT_MENDED: dict[str, str] = {}

MENDABLE = [case for case in CASES if case.name not in NOT_MENDED]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_finding(case: Path, tmp_path: Path, golden) -> None:
    """A tailnet with one kind of mistake gives exactly the expected text."""
    findings = said(case, bad(case, tmp_path / "tailnet"))

    golden(case / "expected.txt", as_text(findings) + "\n")

    assert case.name in {finding.code for finding in findings}


@pytest.mark.parametrize("case", MENDABLE, ids=lambda case: case.name)
def test_mended(case: Path, tmp_path: Path) -> None:
    """With the files of `mended` nothing is left to say: a page shows it as right.

    That this version can't do something yet is no mistake of the repository's.
    """
    found = said(case, mended(case, tmp_path / "tailnet"))
    pending = {"not-applied", "not-used"} - {case.name}
    assert as_text(each for each in found if each.code not in pending) == ""


@pytest.mark.parametrize("case", MENDABLE, ids=lambda case: case.name)
def test_mended_differs(case: Path, tmp_path: Path) -> None:
    """`mended` holds no file that is as it was, and takes away only what is there."""
    before = bad(case, tmp_path / "tailnet")
    folder = case / "mended"
    changed, gone = pages.files(folder), pages.removed(case)

    assert changed or gone
    for name in changed:
        file = before / name
        same = file.exists() and file.read_bytes() == (folder / name).read_bytes()
        assert not same, name
    for name in gone:
        assert (before / name).is_symlink() or (before / name).exists(), name


def bad(case: Path, folder: Path) -> Path:
    """The tailnet of a case in a folder of its own."""
    # Only at the top: a tailnet may have a folder `mended` of its own further down.
    top = shutil.ignore_patterns(*pages.NOTES)
    shutil.copytree(
        case, folder, ignore=lambda at, names: top(at, names) if at == str(case) else []
    )
    for name, target in pages.links(case).items():  # don't travel in every archive
        (folder / name).symlink_to(target)
    return folder


def mended(case: Path, folder: Path) -> Path:
    """The same with the files of `mended` over it."""
    bad(case, folder)
    for name in [*pages.removed(case), *pages.files(case / "mended")]:
        (folder / name).unlink(missing_ok=True)  # never write through a link
    for name in pages.files(case / "mended"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(case / "mended" / name, folder / name)
    return folder


def said(case: Path, folder: Path) -> tuple[Finding, ...]:
    """What `tailgit check` says there, of all tailnets and with their own tests."""
    source, inner = open_source(folder, None)
    return all_findings(examined_all(source, inner, folder, surroundings(case)))


def surroundings(case: Path) -> Surroundings:
    file = case / "surroundings.json"
    if not file.exists():
        return Surroundings()
    about = json.loads(file.read_text())
    now = about.get("now")
    return Surroundings(
        int(datetime.fromisoformat(now).timestamp()) if now else None,
        tuple(ip_network(route) for route in about.get("routes", ())),
    )


def test_every_code_has_a_case() -> None:
    """A finding that nobody has ever seen printed is not finished."""
    have = set(NAMES) | set(ELSEWHERE)
    assert {
        "missing": sorted(set(CODES) - have),
        "no code": sorted(have - set(CODES)),
    } == {
        "missing": [],
        "no code": [],
    }


def test_every_code_is_explained() -> None:
    """Each code has its prose, `about.md`, and it says more than the title."""
    silent = [
        code
        for code in CODES
        if not (file := HERE / code / "about.md").exists()
        or len(file.read_text().split()) < 5
    ]
    assert silent == []


def test_every_case_is_mended() -> None:
    """Each case shows how it is mended, but those that say why they can't."""
    without = [case.name for case in CASES if not (case / "mended").is_dir()]
    assert without == sorted(NOT_MENDED)


@pytest.mark.parametrize("code", CODES)
def test_page_is_what_the_case_says(code: str) -> None:
    """The page of a finding is its case; `make docs` writes it anew."""
    file = pages.FOLDER / f"{code}.md"
    assert file.exists(), "`make docs` writes it"
    assert file.read_text() == pages.page(code)


def test_index_lists_every_code_once() -> None:
    """docs/findings.md has a row for each code, and no page is of another one."""
    assert pages.INDEX.read_text() == pages.index()
    listed = [code for group in pages.groups().values() for code in group]
    assert sorted(listed) == sorted(CODES)
    assert sorted(file.stem for file in pages.FOLDER.iterdir()) == sorted(CODES)
