"""Where files come from: roots, a folder or a revision, what is not followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tailgit.errors import Exit, SourceError, UsageError
from tailgit.load import load, roots
from tailgit.load.source import Folder
from tests.load.files import ACME, HEAD, committed, git, write


def codes(folder: Path, revision: str | None = None) -> list[tuple[str, str]]:
    return [(f.code, f.place.file) for f in load(folder, revision).findings]


def test_folder_and_revision_are_the_same(tmp_path: Path) -> None:
    """A clean working tree and its commit give equal tailnets and findings."""
    files = {f"net/{name}": text for name, text in ACME.items()}
    files["net/odd.yaml"] = "users: {x: 1}\n"
    repo = committed(tmp_path / "repo", files)
    for remove in (True, False):
        folder, revision = load(repo / "net"), load(repo / "net", "HEAD")
        assert folder.findings == revision.findings
        assert folder.tailnet == revision.tailnet
        assert folder.root == revision.root == "net"
        assert (folder.commit, revision.commit) == (
            None,
            git(repo, "rev-parse", "HEAD"),
        )
        assert (folder.tailnet is None) == remove
        if remove:
            (repo / "net/odd.yaml").unlink()
            git(repo, "commit", "-qam", "Take the odd one out")


def test_a_revision_knows_nothing_of_the_working_tree(tmp_path: Path) -> None:
    """What is judged is what was committed."""
    repo = committed(tmp_path / "repo", dict(ACME))
    before = load(repo, "HEAD").tailnet
    write(repo, {"people.yaml": "users: [broken\n", "new.yaml": "x: 1\n"})
    (repo / "acls/data.yaml").unlink()
    assert load(repo, "HEAD").tailnet == before
    assert load(repo).tailnet is None


def test_a_bare_repository_has_revisions(tmp_path: Path) -> None:
    """A server-side hook has no working tree."""
    repo = committed(tmp_path / "repo", dict(ACME))
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    assert load(tmp_path / "bare.git", "main").tailnet == load(repo, "HEAD").tailnet


def test_hook_variables_do_not_mislead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GIT_DIR` of a hook that runs tailgit names another repository."""
    repo = committed(tmp_path / "repo", dict(ACME))
    other = committed(tmp_path / "other", {"tailnet.yaml": HEAD})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "nowhere"))
    loaded = load(repo, "HEAD")
    assert loaded.tailnet is not None
    assert "db-1" in loaded.tailnet.devices


def test_replace_refs_show_nothing_else(tmp_path: Path) -> None:
    """A replaced object would be another content under the reviewed commit id."""
    repo = committed(tmp_path / "repo", dict(ACME))
    before = load(repo, "HEAD").tailnet
    old = git(repo, "rev-parse", "HEAD:people.yaml")
    write(repo, {"evil.yaml": "users: {eve@acme.com: {}}\n"})
    new = git(repo, "hash-object", "-w", "evil.yaml")
    (repo / "evil.yaml").unlink()
    git(repo, "replace", old, new)
    assert load(repo, "HEAD").tailnet == before


@pytest.mark.parametrize("revision", [None, "HEAD"])
@pytest.mark.parametrize("start", [".", "net", "net/acls", "net/acls/data.yaml"])
def test_any_path_around_the_root_will_do(
    tmp_path: Path, revision: str | None, start: str
) -> None:
    """The root is found from inside and, if it is the only one, from above."""
    files = {f"net/{name}": text for name, text in ACME.items()}
    repo = committed(tmp_path / "repo", files)
    assert load(repo / start, revision).root == "net"


@pytest.mark.parametrize("revision", [None, "HEAD"])
def test_inner_roots_are_other_tailnets(tmp_path: Path, revision: str | None) -> None:
    """A subfolder with its own tailnet.yaml is no part of the outer one."""
    files = {**ACME, "staging/tailnet.yaml": HEAD, "staging/x/a.yaml": "nonsense: 1\n"}
    repo = committed(tmp_path / "repo", files)
    assert codes(repo, revision) == []
    assert codes(repo / "staging", revision) == [
        ("unknown-section", "staging/x/a.yaml")
    ]
    assert load(repo / "staging/x", revision).root == "staging"


@pytest.mark.parametrize("revision", [None, "HEAD"])
def test_several_roots_are_named(tmp_path: Path, revision: str | None) -> None:
    """Which one is meant is the operator's to say; a usage error, 64."""
    files = {"prod/tailnet.yaml": HEAD, "staging/tailnet.yaml": HEAD}
    repo = committed(tmp_path / "repo", {**files, ".old/tailnet.yaml": HEAD})
    assert roots(repo, revision) == ("prod", "staging")
    with pytest.raises(UsageError, match="prod, staging") as raised:
        load(repo, revision)
    assert raised.value.exit == Exit.USAGE


@pytest.mark.parametrize("revision", [None, "HEAD"])
def test_no_root_is_an_error(tmp_path: Path, revision: str | None) -> None:
    """Nothing read is never nothing to do."""
    repo = committed(tmp_path / "repo", {"people.yaml": "users: {}\n"})
    with pytest.raises(SourceError, match=r"no tailnet\.yaml"):
        load(repo, revision)


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    """A path that does not exist is said to be so."""
    for revision in (None, "HEAD"):
        with pytest.raises(SourceError, match="no such folder"):
            load(tmp_path / "missing", revision)


def test_dot_names_are_no_part(tmp_path: Path) -> None:
    """Neither in a folder nor in a revision."""
    files = {**ACME, ".github/x.yaml": "a: b\n", ".x.yaml": "a: b\n"}
    repo = committed(tmp_path / "repo", files)
    assert codes(repo) == codes(repo, "HEAD") == []


@pytest.mark.parametrize("revision", [None, "HEAD"])
def test_include_and_exclude(tmp_path: Path, revision: str | None) -> None:
    """One file of the same repository in, a folder and a pattern out."""
    head = HEAD + 'include: [../shared/people.yaml]\nexclude: [drafts, "*.old.yaml"]\n'
    files = {
        **{f"net/{name}": text for name, text in ACME.items()},
        "net/tailnet.yaml": head,
        "shared/people.yaml": ACME["people.yaml"],
        "shared/other.yaml": "nonsense: 1\n",
        "net/drafts/deep/a.yaml": "nonsense: 1\n",
        "net/b.old.yaml": "nonsense: 1\n",
        "net/drafts.json": "{}",
    }
    del files["net/people.yaml"]
    repo = committed(tmp_path / "repo", files)
    loaded = load(repo / "net", revision)
    assert loaded.findings == ()
    assert loaded.tailnet is not None
    assert loaded.tailnet.users["ana@acme.com"].place.file == "shared/people.yaml"


@pytest.mark.parametrize("revision", [None, "HEAD"])
def test_links_are_not_followed(tmp_path: Path, revision: str | None) -> None:
    """Not to files, not to folders, not by `include`, not out of the repository."""
    write(tmp_path, {"outside/secret.yaml": "users: {eve@acme.com: {}}\n"})
    repo = tmp_path / "repo"
    write(repo, dict(ACME))
    write(repo, {"tailnet.yaml": HEAD + "include: [link/secret.yaml, l.yaml]\n"})
    (repo / "link").symlink_to(tmp_path / "outside")
    (repo / "l.yaml").symlink_to(tmp_path / "outside/secret.yaml")
    committed(repo, {})
    found = codes(repo, revision)
    assert ("not-a-file", "link") in found
    assert ("not-a-file", "l.yaml") in found
    assert load(repo, revision).tailnet is None


def test_submodules_are_not_followed(tmp_path: Path) -> None:
    """In a revision and in a folder a submodule is the same finding."""
    inner = committed(tmp_path / "inner", {"a.yaml": "users: {eve@acme.com: {}}\n"})
    repo = committed(tmp_path / "repo", dict(ACME))
    git(repo, "submodule", "add", "-q", str(inner), "sub")
    git(repo, "commit", "-qm", "Add it")
    assert codes(repo) == codes(repo, "HEAD") == [("not-a-file", "sub")]


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    write(tmp_path, dict(ACME))
    os.mkfifo(tmp_path / "pipe.yaml")
    assert codes(tmp_path) == [("not-a-file", "pipe.yaml")]


def test_file_names_may_be_anything(tmp_path: Path) -> None:
    """Blanks, quotes, line breaks and bytes that are no UTF-8."""
    repo = tmp_path / "repo"
    write(repo, dict(ACME))
    odd = [b"a b.yaml", b'q"\xc3\xa4.yaml', b"l\nf.yaml", b"\xff.yaml"]
    for name in odd:
        (repo / os.fsdecode(name)).write_bytes(b"users: {" + name[:0] + b"}\nx: 1\n")
    committed(repo, {})
    assert codes(repo) == codes(repo, "HEAD")
    assert len(codes(repo)) == len(odd)


def test_a_file_that_changed_its_kind_is_not_read(tmp_path: Path) -> None:
    """Between listing and reading somebody may put a link or a pipe there."""
    write(tmp_path, {"a.yaml": "users: {}\n"})
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("link.yaml", "pipe.yaml", "missing.yaml"):
        with pytest.raises(SourceError, match=name.replace(".", r"\.")):
            Folder(tmp_path).read([name])
