"""`tailgit fmt`: which files it writes, what it prints, how it exits."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.edit.fmt import files
from tailgit.errors import Exit, SourceError

Capture = pytest.CaptureFixture[str]

UGLY = "groups:\n    group:x: [ana@acme.com,]   # why\n"
PRETTY = "groups:\n  group:x: [ana@acme.com]  # why\n"
DIFF = """\
--- a/ugly.yaml
+++ b/ugly.yaml
@@ -1,2 +1,2 @@
 groups:
-    group:x: [ana@acme.com,]   # why
+  group:x: [ana@acme.com]  # why
"""


@pytest.fixture
def net(acme: Path, capsys: Capture) -> Path:
    """The tailnet of these tests, canonical, and one file that is not."""
    assert run(["fmt", str(acme)]) == Exit.DONE
    (acme / "ugly.yaml").write_text(UGLY)
    capsys.readouterr()
    return acme


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_files_are_rewritten_and_named(net: Path, capsys: Capture) -> None:
    """The name of what changed on stdout, nothing else; a second run says nothing."""
    assert run(["fmt", str(net)]) == Exit.DONE
    assert capsys.readouterr() == ("ugly.yaml\n", "")
    assert (net / "ugly.yaml").read_text() == PRETTY
    before = (net / "ugly.yaml").stat()
    assert run(["fmt", str(net)]) == Exit.DONE
    assert capsys.readouterr() == ("", "")
    assert (net / "ugly.yaml").stat().st_ino == before.st_ino


def test_the_folder_around_is_meant(
    net: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without PATH it is the tailnet around the current folder, in git or not."""
    (net / "sub").mkdir()
    monkeypatch.chdir(net / "sub")
    assert run(["fmt"]) == Exit.DONE
    assert capsys.readouterr().out == "ugly.yaml\n"
    subprocess.run(["git", "init", "-q", net.parent], check=True)
    (net / "ugly.yaml").write_text(UGLY)
    assert run(["fmt"]) == Exit.DONE
    assert capsys.readouterr().out == "acme/ugly.yaml\n"


def test_check_writes_nothing(net: Path, capsys: Capture) -> None:
    """`--check` names what would change and exits 3; 0 if nothing would."""
    before = content(net)
    assert run(["fmt", "--check", str(net)]) == Exit.INVALID
    assert capsys.readouterr() == ("ugly.yaml\n", "")
    assert content(net) == before
    run(["fmt", str(net)])
    capsys.readouterr()
    assert run(["fmt", "--check", str(net)]) == Exit.DONE
    assert capsys.readouterr() == ("", "")


def test_diff_writes_nothing(net: Path, capsys: Capture) -> None:
    """`--diff` prints a unified diff; only `--check` makes it an exit code."""
    before = content(net)
    assert run(["fmt", "--diff", str(net)]) == Exit.DONE
    assert capsys.readouterr().out == DIFF
    assert run(["fmt", "--diff", "--check", str(net)]) == Exit.INVALID
    assert capsys.readouterr().out == DIFF
    assert content(net) == before


def test_diff_cannot_steer_a_terminal(net: Path, capsys: Capture) -> None:
    """Unseen characters of the repository are escaped, and so are CR and mark."""
    text = "\ufeffa: b  # \u200b\r\nusers: {}\r\n"
    (net / "ugly.yaml").write_bytes(text.encode())
    run(["fmt", "--diff", str(net)])
    out = capsys.readouterr().out
    assert "-\\ufeffa: b  # \\u200b\\x0d\n" in out
    assert "+a: b  # \\u200b\n" in out


def test_what_is_no_part_is_left_alone(net: Path, capsys: Capture) -> None:
    """Excluded files, dot names, inner tailnets, JSON, and files of other kinds."""
    root = (net / "tailnet.yaml").read_text()
    (net / "tailnet.yaml").write_text(root + '\nexclude: [drafts/, "*.example.yaml"]\n')
    inner = "tailnet:\n    format: 1\n"
    for name, text in {
        "drafts/a.yaml": UGLY,
        "a.example.yaml": UGLY,
        ".hidden/a.yaml": UGLY,
        ".a.yaml": UGLY,
        "inner/tailnet.yaml": inner,
        "inner/a.yaml": UGLY,
        "a.json": '{"groups":{}}',
        "notes.txt": UGLY,
        "deep/down/a.yml": UGLY,
    }.items():
        (net / name).parent.mkdir(parents=True, exist_ok=True)
        (net / name).write_text(text)
    before = content(net)
    assert run(["fmt", str(net)]) == Exit.DONE
    assert capsys.readouterr() == ("deep/down/a.yml\nugly.yaml\n", "")
    after = content(net)
    assert {name for name in after if after[name] != before[name]} == {
        "deep/down/a.yml",
        "ugly.yaml",
    }


def test_a_folder_above_means_all_tailnets(net: Path, capsys: Capture) -> None:
    """From the top of a repository with several tailnets, each is formatted."""
    other = net.parent / "other"
    other.mkdir()
    for name in ("tailnet.yaml", "ugly.yaml"):
        (other / name).write_bytes((net / name).read_bytes())
    assert run(["fmt", str(net.parent)]) == Exit.DONE
    assert capsys.readouterr().out == "acme/ugly.yaml\nother/ugly.yaml\n"


def test_what_cannot_be_read_is_reported(net: Path, capsys: Capture) -> None:
    """A finding as of `check` on stderr, exit 3; the other files are formatted."""
    (net / "bad.yaml").write_text("groups:  [*]\n")
    (net / "ci.yml").write_text("on:   push\njobs: {}\n")
    before = content(net)
    assert run(["fmt", str(net)]) == Exit.INVALID
    out, err = capsys.readouterr()
    assert out == "ugly.yaml\n"
    assert "bad.yaml:1:11: error[yaml-quotes]: `*` begins an alias in YAML" in err
    assert "ci.yml:2:1: error[unknown-section]: this file has no section" in err
    assert content(net) == before | {"ugly.yaml": PRETTY.encode()}


@pytest.mark.parametrize(
    "text", ["tailnet: [}\n", "exclude: drafts/\n", "exclude: [{a: b}]\n"]
)
def test_unknown_excludes_stop_a_tailnet(net: Path, capsys: Capture, text: str) -> None:
    """Who can't read `exclude` must not touch what it may name."""
    (net / "tailnet.yaml").write_text(text)
    before = content(net)
    assert run(["fmt", str(net)]) == Exit.INVALID
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tailnet.yaml:1:")
    assert content(net) == before


def test_links_are_never_written_through(
    net: Path, tmp_path: Path, capsys: Capture
) -> None:
    """A link is a finding, named or found; what it leads to stays as it is."""
    target = tmp_path / "outside.yaml"
    target.write_text(UGLY)
    (net / "link.yaml").symlink_to(target)
    for argument in (net, net / "link.yaml"):
        assert run(["fmt", str(argument)]) == Exit.INVALID
        assert "link.yaml:1:1: error[not-a-file]" in capsys.readouterr().err
    assert (net / "link.yaml").is_symlink()
    assert target.read_text() == UGLY


def test_a_link_that_comes_later_is_not_followed(net: Path, tmp_path: Path) -> None:
    """Between listing and reading, and between reading and writing."""
    target = tmp_path / "outside.yaml"
    target.write_text(UGLY)
    (chosen,) = files.choose([net / "ugly.yaml"], [])
    result = files.outcome(chosen)
    (net / "ugly.yaml").unlink()
    (net / "ugly.yaml").symlink_to(target)
    assert files.outcome(chosen).error is not None
    files.write(chosen, result)
    assert target.read_text() == UGLY


def test_named_files(net: Path, capsys: Capture) -> None:
    """Only these, each once, excluded or not; JSON is left, other kinds are refused."""
    (net / "other.yaml").write_text(UGLY)
    (net / ".dot.yaml").write_text(UGLY)
    (net / "a.json").write_text("{ }")
    named = [str(net / name) for name in ("ugly.yaml", ".dot.yaml", "a.json")]
    assert run(["fmt", *named, named[0]]) == Exit.DONE
    assert capsys.readouterr().out == "ugly.yaml\n.dot.yaml\n"
    assert (net / "other.yaml").read_text() == UGLY
    assert (net / "a.json").read_text() == "{ }"
    assert run(["fmt", str(net / "none.yaml")]) == Exit.FAILED
    assert "no such file or folder" in capsys.readouterr().err
    (net / "x.txt").write_text("")
    assert run(["fmt", str(net / "x.txt")]) == Exit.USAGE
    assert "is not YAML" in capsys.readouterr().err


def test_a_folder_without_tailnet_is_no_success(
    tmp_path: Path, capsys: Capture
) -> None:
    """Nothing read is not the same as nothing to do."""
    assert run(["fmt", str(tmp_path)]) == Exit.FAILED
    assert "no tailnet.yaml" in capsys.readouterr().err


def test_one_failure_leaves_the_others(
    net: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that can't be formatted or written is exit 1; the rest is done."""
    # The comment describes the first rule by standing above both.
    refused = "# d\ngrants: [{src: a},\n  # e\n  {src: b}]\n"
    (net / "a.yaml").write_text(refused)
    (net / "b.yaml").write_text(UGLY)
    real = files.replace_file

    def replace(path: Path, before: bytes, after: bytes) -> None:
        if path.name == "b.yaml":
            raise SourceError("can't write b.yaml: it is full")
        real(path, before, after)

    monkeypatch.setattr(files, "replace_file", replace)
    assert run(["fmt", str(net)]) == Exit.FAILED
    out, err = capsys.readouterr()
    assert out == "ugly.yaml\n"
    assert "a.yaml can't be formatted without changing the description" in err
    assert "  help: put each rule on lines of its own" in err
    assert "error: can't write b.yaml: it is full" in err
    assert (net / "a.yaml").read_text() == refused
    assert (net / "b.yaml").read_text() == UGLY


def test_standard_input(net: Path) -> None:
    """`-` is a filter, bytes for bytes, and with --check a judge."""

    def filtered(text: str, *options: str) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            [sys.executable, "-m", "tailgit", "fmt", "-", *options],
            input=text.encode(),
            capture_output=True,
            env={**os.environ, "LC_ALL": "C", "PYTHONPATH": "controller"},
            cwd=Path(__file__).resolve().parents[2],
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert filtered(UGLY + "# ä\r\n") == (0, (PRETTY + "# ä\n").encode(), b"")
    assert filtered(UGLY, "--check") == (3, b"<stdin>\n", b"")
    assert filtered(PRETTY, "--check") == (0, b"", b"")
    assert filtered(UGLY, "--diff")[1] == DIFF.replace("ugly.yaml", "<stdin>").encode()
    code, out, err = filtered("a: [*]\n")
    assert (code, out) == (3, b"")
    assert b"<stdin>:1:5: error[yaml-quotes]" in err
    assert filtered(UGLY, "--format", "json")[0] == Exit.USAGE
    assert filtered(UGLY, str(net))[0] == Exit.USAGE


def test_json_lists_every_file(
    net: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One document: each file with its state, the diff if wanted, the findings."""
    (net / "bad.yaml").write_text("groups:  [*]\n")
    code = run(["fmt", "--check", "--diff", "--format", "json", str(net)])
    assert code == Exit.INVALID
    document = json.loads(capsys.readouterr().out)
    assert document["format_version"] == 1
    states = {each["file"]: each["state"] for each in document["files"]}
    assert states == {
        "bad.yaml": "invalid",
        "devices.yaml": "canonical",
        "policy.yaml": "canonical",
        "tailnet.yaml": "canonical",
        "ugly.yaml": "not-canonical",
    }
    assert document["files"][-1]["diff"] == DIFF.split("\n")[:-1]
    (found,) = document["findings"]
    assert (found["code"], found["file"], found["line"]) == (
        "yaml-quotes",
        "bad.yaml",
        1,
    )
    run(["fmt", "--format", "json", str(net)])
    document = json.loads(capsys.readouterr().out)
    assert document["files"][-1] == {"file": "ugly.yaml", "state": "formatted"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(UGLY.encode())))
    assert run(["fmt", "-", "--check", "--format", "json"]) == Exit.INVALID
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == [{"file": "<stdin>", "state": "not-canonical"}]
