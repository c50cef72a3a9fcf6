"""`tailgit user remove`, from outside: a person and all traces of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit
from tailgit.load import load
from tests.load.files import HEAD, committed, write

Capture = pytest.CaptureFixture[str]

PEOPLE = """\
users:
  ana@acme.com: {name: Ana Lima, role: admin}
  # Kim works for a contractor.
  kim@acme.com: {}  # until May
  kim@acme.com.au: {}
groups:
  group:data: [ana@acme.com, kim@acme.com]
  group:kim:
    - kim@acme.com
"""

DEVICES = """\
devices:
  ana-laptop: {owner: ana@acme.com}
  kim-laptop: {owner: kim@acme.com}
  other: {owner: kim@acme.com.au}
  db-1: {tags: [tag:db]}
"""

OWN = """\
deviceDefaults:
  # all hers
  owner: kim@acme.com
devices:
  kim-phone: {}
"""

POLICY = """\
tagOwners: {tag:db: [kim@acme.com, ana@acme.com], tag:x: [kim@acme.com]}
autoApprovers:
  routes: {10.20.0.0/16: [tag:db, kim@acme.com]}
grants:
  - {src: [kim@acme.com], dst: [tag:db], ip: ["tcp:22"]}
  - {src: ["ana@acme.com", 'kim@acme.com'], dst: [tag:db], ip: ["tcp:23"]}
  # ask kim@acme.com about this one
  - {src: [ana@acme.com], dst: [kim-laptop], ip: ["tcp:24"]}
acls:
  - {action: accept, src: [kim@acme.com.au], dst: ["db-1:25", "kim@acme.com:25"]}
tests:
  - {src: kim@acme.com, accept: ["db-1:22"]}
  - {src: ana@acme.com, accept: ["db-1:23", "kim-laptop:24"], deny: ["kim-phone:1"]}
"""

FILES: dict[str, str | bytes] = {
    "tailnet.yaml": HEAD,
    "people.yaml": PEOPLE,
    "devices/all.yaml": DEVICES,
    "devices/kim.yaml": OWN,
    "policy.yaml": POLICY,
    "README.md": "Kim is kim@acme.com.\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A committed tailnet in which kim is everywhere."""
    return committed(tmp_path / "repo", FILES)


def typed(repo: Path, *words: str) -> int:
    return run(["user", "remove", *words, "--repo", str(repo)])


def status(repo: Path) -> str:
    command = ["git", "-C", str(repo), "status", "--porcelain"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_everything_goes_in_one_edit(repo: Path, capsys: Capture) -> None:
    """Entry, memberships, rules, tests, devices; another login like it stays."""
    assert typed(repo, "kim@acme.com", "--yes") == Exit.DONE
    assert (
        (repo / "people.yaml").read_text()
        == """\
users:
  ana@acme.com: {name: Ana Lima, role: admin}
  kim@acme.com.au: {}
groups:
  group:data: [ana@acme.com]
  group:kim: []
"""
    )
    assert (repo / "devices/all.yaml").read_text() == DEVICES.replace(
        "  kim-laptop: {owner: kim@acme.com}\n", ""
    )
    assert (repo / "devices/kim.yaml").read_text() == (
        "deviceDefaults: {}\ndevices: {}\n"
    )
    assert (
        (repo / "policy.yaml").read_text()
        == """\
tagOwners: {tag:db: [ana@acme.com], tag:x: []}
autoApprovers:
  routes: {10.20.0.0/16: [tag:db]}
grants:
  - {src: ["ana@acme.com"], dst: [tag:db], ip: ["tcp:23"]}
acls:
  - {action: accept, src: [kim@acme.com.au], dst: ["db-1:25"]}
tests:
  - {src: ana@acme.com, accept: ["db-1:23"]}
"""
    )
    printed = capsys.readouterr()
    assert "device kim-laptop is removed, too\ndevice kim-phone is" in printed.out
    assert "gone:  policy.yaml:5:5\ngone:  policy.yaml:8:5\n" in printed.out
    assert "note: `group:kim` is empty now\nnote: `tag:x` is empty now" in printed.err
    assert "note: README.md:1:8: `kim@acme.com` is mentioned" in printed.err
    assert run(["check", str(repo)]) == Exit.DONE


def test_comments_are_left_and_listed(repo: Path, capsys: Capture) -> None:
    """They are for people; those of what went are gone with it."""
    text = f"# kim@acme.com asked for all of it.\n\n{POLICY}"
    write(repo, {"policy.yaml": text})
    assert typed(repo, "kim@acme.com", "--yes") == Exit.DONE
    notes = [e for e in capsys.readouterr().err.splitlines() if "comment" in e]
    assert notes == ["note: policy.yaml:1:3: a comment mentions `kim@acme.com`"]


def test_devices_may_be_given_on(repo: Path, capsys: Capture) -> None:
    """They stay, with another owner, also where a file's defaults name it."""
    words = ("kim@acme.com", "--give-devices-to", "ana@acme.com", "--yes")
    assert typed(repo, *words) == Exit.DONE
    tailnet = load(repo).tailnet
    assert tailnet is not None
    owners = {each.name: each.owner for each in tailnet.devices.values()}
    assert owners["kim-laptop"] == owners["kim-phone"] == "ana@acme.com"
    assert (repo / "devices/kim.yaml").read_text() == OWN.replace("kim@a", "ana@a")
    assert "kim-laptop:24" in (repo / "policy.yaml").read_text()
    assert "is removed, too" not in capsys.readouterr().out


def test_dry_run_is_one_diff(repo: Path, capsys: Capture) -> None:
    """Over all files, for git to apply; nothing is written."""
    assert typed(repo, "kim@acme.com", "--dry-run") == Exit.DONE
    diff = capsys.readouterr().out
    assert status(repo) == ""
    assert diff.count("--- a/") == 4
    apply = ["git", "-C", str(repo), "apply"]
    subprocess.run(apply, input=diff, text=True, check=True)
    patched = {path: path.read_bytes() for path in repo.rglob("*.yaml")}
    subprocess.run([*apply, "-R"], input=diff, text=True, check=True)
    assert typed(repo, "kim@acme.com", "--yes", "--format", "json") == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert (document["written"], document["diff"]) == (True, diff)
    assert {path: path.read_bytes() for path in repo.rglob("*.yaml")} == patched


REFUSED = {
    "nobody": (("kin@acme.com", "--yes"), Exit.USAGE, "did you mean `kim@acme.com`?"),
    "no yes": (("kim@acme.com",), Exit.USAGE, "nobody is here to say yes"),
    "an heir who is nobody": (
        ("kim@acme.com", "--give-devices-to", "ann@acme.com"),
        Exit.USAGE,
        "`ann@acme.com` is no user",
    ),
    "their own heir": (
        ("kim@acme.com", "--give-devices-to", "kim@acme.com"),
        Exit.USAGE,
        "`kim@acme.com` leaves",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(repo: Path, capsys: Capture, case: str) -> None:
    """With the reason; nothing is written."""
    words, code, said = REFUSED[case]
    assert typed(repo, *words) == code
    assert said in capsys.readouterr().err
    assert status(repo) == ""


def test_a_login_in_another_field_is_refused(repo: Path, capsys: Capture) -> None:
    """What is no reference is not guessed at: the place is named."""
    write(
        repo, {"x.yaml": "devices: {x: {tags: [tag:db], description: of KIM@acme.com}}"}
    )
    assert typed(repo, "kim@acme.com", "--yes") == Exit.REFUSED
    assert "x.yaml:1:44" in capsys.readouterr().err
    assert status(repo) == "?? x.yaml\n"


def test_a_generated_file_is_refused(repo: Path, capsys: Capture) -> None:
    """The machine that wrote it would write the membership again."""
    text = "generated: {by: sync, source: okta, at: 2026-11-22T06:00:00Z}\n"
    write(repo, {"g.yaml": f"{text}groups: {{group:g: [kim@acme.com]}}\n"})
    assert typed(repo, "kim@acme.com", "--yes") == Exit.REFUSED
    printed = capsys.readouterr().err
    assert "g.yaml is written by sync" in printed
    assert "help: change it in okta" in printed
    assert status(repo) == "?? g.yaml\n"


def test_a_broken_tailnet_is_refused(repo: Path, capsys: Capture) -> None:
    """Where a file can't be read, a mention could hide: nothing is done."""
    write(repo, {"x.yaml": "devices: [\n"})
    assert typed(repo, "kim@acme.com", "--yes") == Exit.INVALID
    assert "x.yaml" in capsys.readouterr().err
    assert status(repo) == "?? x.yaml\n"


def two_tailnets(folder: Path, staging: str) -> Path:
    """Two roots that share their people."""
    prod = HEAD + "include: [../shared/people.yaml]\n"
    stage = prod.replace("acme", "stage").replace("7be0", "7be1")
    own = "tagOwners: {tag:x: []}\ngrants: []\n"
    files: dict[str, str | bytes] = {
        "prod/tailnet.yaml": prod + own,
        "prod/devices/kim-pc.yaml": "devices: {kim-pc: {owner: kim@acme.com}}\n",
        "staging/tailnet.yaml": stage + own,
        "staging/own.yaml": staging,
        "shared/people.yaml": PEOPLE,
    }
    return committed(folder / "both", files)


def test_people_that_tailnets_share(tmp_path: Path, capsys: Capture) -> None:
    """The other tailnet is named, since its people change, too."""
    repo = two_tailnets(tmp_path, "devices: {x: {tags: [tag:x]}}\n")
    assert typed(repo / "prod", "kim@acme.com", "--yes") == Exit.DONE
    said = "note: a changed file is also read by the tailnet in staging"
    assert said in capsys.readouterr().err
    assert status(repo) == " D prod/devices/kim-pc.yaml\n M shared/people.yaml\n"


def test_people_that_another_tailnet_needs(tmp_path: Path, capsys: Capture) -> None:
    """An edit that would break the other tailnet is refused with the place."""
    repo = two_tailnets(tmp_path, "devices: {x: {owner: kim@acme.com}}\n")
    assert typed(repo / "prod", "kim@acme.com", "--yes") == Exit.REFUSED
    printed = capsys.readouterr().err
    assert "the tailnet in staging reads one of the files" in printed
    assert "staging/own.yaml:1:" in printed
    assert status(repo) == ""
