"""Several files at once: all are written or none, whatever goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tailgit.edit import files
from tailgit.edit.files import Replacement, replace_files
from tailgit.errors import Refused, SourceError


def state(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, those with dots too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, list[Replacement]]:
    """A file that changes, one that goes, one that comes in a folder of its own."""
    (tmp_path / "a").write_bytes(b"old a")
    (tmp_path / "b").write_bytes(b"old b")
    return tmp_path, [
        Replacement(tmp_path / "a", b"old a", b"new a"),
        Replacement(tmp_path / "sub/c", None, b"new c"),
        Replacement(tmp_path / "b", b"old b", None),
    ]


def test_all_are_written(three: tuple[Path, list[Replacement]]) -> None:
    """Changed, new and deleted; nothing lies beside them; a new file is 0644."""
    folder, wanted = three
    (folder / "a").chmod(0o640)
    before = os.umask(0o077)
    try:
        replace_files(wanted)
    finally:
        os.umask(before)
    assert state(folder) == {"a": b"new a", "sub/c": b"new c"}
    assert (folder / "a").stat().st_mode & 0o7777 == 0o640
    assert (folder / "sub/c").stat().st_mode & 0o7777 == 0o644


def test_a_new_name_keeps_the_mode(tmp_path: Path) -> None:
    """A file that is renamed stays as readable as it was."""
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0o600)
    old, new = tmp_path / "a", tmp_path / "b"
    replace_files([Replacement(old, b"x", None), Replacement(new, None, b"y", old)])
    assert state(tmp_path) == {"b": b"y"}
    assert new.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("error", [OSError(5, "broken"), KeyboardInterrupt()])
def test_a_failed_rename_is_taken_back(
    three: tuple[Path, list[Replacement]],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: BaseException,
) -> None:
    """At the first, second and third name that changes: all is as before."""
    folder, wanted = three
    before = state(folder)
    carry_out, calls = files._carry_out, []

    def failing(step: files._Step) -> None:
        calls.append(step)
        if len(calls) == number + 1:
            with files._said("write", step.wanted.path):
                raise error
        carry_out(step)

    monkeypatch.setattr(files, "_carry_out", failing)
    expected = SourceError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        replace_files(wanted)
    assert state(folder) == before
    assert not (folder / "sub").exists()


def test_what_can_not_be_taken_back_is_named(
    three: tuple[Path, list[Replacement]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which file is new, and the old content is kept beside it."""
    folder, wanted = three
    replace = Path.replace

    def once(self: Path, target: Path) -> Path:
        if target.read_bytes() == b"new a":
            raise OSError(5, "broken")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", once)
        carry_out = files._carry_out

        def failing(step: files._Step) -> None:
            if step.wanted.after is None:
                with files._said("write", step.wanted.path):
                    raise OSError(5, "broken")
            carry_out(step)

        patch.setattr(files, "_carry_out", failing)
        with pytest.raises(SourceError, match=r"could not be taken back: \S*/a$"):
            replace_files(wanted)
    found = state(folder)
    assert found["a"] == b"new a"
    assert found["b"] == b"old b"
    assert [data for name, data in found.items() if name[0] == "."] == [b"old a"]


@pytest.mark.parametrize("name", ["a", "b", "sub/c"])
def test_a_file_that_changed_meanwhile_stops_all(
    three: tuple[Path, list[Replacement]], name: str
) -> None:
    """Also if it is the last one, or one that was not there."""
    folder, wanted = three
    (folder / "sub").mkdir()
    (folder / name).write_bytes(b"somebody's")
    before = state(folder)
    with pytest.raises(Refused, match="by somebody else meanwhile"):
        replace_files(wanted)
    assert state(folder) == before


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """No room for the second file: the first is not written either (RLIMIT_FSIZE)."""
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"old")
    program = """
import resource, sys
from pathlib import Path
from tailgit.edit.files import Replacement, replace_files
from tailgit.errors import SourceError
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
small, large = b"x" * 10, b"x" * 2000
try:
    replace_files([
        Replacement(folder / "a", b"old", small),
        Replacement(folder / "b", b"old", large),
    ])
except SourceError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    assert "can't write" in done.stderr
    assert "File too large" in done.stderr
    assert state(tmp_path) == {"a": b"old", "b": b"old"}


def test_a_folder_that_can_not_be_written_changes_nothing(tmp_path: Path) -> None:
    """The second folder takes no file, even from root: the first is left alone."""
    (tmp_path / "f").write_bytes(b"old")
    wanted = [
        Replacement(tmp_path / "f", b"old", b"new"),
        Replacement(Path("/proc/self/f"), None, b"new"),
    ]
    with pytest.raises(SourceError, match="can't write to"):
        replace_files(wanted)
    assert state(tmp_path) == {"f": b"old"}
