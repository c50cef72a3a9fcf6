"""Limits: a stranger's repository costs a bounded amount of work."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tailgit.check import examine
from tailgit.load import load
from tests.load.files import ACME, HEAD, write


def test_a_file_may_be_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is named, the others are still judged."""
    monkeypatch.setattr("tailgit.load.decode.MAX_FILE_BYTES", 2 << 20)
    files = {**ACME, "big.yaml": "#" * (3 << 20), "odd.yaml": "x: 1\n"}
    findings = load(write(tmp_path, files)).findings
    assert [(f.code, f.place.file) for f in findings] == [
        ("too-large", "big.yaml"),
        ("unknown-section", "odd.yaml"),
    ]
    assert findings[0].message == "3 MiB; a file may have 2"


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_TOTAL_BYTES"])
def test_a_tailnet_may_be_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Files and bytes are counted before anything is parsed."""
    monkeypatch.setattr(f"tailgit.load.documents.{limit}", 3)
    loaded = load(write(tmp_path, dict(ACME)))
    assert [finding.code for finding in loaded.findings] == ["too-large"]
    assert loaded.tailnet is None


def test_thousands_of_mistakes_end_soon(tmp_path: Path) -> None:
    """Guessing what was meant is bounded, too."""
    rules = "".join(
        f"  - {{src: [group:g{i}, dev-{i}], dst: [tag:t{i}], ip: [x{i}]}}\n"
        for i in range(4000)
    )
    devices = "".join(
        f"  d-{i}: {{tags: [tag:d{i}], colour: x}}\n" for i in range(4000)
    )
    users = "".join(f"  user{i}@acme.com: {{}}\n" for i in range(4000))
    files: dict[str, str | bytes] = {
        "tailnet.yaml": HEAD,
        "a.yaml": f"grants:\n{rules}",
        "b.yaml": f"devices:\n{devices}",
        "c.yaml": f"users:\n{users}",
    }
    start = time.process_time()
    findings = examine(load(write(tmp_path, files)))
    assert time.process_time() - start < 20
    assert len(findings) > 10_000


def test_many_roots_and_folders(tmp_path: Path) -> None:
    """A deep tree of folders is walked, not recursed into."""
    deep = tmp_path
    for _ in range(60):
        deep = deep / "d"
    write(tmp_path, {"tailnet.yaml": HEAD})
    write(deep, {"a.yaml": "users: {}\n"})
    assert load(tmp_path).tailnet is not None


def test_a_hostile_file_name_is_shown_escaped(tmp_path: Path) -> None:
    """A name may hold an ANSI sequence; the text of a finding never does."""
    from tailgit.report.findings import as_text

    name = "\x1b[2J\u202egnp.yaml"
    write(tmp_path, {"tailnet.yaml": HEAD, name: "x\x1b: 1\n"})
    (tmp_path / os.fsdecode(b"\xff.yaml")).write_text("y: 1\n")
    findings = load(tmp_path).findings
    text = as_text(findings)
    assert text.replace("\n", "").isprintable()
    assert "\\x1b[2J\\u202egnp.yaml:1:2" in text
