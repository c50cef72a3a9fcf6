"""What a stranger may put into a branch, and what it must not do to who checks it."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tailgit.check import examine
from tailgit.errors import SourceError
from tailgit.load import load
from tailgit.load.git import Repo
from tailgit.load.globs import Globs
from tailgit.load.located import Items, Map
from tailgit.model.findings import Finding
from tests.load.files import ACME, HEAD, committed, git, write

KEY = "privateKey: yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"


def codes(folder: Path, revision: str | None = None) -> list[tuple[str, str]]:
    """The errors; what else a check has to say about a tailnet is not hostile."""
    found = examine(load(folder, revision))
    return [(f.code, f.place.file) for f in found if f.is_error]


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """A repository whose tailnet's folder is also a bare repository of a stranger.

    Its pack holds another tailnet, its configuration programs to run.
    """
    evil = dict(ACME) | {"people.yaml": "users: {eve@evil.com: {}}\n"}
    committed(tmp_path / "evil", evil)
    repo = committed(tmp_path / "repo", {f"net/{n}": t for n, t in ACME.items()})
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "evil"), "bare")
    bare = tmp_path / "bare"
    git(bare, "gc", "-q")
    git(bare, "config", "core.fsmonitor", f"touch {tmp_path}/sprung; false")
    git(bare, "config", "alias.ls-tree", f"!touch {tmp_path}/sprung")
    git(bare, "config", "core.bare", "false")
    git(bare, "config", "core.worktree", str(repo / "net"))
    git(bare, "config", "user.name", "Eve")
    git(bare, "config", "user.email", "eve@evil.com")
    for name in ("HEAD", "config", "objects", "refs", "packed-refs"):
        whole = shutil.copytree if (bare / name).is_dir() else shutil.copy
        whole(bare / name, repo / "net" / name)
    (repo / "net/refs/keep").write_text("")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "Add some files")
    git(repo / "net", "status")  # git by itself falls for it
    (tmp_path / "sprung").unlink()
    return repo


@pytest.mark.parametrize("start", ["net", "net/tailnet.yaml", "net/objects", "."])
def test_a_bare_repository_in_the_folder_is_files(
    embedded: Path, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reviewed tailnet is read, and nothing of the stranger's is run."""
    loaded = load(embedded / start, "HEAD")
    assert loaded.commit == git(embedded, "rev-parse", "HEAD")
    assert loaded.tailnet is not None
    assert set(loaded.tailnet.users) == {"ana@acme.com", "ben@acme.com"}
    repo = Repo(embedded / start)
    write(embedded, {"net/people.yaml": "users: {}\n"})
    assert repo.toplevel == embedded
    assert repo.changed("net") == ("net/people.yaml",)
    monkeypatch.setenv("HOME", str(embedded))
    git(embedded, "config", "user.name", "Ana")
    git(embedded, "config", "user.email", "ana@acme.com")
    assert repo.identity() == "Ana <ana@acme.com>"
    assert not (embedded.parent / "sprung").exists()


def test_a_broken_git_folder_is_no_way_around(embedded: Path) -> None:
    """Where `.git` is not a repository, git would take the bare one beside it."""
    shutil.rmtree(embedded / ".git")
    (embedded / "net/.git").mkdir()
    with pytest.raises(SourceError, match="not in a git repository"):
        Repo(embedded / "net")


def test_worktrees_and_submodules_are_repositories(tmp_path: Path) -> None:
    """Their `.git` is a file that says where the repository is."""
    repo = committed(tmp_path / "repo", dict(ACME))
    git(repo, "worktree", "add", "-q", str(tmp_path / "tree"))
    outer = committed(tmp_path / "outer", {"a": "1"})
    git(outer, "submodule", "add", "-q", str(repo), "net")
    for folder in (tmp_path / "tree", outer / "net"):
        assert load(folder / "acls", "HEAD").tailnet == load(repo, "HEAD").tailnet
        assert Repo(folder / "acls").toplevel == folder
        write(folder, {"people.yaml": "users: {}\n"})
        assert Repo(folder).changed("") == ("people.yaml",)


@pytest.mark.parametrize("revision", [None, "HEAD"])
def test_other_files_are_searched_one_at_a_time(
    tmp_path: Path, revision: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their beginnings only, each in its place, and not without end."""
    monkeypatch.setattr("tailgit.load.documents.MAX_SCANNED_BYTES", 1000)
    files = dict(ACME) | {
        "a.txt": KEY,
        "b.bin": "x" * 5000 + "\n" + KEY,
        "c.bin": KEY + "x" * 5000,
        "d.txt": "",
        "e.txt": KEY,
    }
    repo = committed(tmp_path, files)
    found = [("private-key", name) for name in ("a.txt", "c.bin", "e.txt")]
    assert codes(repo, revision) == found
    monkeypatch.setattr("tailgit.load.documents.MAX_SEARCHED_BYTES", 1100)
    assert codes(repo, revision) == [found[0], ("too-large", "tailnet.yaml")]


def test_a_tree_without_end_is_not_listed(tmp_path: Path) -> None:
    """Ten trees in each other, ten times each, are ten thousand million files."""
    repo = committed(tmp_path, dict(ACME))
    kind, name = "blob", git(repo, "rev-parse", "HEAD:people.yaml")
    for _ in range(10):
        mode = "100644" if kind == "blob" else "040000"
        lines = "".join(f"{mode} {kind} {name}\tx{i}\n" for i in range(10))
        done = subprocess.run(
            ["git", "mktree"], cwd=repo, input=lines.encode(), capture_output=True
        )
        kind, name = "tree", done.stdout.decode().strip()
    bomb = git(repo, "commit-tree", name, "-m", "Boom")
    start = time.monotonic()
    with pytest.raises(SourceError, match="more than 100000 files"):
        load(repo, bomb)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("drafts/", "drafts/a/b", True),
        ("drafts", "drafts.json", False),
        ("a/*.yaml", "a/b.yaml", True),
        ("a/*.yaml", "a/b/c.yaml", False),
        ("*a*b", "xaxb/y", True),
        ("ab*ba", "aba", False),
        ("*aab*b", "aaab", False),
        ("*", "a/b", True),
    ],
)
def test_what_exclude_matches(pattern: str, path: str, fits: bool) -> None:
    """`*` is any text without `/`; a folder's name means all that is in it."""
    assert globs(pattern).match(path) == fits


def globs(*patterns: str) -> Globs:
    sections = Map("tailnet.yaml", 0)
    sections["exclude"] = Items("tailnet.yaml", 0)
    sections["exclude"].extend(patterns)
    found: list[Finding] = []
    return Globs.of(sections, found)


def test_matching_does_not_try_again() -> None:
    """A pattern of many stars costs no more than its length."""
    many = globs("*a" * 200 + "b")
    start = time.process_time()
    assert not many.match("a" * 2000)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("revision", [None, "HEAD"])
@pytest.mark.parametrize("marker", ["link", "empty", "other", "folder"])
def test_what_is_no_tailnet_hides_nothing(
    tmp_path: Path, marker: str, revision: str | None
) -> None:
    """Only a regular file with `tailnet:` takes its folder out of the tailnet."""
    write(tmp_path, dict(ACME) | {"sub/open.yaml": "nonsense: 1\n"})
    path = tmp_path / "sub/tailnet.yaml"
    if marker == "link":
        path.symlink_to("../tailnet.yaml")
    elif marker == "folder":
        write(tmp_path, {"sub/tailnet.yaml/a.txt": ""})
    else:
        path.write_text("" if marker == "empty" else "users: {}\n")
    committed(tmp_path, {})
    code = "not-a-file" if marker in ("link", "folder") else "missing-section"
    assert (code, "sub/tailnet.yaml") in codes(tmp_path, revision)


@pytest.mark.parametrize("name", ["t.YAML", "a/t.Yml", "t.JSON"])
def test_endings_in_another_case_are_named(tmp_path: Path, name: str) -> None:
    """Such a file would be left out, and look as if it were not."""
    write(tmp_path, dict(ACME) | {name: "grants: []\n"})
    assert codes(tmp_path) == [("odd-name", name)]
    write(tmp_path, {"tailnet.yaml": HEAD + f"exclude: [{name}]\n"})
    assert codes(tmp_path) == []


def test_a_word_said_a_million_times(tmp_path: Path) -> None:
    """Neither the pairs of a rule nor its findings fill the memory."""
    for src, dst, code in (
        ("a, " * 400_000, "a", "too-large"),
        ("'*', " * 600, "'*', " * 600, "too-large"),
        ("a, " * 120_000, "a", "more-findings"),
    ):
        rule = f"grants: [{{ip: ['*'], src: [{src}], dst: [{dst}]}}]\n"
        write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": rule})
        loaded = load(tmp_path)
        assert loaded.tailnet is None
        assert code in {finding.code for finding in loaded.findings}
        assert len(loaded.findings) < 50_002


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hosts: {h: fd5c::1%evil}", "bad-value"),
        ("grants: [{src: [fd5c::1%evil], dst: ['*'], ip: ['*']}]", "unknown-name"),
        ("devices: {d: {owner: a@b.co, ipv6: 'fd5c:91aa:7be0::1%x'}}", "bad-value"),
        ("devices: {d: {owner: a@b.co, endpoints: ['[fe80::1%x]:51']}}", "bad-value"),
        ("devices: {d: {owner: a@b.co, endpoints: ['192.0.2.1:²']}}", "bad-value"),
        ("devices: {d: {owner: a@b.co, ssh: {host: fe80::1%x}}}", "bad-value"),
        ("devices: {localhost: {owner: a@b.co}}", "bad-value"),
    ],
)
def test_names_that_mean_something_elsewhere(
    tmp_path: Path, text: str, code: str
) -> None:
    """A zone may hold any text, and `localhost` is everybody's own machine."""
    text = text if "grants" in text else f"{text}\ngrants: []"
    write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})
    assert codes(tmp_path) == [(code, "a.yaml")]


def test_a_domain_is_not_a_whole_top_level(tmp_path: Path) -> None:
    """`domain: com` would take every name of the internet's."""
    write(tmp_path, {"tailnet.yaml": HEAD.replace("acme.internal", "com")})
    assert codes(tmp_path) == [("bad-value", "tailnet.yaml")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("*.yaml text working-tree-encoding=SHIFT_JIS", 1),
        ("*.yaml\tfilter=x", 1),
        ("* ident", 1),
        ("*.bin filter=lfs diff=lfs merge=lfs -text", 0),
        ("*.yaml text eol=lf", 0),
        ("# working-tree-encoding=UTF-16", 0),
        ("identity.yaml text", 0),
    ],
)
def test_attributes_that_show_other_text(tmp_path: Path, line: str, found: int) -> None:
    """What makes a checkout differ from its commit is named where it stands."""
    write(tmp_path, {**ACME, "devices/.gitattributes": f"a text\n{line}\r\n"})
    places = [f.place for f in load(tmp_path).findings if f.code == "git-attributes"]
    assert [(each.file, each.line) for each in places] == [
        ("devices/.gitattributes", 2)
    ] * found
