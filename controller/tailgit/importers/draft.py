"""Files that lie nowhere yet, as a source to load: what would `check` say of them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tailgit.check import examine
from tailgit.load import Loaded, load_from
from tailgit.load.source import Entry
from tailgit.model.findings import Finding


class Draft:
    """Contents by path, as a `Source`."""

    commit: str | None = None

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(sorted(files.items()))

    def entries(self, below: str) -> Sequence[Entry]:
        start = f"{below}/" if below else ""
        return [
            Entry(path, "file", len(data))
            for path, data in self._files.items()
            if path.startswith(start)
        ]

    def entry(self, path: str) -> Entry | None:
        data = self._files.get(path)
        return Entry(path, "file", len(data)) if data is not None else None

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        return {path: self._files[path] for path in paths}

    def beginnings(self, paths: Sequence[str], most: int) -> Iterator[bytes]:
        return (self._files[path][:most] for path in paths)


def judged(files: Mapping[str, bytes]) -> tuple[Loaded, tuple[Finding, ...]]:
    """The tailnet of some files, whose root they lie in, and all findings."""
    loaded = load_from(Draft(files), "")
    return loaded, examine(loaded)
