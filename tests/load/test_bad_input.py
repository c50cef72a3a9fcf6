"""Bad input, through the command as it is typed: an answer, soon, in little memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.load.source import Entry, Folder
from tests.load.files import ACME, HEAD, committed, git, write

MEMORY = 1 << 30
SECONDS = 2.0
NOBODY = 65534

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Answer:
    """What one `tailgit check` said, and what it took."""

    code: int
    said: str
    cpu: float


def typed(*arguments: str) -> Answer:
    """`tailgit check` in a process of its own that gets so much memory and no more."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "tailgit", "check", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=limits,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Answer(done.returncode, done.stdout.decode(), took)


def check(folder: Path, *arguments: str) -> Answer:
    """The same, with what must hold whatever the input is."""
    answer = typed(str(folder), *arguments)
    assert "a fault in tailgit" not in answer.said
    assert "Traceback" not in answer.said
    assert answer.said.replace("\n", "").isprintable()
    assert answer.code in (0, 1, 3)
    assert answer.cpu < SECONDS
    return answer


def laughs() -> str:
    lines = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(["users: {}", "l0: &l0 [ha]", *lines])


FILES: dict[str, tuple[str | bytes, str]] = {
    "billion laughs": (laughs(), "yaml-alias"),
    "100 deep": ("a: " + "[" * 100 + "]" * 100, "too-deep"),
    "100 deep in block": (
        "\n".join("  " * n + f"k{n}:" for n in range(100)),
        "too-deep",
    ),
    "100,000 deep": ("users: " + "[" * 100_000, "too-deep"),
    "a marker of git-LFS": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "lfs-pointer",
    ),
    "NUL": ("users: {}\x00\n", "bad-character"),
    "only NUL": (b"\x00" * 5000, "bad-encoding"),
    "CR LF": ("users:\r\n  ben@acme.co:\r\n    name: Ben\r\n", ""),
    "lone CR": ("users: {}\r# hidden\r", "bad-character"),
    "BOM": (b"\xef\xbb\xbfusers: {a@b.co: {}}\n", ""),
    "BOM inside": ("users: {}\n\ufeffhosts: {}\n", "bad-character"),
    "UTF-16": ("users: {}\n".encode("utf-16"), "bad-encoding"),
    "UTF-16 without BOM": ("users: {}\n".encode("utf-16-be"), "bad-encoding"),
    "UTF-32": ("users: {}\n".encode("utf-32"), "bad-encoding"),
    "Latin-1": (b"users: {a@b.co: {name: J\xfcrg}}\n", "bad-encoding"),
    "half a character": ("# ä".encode()[:-1], "bad-encoding"),
    "a surrogate": (b"# \xed\xa0\x80\n", "bad-encoding"),
    "ANSI in a name": ('groups: {"group:\\eJ": []}\n', "bad-character"),
    "bidi in a name": ("groups: {group:x\u202e: []}\n", "bad-character"),
    "bidi in a comment": ("# \u202ex\nusers: {}\n", "bad-character"),
    "zero width in a name": ("groups: {group:a\u200bb: []}\n", "bad-character"),
    "ANSI in a comment": ("# \x1b[2J\nusers: {}\n", "bad-character"),
    "next line in a comment": ("# \x85users: {}\n", "bad-character"),
    "1 MB in one line": (f"users: {{a@b.co: {{name: {'a' * 1048576}}}}}", "bad-value"),
    "1 MB of one comment": ("# " + "a" * (1 << 20), ""),
    "1 MB of brackets": ("a: [" * (1 << 18), "too-deep"),
    "200,000 entries": (f"groups: {{group:x: [{'a@b.co, ' * 200_000}]}}", ""),
    "50,000 keys": (
        "users:\n" + "".join(f"  u{n}@b.co: {{}}\n" for n in range(50_000)),
        "",
    ),
    "a key 100,000 times": ("hosts:\n" + "  h: 10.0.0.1\n" * 100_000, "duplicate-key"),
    "a section 100,000 times": ("users: {}\n" * 100_000, "duplicate-key"),
    "only comments": ("# one\n# two\n", ""),
    "empty": ("", ""),
    "blanks": ("\n \n\n", ""),
    "text": ("users\n", "yaml-root"),
    "empty text": ("''", "yaml-root"),
    "an empty block of text": (">", "yaml-root"),
    "half a quote": ("users: {'a: {}}\n", "yaml-quotes"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_tailnet(tmp_path: Path, name: str) -> None:
    """Each is named by its own code where it is wrong, and no trouble where not."""
    content, code = FILES[name]
    answer = check(write(tmp_path, {"tailnet.yaml": HEAD, "x.yaml": content}))
    if code:
        assert answer.code == 3
        assert f"error[{code}]" in answer.said
        assert "x.yaml:" in answer.said
    elif name != "200,000 entries":  # whose user may be said twice
        assert answer.code == 0


@pytest.mark.parametrize(
    "name", ["100 deep", "NUL", "BOM", "UTF-16", "empty", "Latin-1"]
)
def test_the_root_file_itself(tmp_path: Path, name: str) -> None:
    """tailnet.yaml says what else is read, so it is read before all others."""
    content, _ = FILES[name]
    assert check(write(tmp_path, {"tailnet.yaml": content})).code == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 100, "too-deep"),
        ('{"a": ' * 100_000, "too-deep"),
        ("", "bad-json"),
        ("\x00", "bad-encoding"),
        ('{"users": {"a@b.co": {"name": "\\ud800"}}}', "bad-character"),
        ('{"hosts": {' + '"h": "10.0.0.1",' * 100_000 + '"h": ""}}', "duplicate-key"),
        ("1" * (1 << 20), "yaml-root"),
        ('{"users": 1e400}', "wrong-type"),
        ('"' + "a" * (1 << 20), "bad-json"),
    ],
    ids=[
        "deep",
        "deeper",
        "empty",
        "NUL",
        "surrogate",
        "keys",
        "digits",
        "1e400",
        "cut",
    ],
)
def test_a_file_of_json(tmp_path: Path, text: str, code: str) -> None:
    """The same for the other reader."""
    answer = check(write(tmp_path, {"tailnet.yaml": HEAD, "x.json": text}))
    assert answer.code == 3
    assert f"error[{code}]" in answer.said


@pytest.mark.parametrize("name", ["big.yaml", "tailnet.yaml", "notes.txt"])
@pytest.mark.parametrize("commit", [False, True])
def test_50_megabytes(tmp_path: Path, name: str, commit: bool) -> None:
    """Such a file is not read, or, where it is no part, only its beginning."""
    write(tmp_path, {"tailnet.yaml": HEAD} | {name: "#" * (50 << 20)})
    if commit:
        committed(tmp_path, {})
    answer = check(tmp_path, *(["--commit", "HEAD"] if commit else []))
    assert answer.code == (0 if name == "notes.txt" else 3)
    assert ("too-large" in answer.said) == (answer.code == 3)


def link_out(folder: Path) -> None:
    (folder / "x.yaml").symlink_to("/etc/hostname")


def link_in(folder: Path) -> None:
    (folder / "x").symlink_to("..")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "x.yaml")


def submodule(folder: Path) -> None:
    inner = committed(folder.parent / "inner", {"a.yaml": "users: {}\n"})
    git(folder, "init", "-q")
    git(folder, "submodule", "add", "-q", str(inner), "x")


@pytest.mark.parametrize("make", [link_out, link_in, pipe, submodule])
def test_what_is_no_file(tmp_path: Path, make: Make) -> None:
    """It is named and neither followed nor waited for."""
    folder = write(tmp_path / "net", dict(ACME))
    make(folder)
    answer = check(folder)
    assert answer.code == 3
    assert "error[not-a-file]" in answer.said


def test_a_folder_that_is_called_like_a_file(tmp_path: Path) -> None:
    """Folders mean nothing, whatever their names are."""
    files = dict(ACME) | {"x.yaml/a.yaml": "users: {cyd@acme.com: {}}\n"}
    assert check(write(tmp_path, files)).code == 0
    (tmp_path / "y.yaml").mkdir()
    assert check(tmp_path).code == 0


def test_names_that_act_on_a_terminal(tmp_path: Path) -> None:
    """File names are a stranger's text, too, and any bytes."""
    names = [b"\x1b[2J.yaml", "\u202egnp.yaml".encode(), b"\xff.yaml", b"a\nb.yaml"]
    write(tmp_path, dict(ACME))
    for name in names:
        (tmp_path / os.fsdecode(name)).write_text("nonsense: 1\n")
    for arguments in ([], ["--format", "json"]):
        answer = check(tmp_path, *arguments)
        assert answer.code == 3
    assert json.loads(answer.said)


@pytest.mark.parametrize(("count", "code"), [(20_000, 0), (20_001, 3)])
def test_twenty_thousand_files(tmp_path: Path, count: int, code: int) -> None:
    """The limit itself is still a tailnet, and one more is none."""
    write(tmp_path, {"tailnet.yaml": HEAD})
    for number in range(count - 1):
        if number % 1000 == 0:
            folder = tmp_path / f"d{number // 1000}"
            folder.mkdir()
        (folder / f"{number}.yaml").write_text("# nobody yet\n")
    answer = typed(str(tmp_path))
    assert answer.code == code
    assert ("too-large" in answer.said) == bool(code)
    assert answer.cpu < 2 * SECONDS


def test_a_file_that_nobody_may_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a tailnet is none: it is said which file it was, and exit 1."""
    folder = write(tmp_path / "net", dict(ACME))
    assert run(["check", str(folder)]) == 0  # nobody may not read our libraries, either
    (folder / "people.yaml").chmod(0)
    for each in (tmp_path, *tmp_path.parents):
        if each.owner() == tmp_path.owner() and len(each.parts) > 2:
            each.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        code = run(["check", str(folder)])
    finally:
        if is_root:
            os.seteuid(0)
    said = capsys.readouterr().err
    assert code == 1
    assert "can't read people.yaml: Permission denied" in said


@pytest.mark.parametrize("instead", [None, "link", "folder", "pipe"])
def test_a_file_that_is_gone_when_it_is_read(
    tmp_path: Path,
    instead: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Between the listing and the reading somebody may put something else there."""
    folder = write(tmp_path / "net", dict(ACME))
    listed = Folder.entries
    found: list[Entry] = []

    def entries(self: Folder, below: str) -> list[Entry]:
        if found:
            return found  # as it was before
        found.extend(listed(self, below))
        path = folder / "people.yaml"
        path.unlink()
        match instead:
            case "link":
                path.symlink_to("tailnet.yaml")
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
        return found

    monkeypatch.setattr(Folder, "entries", entries)
    assert run(["check", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "people.yaml" in said
    assert "fault" not in said
