"""A clone that is written to: refs, notes, and what goes to a remote and comes back.

`load.git` reads, and forbids git every network protocol. This is the one place that
writes, always with full ref names and the value that is expected to be there, so a
write that somebody else overtook changes nothing. It runs with the operator's own
credentials and settings, and without hooks: applying is no commit of theirs. What a
remote says is text to show.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit, urlunsplit

from tailgit.errors import SourceError, UsageError
from tailgit.load.git import Repo
from tailgit.model.text import shown

SECONDS = 300
"""How long one call of git may take."""

_ELSEWHERE = {
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR"),
    *("GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_NOTES_REF", "GIT_OBJECT_DIRECTORY"),
    *("GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_WORK_TREE"),
}
"""Variables that point git somewhere else; a hook sets some of them."""

_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "fetch.recurseSubmodules=no",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "push.followTags=false",
    "push.recurseSubmodules=no",
)


@dataclass(frozen=True, slots=True)
class Move:
    """A ref that goes from `old` to `new` (full ids; "" for an `old` that is none)."""

    ref: str
    old: str
    new: str


class Clone:
    """The clone of `repository`, and its remotes by name, URL or path."""

    def __init__(self, repository: Repo) -> None:
        self.repository = repository

    def ref(self, name: str) -> str:
        """The id that a ref holds; "" if there is none.

        Raises `SourceError` for one that can't be read: an empty file, as a crash
        leaves it, must not pass for a ref that never was.
        """
        listing = ("for-each-ref", "--format=%(refname) %(objectname)", name)
        done = self._call(listing)
        if b"broken ref" in done.stderr:
            raise SourceError(
                f"the ref {name} of this clone can't be read",
                f'remove its file, rm "$(git rev-parse --git-path {name})", and fetch '
                "the ref again where a remote has it",
            )
        lines = (line.split(" ") for line in self._text(done, listing).splitlines())
        return next((sha for found, sha in lines if found == name), "")

    def kind(self, sha: str) -> str:
        """`commit`, `tree`, `blob` or `tag`; "" for an object that is not here."""
        done = self._call(("cat-file", "-t", sha))
        return "" if done.returncode else done.stdout.decode().strip()

    def move(self, move: Move) -> bool:
        """Set a ref of this clone; False, and nothing is done, if it is not `old`."""
        words = ("update-ref", move.ref, move.new, move.old)
        return self._call(words).returncode == 0

    def listed(self, remote: str, names: Sequence[str]) -> dict[str, str]:
        """Which of these refs the remote has, and their ids."""
        words = ("ls-remote", "--quiet", "--", self.known(remote), *names)
        done = self._call(words)
        if done.returncode:
            raise SourceError(
                f"{plain(remote)} could not be read: {_said(done.stderr)}",
                "try `git ls-remote` with it; the key and the network must be right",
            )
        lines = (line.split("\t") for line in os.fsdecode(done.stdout).splitlines())
        return {line[1]: line[0] for line in lines if line[1:] and line[1] in names}

    def fetch(self, remote: str, names: Iterable[str]) -> None:
        """Bring these refs' objects here; no ref of this clone is touched."""
        words = ("--no-write-fetch-head", "--no-tags", "--no-prune", "--refmap=")
        done = self._call(("fetch", "-q", *words, "--", self.known(remote), *names))
        if done.returncode:
            raise SourceError(
                f"{plain(remote)} could not be fetched: {_said(done.stderr)}"
            )

    def push(
        self, remote: str, moves: Sequence[Move], *, try_only: bool = False
    ) -> Mapping[str, str]:
        """Set refs there, each on its own; ref -> why not, nothing for those it took.

        A ref that is not `old` any more is left alone. With `try_only` the server is
        only asked whether this key may push at all; its hooks are not run.
        """
        words = ["push", "--porcelain", *(["--dry-run"] if try_only else [])]
        words += [f"--force-with-lease={move.ref}:{move.old}" for move in moves]
        words += ["--", self.known(remote)]
        words += [f"{move.new}:{move.ref}" for move in moves]
        done = self._call(words)
        took = {
            line.split("\t")[1].rpartition(":")[2]
            for line in os.fsdecode(done.stdout).splitlines()
            if line[:1] in tuple(" +*=") and line[1:2] == "\t" and line.count("\t") > 1
        }
        why = _said(done.stderr) or "it did not say why"
        return {move.ref: why for move in moves if move.ref not in took}

    def annotate(
        self, ref: str, onto: str, notes: Mapping[str, bytes], *, merging: str = ""
    ) -> bool:
        """Put `notes` (commit -> its whole text) on top of the notes commit `onto`.

        False, and nothing is done, if `ref` moved to what neither `onto` nor `merging`
        contains: git's importer takes no step that would lose something.
        """
        name, mail = self._identity
        lines = [b"commit %b" % ref.encode(), f"committer {name} <{mail}> now".encode()]
        lines += [b"data 19\nRecord of an apply."]
        lines += [b"from %b" % onto.encode()] if onto else []
        lines += [b"merge %b" % merging.encode()] if merging else []
        for commit, text in sorted(notes.items()):
            lines += [b"N inline %b" % commit.encode(), b"data %d" % len(text), text]
        words = ("fast-import", "--quiet", "--date-format=now")
        done = self._call(words, b"\n".join(lines) + b"\n")
        if done.returncode and b"Not updating" not in done.stderr:
            self._text(done, words)  # says why
        return done.returncode == 0

    def known(self, remote: str) -> str:
        """`remote`, if it is a URL, a path or the name of one; else `UsageError`."""
        if "/" in remote or ":" in remote:
            if not remote.startswith("-"):
                return remote
        elif remote in self._remotes:
            return remote
        there = ", ".join(map(shown, self._remotes)) or "none"
        raise UsageError(
            f"no remote `{shown(remote)}`: this clone has {there}",
            "see `git remote -v`",
        )

    @cached_property
    def _remotes(self) -> tuple[str, ...]:
        return tuple(self._text(self._call(("remote",)), ("remote",)).split())

    @cached_property
    def _identity(self) -> tuple[str, str]:
        """Who writes notes; a runner of CI may have no name."""
        try:
            name, _, mail = self.repository.identity().rpartition(" <")
        except SourceError:
            return "tailgit", "tailgit@localhost"
        return name, mail.removesuffix(">")

    def _text(
        self, done: subprocess.CompletedProcess[bytes], words: Sequence[str]
    ) -> str:
        if done.returncode:
            raise SourceError(f"git {words[0]} failed: {_said(done.stderr)}")
        return os.fsdecode(done.stdout)

    def _call(
        self, words: Sequence[str], stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        settings = [part for item in _SETTINGS for part in ("-c", item)]
        named = ("git", "--no-pager", *self.repository.named)
        try:
            return subprocess.run(
                [*named, *settings, *words],
                cwd=self.repository.toplevel,
                env=_environment(),
                input=stdin,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"git {words[0]} did not end within {SECONDS} seconds"
            ) from None


def _environment() -> Mapping[str, str]:
    """The operator's own, so that keys and helpers work; nobody is asked a password
    where nobody is there."""
    kept = {k: v for k, v in os.environ.items() if k not in _ELSEWHERE}
    asks = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    return kept | asks | {"GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}


def _said(stderr: bytes) -> str:
    """What is worth showing of what git said: the server's own words, else git's."""
    lines = [line.strip() for line in os.fsdecode(stderr).splitlines()]
    words = [line for line in lines if line and not line.startswith("hint:")]
    theirs = [line for line in words if line.startswith("remote: ")]
    spoken = [line.removeprefix("remote: ").strip() for line in theirs]
    chosen = [line for line in spoken if line] or words
    return "; ".join(map(shown, chosen[:3]))


def plain(remote: str) -> str:
    """A remote for people: a URL without the password that may be in it."""
    if "://" not in remote:
        return shown(remote)
    parts = urlsplit(remote)
    return shown(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
