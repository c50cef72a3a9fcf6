"""The tailnets in examples/: each is valid, warns of what it must, and means what its
README says. What they show is what people copy, so a warning that comes or goes here
is a change for everybody.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit

TOP = Path(__file__).parents[2]
EXAMPLES = TOP / "examples"
TODAY = "2026-11-22"
"""Contracts in the examples end in 2031; no test depends on the day it runs."""

Capture = pytest.CaptureFixture[str]
Said = dict[str, set[str]]
"""Code -> the fields that are named, for each warning."""

WARNINGS: dict[str, Said] = {
    "home": {
        "not-applied": {"relay", "exitNode", "gateway"},
        "not-used": {"site", "records"},
    },
    "company": {
        "not-applied": {"relay", "gateway", "nameservers", "splitDNS"},
        "not-used": {"site", "records"},
    },
    "fleet/prod": {
        "not-applied": {"nameservers"},
        "not-used": {"records"},
    },
    "fleet/staging": {
        "not-applied": {"nameservers"},
        "not-used": {"records"},
    },
}

ALLOWED = [
    ("home", "lea-laptop", "nas:445"),
    ("home", "jon-phone", "printer:631"),
    ("company", "kim-laptop", "ams-stage-1:22"),
    ("company", "omar-mac", "erp:443"),
    ("company", "group:on-call", "nyc-db-1:22"),
    ("fleet/prod", "tag:web-app", "data-pg-fra-01:5432"),
    ("fleet/prod", "ops-01", "pay-hsm-fra-01:22"),
    ("fleet/staging", "rhea-laptop", "web-edge-fra-01:443"),
]

DENIED = [
    # A teenager, and the server on the internet by itself.
    ("home", "lea-laptop", "nas:22"),
    ("home", "vps", "nas:445"),
    # A contractor in production, a tester outside of the test.
    ("company", "kim-laptop", "ams-app-1:22"),
    ("company", "tess-tablet", "ams-git:443"),
    ("company", "ams-stage-1", "ams-db-1:5432"),
    ("fleet/staging", "rhea-laptop", "data-pg-fra-01:5432"),
    # An address of staging, a team that is not asked, a way around the bastions.
    ("fleet/prod", "100.96.0.7", "data-pg-fra-01:5432"),
    ("fleet/prod", "theo-laptop", "pay-ledger-iad-03:5432"),
    ("fleet/prod", "group:data-dba", "pay-ledger-fra-01:5432"),
    ("fleet/prod", "aino-laptop", "data-pg-fra-01:22"),
]


def said(path: Path, capsys: Capture) -> tuple[int, list[dict[str, str]]]:
    """Exit code and findings of `tailgit check`, wherever and whenever it runs."""
    command = ["check", str(path), "--no-local", "--at", TODAY, "--format", "json"]
    code = run(command)
    return code, json.loads(capsys.readouterr().out)["findings"]


@pytest.mark.parametrize("example", WARNINGS)
def test_examples_are_valid(example: str, capsys: Capture) -> None:
    """No error, their own tests hold, and each warning is one that was expected."""
    code, findings = said(EXAMPLES / example, capsys)
    found: Said = {}
    for each in findings:
        field = re.search(r"`([^`]+)`", each["message"])
        found.setdefault(each["code"], set()).add(field[1] if field else "")
    # Laptops that pull have not joined yet: their owners do that, one by one.
    waiting = found.pop("no-pull-key", set()) | found.pop("no-mailbox", set())
    assert waiting
    assert found == WARNINGS[example]
    assert code == Exit.DONE


@pytest.mark.parametrize(("example", "src", "dst"), ALLOWED)
def test_what_is_allowed(example: str, src: str, dst: str) -> None:
    """Whoever an example is for reaches what they need."""
    assert asked(example, src, dst) == Exit.DONE


@pytest.mark.parametrize(("example", "src", "dst"), DENIED)
def test_what_is_denied(example: str, src: str, dst: str) -> None:
    """Contractors, testers and other teams' servers reach nothing that matters."""
    assert asked(example, src, dst) == Exit.INVALID


def asked(example: str, src: str, dst: str) -> int:
    repo = str(EXAMPLES / example)
    return run(["explain", src, dst, "--proto", "tcp", "--repo", repo, "--exit-code"])


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A copy to break; `include` leads out of prod/, so it must be in a repository."""
    shutil.copytree(EXAMPLES / "fleet", tmp_path / "fleet")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path / "fleet"


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("grants", '- {src: [group:ml], dst: [tag:pay-ledger], ip: ["tcp:5432"]}'),
        ("tagOwners", "tag:pay-robot: [group:ml]"),
        ("devices", "ml-x: {tags: [tag:plat-bastion]}"),
        ("devices", "pay-api-fra-09: {tags: [tag:ml-serve]}"),
        ("devices", "ml-x: {tags: [tag:controller]}"),
        ("devices", "ml-x: {owner: anton.weiss@helix.example}"),
        ("devices", "ml-x: {tags: [tag:ml-serve], mailbox: true}"),
        ("users", "mallory@helix.example: {}"),
        ("autoApprovers", "routes: {10.20.40.0/24: [tag:ml-serve]}"),
    ],
)
def test_a_team_stays_in_its_folder(
    section: str, entry: str, fleet: Path, capsys: Capture
) -> None:
    """What a team's file says about others' things is refused, at that file."""
    (fleet / "prod/teams/ml/more.yaml").write_text(f"{section}:\n  {entry}\n")
    code, findings = said(fleet / "prod", capsys)
    beyond = [each for each in findings if each["code"] == "outside-delegation"]
    refused = {each["file"] for each in beyond}
    assert refused == {"fleet/prod/teams/ml/more.yaml"}
    assert code == Exit.INVALID


def test_a_broken_rule_breaks_a_test(fleet: Path, capsys: Capture) -> None:
    """Production's own tests notice a rule that opens the ledger, whoever writes it."""
    rule = '  - {src: [autogroup:tagged], dst: [tag:pay-ledger], ip: ["tcp:5432"]}\n'
    (fleet / "prod/more.yaml").write_text(f"grants:\n{rule}")
    code, findings = said(fleet / "prod", capsys)
    failed = {each["file"] for each in findings if each["code"] == "test-failed"}
    assert "fleet/prod/teams/payments/access.yaml" in failed
    assert code == Exit.INVALID


@pytest.mark.parametrize("example", ["home", "company", "fleet"])
def test_commands_of_the_readme_work(
    example: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command that a README shows does what it says, typed at the top."""
    monkeypatch.chdir(TOP)
    text = (EXAMPLES / example / "README.md").read_text()
    commands = re.findall(r"^    tailgit (.+)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        assert run(command.split()) == Exit.DONE, command
        assert capsys.readouterr().out


@pytest.mark.parametrize("folder", sorted(EXAMPLES.iterdir()), ids=lambda f: f.name)
def test_examples_are_canonical(folder: Path) -> None:
    """What people copy is how `tailgit fmt` writes it."""
    assert run(["fmt", "--check", str(folder)]) == Exit.DONE
