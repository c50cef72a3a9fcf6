"""Plain git: revisions, heights, ancestors and the files of a tree.

It reads; `commit_file` is the one exception. Only plumbing that runs nothing of the
repository's making: no checkout, no filters, no hooks, no pager. Variables that point
git somewhere else (a hook sets `GIT_DIR`) are dropped; replace refs, which could show
other content for a commit, are off.

Git is never left to look for a repository by itself: it takes any folder with `HEAD`,
`objects` and `refs` for a bare one, and those are names that a commit may hold. Which
repository is meant is decided here, by `.git` alone, and said in every call.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tailgit.errors import SourceError
from tailgit.model.text import shown

MAX_ENTRIES = 100_000
"""Files and links that a commit may have."""
_MAX_LISTING = 32 << 20
_LONGEST_PATH = 1024
_CHUNK = 1 << 20
_LONGEST_LINK = 8 << 10
_TIMEOUT = 300

# A server's pre-receive hook sees pushed objects only through these.
_KEPT = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_OBJECT_DIRECTORY",
    "GIT_QUARANTINE_PATH",
}
_SAFE_CONFIG = (
    "core.bigFileThreshold=16m",  # larger blobs are streamed, not held
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "log.showSignature=false",
    "protocol.allow=never",
)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One line of `git ls-tree`: a blob, a symbolic link or a submodule."""

    path: str
    mode: str
    sha: str
    size: int

    @property
    def is_file(self) -> bool:
        return self.mode in ("100644", "100755", "100664")


class Repo:
    """The git repository that holds `path`; `SourceError` if there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise SourceError(
                f"no such folder: {shown(str(path))}",
                "name a folder of a git repository",
            )
        folder = path.resolve() if path.is_dir() else path.resolve().parent
        top = working_tree(folder)
        self._folder = folder
        self._has_files = top is not None
        self.toplevel = folder if top is None else top
        # Git must agree, and judges on the way whether the owner is to be trusted.
        bare = "all" if top is None and _is_bare(folder) else "explicit"
        self._chosen: tuple[str, ...] = ("-c", f"safe.bareRepository={bare}")
        found = Path(self._text("rev-parse", "--absolute-git-dir"))
        if not found.samefile(_git_dir(self.toplevel) if top else folder):
            raise self._no_repository()
        self._chosen = (f"--git-dir={found}",)
        if top is not None:
            self._chosen += (f"--work-tree={top}",)
        self._commits: set[str] = set()

    @property
    def named(self) -> tuple[str, ...]:
        """The words that tell git which repository is meant, for who writes to it."""
        return self._chosen

    def resolve(self, revision: str) -> str:
        """The full id of the commit that a revision names."""
        if revision in self._commits:  # an id always means the same
            return revision
        if not revision or revision.startswith("-") or not revision.isprintable():
            raise SourceError(
                f"`{shown(revision)}` is not a revision",
                "give a branch, a tag or a commit id",
            )
        sha = self._run(
            "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", none_on=(1,)
        )
        if sha is None:
            raise SourceError(
                f"no revision `{shown(revision)}` in {shown(str(self.toplevel))}",
                "is there a commit yet?"
                if revision == "HEAD"
                else "fetch it first, or name another",
            )
        self._commits.add(sha.strip())
        return sha.strip()

    def ref(self, name: str) -> str:
        """The id that a full ref name (`refs/…`) stands for; "" if there is none."""
        return (
            self._run("rev-parse", "--verify", "-q", name, none_on=(1,)) or ""
        ).strip()

    def height(self, sha: str) -> int:
        """How many commits lead to this one, itself included."""
        return int(self._text("rev-list", "--count", self.resolve(sha), "--"))

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old`; a commit is its own ancestor."""
        ids = (self.resolve(old), self.resolve(new))
        return self._run("merge-base", "--is-ancestor", *ids, none_on=(1,)) == ""

    def is_shallow(self) -> bool:
        """Whether history was cut off by a shallow clone."""
        return self._is_shallow

    @cached_property
    def _is_shallow(self) -> bool:
        return self._text("rev-parse", "--is-shallow-repository") == "true"

    def identity(self) -> str:
        """Who git says is working here: `Name <mail>`."""
        ident = self._run("var", "GIT_COMMITTER_IDENT", none_on=(1, 128))
        if ident is None:
            raise SourceError(
                "git does not know who you are",
                "run `git config user.name` and `git config user.email`",
            )
        return ident.rsplit(">", 1)[0] + ">"

    def setting(self, name: str, *options: str) -> str:
        """One value of git's configuration as it holds here; "" if it is not set."""
        value = self._run("config", *options, "--get", name, none_on=(1,))
        return (value or "").strip()

    def subject(self, sha: str) -> str:
        """The first line of a commit's message."""
        commit = self.resolve(sha)
        return self._text("show", "-s", "--format=%s", "--encoding=UTF-8", commit, "--")

    def tree(self, sha: str) -> list[TreeEntry]:
        """Every entry of a commit's tree, by path; folders are left out."""
        listing = ("ls-tree", "-r", "-z", "-l", "--full-tree", sha)
        entries: list[TreeEntry] = []
        rest, total = b"", 0
        with self._started(listing) as process:
            assert process.stdout is not None
            while chunk := process.stdout.read(_CHUNK):
                total += len(chunk)
                *records, rest = (rest + chunk).split(b"\0")
                entries.extend(map(_tree_entry, records))
                if len(entries) > MAX_ENTRIES or total > _MAX_LISTING:
                    raise SourceError(
                        f"more than {MAX_ENTRIES} files in {sha[:12]}, or their names "
                        f"are longer than {_MAX_LISTING >> 20} MiB",
                        "give the tailnet a repository of its own",
                    )
            failed = process.wait(_TIMEOUT) != 0
        if failed:
            self._bytes(*listing)  # says why
        return entries

    def changed(self, folder: str) -> tuple[str, ...]:
        """The files below `folder` that are not as `HEAD` has them, new ones included.

        Paths, `folder` too (`""` = all), are relative to the top of the repository.
        Nothing where there is no working tree. Only here may git run a clean filter:
        one that its own configuration names, since else such a file seems changed.
        """
        if not self._has_files:
            return ()
        said = self._bytes(
            *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"),
            *("--ignore-submodules=all", "--", f":(top,literal){folder}"),
        )
        return tuple(line[3:] for line in os.fsdecode(said).split("\0") if line)

    def branch(self) -> str:
        """The branch that is checked out; "" where `HEAD` is on none."""
        said = self._run("symbolic-ref", "--quiet", "--short", "HEAD", none_on=(1,))
        return (said or "").strip()

    def commit_file(self, file: str, message: str) -> str:
        """Commit one file as it lies there and nothing else, staged or not; the id.

        `file` is relative to the top. No hook is asked: whoever is locked out by it
        can't wait for one.
        """
        self._bytes(
            *("commit", "--quiet", "--only", "--no-verify", "--message", message),
            *("--", f":(top,literal){file}"),
        )
        return self.resolve("HEAD")

    def merge_tree(self, ours: str, theirs: str) -> subprocess.CompletedProcess[bytes]:
        """Git's answer to a merge of two commits that touches no file and no ref.

        Only a merge driver of the operator's own configuration would be run; what a
        commit says in `.gitattributes` can name one, never define it.
        """
        return self._call(
            (
                *("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"),
                *(ours, theirs),
            )
        )

    def blobs(self, names: Iterable[str]) -> dict[str, bytes]:
        """The content of blobs by id; `SourceError` if one is not in the clone."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        answer = self._bytes(
            "cat-file", "--batch", stdin="".join(f"{n}\n" for n in wanted).encode()
        )
        blobs = {}
        index = 0
        for name in wanted:
            end = answer.find(b"\n", index)
            head = answer[index:end].decode().split()
            if end < 0 or len(head) != 3 or head[0] != name:
                raise _missing(name)
            start, size = end + 1, int(head[2])
            blobs[name] = answer[start : start + size]
            index = start + size + 1
        return blobs

    def beginnings(self, names: Iterable[str], most: int) -> Iterator[bytes]:
        """The first `most` bytes of each blob, in order; one is held at a time."""
        waiting = iter(names)
        name = next(waiting, None)
        while name is not None:
            with self._started(("cat-file", "--batch")) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                whole = True
                while name is not None and whole:
                    process.stdin.write(f"{name}\n".encode())
                    process.stdin.flush()
                    head = process.stdout.readline().decode().split()
                    if len(head) != 3 or head[0] != name:
                        raise _missing(name)
                    whole = int(head[2]) <= most  # else git is not read to the end
                    yield process.stdout.read(min(int(head[2]), most))
                    if whole:
                        process.stdout.read(1)
                    name = next(waiting, None)

    def _text(self, *arguments: str) -> str:
        return os.fsdecode(self._bytes(*arguments)).removesuffix("\n")

    def _run(self, *arguments: str, none_on: tuple[int, ...]) -> str | None:
        """Standard output, or None where git says no in the expected way."""
        done = self._call(arguments)
        if done.returncode in none_on:
            return None
        return os.fsdecode(self._checked(done, arguments))

    def _bytes(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return self._checked(self._call(arguments, stdin), arguments)

    def _checked(
        self, done: subprocess.CompletedProcess[bytes], arguments: tuple[str, ...]
    ) -> bytes:
        if done.returncode == 0:
            return done.stdout
        said = os.fsdecode(done.stderr).strip()
        if "not a git repository" in said or "cannot use bare" in said:
            raise self._no_repository()
        if "dubious ownership" in said:
            raise SourceError(
                f"git does not trust {shown(str(self._folder))}: somebody else owns it",
                "run `git config --global --add safe.directory` with its path",
            )
        first = said.splitlines()[0] if said else f"status {done.returncode}"
        raise SourceError(f"git {arguments[0]} failed: {shown(first)}")

    def _no_repository(self) -> SourceError:
        return SourceError(
            f"{shown(str(self._folder))} is not in a git repository",
            "name a folder of a repository, or run `git init` and commit",
        )

    def _call(
        self, arguments: tuple[str, ...], stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                self._command(arguments),
                cwd=self.toplevel,
                env=self._environment,
                input=stdin,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"git {arguments[0]} did not end within {_TIMEOUT} seconds"
            ) from None
        except OSError as error:
            raise _not_run(error) from None

    @contextmanager
    def _started(self, arguments: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
        """Git with pipes both ways; it is ended with the block, whatever it is at."""
        try:
            process = subprocess.Popen(
                self._command(arguments),
                cwd=self.toplevel,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise _not_run(error) from None
        try:
            yield process
        except BrokenPipeError:
            raise SourceError(f"git {arguments[0]} ended too soon") from None
        finally:
            process.kill()
            process.communicate()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        settings = [part for item in _SAFE_CONFIG for part in ("-c", item)]
        fixed = ("git", "--no-pager", "--no-optional-locks", *self._chosen)
        return [*fixed, *settings, *arguments]

    @cached_property
    def _environment(self) -> Mapping[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name in _KEPT
        }
        return kept | {
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }


def working_tree(folder: Path) -> Path | None:
    """The nearest folder with a `.git`, from `folder` (resolved) upwards, or None.

    No commit can hold the name `.git`, so it is the operator's or git's own doing.
    """
    around = (folder, *folder.parents)
    return next((each for each in around if (each / ".git").exists()), None)


def _git_dir(top: Path) -> Path:
    """What `.git` is, or, as a file, says: worktrees and submodules have such files."""
    link = top / ".git"
    if not link.is_file():
        return link
    with link.open("rb") as file:
        said = os.fsdecode(file.read(_LONGEST_LINK))
    return top / said.removeprefix("gitdir:").strip()


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def _tree_entry(record: bytes) -> TreeEntry:
    head, _, path = record.partition(b"\t")
    mode, _, name, size = head.decode().split()
    if len(path) > _LONGEST_PATH:
        raise SourceError(
            f"a path of {len(path)} bytes: {shown(os.fsdecode(path[:60]))}…",
            f"a path may have {_LONGEST_PATH}",
        )
    return TreeEntry(os.fsdecode(path), mode, name, 0 if size == "-" else int(size))


def _missing(name: str) -> SourceError:
    return SourceError(
        f"the object {name} is missing from the clone",
        "fetch the repository whole, without a filter",
    )


def _not_run(error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError("git is not installed", "install git")
    return SourceError(f"git could not be run: {error}")
