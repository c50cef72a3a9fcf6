"""Plain git, read-only: revisions, heights, ancestors and the files of a tree.

Only plumbing that runs nothing of the repository's making: no checkout, no filters, no
hooks, no pager. Variables that point git somewhere else (a hook sets `GIT_DIR`) are
dropped; replace refs, which could show other content for a commit, are off.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tailgit.errors import SourceError
from tailgit.model.text import shown

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
        self._folder = path if path.is_dir() else path.parent
        top = self._run("rev-parse", "--show-toplevel", missing_is_none=True)
        if top is None:
            top = self._text("rev-parse", "--absolute-git-dir")
        self.toplevel = Path(top.removesuffix("\n")).resolve()

    def resolve(self, revision: str) -> str:
        """The full id of the commit that a revision names."""
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
        return sha.strip()

    def height(self, sha: str) -> int:
        """How many commits lead to this one, itself included."""
        return int(self._text("rev-list", "--count", self.resolve(sha), "--"))

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old`; a commit is its own ancestor."""
        ids = (self.resolve(old), self.resolve(new))
        return self._run("merge-base", "--is-ancestor", *ids, none_on=(1,)) == ""

    def is_shallow(self) -> bool:
        """Whether history was cut off by a shallow clone."""
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

    def subject(self, sha: str) -> str:
        """The first line of a commit's message."""
        commit = self.resolve(sha)
        return self._text("show", "-s", "--format=%s", "--encoding=UTF-8", commit, "--")

    def tree(self, sha: str) -> list[TreeEntry]:
        """Every entry of a commit's tree, by path; folders are left out."""
        listing = self._bytes("ls-tree", "-r", "-z", "-l", "--full-tree", sha)
        entries = []
        for record in listing.split(b"\0"):
            if not record:
                continue
            head, _, path = record.partition(b"\t")
            mode, _, name, size = head.decode().split()
            entries.append(
                TreeEntry(
                    os.fsdecode(path), mode, name, 0 if size == "-" else int(size)
                )
            )
        return entries

    def changed(self, folder: str) -> tuple[str, ...]:
        """The files below `folder` that are not as `HEAD` has them, new ones included.

        Paths, `folder` too (`""` = all), are relative to the top of the repository.
        Nothing where there is no working tree. Only here may git run a clean filter:
        one that its own configuration names, since else such a file seems changed.
        """
        said = self._run(
            *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"),
            *("--ignore-submodules=all", "--", f":(top,literal){folder}"),
            missing_is_none=True,
        )
        return tuple(line[3:] for line in (said or "").split("\0") if line)

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
                raise SourceError(
                    f"the object {name} is missing from the clone",
                    "fetch the repository whole, without a filter",
                )
            start, size = end + 1, int(head[2])
            blobs[name] = answer[start : start + size]
            index = start + size + 1
        return blobs

    def _text(self, *arguments: str) -> str:
        return os.fsdecode(self._bytes(*arguments)).removesuffix("\n")

    def _run(
        self,
        *arguments: str,
        none_on: tuple[int, ...] = (),
        missing_is_none: bool = False,
    ) -> str | None:
        """Standard output, or None where git says no in the expected way."""
        done = self._call(arguments)
        bare = b"work tree" in done.stderr
        if done.returncode in none_on or (missing_is_none and bare):
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
        if "not a git repository" in said:
            raise SourceError(
                f"{shown(str(self._folder))} is not in a git repository",
                "name a folder of a repository, or run `git init` and commit",
            )
        if "dubious ownership" in said:
            raise SourceError(
                f"git does not trust {shown(str(self._folder))}: somebody else owns it",
                "run `git config --global --add safe.directory` with its path",
            )
        first = said.splitlines()[0] if said else f"status {done.returncode}"
        raise SourceError(f"git {arguments[0]} failed: {shown(first)}")

    def _call(
        self, arguments: tuple[str, ...], stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        settings = [part for item in _SAFE_CONFIG for part in ("-c", item)]
        command = ["git", "--no-pager", "--no-optional-locks", *settings, *arguments]
        try:
            return subprocess.run(
                command,
                cwd=self._folder,
                env=self._environment,
                input=stdin,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except FileNotFoundError:
            raise SourceError("git is not installed", "install git") from None
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"git {arguments[0]} did not end within {_TIMEOUT} seconds"
            ) from None
        except OSError as error:
            raise SourceError(f"git could not be run: {error}") from None

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
