"""`tailgit check`: what it prints and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit

Capture = pytest.CaptureFixture[str]

HOST_CA = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"
)


@pytest.fixture
def acme(acme: Path) -> Path:
    """The small tailnet without a warning: its hosts can be recognised."""
    file = acme / "tailnet.yaml"
    text = file.read_text()
    file.write_text(text.replace("users:", f'  hostCA: ["{HOST_CA}"]\nusers:', 1))
    return acme


def test_valid_tailnet_is_one_line(acme: Path, capsys: Capture) -> None:
    """Nothing to say is said in one line with numbers, and exit 0."""
    assert run(["check", str(acme)]) == Exit.DONE
    assert capsys.readouterr().out == ("acme: 3 devices, 1 rule, 1 test, no findings\n")


def test_failed_test_of_the_policy_is_a_finding(acme: Path, capsys: Capture) -> None:
    """The policy's own tests are part of check; one that fails is exit 3."""
    policy = acme / "policy.yaml"
    policy.write_text(policy.read_text().replace('"db-1:22"', '"db-1:5432"'))
    assert run(["check", str(acme)]) == Exit.INVALID
    printed = capsys.readouterr().out
    assert "policy.yaml:5:" in printed
    assert printed.endswith("acme: 3 devices, 1 rule, 1 test, 1 error\n")


def test_all_findings_are_said_at_once(acme: Path, capsys: Capture) -> None:
    """Mistakes in two files are reported in one run, each with its place."""
    policy, devices = acme / "policy.yaml", acme / "devices.yaml"
    policy.write_text(policy.read_text().replace("group:data-team", "group:dta-team"))
    devices.write_text(devices.read_text().replace("[tag:db]", "[tag:unknown]"))
    assert run(["check", str(acme)]) == Exit.INVALID
    printed = capsys.readouterr().out
    assert "policy.yaml:3:" in printed
    assert "devices.yaml:3:" in printed


def test_json_is_one_document(acme: Path, capsys: Capture) -> None:
    """`--format json` prints a document and nothing else, also without findings."""
    assert run(["check", str(acme), "--format", "json"]) == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["format_version"] == 1
    assert document["findings"] == []


def test_folder_without_tailnet_is_no_success(tmp_path: Path, capsys: Capture) -> None:
    """Where nothing is read, nothing is called valid."""
    assert run(["check", str(tmp_path)]) not in (Exit.DONE, Exit.CHANGES)
    printed = capsys.readouterr()
    assert "tailnet.yaml" in printed.out + printed.err
