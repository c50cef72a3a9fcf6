"""The project's own files, for the tests of the house."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def files(*folders: str) -> list[str]:
    """Files that are or would be committed, by path from the root, sorted.

    `safe.directory`: the checkout may belong to another user than the one who runs
    the tests (sudo, a mounted folder), and git is only asked for names here.
    """
    listed = subprocess.run(
        [
            *("git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard", "--", *folders),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # A file that was removed but not yet committed is listed, too.
    return sorted(name for name in set(listed.split("\0")) if (ROOT / name).is_file())
