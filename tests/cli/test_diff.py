"""`tailgit diff`: revisions, files and folders; what it prints and how it exits."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from jsonschema import validate

from tailgit.cli import run
from tailgit.errors import Exit
from tailgit.resources import directory

Capture = pytest.CaptureFixture[str]

GRANT = '  - {src: [ana@acme.com], dst: [tag:db], ip: ["tcp:22"], name: shell}\n'


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@acme.com")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True)


@pytest.fixture
def repo(acme: Path) -> Path:
    """The small tailnet in a repository, with one commit; its database has no test."""
    policy = (acme / "policy.yaml").read_text()
    (acme / "policy.yaml").write_text(policy.split("tests:")[0])
    git(acme, "init", "-q", "-b", "main")
    git(acme, "add", ".")
    git(acme, "commit", "-qm", "one")
    return acme


def add(folder: Path, text: str) -> None:
    with (folder / "policy.yaml").open("a") as file:
        file.write(text)


def said(capsys: Capture, *arguments: str) -> str:
    assert run(["diff", *arguments]) == Exit.DONE
    return capsys.readouterr().out


def test_base_alone_is_compared_with_the_files(repo: Path, capsys: Capture) -> None:
    """As git does: what is not committed yet counts."""
    add(repo, GRANT)
    out = said(capsys, "HEAD", "--repo", str(repo))
    assert "  + group:data-team -> tag:db" not in out
    assert "+ ana@acme.com -> tag:db  tcp/22" in out
    assert "policy.yaml:4 (new grant shell)" in out
    assert "ana-laptop, ana-new reach db-1" in out
    assert "2 device pairs gain access, 0 lose it, 0 are unchanged." in out


def test_two_revisions(repo: Path, capsys: Capture) -> None:
    """The files do not matter between two revisions, and signs follow the order."""
    add(repo, GRANT)
    git(repo, "commit", "-qam", "two")
    add(repo, "nonsense")
    assert "  + ana@acme.com" in said(capsys, "HEAD~1", "HEAD", "--repo", str(repo))
    assert "  - ana@acme.com" in said(capsys, "HEAD", "HEAD~1", "--repo", str(repo))


def test_two_folders(repo: Path, tmp_path: Path, capsys: Capture) -> None:
    """Folders are compared wherever they are, without git."""
    other = tmp_path / "other"
    shutil.copytree(repo, other, ignore=shutil.ignore_patterns(".git"))
    add(other, GRANT)
    out = said(capsys, str(repo), str(other))
    assert out.startswith("acme: files -> files\n")
    assert "+ ana@acme.com -> tag:db  tcp/22" in out


def test_no_change_is_said_of_both_halves_alone(repo: Path, capsys: Capture) -> None:
    """A remark changes nothing; a key changes no access: that never stands alone."""
    add(repo, "# nothing\n")
    out = said(capsys, "HEAD", "--repo", str(repo))
    assert out.splitlines()[2:] == ["No change."]
    swap_key(repo)
    out = said(capsys, "HEAD", "--repo", str(repo))
    lines = out.splitlines()
    assert lines[2] == "No change in access; 1 change in trust, a danger."
    assert lines[4] == "Devices"
    assert lines[5] == (
        "  ! db-1  key 6Zg1…Y1E= -> 6naM…XDw=, which no nextPublicKey announced"
        "  devices.yaml:4"
    )


def swap_key(folder: Path) -> None:
    devices = (folder / "devices.yaml").read_text()
    key = "6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E="
    other = "6naMHJ82eek3e9rcZNfgvkTTrATbytdgHSECIAQ7XDw="
    assert key in devices
    (folder / "devices.yaml").write_text(devices.replace(key, other))


def test_trust_alone_counts_for_the_exit_code(repo: Path, capsys: Capture) -> None:
    """A pipeline that stops at changes stops at a new key, too."""
    swap_key(repo)
    flags = ["--repo", str(repo), "--detailed-exitcode"]
    assert run(["diff", "HEAD", *flags]) == Exit.CHANGES
    assert run(["diff", "HEAD", *flags, "--format", "json"]) == Exit.CHANGES
    document = json.loads(capsys.readouterr().out.split("\n{", 1)[1].join(("{", "")))
    assert document["access"]["noop"] is True
    assert document["trust"]["noop"] is False


@pytest.mark.parametrize(
    ("change", "flags", "code"),
    [
        ("", [], Exit.DONE),
        ("", ["--detailed-exitcode"], Exit.DONE),
        (GRANT, [], Exit.DONE),
        (GRANT, ["--detailed-exitcode"], Exit.CHANGES),
        (GRANT.replace("tag:db", "tag:nope"), [], Exit.INVALID),
        ("nonsense", ["--detailed-exitcode"], Exit.INVALID),
    ],
)
def test_exit_codes(
    change: str, flags: list[str], code: Exit, repo: Path, capsys: Capture
) -> None:
    """0, or 2 for changes where that is asked for; 3 for what is not valid."""
    add(repo, change)
    assert run(["diff", "HEAD", "--repo", str(repo), *flags]) == code
    if code == Exit.INVALID:
        assert "policy.yaml:" in capsys.readouterr().err


def test_an_unknown_revision_is_an_error(repo: Path, capsys: Capture) -> None:
    """Nothing is compared with what is not there."""
    assert run(["diff", "nope", "--repo", str(repo)]) == Exit.FAILED
    assert "no revision `nope`" in capsys.readouterr().err


def test_tailnets_come_and_go(repo: Path, capsys: Capture) -> None:
    """Each tailnet of a repository is compared with itself; one that is new gains all,
    one that is gone loses all."""
    (repo / "prod").mkdir()
    for name in ("tailnet.yaml", "policy.yaml", "devices.yaml"):
        (repo / name).rename(repo / "prod" / name)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "moved")
    shutil.copytree(repo / "prod", repo / "lab")
    for file in (repo / "lab").iterdir():
        file.write_text(file.read_text().replace("acme", "lab"))
    out = said(capsys, "HEAD", "--repo", str(repo))
    new, same = out.split("\n\nacme: ")
    assert new.startswith("lab: ")
    assert "in lab, a new tailnet" in new
    assert "+ group:data-team -> tag:db  tcp/5432" in new
    assert "in prod\n\nNo change." in same
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "lab")
    out = said(capsys, "HEAD", "HEAD~1", "--repo", str(repo))
    assert "in lab, the tailnet is removed" in out
    assert "- group:data-team -> tag:db  tcp/5432" in out


def test_a_branch_that_is_behind_takes_nothing_back(
    repo: Path, capsys: Capture
) -> None:
    """What others have merged meanwhile is none of this branch's changes; files and
    refs stay as they are."""
    git(repo, "checkout", "-qb", "mine")
    devices = (repo / "devices.yaml").read_text()
    (repo / "devices.yaml").write_text(f"# mine\n{devices}")
    swap_key(repo)
    git(repo, "commit", "-qam", "mine")
    git(repo, "checkout", "-q", "main")
    add(repo, GRANT)
    git(repo, "commit", "-qam", "theirs")
    flags = ["main", "mine", "--repo", str(repo)]
    assert "- ana@acme.com -> tag:db  tcp/22" in said(capsys, *flags)
    out = said(capsys, *flags, "--as-merged")
    assert ", once merged\n" in out
    assert "No change in access; 1 change in trust, a danger." in out
    done = subprocess.run(
        ["git", "-C", str(repo), "status", "--porcelain"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""


def test_a_conflict_is_an_error_that_names_the_files(
    repo: Path, capsys: Capture
) -> None:
    """Nobody knows what will be merged, so nothing is said about it."""
    git(repo, "checkout", "-qb", "mine")
    add(repo, GRANT)
    git(repo, "commit", "-qam", "mine")
    git(repo, "checkout", "-q", "main")
    add(repo, GRANT.replace("tcp:22", "tcp:23"))
    git(repo, "commit", "-qam", "theirs")
    flags = ["--repo", str(repo), "--as-merged"]
    assert run(["diff", "main", "mine", *flags]) == Exit.FAILED
    said_ = capsys.readouterr().err
    assert "`mine` can't be merged into `main`: both change `policy.yaml`" in said_
    assert "leave --as-merged out" in said_


def test_only_revisions_can_be_merged(repo: Path, capsys: Capture) -> None:
    """Files that nobody committed are nothing that git could merge."""
    flags = ["--repo", str(repo), "--as-merged"]
    assert run(["diff", "main", *flags]) == Exit.USAGE
    assert "name two revisions" in capsys.readouterr().err


def test_json_is_as_its_schema_says(repo: Path, capsys: Capture) -> None:
    """Also with deadlines, devices to come and what somebody keeps."""
    add(repo, GRANT.replace("name: shell", "expires: 2099-01-31"))
    add(repo, '  - {src: [tag:db], dst: [tag:db], ip: ["udp:53"]}\n')
    document = json.loads(said(capsys, "HEAD", "--repo", str(repo), "--format", "json"))
    schema = json.loads((directory("schemas") / "report" / "diff.json").read_text())
    validate(document, schema)
    assert document["access"]["noop"] is False
    lines = {line["ports"]: line for line in document["access"]["gained"]}
    assert lines["tcp/22"]["after"] == {"open": True, "until": "2099-01-31"}
    assert lines["tcp/22"]["before"] == {"open": False, "until": None}
    assert lines["udp/53"]["no_device_yet"] is True
    same = json.loads(
        said(capsys, "HEAD", "HEAD", "--repo", str(repo), "--format=json")
    )
    validate(same, schema)
    assert same["access"]["noop"] is True
    assert not any(same["access"][key] for key in ("gained", "lost", "kept"))
    assert same["access"]["not_compared"] == []


OLD_POLICY = """\
{
  "groups": {"group:eng": ["ana@x.com", "ben@x.com"]},
  "tagOwners": {"tag:web": [], "tag:db": []},
  "hosts": {"office": "10.1.0.0/16"},
  "acls": [
    {"action": "accept", "src": ["group:eng"], "dst": ["tag:web:443", "office:80"]},
    {"action": "accept", "src": ["tag:web"], "dst": ["tag:db:5432"]},
  ],
}
"""


def test_a_policy_alone_is_enough(tmp_path: Path, capsys: Capture) -> None:
    """Somebody's policy.hujson, with no device at all, has a useful difference."""
    git(tmp_path, "init", "-q")
    file = tmp_path / "policy.hujson"
    file.write_text(OLD_POLICY)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    new = OLD_POLICY.replace(', "ben@x.com"', "").replace("10.1.0.0/16", "10.1.0.0/17")
    file.write_text(new.replace('"tag:db:5432"', '"tag:db:5432", "tag:web:9090"'))
    out = said(capsys, "HEAD", "--repo", str(tmp_path))
    assert "+ tag:web -> tag:web  tcp,udp/9090" in out
    assert "- ben@x.com -> tag:web  tcp,udp/443" in out
    assert "policy.hujson:2 (left group:eng)" in out
    assert "group:eng -> 10.1.128.0/17  tcp,udp/80" in out
    assert "policy.hujson:4 (host office changed)" in out
    assert "No devices here: two stand for each name that the change is about." in out
    file.write_text("// a remark\n" + OLD_POLICY)
    assert "\n\nNo change.\n" in said(capsys, "HEAD", "--repo", str(tmp_path))


def test_text_from_the_repository_is_escaped(repo: Path, capsys: Capture) -> None:
    """The name of a file can't rewrite the screen of who reviews it."""
    (repo / "more\x1b[2J\u202e.yaml").write_text(f"grants:\n{GRANT}")
    out = said(capsys, "HEAD", "--repo", str(repo))
    assert "more\\x1b[2J\\u202e.yaml:2 (new grant shell)" in out
    assert "\x1b" not in out
    out = said(capsys, "HEAD", "--repo", str(repo), "--format", "json")
    assert "\x1b" not in out
    assert "u001b" not in out


SSH = (
    "ssh:\n  - {action: accept, src: [group:data-team], dst: [tag:db], users: [ana]}\n"
)


@pytest.mark.parametrize(
    ("before", "after", "said_of"),
    [
        (
            *(SSH, SSH.replace("[ana]", "[ana, root]")),
            "new ssh rule: accept group:data-team -> tag:db as ana, root",
        ),
        (SSH, SSH + "# a remark\n", ""),
        (
            "grants: [{src: [ana@acme.com], dst: [tag:db], app: {x.com/cap: [{}]}}]\n",
            "",
            "capability removed: ana@acme.com -> tag:db x.com/cap {}",
        ),
        (
            *("", "nodeAttrs: [{target: [tag:db], attr: [funnel]}]\n"),
            "new node attributes: tag:db have funnel",
        ),
    ],
)
def test_what_is_not_compared_is_named_where_it_changes(
    before: str, after: str, said_of: str, repo: Path, capsys: Capture
) -> None:
    """Silence about logins, applications and attributes would be taken for sameness."""
    (repo / "more.yaml").write_text(before or "hosts: {}\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "more")
    (repo / "more.yaml").write_text(after or "hosts: {}\n")
    out = said(capsys, "HEAD", "--repo", str(repo))
    assert said_of in out
    assert ("No change in access; " in out) == bool(said_of)
    assert ("No change." in out) != bool(said_of)
