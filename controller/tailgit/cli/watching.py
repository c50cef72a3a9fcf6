"""`tailgit check --watch`: check, print, and again whenever a file changes.

The kernel says at once what changes below a watched folder, but it watches what stood
at a path when it was asked: a folder that is removed and made anew (as `git checkout`
does) is another one. So once a second it is also looked whether each watched folder is
still the same. What the tailnets read from elsewhere (`include`) is known by noting
every path that the loader asks for.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from tailgit.cli.tailnet import examined_all
from tailgit.errors import TailgitError
from tailgit.load import roots
from tailgit.load.source import Entry, Source, open_source, top_of
from tailgit.model.text import shown
from tailgit.report.findings import text_report

if TYPE_CHECKING:
    from tailgit.check import Surroundings
    from tailgit.check.together import Checked

_QUIET = 0.2  # an editor writes a file in several steps, git many files
_LONGEST_WAIT = 2.0  # of something that never stops writing, the state in between
_LOOK = 1.0

Identity = tuple[int, int]


def watching(path: Path, surroundings: Callable[[], Surroundings]) -> NoReturn:
    """Check `path` again and again; only Ctrl-C ends it."""
    path = path.resolve()  # `.` would stay with a folder that is moved away
    top = top_of(path)
    base = _base(top, path)
    changes = _Changes()
    watch = _Watch(changes)
    try:
        watch.follow(base)  # before anything is read, so that no change is missed
        checked, read = _checked(path, surroundings())  # no tailnet there: it ends here
        print(text_report(checked), flush=True)
        watch.follow(base, _outside(top, base, read))
        at = shown(str(base))
        print(f"watching {at}; Ctrl-C ends it", file=sys.stderr, flush=True)
        while True:
            what = changes.wait(watch.renew)
            changed = shown(_relative(what, top))
            print(f"\n=== {time.strftime('%H:%M:%S')}  {changed}", flush=True)
            try:
                checked, read = _checked(path, surroundings())
            except (TailgitError, OSError) as error:
                print(_sentence(error), flush=True)  # half a checkout, say; go on
            else:
                print(text_report(checked), flush=True)
                watch.follow(base, _outside(top, base, read))
    finally:
        watch.stop()


def _checked(
    path: Path, surroundings: Surroundings
) -> tuple[tuple[Checked, ...], set[str]]:
    """What is found, and every path that was asked for."""
    source, folder = open_source(path, None)
    noted = _Noted(source)
    return examined_all(noted, folder, path, surroundings), noted.asked


def _sentence(error: TailgitError | OSError) -> str:
    if isinstance(error, TailgitError):
        return f"tailgit: error: {shown(error.message)}"
    return f"tailgit: error: {shown(str(error.strerror or error))}"


def _base(top: Path, path: Path) -> Path:
    """The folder to watch: the root around `path`, else `path` with all below it."""
    folder = path if path.is_dir() else path.parent
    found = [top / root for root in roots(path)]
    return next((root for root in found if folder.is_relative_to(root)), folder)


def _outside(top: Path, base: Path, read: Iterable[str]) -> set[Path]:
    """The folders of what is read from elsewhere."""
    folders = {(top / path).parent for path in read}
    return {each for each in folders if not each.is_relative_to(base)}


def _relative(path: str, top: Path) -> str:
    return str(Path(path).relative_to(top)) if path.startswith(f"{top}/") else path


class _Noted:
    """A source that remembers which paths it was asked for."""

    def __init__(self, below: Source) -> None:
        self._below = below
        self.commit = below.commit
        self.asked: set[str] = set()

    def entries(self, below: str) -> Sequence[Entry]:
        return self._below.entries(below)

    def entry(self, path: str) -> Entry | None:
        # A folder is asked for its tailnet.yaml on the way up: that is no include.
        if not path.endswith("tailnet.yaml"):
            self.asked.add(path)
        return self._below.entry(path)

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        wanted = list(paths)
        self.asked.update(wanted)
        return self._below.read(wanted)

    def beginnings(self, paths: Sequence[str], most: int) -> Iterator[bytes]:
        return self._below.beginnings(paths, most)


class _Changes:
    """The last path that changed, and a wait for one."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._path = ""
        self._at = 0.0

    def put(self, path: str) -> None:
        with self._lock:
            self._path, self._at = path, time.monotonic()
            self._lock.notify_all()

    def wait(self, meanwhile: Callable[[], None]) -> str:
        """A path that changed, once nothing has for a moment."""
        with self._lock:
            while not self._path:
                if not self._lock.wait(_LOOK):
                    self._lock.release()
                    try:
                        meanwhile()
                    finally:
                        self._lock.acquire()
            end = time.monotonic() + _LONGEST_WAIT
            while (now := time.monotonic()) < min(self._at + _QUIET, end):
                self._lock.wait(min(self._at + _QUIET, end) - now)
            path, self._path = self._path, ""
            return path


class _Handler(FileSystemEventHandler):
    """Passes on what changes a file that a tailnet may be made of."""

    def __init__(self, base: Path, changes: _Changes) -> None:
        self._base = base
        self._changes = changes

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Reading is an event, too, and so is what an entry does to its folder.
        kinds = {"created", "deleted", "moved"}
        if not event.is_directory:
            kinds |= {"modified", "closed", "attrib"}
        if event.event_type not in kinds:
            return
        for path in (event.dest_path, event.src_path):
            name = path if isinstance(path, str) else bytes(path).decode()
            if name and self._counts(Path(name)):
                self._changes.put(name)
                return

    def _counts(self, path: Path) -> bool:
        if not path.is_relative_to(self._base):
            return False
        parts = path.relative_to(self._base).parts
        hidden = any(part.startswith(".") for part in parts)
        return not hidden and not path.name.endswith("~") and path.name[:1] != "#"


class _Watch:
    """One folder with all below it, and single folders elsewhere."""

    def __init__(self, changes: _Changes) -> None:
        self._changes = changes
        self._observer = Observer()
        self._observer.start()
        self._wanted: dict[Path, bool] = {}  # and whether all below counts
        self._seen: dict[Path, Identity | None] = {}

    def follow(self, base: Path, others: Iterable[Path] = ()) -> None:
        """Watch these folders from now on, and no others."""
        wanted = {base: True, **dict.fromkeys(others, False)}
        if wanted != self._wanted:
            self._wanted = wanted
            self._schedule()

    def renew(self) -> None:
        """Watch anew what stands at a path since; that is a change by itself."""
        for path in self._wanted:
            if _identity(path) != self._seen[path]:
                self._schedule()
                self._changes.put(str(path))
                return

    def _schedule(self) -> None:
        self._observer.unschedule_all()
        for path, whole in self._wanted.items():
            self._seen[path] = _identity(path)
            if self._seen[path] is None:
                continue
            try:
                handler = _Handler(path, self._changes)
                self._observer.schedule(handler, str(path), recursive=whole)
            except FileNotFoundError:  # gone since; the next look finds it
                self._seen[path] = None

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join()


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
