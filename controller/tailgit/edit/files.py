"""Replacing a file whole: a reader sees the old text or the new, never half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tailgit.errors import Refused, SourceError
from tailgit.model.text import shown


def replace_file(path: Path, before: bytes, after: bytes) -> None:
    """Writes `after` if the file still holds `before`; keeps mode and owner.

    `Refused` if somebody else changed the file meanwhile, `SourceError` if it can't be
    written. The temporary file has a dot name, so no reader of the folder takes it.
    """
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise SourceError(
            f"can't write to {shown(str(path.parent))}: {error}"
        ) from None
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(after)
            file.flush()
            status = path.stat()
            os.fchmod(number, status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(number, status.st_uid, status.st_gid)
            os.fsync(number)
        if path.read_bytes() != before:
            raise Refused(f"{shown(str(path))} was changed by somebody else meanwhile")
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise SourceError(f"can't write {shown(str(path))}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
