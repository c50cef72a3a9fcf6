"""Where the files of a tailnet come from: a folder, or a revision of a git repo.

Both are the same to the rest of `load`: a list of entries with paths relative to the
top of the repository, and bytes by path. A revision is read from git's object store
without a checkout, so what is judged is what was committed. Symbolic links are never
followed: they could lead out of the repository, or show one file under two names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from tailgit.errors import SourceError, UsageError
from tailgit.load.git import MAX_ENTRIES, Repo, working_tree
from tailgit.model.text import shown

ROOT_FILE = "tailnet.yaml"
POLICY_FILE = "policy.hujson"
MAX_FILES = 20_000

EntryKind = Literal["file", "link", "submodule", "special"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A path below the top of the repository; folders are not entries."""

    path: str
    kind: EntryKind
    size: int = 0


class Source(Protocol):
    """A readable set of files; paths are relative to its top, with `/` between."""

    commit: str | None

    def entries(self, below: str) -> Sequence[Entry]:
        """All entries below a folder (`""` = the top), in bytewise order of path."""
        ...

    def entry(self, path: str) -> Entry | None:
        """The entry at one path, or None."""
        ...

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """The bytes of regular files; `SourceError` if one can't be read."""
        ...

    def beginnings(self, paths: Sequence[str], most: int) -> Iterator[bytes]:
        """The first `most` bytes of each file, in order; one is held at a time."""
        ...


class Folder:
    """The files of a working folder as they are now."""

    commit: str | None = None

    def __init__(self, top: Path) -> None:
        self._top = top

    def entries(self, below: str) -> Sequence[Entry]:
        found: list[Entry] = []
        waiting = [below]
        while waiting:
            folder = waiting.pop()
            items = self._scan(folder)
            if folder and any(item.name == ".git" for item in items):
                found.append(Entry(folder, "submodule"))
                continue
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                if not item.is_dir(follow_symlinks=False):
                    found.append(_entry(path, item.stat(follow_symlinks=False)))
                elif not item.name.startswith("."):
                    waiting.append(path)
            if len(found) > MAX_ENTRIES:
                raise SourceError(
                    f"more than {MAX_ENTRIES} files below {shown(str(self._top))}",
                    "give the folder that holds tailnet.yaml",
                )
        return sorted(found, key=lambda entry: os.fsencode(entry.path))

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        path = self._top / folder
        try:
            with os.scandir(path) as items:
                return list(items)
        except OSError as error:
            raise SourceError(
                f"can't read the folder {shown(str(path))}: {error.strerror}"
            ) from None

    def entry(self, path: str) -> Entry | None:
        for parent in PurePosixPath(path).parents[:-1]:
            if (self._top / parent).is_symlink():
                return Entry(path, "link")
        try:
            return _entry(path, os.lstat(self._top / path))
        except (OSError, ValueError):
            return None

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        return {path: self._read(path) for path in paths}

    def beginnings(self, paths: Sequence[str], most: int) -> Iterator[bytes]:
        return (self._read(path, most) for path in paths)

    def _read(self, path: str, most: int = -1) -> bytes:
        try:
            # Neither a link nor a pipe that was put there since the listing.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            number = os.open(f"{self._top}/{path}", flags)
            with os.fdopen(number, "rb") as file:
                if not stat.S_ISREG(os.fstat(number).st_mode):
                    raise SourceError(f"{shown(path)} is no longer a file")
                return file.read(most)
        except OSError as error:
            raise SourceError(f"can't read {shown(path)}: {error.strerror}") from None


def _entry(path: str, status: os.stat_result) -> Entry:
    if stat.S_ISLNK(status.st_mode):
        return Entry(path, "link")
    if stat.S_ISREG(status.st_mode):
        return Entry(path, "file", status.st_size)
    return Entry(path, "submodule" if stat.S_ISDIR(status.st_mode) else "special")


class Revision:
    """The files of one commit, from git's object store; of another `tree` if said."""

    def __init__(self, repo: Repo, commit: str, tree: str = "") -> None:
        self.commit: str | None = commit
        self._repo = repo
        self._tree = {entry.path: entry for entry in repo.tree(tree or commit)}
        self._entries = sorted(
            (
                Entry(
                    entry.path,
                    "file"
                    if entry.is_file
                    else "submodule"
                    if entry.mode == "160000"
                    else "link",
                    entry.size,
                )
                for entry in self._tree.values()
            ),
            key=lambda entry: os.fsencode(entry.path),
        )
        self._by_path = {entry.path: entry for entry in self._entries}

    def entries(self, below: str) -> Sequence[Entry]:
        return [entry for entry in self._entries if _is_below(entry.path, below)]

    def entry(self, path: str) -> Entry | None:
        return self._by_path.get(path)

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        wanted = {path: self._tree[path].sha for path in paths}
        blobs = self._repo.blobs(wanted.values())
        return {path: blobs[sha] for path, sha in wanted.items()}

    def beginnings(self, paths: Sequence[str], most: int) -> Iterator[bytes]:
        return self._repo.beginnings((self._tree[path].sha for path in paths), most)


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(folder + "/")


def open_source(path: Path, revision: str | None) -> tuple[Source, str]:
    """The source that `path` lies in, and the path relative to the source's top.

    Without a revision: the folder, whose top is the git working tree around it or,
    outside of git, the folder itself.
    """
    if revision is not None:
        repo = Repo(path)
        commit = repo.resolve(revision)
        return Revision(repo, commit), _relative(_folder(path), repo.toplevel)
    top = top_of(path)
    return Folder(top), _relative(_folder(path), top)


def top_of(path: Path) -> Path:
    """The git working tree around `path`; outside of git, the folder itself."""
    folder = _folder(path)
    return working_tree(folder) or _outermost(folder)


def _folder(path: Path) -> Path:
    if not path.exists():
        raise SourceError(
            f"no such folder: {shown(str(path))}",
            "name the folder that holds tailnet.yaml",
        )
    resolved = path.resolve()
    return resolved if resolved.is_dir() else resolved.parent


def _outermost(folder: Path) -> Path:
    """Outside of git: the folder itself, or the one above it that is a root."""
    for name in (ROOT_FILE, POLICY_FILE):
        for each in (folder, *folder.parents):
            if (each / name).is_file():
                return each
    return folder


def _relative(folder: Path, top: Path) -> str:
    if not folder.is_relative_to(top):  # a bare repository has no folders
        return ""
    relative = folder.relative_to(top).as_posix()
    return "" if relative == "." else relative


def roots_of(source: Source, folder: str) -> tuple[str, ...]:
    """The tailnet roots that a folder means: the one around it, else those below.

    Where there is no tailnet.yaml at all, it is the folder of a policy.hujson.
    """
    parents = [folder, *(str(p) for p in PurePosixPath(folder).parents)]
    parents = list(dict.fromkeys("" if each == "." else each for each in parents))
    below: Sequence[Entry] | None = None
    for name in (ROOT_FILE, POLICY_FILE):
        for parent in parents:
            found = source.entry(_join(parent, name))
            if found is not None and found.kind == "file":
                return (parent,)
        below = source.entries(folder) if below is None else below
        roots = tuple(
            str(PurePosixPath(entry.path).parent).removeprefix(".")
            for entry in below
            if entry.kind == "file"
            and PurePosixPath(entry.path).name == name
            and not has_dot_name(entry.path)
        )
        if roots:
            return roots
    return ()


def every_root(source: Source, folder: str) -> tuple[str, ...]:
    """The same, and the tailnets inside of those that lie in the folder whole."""
    found = roots_of(source, folder)
    if not any(root == folder or root.startswith(_join(folder, "")) for root in found):
        return found
    inner = {
        str(PurePosixPath(entry.path).parent)
        for entry in source.entries(folder)
        if entry.kind == "file"
        and PurePosixPath(entry.path).name == ROOT_FILE
        and not has_dot_name(entry.path)
    }
    return (*found, *sorted(inner - set(found) - {"."}))


def is_policy(path: str) -> bool:
    """Whether a path is that of a policy in HuJSON."""
    return path == POLICY_FILE or path.endswith(f"/{POLICY_FILE}")


def root_of(source: Source, folder: str, path: Path) -> str:
    """The one root that a folder means; `SourceError` for none or several."""
    roots = roots_of(source, folder)
    if len(roots) == 1:
        return roots[0]
    where = shown(str(path))
    if not roots:
        at = f" in {source.commit[:12]}" if source.commit else ""
        raise SourceError(
            f"no {ROOT_FILE} in {where}{at}",
            f"`tailgit init` begins a tailnet; a {POLICY_FILE} alone is checked, too",
        )
    raise UsageError(
        f"{len(roots)} tailnets below {where}: {', '.join(map(shown, roots[:8]))}",
        "name the folder of one of them, as PATH or by --repo",
    )


def has_dot_name(path: str) -> bool:
    """Whether any part of the path begins with a dot, so that it is not a part."""
    return path.startswith(".") or "/." in path


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
