"""The fleet's record in git: real repositories, real remotes, several controllers."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tailgit.deploy.clone import Clone, Move
from tailgit.deploy.entries import entries
from tailgit.deploy.record import (
    FleetRecord,
    applied_of,
    applied_ref,
    notes_ref,
    opened,
    written,
)
from tailgit.errors import Exit, Incomplete, Refused, SourceError, UsageError
from tailgit.guard.guard import Guard
from tailgit.load.git import Repo
from tailgit.plan.outcome import Applied, Outcome, Result
from tailgit.plan.plan import Commit, Plan
from tailgit.plan.row import Row, State

REF, NOTES = applied_ref("acme"), notes_ref("acme")
AT = "2026-11-22T13:00:00Z"
GARBAGE = ("", "garbage\n")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, subject: str) -> str:
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What git is told must not hang on who runs the tests."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ana Lima")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ana@acme.com")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with two commits on main."""
    bare, work = tmp_path / "origin.git", tmp_path / "first"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    git(tmp_path, "clone", "-q", str(bare), str(work))
    git(work, "checkout", "-q", "-b", "main")
    commit(work, "Start")
    commit(work, "More")
    git(work, "push", "-q", "origin", "main")
    return bare


def clone(origin: Path, name: str, *words: str) -> Path:
    """One more controller's clone."""
    git(origin.parent, "clone", "-q", *words, origin.as_uri(), name)
    return origin.parent / name


def applied(sha: str, *results: Result, base: str = "") -> Applied:
    """A plan for nodes n0, n1, … and how it ended for each (applied, if none)."""
    outcomes = tuple(
        Outcome(f"n{number}", result)
        for number, result in enumerate(results or (Result.APPLIED,))
    )
    rows = tuple(Row(each.node, State.CHANGE) for each in outcomes)
    guards = (Guard("cut-off", ("n0", "n1"), 4, 1, reason="they move"),)
    made = Commit(sha, "More", 2)
    return Applied(
        Plan("acme", made, "c" * 64, rows, (), (), guards, base=base), outcomes
    )


def write(
    record: FleetRecord, done: Applied, by: str = "Ana", at: str = AT
) -> list[str]:
    return [error.message for error in written(record, done, by=by, at=at)]


def said(folder: Path) -> list[tuple[str, str]]:
    """Who and which commit, the newest first, of a clone's own notes."""
    repository = Repo(folder)
    found, strange = entries(repository, Clone(repository).ref(NOTES))
    assert strange == 0
    return [(entry.by, entry.commit) for entry in found]


def head(folder: Path, revision: str = "HEAD") -> str:
    return git(folder, "rev-parse", revision)


def test_a_whole_apply_moves_the_ref_and_leaves_a_line(origin: Path) -> None:
    """Without a remote, in this clone alone; git's own reader finds the note."""
    work = clone(origin, "a")
    record = opened(work, "acme")
    assert record == FleetRecord(work, "acme")
    assert write(record, applied(head(work), base="1" * 40)) == []
    assert git(work, "rev-parse", REF) == head(work)
    line = json.loads(git(work, "notes", "--ref", NOTES, "show", "HEAD"))
    assert line == {
        "format": 1,
        "at": AT,
        "by": "Ana",
        "commit": head(work),
        "base": "1" * 40,
        "kind": "apply",
        "compiled": "c" * 64,
        "plan": applied(head(work), base="1" * 40).plan.digest,
        "counts": {"applied": 1},
        "overrides": {"cut-off": "they move"},
        "failed": [],
        "exit": 0,
        "whole": True,
    }
    assert git(origin, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_an_incomplete_apply_leaves_a_line_and_moves_nothing(origin: Path) -> None:
    """Who did not get it is named; a suspended or left out node keeps the ref, too."""
    work = clone(origin, "a")
    for result in (Result.FAILED, Result.SUSPENDED, Result.LEFT_OUT):
        assert (
            write(opened(work, "acme"), applied(head(work), Result.APPLIED, result))
            == []
        )
        assert applied_of(Repo(work), "acme") == ""
    found, _ = entries(Repo(work), Clone(Repo(work)).ref(NOTES))
    assert [[each.result for each in entry.failed] for entry in found].count(
        ["failed"]
    ) == 1
    assert len(found) == 3
    assert not any(entry.whole for entry in found)


def test_a_run_that_changed_nothing_writes_nothing(origin: Path) -> None:
    """CI that applies the same commit each hour must not fill the notes."""
    work = clone(origin, "a")
    write(opened(work, "acme"), applied(head(work)))
    notes = head(work, NOTES)
    nothing = applied(head(work), Result.UNCHANGED)
    in_sync = replace(nothing.plan.rows[0], state=State.IN_SYNC)
    nothing = replace(nothing, plan=replace(nothing.plan, rows=(in_sync,)))
    assert write(opened(work, "acme"), nothing) == []
    assert head(work, NOTES) == notes


def test_a_ref_that_moved_since_the_plan_is_left_alone(origin: Path) -> None:
    """Two applies in one clone: the one that planned before loses, and says it."""
    work = clone(origin, "a")
    record = opened(work, "acme")
    old, new = head(work, "HEAD~1"), head(work)
    git(work, "update-ref", REF, old)
    (message,) = write(record, applied(new))
    assert message == (
        f"the record of this clone went from nothing to {old[:7]} while this was "
        f"applied, so it was not set to {new[:7]}: somebody else applies, too"
    )
    assert head(work, REF) == old
    assert said(work) == [("Ana", new)]


def test_what_others_applied_is_here_before_the_plan(origin: Path) -> None:
    """Also a commit on a branch that this clone never fetched."""
    a, b = clone(origin, "a"), clone(origin, "b")
    new = commit(a, "On a branch of its own")
    assert write(opened(a, "acme", "origin", for_commit=new), applied(new)) == []
    assert head(origin, REF) == new
    assert opened(b, "acme").applied == ""
    record = opened(b, "acme", "origin")
    assert (record.applied, record.there) == (new, new)
    assert applied_of(Repo(b), "acme") == new
    assert Repo(b).is_ancestor(head(b), new)
    assert said(b) == [("Ana", new)]


def test_a_record_that_was_kept_here_alone_is_shared_by_the_next_apply(
    origin: Path,
) -> None:
    """The first --record of an old clone brings ref and notes to the remote, also if
    there is nothing to do on nodes."""
    work = clone(origin, "a")
    write(opened(work, "acme"), applied(head(work)))
    record = opened(work, "acme", "origin", for_commit=head(work))
    assert (record.applied, record.there) == (head(work), "")
    done = applied(head(work), Result.UNCHANGED)
    nothing = replace(done, plan=replace(done.plan, rows=()))
    assert write(record, nothing, "Ben", "2026-11-22T13:00:05Z") == []
    assert head(origin, REF) == head(work)
    assert [by for by, _ in said(origin)] == ["Ben", "Ana"]


def test_of_two_controllers_that_race_one_is_told(origin: Path) -> None:
    """The second finds the ref moved: exit 5, both lines are there, nothing is lost.
    Its commit contains the other, so only the expected old value tells them apart."""
    a, b = clone(origin, "a"), clone(origin, "b")
    new, old = head(a), head(a, "HEAD~1")
    first, second = (opened(each, "acme", "origin", for_commit=new) for each in (a, b))
    assert write(first, applied(old), "Ana") == []
    errors = written(second, applied(new), by="Ben", at="2026-11-22T13:00:05Z")
    assert [error.exit for error in errors] == [Exit.INCOMPLETE]
    assert errors[0].message == (
        f"the record of origin went from nothing to {old[:7]} while this was applied, "
        f"so it was not set to {new[:7]}: somebody else applies, too"
    )
    assert "bring the branch up to date" in errors[0].help
    assert head(origin, REF) == old
    assert applied_of(Repo(b), "acme") == ""
    assert said(b) == [("Ben", new), ("Ana", old)]
    assert said(origin) == said(b)


def test_the_same_commit_by_two_controllers_is_no_conflict(origin: Path) -> None:
    """Both wanted it there, and there it is; the notes have both lines."""
    a, b = clone(origin, "a"), clone(origin, "b")
    new = head(a)
    first, second = (opened(each, "acme", "origin") for each in (a, b))
    assert write(first, applied(new), "Ana") == []
    assert write(second, applied(new), "Ben") == []
    assert head(b, REF) == new
    assert sorted(by for by, _ in said(origin)) == ["Ana", "Ben"]
    assert opened(b, "acme", "origin", for_commit=new).applied == new


def test_notes_of_many_controllers_merge(origin: Path) -> None:
    """Each wrote without the others; whoever pushes last has all lines, once each,
    and git's own merge of the same notes has the same ones."""
    new = head(origin, "main")
    folders = [clone(origin, name) for name in "abc"]
    for number, work in enumerate(folders):
        for turn in range(2):
            at = f"2026-11-22T13:0{turn}:0{number}Z"
            assert (
                write(opened(work, "acme"), applied(new), f"{work.name}{turn}", at)
                == []
            )
    for work in folders:
        record = opened(work, "acme", "origin")
        assert (
            write(record, applied(new), f"{work.name}!", "2026-11-22T14:00:00Z") == []
        )
    everybody = [f"{name}{turn}" for name in "abc" for turn in "01!"]
    assert sorted(by for by, _ in said(origin)) == sorted(everybody)
    git(folders[0], "fetch", "-q", "origin", f"{NOTES}:refs/notes/theirs")
    words = ("merge", "-q", "-s", "cat_sort_uniq", "refs/notes/theirs")
    git(folders[0], "notes", "--ref", NOTES, *words)
    assert sorted(by for by, _ in said(folders[0])) == sorted(everybody)


@pytest.mark.parametrize("shared", [True, False])
def test_all_lines_of_controllers_at_the_same_moment_are_kept(
    origin: Path, shared: bool
) -> None:
    """Six at once, each in its clone with a remote, or all in one clone."""
    new = head(origin, "main")
    names = [f"c{number}" for number in range(6)]
    folders = [clone(origin, name) for name in (names if shared else names[:1])]
    remote = "origin" if shared else ""

    def run(number: int) -> list[str]:
        record = opened(folders[number % len(folders)], "acme", remote)
        return write(record, applied(new, Result.FAILED), names[number])

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(run, range(6))) == [[]] * 6
    assert sorted(by for by, _ in said(origin if shared else folders[0])) == names


def test_notes_survive_that_many_are_pushed_meanwhile(origin: Path) -> None:
    """A push that comes between fetching and pushing is merged and tried again."""
    a, b = clone(origin, "a"), clone(origin, "b")
    new = head(a)
    assert write(opened(b, "acme"), applied(new), "Ben") == []
    # As if somebody pushed right before us: the hook of the server does.
    other = git(b, "rev-parse", NOTES)
    git(b, "push", "-q", "origin", f"{NOTES}:refs/hidden/notes")
    hook(
        origin,
        f"[ ! -e once ] || exit 0\ntouch once && git update-ref {NOTES} {other}\n",
    )
    assert write(opened(a, "acme", "origin"), applied(new), "Ana") == []
    assert sorted(by for by, _ in said(origin)) == ["Ana", "Ben"]


def hook(bare: Path, script: str) -> None:
    """A pre-receive hook; it runs in the bare repository."""
    file = bare / "hooks" / "pre-receive"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\nunset GIT_QUARANTINE_PATH\n{script}")
    file.chmod(0o755)


def test_a_server_that_refuses_the_push_is_quoted(origin: Path) -> None:
    """Exit 5, its own words, and the way on; neither the ref there nor ours moved,
    and the same apply writes everything once it may."""
    work = clone(origin, "a")
    new = head(work)
    hook(origin, "echo 'refs/tailgit is for the release job' >&2\nexit 1\n")
    record = opened(work, "acme", "origin", for_commit=new)
    (error,) = written(record, applied(new), by="Ana", at=AT)
    assert isinstance(error, Incomplete)
    assert error.message == (
        "origin did not take the record: refs/tailgit is for the release job"
    )
    assert "let this key push refs/tailgit/* and refs/notes/tailgit/*" in error.help
    assert "run the same apply again" in error.help
    assert git(origin, "for-each-ref", "refs/tailgit", "refs/notes") == ""
    assert applied_of(Repo(work), "acme") == ""
    (origin / "hooks" / "pre-receive").unlink()
    record = opened(work, "acme", "origin", for_commit=new)
    again = applied(new, Result.UNCHANGED)
    assert write(record, again, at="2026-11-22T13:05:00Z") == []
    assert head(origin, REF) == head(work, REF) == new
    assert said(origin) == [("Ana", new), ("Ana", new)]


def test_a_key_that_may_not_push_is_found_before_anything_is_changed(
    origin: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A read-only deploy key lets fetch and refuses push: exit 4, and a plan that is
    only shown does not ask."""
    work = clone(origin, "a")
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\nfor last; do :; done\ncase $last in\n"
        "*receive-pack*) echo 'The key you are authenticating with is read only' >&2\n"
        'exit 1 ;;\nesac\nexec sh -c "$last"\n'
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(ssh))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    git(work, "remote", "set-url", "origin", f"host:{origin}")
    assert opened(work, "acme", "origin").there == ""
    with pytest.raises(Refused) as caught:
        opened(work, "acme", "origin", for_commit=head(work))
    assert caught.value.message == (
        "the record can't be written to origin: "
        "The key you are authenticating with is read only; "
        "fatal: Could not read from remote repository.; "
        "Please make sure you have the correct access rights"
    )
    assert caught.value.exit == Exit.REFUSED


def test_a_remote_that_is_gone_at_the_end_is_said(origin: Path) -> None:
    """The line is kept here, the result of the nodes is untouched, exit 5."""
    work = clone(origin, "a")
    record = opened(work, "acme", "origin")
    origin.rename(origin.with_name("away"))
    (error,) = written(record, applied(head(work)), by="Ana", at=AT)
    assert error.exit == Exit.INCOMPLETE
    assert error.message.startswith(
        "the record was not written: origin could not be read: "
    )
    assert said(work) == [("Ana", head(work))]
    assert applied_of(Repo(work), "acme") == ""
    with pytest.raises(SourceError, match="origin could not be read"):
        opened(work, "acme", "origin")


@pytest.mark.parametrize("remote", ["origan", "--upload-pack=touch x", "-x/y"])
def test_a_remote_that_is_none_is_a_slip(origin: Path, remote: str) -> None:
    """It names those there are, and no option gets through to git."""
    with pytest.raises(UsageError, match="this clone has origin"):
        opened(clone(origin, "a"), "acme", remote)


def test_a_remote_may_be_a_url(origin: Path) -> None:
    """CI often has a URL with a token; the token is not shown."""
    work = clone(origin, "a")
    assert write(opened(work, "acme", origin.as_uri()), applied(head(work))) == []
    assert head(origin, REF) == head(work)
    with pytest.raises(SourceError) as caught:
        opened(work, "acme", "https://ana:s3cret@127.0.0.1:1/x.git")
    assert "https://127.0.0.1:1/x.git could not be read" in caught.value.message
    assert "s3cret" not in caught.value.message


def test_a_rollback_moves_it_back(origin: Path) -> None:
    """The record is what was applied last, not what is newest."""
    work = clone(origin, "a")
    new, old = head(work), head(work, "HEAD~1")
    write(opened(work, "acme", "origin"), applied(new))
    assert write(opened(work, "acme", "origin", for_commit=old), applied(old)) == []
    assert head(origin, REF) == head(work, REF) == old
    assert opened(clone(origin, "b"), "acme", "origin").applied == old


def test_a_detached_head_and_a_bare_clone_will_do(origin: Path) -> None:
    """As CI checks out, and as a server has it."""
    work = clone(origin, "a")
    git(work, "checkout", "-q", "--detach", "HEAD~1")
    assert write(opened(work, "acme", "origin"), applied(head(work))) == []
    bare = clone(origin, "mirror.git", "--bare")
    new = head(bare, "main")
    assert write(opened(bare, "acme", "origin", for_commit=new), applied(new)) == []
    assert head(origin, REF) == head(bare, REF) == new
    assert len(said(origin)) == 2


def test_a_shallow_clone_is_left_to_the_plan(origin: Path) -> None:
    """Which refuses it with its own sentence; nothing is fetched into it."""
    work = clone(origin, "shallow", "--depth", "1")
    git(work, "update-ref", REF, "HEAD")
    (work / ".git" / REF).write_text("1" * 40 + "\n")
    assert opened(work, "acme", "origin").applied == "1" * 40
    assert git(work, "rev-parse", "--is-shallow-repository") == "true"


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_ref_that_can_not_be_read_is_no_first_run(origin: Path, garbage: str) -> None:
    """As a crash leaves it; what the help says to do mends it."""
    work = clone(origin, "a")
    write(opened(work, "acme", "origin"), applied(head(work)))
    (work / ".git" / REF).write_text(garbage)
    for remote in ("", "origin"):
        with pytest.raises(SourceError) as caught:
            opened(work, "acme", remote)
        assert f"the ref {REF} of this clone can't be read" in caught.value.message
    way = caught.value.help.split(", ")[1]
    assert way == f'rm "$(git rev-parse --git-path {REF})"'
    subprocess.run(["sh", "-c", way], cwd=work, check=True)
    assert opened(work, "acme", "origin").applied == head(work)


def test_a_record_that_is_not_here_is_refused(origin: Path) -> None:
    """Exit 4 and the way out, which works: git fetches nothing before."""
    work = clone(origin, "a")
    git(work, "update-ref", REF, "HEAD")
    (work / ".git" / REF).write_text("1" * 40 + "\n")
    with pytest.raises(Refused) as caught:
        opened(work, "acme")
    assert caught.value.message == (
        f"the fleet's record {REF} is 1111111, which this clone does not have"
    )
    assert f"`git update-ref -d {REF}`" in caught.value.help
    git(work, "update-ref", "-d", REF)
    git(work, "fetch", "-q", "origin")
    assert opened(work, "acme").applied == ""


def test_a_record_that_is_no_commit_is_an_error(origin: Path) -> None:
    """Here and at the remote: a blob, and a tag that only leads to a commit."""
    work = clone(origin, "a")
    git(work, "tag", "-a", "-m", "x", "v1")
    for revision, kind in (("HEAD^{tree}", "tree"), ("v1", "tag")):
        git(work, "update-ref", REF, revision)
        with pytest.raises(SourceError, match=f"is a {kind}, not a commit"):
            opened(work, "acme")
        git(work, "update-ref", "-d", REF)
        git(work, "push", "-q", "-f", "origin", f"{revision}:{REF}")
        with pytest.raises(SourceError, match=f"is a {kind}, not a commit"):
            opened(work, "acme", "origin")


def test_no_hook_and_no_variable_of_a_hook_gets_in_between(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository's hooks don't run, and GIT_DIR does not lead elsewhere."""
    work = clone(origin, "a")
    for name in ("pre-push", "reference-transaction", "post-commit"):
        file = work / ".git" / "hooks" / name
        file.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
        file.chmod(0o755)
    monkeypatch.setenv("GIT_DIR", str(origin.parent / "first" / ".git"))
    monkeypatch.setenv("GIT_NAMESPACE", "elsewhere")
    done = write(opened(work, "acme", "origin"), applied(Repo(work).resolve("HEAD")))
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_NAMESPACE")
    assert done == []
    assert head(origin, REF) == head(work)
    assert list(work.rglob("ran")) == []
    assert git(origin.parent / "first", "for-each-ref", "refs/tailgit") == ""


def test_a_note_that_people_wrote_is_kept_and_is_no_entry(origin: Path) -> None:
    """They may annotate what was applied; the lines are counted as strange."""
    work = clone(origin, "a")
    git(work, "notes", "--ref", NOTES, "add", "-m", "went well\n\n{}", "HEAD")
    assert write(opened(work, "acme"), applied(head(work))) == []
    found, strange = entries(Repo(work), Clone(Repo(work)).ref(NOTES))
    assert ([entry.by for entry in found], strange) == (["Ana"], 2)
    assert git(work, "notes", "--ref", NOTES, "show", "HEAD").startswith("went well\n")


def test_a_move_needs_the_old_value(origin: Path) -> None:
    """`update-ref` as compare-and-swap, also for a ref that must not be there yet."""
    work = clone(origin, "a")
    here, new, old = Clone(Repo(work)), head(work), head(work, "HEAD~1")
    assert here.move(Move(REF, "", old))
    assert not here.move(Move(REF, "", new))
    assert not here.move(Move(REF, new, new))
    assert here.ref(REF) == old
    assert here.move(Move(REF, old, new))


def test_a_controller_without_a_name_writes_all_the_same(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare runner of CI has neither user.name nor a name in its passwd."""
    work = clone(origin, "a")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    git(work, "config", "user.name", "")
    assert write(opened(work, "acme"), applied(head(work))) == []
    assert (
        git(work, "log", "-1", "--format=%cn %ce", NOTES) == "tailgit tailgit@localhost"
    )
