"""`tailgit device add`, `rename` and `remove`, from outside, on a git repository."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit
from tailgit.load import load
from tailgit.model.tailnet import Device
from tests.load.files import HEAD, committed, write

Capture = pytest.CaptureFixture[str]

SERVERS = """\
# All servers.

devices:
  # The first database.
  db-1:  # in the cellar
    tags: [tag:db]
    endpoints: ["203.0.113.10:51820"]
    # its key comes later

  gw:
    tags: [tag:router]
    endpoints: ["203.0.113.11:51820"]
    ssh: {host: 203.0.113.11}

  # Another one.
  db-2: {tags: [tag:db]}
"""

POLICY = """\
tagOwners: {tag:db: [], tag:router: []}
acls:
  # db-1 writes to gw.
  - {action: accept, src: [db-1], dst: ["gw:514"], proto: tcp}
  - action: accept
    src:
      - gw
      - db-1  # reads back
    dst: ["db-1:5432", 'db-2:5432']  # both
    proto: tcp
grants:
  - {src: [tag:router], dst: [db-1], ip: ["tcp:22"]}
  - {src: [db-2, db-1], dst: [gw], ip: ["tcp:53"]}
tests:
  - {src: db-1, accept: ["gw:514"]}
  - {src: gw, accept: ["db-1:5432", "db-2:5432"], deny: ["db-1:80"]}
  - {src: db-2, accept: ["gw:53"], deny: [db-1:22]}
"""

FILES: dict[str, str | bytes] = {
    "tailnet.yaml": HEAD,
    "servers.yaml": SERVERS,
    "policy.yaml": POLICY,
    "devices/ops.yaml": "# The desk.\ndevices:\n  ops:\n    tags: [tag:db]\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A committed tailnet in which db-1 is named everywhere."""
    return committed(tmp_path / "repo", FILES)


def git(repo: Path, *words: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(repo), *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def changed_lines(repo: Path) -> list[str]:
    """The lines that `git diff` shows as taken out and put in."""
    return [
        line
        for line in git(repo, "diff", "-U0").splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]


def device(repo: Path, name: str) -> Device:
    tailnet = load(repo).tailnet
    assert tailnet is not None
    return tailnet.devices[name]


def typed(repo: Path, *words: str) -> int:
    return run(["device", *words, "--repo", str(repo)])


# add


def test_add_writes_one_file(repo: Path, capsys: Capture) -> None:
    """Mode 0644, all that was asked for, and what to do next."""
    words = "add web-1 --tag tag:db --endpoint 203.0.113.12:51820 --expires 2099-01-31"
    assert typed(repo, *words.split(), "--route", "10.9.0.0/16") == Exit.DONE
    path = repo / "devices/web-1.yaml"
    assert path.read_text() == (
        "devices:\n  web-1:\n    tags: [tag:db]\n"
        '    endpoints: ["203.0.113.12:51820"]\n'
        "    routes: [10.9.0.0/16]\n    expires: 2099-01-31\n"
    )
    assert path.stat().st_mode & 0o7777 == 0o644
    assert git(repo, "status", "--porcelain") == "?? devices/web-1.yaml\n"
    made = device(repo, "web-1")
    assert capsys.readouterr().out == (
        "new      devices/web-1.yaml\n"
        f"web-1 will have {made.ipv4}, {made.ipv6}\n"
        "Next:  tailgit device enroll web-1\n"
    )


def test_what_add_writes_is_canonical(repo: Path) -> None:
    """`tailgit fmt` has nothing to do in a file that `add` has written."""
    words = "add web-1 --tag tag:db --tag tag:router --route fd00:1::/64 --ssh-host h"
    more = ("--delivery", "ssh", "--endpoint", "[2001:db8::1]:51820")
    assert typed(repo, *words.split(), *more) == Exit.DONE
    assert run(["fmt", "--check", str(repo / "devices/web-1.yaml")]) == Exit.DONE


def test_add_makes_the_folder(tmp_path: Path, capsys: Capture) -> None:
    """The first device of a tailnet; without a host, enrolling needs a login."""
    repo = committed(
        tmp_path, {"tailnet.yaml": HEAD + "grants: []\nusers: {a@x.y: {}}"}
    )
    assert typed(repo, "add", "web-1", "--owner", "a@x.y") == Exit.DONE
    assert "enroll web-1 --login root@HOST" in capsys.readouterr().out
    assert device(repo, "web-1").owner == "a@x.y"


@pytest.mark.parametrize(
    ("delivery", "follows"),
    [
        ("pull", "tailgit device join web-1 --out web-1.sh\n"),
        ("wg-quick", "tailgit device export web-1 --new-key --out web-1.conf\n"),
    ],
)
def test_add_names_the_command_that_lets_it_in(
    repo: Path, delivery: str, follows: str, capsys: Capture
) -> None:
    """Who is not reached over SSH can't be enrolled over it."""
    words = "add web-1 --tag tag:db --delivery"
    assert typed(repo, *words.split(), delivery) == Exit.DONE
    assert capsys.readouterr().out.endswith(f"Next:  {follows}")


def test_dry_run_is_a_diff_that_git_takes(repo: Path, capsys: Capture) -> None:
    """Nothing is written, and `git apply` does the same as without --dry-run."""
    for words in (
        ("add", "web-1", "--tag", "tag:db"),
        ("rename", "db-1", "db-main"),
        ("rename", "ops", "desk"),
        ("remove", "db-1"),
        ("remove", "ops"),
    ):
        assert typed(repo, *words, "--dry-run") == Exit.DONE
        diff = capsys.readouterr().out
        assert git(repo, "status", "--porcelain") == ""
        git(repo, "apply", stdin=diff)
        shown = {p: p.read_bytes() for p in repo.rglob("*.yaml")}
        git(repo, "checkout", "-q", "--", ".")
        git(repo, "clean", "-fdq")
        assert typed(repo, *words, *(["--yes"] if words[0] == "remove" else [])) == 0
        capsys.readouterr()
        assert {p: p.read_bytes() for p in repo.rglob("*.yaml")} == shown
        git(repo, "checkout", "-q", "--", ".")
        git(repo, "clean", "-fdq")


ADD_REFUSED = {
    "a bad name": (
        ("Web_1", "--tag", "tag:db"),
        Exit.USAGE,
        "can't be a device's name",
    ),
    "localhost": (("localhost", "--tag", "tag:db"), Exit.USAGE, "can't be a device's"),
    "nobody's": (("web-1",), Exit.USAGE, "give --owner USER"),
    "owner and tags": (
        ("web-1", "--tag", "tag:db", "--owner", "a@x.y"),
        Exit.USAGE,
        "give --owner USER",
    ),
    "a name that is there": (
        ("db-1", "--tag", "tag:db"),
        Exit.REFUSED,
        "there is a device `db-1` already: servers.yaml:5:3",
    ),
    "a file that is there": (
        ("other", "--tag", "tag:db"),
        Exit.REFUSED,
        "devices/other.yaml exists",
    ),
    "an unknown tag": (
        ("web-1", "--tag", "tag:bd"),
        Exit.INVALID,
        "error[undeclared-tag]",
    ),
    "a bad key": (
        ("web-1", "--tag", "tag:db", "--public-key", "x"),
        Exit.INVALID,
        "devices/web-1.yaml:4:16",
    ),
    "somebody's endpoint": (
        ("web-1", "--tag", "tag:db", "--endpoint", "203.0.113.10:51820"),
        Exit.INVALID,
        "duplicate-endpoint",
    ),
}


@pytest.mark.parametrize("case", ADD_REFUSED)
def test_add_refuses(repo: Path, capsys: Capture, case: str) -> None:
    """With the reason, and without a trace."""
    words, code, said = ADD_REFUSED[case]
    write(repo, {"devices/other.yaml": "devices: {}\n"})
    before = git(repo, "status", "--porcelain")
    assert typed(repo, "add", *words) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
    assert git(repo, "status", "--porcelain") == before


def test_add_refuses_names_of_old(repo: Path, capsys: Capture) -> None:
    """A name that a device once had: its addresses follow from it."""
    assert typed(repo, "rename", "db-1", "db-main") == Exit.DONE
    capsys.readouterr()
    assert typed(repo, "add", "db-1", "--tag", "tag:db") == Exit.REFUSED
    assert "`db-main` was called `db-1` once: servers.yaml:5" in capsys.readouterr().err


def test_add_does_not_follow_links(repo: Path, tmp_path: Path, capsys: Capture) -> None:
    """`devices` may lead anywhere; nothing is written there."""
    repo = committed(
        tmp_path / "other", {"tailnet.yaml": HEAD + "exclude: [devices]\n"}
    )
    (tmp_path / "outside").mkdir()
    (repo / "devices").symlink_to(tmp_path / "outside")
    assert typed(repo, "add", "web-1", "--tag", "tag:db") == Exit.REFUSED
    assert "symbolic link" in capsys.readouterr().err
    assert list((tmp_path / "outside").iterdir()) == []


def test_add_refuses_an_excluded_folder(tmp_path: Path, capsys: Capture) -> None:
    """A file that is no part of the tailnet would declare nothing."""
    text = HEAD + "exclude: [devices]\ntagOwners: {tag:x: []}\ngrants: []\n"
    repo = committed(tmp_path, {"tailnet.yaml": text, "devices/x.yaml": "a: 1\n"})
    assert typed(repo, "add", "web-1", "--tag", "tag:x") == Exit.REFUSED
    assert "would be no part of the tailnet" in capsys.readouterr().err
    assert not (repo / "devices/web-1.yaml").exists()


def test_add_with_a_taken_address(tmp_path: Path, capsys: Capture) -> None:
    """It is written, said to be invalid, and `tailgit pin` is what mends it."""
    narrow = HEAD.replace("100.64.0.0/10", "100.64.0.0/29")
    rest = "tagOwners: {tag:x: []}\ngrants: []\n"
    repo = committed(tmp_path, {"tailnet.yaml": narrow + rest})
    codes = []
    for number in range(5):
        codes.append(typed(repo, "add", f"x-{number}", "--tag", "tag:x"))
        if codes[-1]:
            break
        capsys.readouterr()
    assert codes[-1] == Exit.INVALID
    printed = capsys.readouterr()
    name = f"x-{len(codes) - 1}"
    assert "both have 100.64.0." in printed.err
    assert f"Next:  tailgit pin, which gives {name} another address" in printed.out
    assert (repo / f"devices/{name}.yaml").exists()


# rename


def test_rename_changes_every_reference(repo: Path, capsys: Capture) -> None:
    """The minimal lines, in every style; address and port stay; comments are noted."""
    before = device(repo, "db-1")
    assert typed(repo, "rename", "db-1", "db-main") == Exit.DONE
    printed = capsys.readouterr()
    assert changed_lines(repo) == [
        '-  - {action: accept, src: [db-1], dst: ["gw:514"], proto: tcp}',
        '+  - {action: accept, src: [db-main], dst: ["gw:514"], proto: tcp}',
        "-      - db-1  # reads back",
        "-    dst: [\"db-1:5432\", 'db-2:5432']  # both",
        "+      - db-main  # reads back",
        "+    dst: [\"db-main:5432\", 'db-2:5432']  # both",
        '-  - {src: [tag:router], dst: [db-1], ip: ["tcp:22"]}',
        '-  - {src: [db-2, db-1], dst: [gw], ip: ["tcp:53"]}',
        '+  - {src: [tag:router], dst: [db-main], ip: ["tcp:22"]}',
        '+  - {src: [db-2, db-main], dst: [gw], ip: ["tcp:53"]}',
        '-  - {src: db-1, accept: ["gw:514"]}',
        '-  - {src: gw, accept: ["db-1:5432", "db-2:5432"], deny: ["db-1:80"]}',
        '-  - {src: db-2, accept: ["gw:53"], deny: [db-1:22]}',
        '+  - {src: db-main, accept: ["gw:514"]}',
        '+  - {src: gw, accept: ["db-main:5432", "db-2:5432"], deny: ["db-main:80"]}',
        '+  - {src: db-2, accept: ["gw:53"], deny: [db-main:22]}',
        "-  db-1:  # in the cellar",
        "+  db-main:  # in the cellar",
        "+    formerly: [db-1]",
    ]
    after = device(repo, "db-main")
    assert (after.addresses, after.listen_port) == (
        before.addresses,
        before.listen_port,
    )
    assert "note: policy.yaml:3:5: a comment mentions `db-1`\n" in printed.err
    assert f"stays  {before.ipv4}" in printed.out
    assert "db-1 is db-main; 9 references changed\n" in printed.out


def test_rename_moves_the_device_s_own_file(repo: Path, capsys: Capture) -> None:
    """devices/OLD.yaml is devices/NEW.yaml, comments and mode too."""
    (repo / "devices/ops.yaml").chmod(0o640)
    assert typed(repo, "rename", "ops", "desk") == Exit.DONE
    assert capsys.readouterr().out.startswith(
        "deleted  devices/ops.yaml\nnew      devices/desk.yaml\n"
    )
    assert not (repo / "devices/ops.yaml").exists()
    path = repo / "devices/desk.yaml"
    assert path.read_text() == (
        "# The desk.\ndevices:\n  desk:\n    tags: [tag:db]\n    formerly: [ops]\n"
    )
    assert path.stat().st_mode & 0o777 == 0o640


def test_rename_again_and_back(repo: Path) -> None:
    """The oldest name stays first; back to it, `formerly` is needed no more."""
    before = device(repo, "ops")
    for old, new, formerly in (
        ("ops", "desk", ("ops",)),
        ("desk", "table", ("ops", "desk")),
        ("table", "desk", ("ops", "table")),
        ("desk", "ops", ()),
    ):
        assert typed(repo, "rename", old, new) == Exit.DONE
        now = device(repo, new)
        assert now.formerly == formerly
        assert now.addresses == before.addresses
        assert now.listen_port == before.listen_port
    assert git(repo, "status", "--porcelain") == ""


RENAME_REFUSED = {
    "a device": ("db-1", "gw", Exit.REFUSED, "there is a device `gw` already: servers"),
    "an alias": ("db-1", "printer", Exit.REFUSED, "is an alias in `hosts`: h.yaml:1:9"),
    "a bad name": ("db-1", "-x", Exit.USAGE, "no such option"),
    "nothing": ("db-9", "db-10", Exit.USAGE, "no device `db-9`"),
}


@pytest.mark.parametrize("case", RENAME_REFUSED)
def test_rename_refuses(repo: Path, capsys: Capture, case: str) -> None:
    """Names that are taken, with the place, and names that are none."""
    old, new, code, said = RENAME_REFUSED[case]
    write(repo, {"h.yaml": "hosts: {printer: 10.0.0.9}\n"})
    assert typed(repo, "rename", old, new) == code
    assert said.lower() in capsys.readouterr().err.lower()
    assert changed_lines(repo) == []


def test_rename_that_would_change_access_is_refused(
    repo: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may reach whom is compared, not believed."""
    from tailgit.edit import renaming

    seen = renaming._renamed
    monkeypatch.setattr(
        renaming, "_renamed", lambda each, _old, new: seen(each, "gw", new)
    )
    assert typed(repo, "rename", "db-1", "db-main") == Exit.REFUSED
    assert "would not stay the same" in capsys.readouterr().err
    assert changed_lines(repo) == []


# remove


def test_remove_takes_everything_out(repo: Path, capsys: Capture) -> None:
    """Items, rules and tests that would be about nobody, and their comments."""
    assert typed(repo, "remove", "db-1", "--yes") == Exit.DONE
    printed = capsys.readouterr()
    assert (
        (repo / "policy.yaml").read_text()
        == """\
tagOwners: {tag:db: [], tag:router: []}
acls:
  - action: accept
    src:
      - gw
    dst: ['db-2:5432']  # both
    proto: tcp
grants:
  - {src: [db-2], dst: [gw], ip: ["tcp:53"]}
tests:
  - {src: gw, accept: ["db-2:5432"]}
  - {src: db-2, accept: ["gw:53"]}
"""
    )
    assert (repo / "servers.yaml").read_text() == SERVERS.replace(
        SERVERS[SERVERS.index("  # The first") : SERVERS.index("  gw:")], ""
    )
    assert "gone:  policy.yaml:4:5" in printed.out
    assert run(["check", str(repo)]) == Exit.DONE


def test_remove_deletes_the_device_s_own_file(repo: Path) -> None:
    """One file a device: it goes with the device; another file keeps `devices: {}`."""
    assert typed(repo, "remove", "ops", "--yes") == Exit.DONE
    assert git(repo, "status", "--porcelain") == " D devices/ops.yaml\n"
    write(repo, {"odd.yaml": "devices:  # one\n  new: {tags: [tag:db]}\n"})
    assert typed(repo, "remove", "new", "--yes") == Exit.DONE
    assert (repo / "odd.yaml").read_text() == "devices: {}  # one\n"


def test_remove_asks(repo: Path, capsys: Capture) -> None:
    """Without a terminal and --yes it is 64, and nothing is written."""
    assert typed(repo, "remove", "db-1") == Exit.USAGE
    assert "--yes" in capsys.readouterr().err
    assert changed_lines(repo) == []


@pytest.mark.parametrize(("said", "gone"), [("y\n", True), ("n\n", False)])
def test_remove_on_a_terminal(
    repo: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, said: str, gone: bool
) -> None:
    """The diff is shown first; only a yes removes."""
    answers = io.StringIO(said)
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", answers)
    code = typed(repo, "remove", "ops")
    assert code == (Exit.DONE if gone else Exit.FAILED)
    printed = capsys.readouterr().err
    assert printed.index("-  ops:") < printed.index("Remove ops? [y/N]")
    assert (repo / "devices/ops.yaml").exists() is not gone


def test_remove_refuses_what_a_person_must_decide(repo: Path, capsys: Capture) -> None:
    """The device that the controller runs on is named with its place."""
    text = HEAD + "  controller: {device: ops}\n"
    write(repo, {"tailnet.yaml": text})
    assert typed(repo, "remove", "ops", "--yes") == Exit.REFUSED
    assert (
        "`ops` is still needed: tailnet.yaml:7:24 (`device: ops`)"
        in capsys.readouterr().err
    )
    assert (repo / "devices/ops.yaml").exists()


def test_remove_refuses_a_new_error(repo: Path, capsys: Capture) -> None:
    """A test of a tag that nobody has any more is for a person to mend."""
    write(repo, {"t.yaml": 'tests: [{src: tag:router, accept: ["db-1:22"]}]\n'})
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "test")
    assert typed(repo, "remove", "gw", "--yes") == Exit.INVALID
    printed = capsys.readouterr().err
    assert "t.yaml:1:15: error[test-of-nobody]" in printed
    assert "nothing was written" in printed
    assert changed_lines(repo) == []


def test_json_of_a_removal(repo: Path, capsys: Capture) -> None:
    """One document with files, notes and the diff."""
    assert typed(repo, "remove", "ops", "--dry-run", "--format", "json") == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["written"] is False
    assert document["files"] == [{"file": "devices/ops.yaml", "change": "deleted"}]
    assert document["diff"].startswith("--- a/devices/ops.yaml\n+++ /dev/null\n")


NOT_OURS = {
    "JSON": (
        "x.json",
        '{"devices": {"x": {"tags": ["tag:db"]}}}',
        "x.json is JSON; only YAML can be edited in place",
    ),
    "generated": (
        "x.yaml",
        (
            "generated: {by: sync 2, source: okta, at: 2026-11-22T06:00:00Z}\n"
            "devices: {x: {tags: [tag:db]}}\n"
        ),
        "x.yaml is written by sync 2",
    ),
}


@pytest.mark.parametrize("case", NOT_OURS)
@pytest.mark.parametrize("words", [("rename", "x", "y"), ("remove", "x", "--yes")])
def test_files_that_are_not_edited(
    repo: Path, capsys: Capture, case: str, words: tuple[str, ...]
) -> None:
    """JSON has no comments to keep; what a machine wrote it would write again."""
    file, text, said = NOT_OURS[case]
    write(repo, {file: text})
    assert typed(repo, *words) == Exit.REFUSED
    printed = capsys.readouterr().err
    assert said in printed
    assert "devices.x" in printed
    assert (repo / file).read_text() == text


def test_names_are_escaped(repo: Path, capsys: Capture) -> None:
    """What a stranger wrote does not act on the terminal that shows the diff."""
    text = "devices:\n  # evil\u200b\n  x: {tags: [tag:db]}\n"
    write(repo, {"x.yaml": text})
    assert typed(repo, "remove", "x", "--dry-run") == Exit.DONE
    printed = capsys.readouterr().out
    assert "\u200b" not in printed
    assert "-  # evil\\u200b\n" in printed


def test_add_does_not_wait_for_others_tests(tmp_path: Path, capsys: Capture) -> None:
    """The first device makes the tests run; what they miss is not its fault."""
    rules = (
        "tagOwners: {tag:a: [], tag:b: []}\n"
        "grants: [{src: [tag:a], dst: [tag:b], ip: ['tcp:22']}]\n"
        "tests: [{src: tag:a, accept: ['tag:b:22']}]\n"
    )
    write(tmp_path, {"tailnet.yaml": HEAD, "rules.yaml": rules})
    assert run(["check", str(tmp_path), "--no-local"]) == Exit.INVALID
    for name in ("a", "b"):
        words = ["device", "add", f"x-{name}", "--tag", f"tag:{name}"]
        assert run([*words, "--repo", str(tmp_path)]) == Exit.DONE
        assert "new " in capsys.readouterr().out
    assert run(["check", str(tmp_path), "--no-local"]) == Exit.DONE


def test_add_in_a_folder_writes_there(tmp_path: Path) -> None:
    """A team adds to its own folder, and leads its editor to the schema."""
    files = {"tailnet.yaml": HEAD, "rules.yaml": "tagOwners: {tag:a: []}\ngrants: []"}
    write(tmp_path, {**files, "teams/x/.keep": "", ".tailgit/schema.json": "{}"})
    team = tmp_path / "teams" / "x"
    assert run(["device", "add", "d", "--tag", "tag:a", "--repo", str(team)]) == 0
    assert (team / "d.yaml").read_text() == (
        "# yaml-language-server: $schema=../../.tailgit/schema.json\n"
        "devices:\n  d:\n    tags: [tag:a]\n"
    )
