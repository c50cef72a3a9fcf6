"""Read the fleet's record: the lines that applies left as notes of their commits."""

from __future__ import annotations

from tailgit.load.git import Repo
from tailgit.plan.entry import Entry, parse


def lines_of(repository: Repo, notes: str) -> dict[str, tuple[str, ...]]:
    """The lines of every commit in a notes commit `notes` ("" for none)."""
    if not notes:
        return {}
    # Git spreads the notes over folders once there are many: `ab/cdef…`.
    found = {e.path.replace("/", ""): e.sha for e in repository.tree(notes)}
    texts = repository.blobs(found.values())
    return {
        commit: tuple(
            filter(None, texts[blob].decode(errors="replace").splitlines()),
        )
        for commit, blob in found.items()
    }


def entries(repository: Repo, notes: str) -> tuple[tuple[Entry, ...], int]:
    """Every entry, the newest first, and how many lines are none."""
    lines = [line for each in lines_of(repository, notes).values() for line in each]
    found = [entry for entry in map(parse, lines) if entry is not None]
    ordered = sorted(found, key=lambda entry: (entry.at, entry.line()), reverse=True)
    return tuple(ordered), len(lines) - len(found)
