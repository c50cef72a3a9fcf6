"""Nothing is called absent while a part of what is written could not be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.check import examine
from tailgit.errors import SourceError
from tailgit.load import load
from tailgit.model.codes import ABSENCES, CODES
from tailgit.model.near import meant
from tests.load.files import ACME, HEAD, PEOPLE, POLICY, SERVERS, write


def codes_of(folder: Path, **changed: str) -> list[str]:
    files = {**ACME, **{name.replace("_", "/"): text for name, text in changed.items()}}
    named = {name if "." in name else f"{name}.yaml": t for name, t in files.items()}
    return [finding.code for finding in examine(load(write(folder, named)))]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"devices_servers": SERVERS + "  x: {tags: [tag:db\n"}, "bad-yaml"),
        ({"acls_data": POLICY + "  - {src: [*], ip: ['*']}\n"}, "yaml-quotes"),
        ({"people": "<<<<<<< HEAD\n" + PEOPLE}, "bad-yaml"),
        ({"people": PEOPLE.replace("groups", "grops")}, "unknown-section"),
        ({"people": PEOPLE.replace("[ana@acme.com]", "ana@acme.com")}, "wrong-type"),
        ({"people": PEOPLE.replace("group:data", "data")}, "bad-value"),
        ({"people": PEOPLE + "users: {}\n"}, "duplicate-key"),
        ({"devices_servers": "devices: [db-1]\n"}, "wrong-type"),
    ],
)
def test_only_the_cause_is_said(
    tmp_path: Path, changed: dict[str, str], code: str
) -> None:
    """Groups, devices and rules that are written are not missed elsewhere."""
    assert codes_of(tmp_path, **changed) == [code]


def test_other_mistakes_are_still_said(tmp_path: Path) -> None:
    """What follows from no absence comes in the same round."""
    people = PEOPLE.replace("groups", "grops")
    both = SERVERS.replace(
        "{owner: ana@acme.com}", "{owner: ana@acme.com, tags: ['tag:db']}"
    )
    assert codes_of(tmp_path, people=people, devices_servers=both) == [
        "owner-and-tags",
        "unknown-section",
    ]


def test_a_lost_policy_is_not_a_missing_one(tmp_path: Path) -> None:
    """`write grants: []` would be dangerous advice while the rules are unreadable."""
    files = {
        "tailnet.yaml": HEAD,
        "a.yaml": SERVERS + "tagOwners: {tag:db: [], tag:router: []}\n",
    }
    assert "no-policy" in codes_of_files(tmp_path / "none", files)
    broken = {**files, "p.yaml": "grants: [\n"}
    assert codes_of_files(tmp_path / "broken", broken) == ["bad-yaml"]
    hujson = {**files, "policy.hujson": '{"grants": ['}
    assert codes_of_files(tmp_path / "hujson", hujson) == ["bad-json"]


def codes_of_files(folder: Path, files: dict[str, str]) -> list[str]:
    return [finding.code for finding in examine(load(write(folder, dict(files))))]


def test_absences_are_codes() -> None:
    """A misspelt code would silence nothing."""
    assert set(CODES) >= ABSENCES


@pytest.mark.parametrize(
    ("word", "known", "guess"),
    [
        ("tag:db", ["tag:web"], ""),
        ("tag:wep", ["tag:web", "tag:db"], "tag:web"),
        ("ana@acme.com", ["kim@acme.com"], ""),
        ("anna@acme.com", ["ana@acme.com"], "ana@acme.com"),
        ("ana@acme.con", ["ana@acme.com"], "ana@acme.com"),
        ("grants", ["groups", "grants"], "grants"),
    ],
)
def test_only_what_is_near_is_guessed(word: str, known: list[str], guess: str) -> None:
    """A prefix or a domain that all words share makes no two of them alike."""
    assert meant(word, known) == (f"did you mean `{guess}`?" if guess else "")


def test_a_missing_format_is_given(tmp_path: Path) -> None:
    """There is one format, so the help can be copied."""
    head = HEAD.replace("  format: 1\n", "")
    (found,) = load(write(tmp_path, {**ACME, "tailnet.yaml": head})).findings
    assert (found.code, found.help) == ("missing-key", "write `format: 1`")


def test_nothing_there_is_how_to_begin(tmp_path: Path) -> None:
    """Where there is no tailnet.yaml, the help names the command that writes one."""
    with pytest.raises(SourceError) as raised:
        load(tmp_path)
    assert "`tailgit init` begins a tailnet" in raised.value.help
