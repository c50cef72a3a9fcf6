"""Replacing files whole: a reader sees the old text or the new, never half of it.

Several files are written all or none, as far as POSIX allows: everything that can
fail for want of space or of rights is done beside the files first, then only names
change, and if one of those changes fails, the earlier ones are taken back. Old
content is kept under a second name until the end, so taking back needs no space.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tailgit.errors import Refused, SourceError
from tailgit.model.text import shown


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file's content before and after; None where there is no file.

    A new file gets mode and owner of the file `like`, else 0644.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    like: Path | None = None


@dataclass(slots=True)
class _Step:
    """One replacement while it is carried out, with its two names beside the file."""

    wanted: Replacement
    fresh: Path | None = None
    kept: Path | None = None
    done: bool = False


def replace_file(path: Path, before: bytes, after: bytes) -> None:
    """Writes `after` if the file still holds `before`; keeps mode and owner.

    `Refused` if somebody else changed the file meanwhile, `SourceError` if it can't be
    written. The temporary file has a dot name, so no reader of the folder takes it.
    """
    replace_files([Replacement(path, before, after)])


def replace_files(wanted: Sequence[Replacement]) -> None:
    """Writes all of them or none; the errors are those of `replace_file`.

    If even taking back fails, the error says which files are new.
    """
    steps = [_Step(each) for each in wanted]
    made: list[Path] = []
    try:
        for step in steps:
            _prepare(step, made)
        for step in steps:
            _unchanged(step.wanted)
        try:
            for step in steps:
                _carry_out(step)
        except BaseException:
            _take_back(steps)
            raise
        made.clear()
    finally:
        for step in steps:
            for name in (step.fresh, step.kept):
                if name is not None:
                    name.unlink(missing_ok=True)
        for folder in reversed(made):
            with suppress(OSError):  # what could not be taken back is said already
                folder.rmdir()
    for parent in {step.wanted.path.parent for step in steps}:
        with _said("write to", parent):
            _sync_folder(parent)


def _prepare(step: _Step, made: list[Path]) -> None:
    """The new content and a second name for the old one, both with dot names."""
    path, wanted = step.wanted.path, step.wanted
    with _said("write to", path.parent):
        if wanted.after is not None and not path.parent.is_dir():
            path.parent.mkdir()
            made.append(path.parent)
        if wanted.after is not None:
            number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            step.fresh = Path(name)
    with _said("write", path):
        if step.fresh is not None and wanted.after is not None:
            with os.fdopen(number, "wb") as file:
                file.write(wanted.after)
                file.flush()
                _dress(number, path if wanted.before is not None else wanted.like)
                os.fsync(number)
        if wanted.before is not None:
            step.kept = _kept(path, wanted.before)


def _dress(number: int, like: Path | None) -> None:
    """Mode and owner of another file."""
    if like is None:
        os.fchmod(number, 0o644)
        return
    status = like.stat()
    os.fchmod(number, status.st_mode & 0o7777)
    if os.geteuid() == 0:
        os.fchown(number, status.st_uid, status.st_gid)


def _kept(path: Path, before: bytes) -> Path:
    """A second name for a file's content; a copy where there are no hard links."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    kept = Path(name)
    try:
        os.close(number)
        kept.unlink()
        try:
            os.link(path, kept)
        except OSError:
            if not path.exists():
                raise
            kept.write_bytes(before)
            kept.chmod(path.stat().st_mode & 0o7777)
    except BaseException:
        kept.unlink(missing_ok=True)
        raise
    return kept


def _unchanged(wanted: Replacement) -> None:
    """`Refused` if the file is no longer what the edit was made for."""
    path = wanted.path
    with _said("read", path):
        there = path.read_bytes() if path.exists() or path.is_symlink() else None
    if there != wanted.before:
        what = "written" if wanted.before is None else "changed"
        raise Refused(f"{shown(str(path))} was {what} by somebody else meanwhile")


def _carry_out(step: _Step) -> None:
    path, wanted = step.wanted.path, step.wanted
    with _said("write", path):
        if step.fresh is None:
            path.unlink()
        elif wanted.before is None:
            os.link(step.fresh, path)  # unlike a rename it never replaces a file
        else:
            step.fresh.replace(path)
    step.done = True


def _take_back(steps: list[_Step]) -> None:
    """Gives every file that was changed its old content again."""
    stuck = []
    for step in reversed(steps):
        if not step.done:
            continue
        try:
            if step.kept is None:
                step.wanted.path.unlink()
            else:
                step.kept.replace(step.wanted.path)
        except OSError:
            stuck.append(step.wanted.path)
            step.kept = None  # the only copy of the old content stays where it is
    if stuck:
        names = ", ".join(shown(str(path)) for path in sorted(stuck))
        raise SourceError(
            f"writing failed half-way, and these could not be taken back: {names}",
            "the old content is beside each of them, under a name with a dot; or in "
            "git: `git diff`, `git restore`",
        )


@contextmanager
def _said(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"can't {verb} {shown(str(path))}: {error}") from None


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
