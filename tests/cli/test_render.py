"""`tailgit render`: the files, where they go and what they never overwrite."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.cli.render import MARK, replace_folder
from tailgit.errors import Exit, Refused

Capture = pytest.CaptureFixture[str]


def test_folder_holds_exactly_what_was_written(tmp_path: Path) -> None:
    """A second rendering leaves nothing of the first, and no temporary folder."""
    folder = tmp_path / "out"
    replace_folder(folder, [("a/x", b"1"), ("b/x", b"2")])
    replace_folder(folder, [("a/y", b"3")])
    assert sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()) == [
        Path(MARK),
        Path("a/y"),
    ]
    assert list(tmp_path.iterdir()) == [folder]


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    """A folder with somebody's files in it stays as it is."""
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(Refused, match="was not written by tailgit"):
        replace_folder(tmp_path, [("a/x", b"1")])
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    """A file is no folder to write into."""
    path = tmp_path / "out"
    path.write_text("precious")
    with pytest.raises(Refused):
        replace_folder(path, [("a/x", b"1")])
    assert path.read_text() == "precious"


def test_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    """If the files can't all be made, what was there is still there, whole."""
    folder = tmp_path / "out"
    replace_folder(folder, [("a/x", b"1")])

    def broken() -> object:
        yield "a/x", b"2"
        raise RuntimeError("compiler fault")

    with pytest.raises(RuntimeError):
        replace_folder(folder, broken())  # type: ignore[arg-type]
    assert (folder / "a" / "x").read_bytes() == b"1"
    assert list(tmp_path.iterdir()) == [folder]


def test_list_of_nodes_ends_with_the_compiled_digest(
    acme: Path, capsys: Capture
) -> None:
    """The digest is that of the sorted lines NODE<TAB>MANIFEST-DIGEST."""
    assert run(["render", "--repo", str(acme)]) == Exit.DONE
    *nodes, last = capsys.readouterr().out.splitlines()
    digests = dict(reversed(line.split("  ")) for line in nodes)
    assert sorted(digests) == ["ana-laptop", "db-1"]
    lines = "".join(f"{name}\t{digests[name]}\n" for name in sorted(digests))
    assert last == f"# compiled {sha256(lines.encode()).hexdigest()}"


def test_written_files_match_their_manifest(acme: Path, tmp_path: Path) -> None:
    """Each node's folder holds its files, and its manifest has their digests."""
    out = tmp_path / "out"
    assert run(["render", "--repo", str(acme), "--out", str(out)]) == Exit.DONE
    for node in ("db-1", "ana-laptop"):
        manifest = (out / node / "manifest").read_text()
        listed = dict(
            reversed(line.split("  ")) for line in manifest.splitlines() if "  " in line
        )
        names = {p.name for p in (out / node).iterdir()} - {"manifest"}
        assert set(listed) == names
        assert {"wireguard.conf", "firewall.nft", "interface", "hosts"} <= names
        for name, digest in listed.items():
            assert sha256((out / node / name).read_bytes()).hexdigest() == digest
    assert not (out / "ana-new").exists()


def test_one_node_is_printed(acme: Path, capsys: Capture) -> None:
    """A named node's files come one after the other, each under its name."""
    assert run(["render", "db-1", "--repo", str(acme)]) == Exit.DONE
    printed = capsys.readouterr().out
    assert "# db-1/wireguard.conf\n[Interface]\n" in printed
    assert "# db-1/firewall.nft\ntable inet tailgit_acme {}\n" in printed
    assert "PrivateKey" not in printed


def test_wg_quick_form_is_named_like_the_interface(acme: Path, tmp_path: Path) -> None:
    """wg-quick names the interface after the file."""
    out = tmp_path / "out"
    arguments = ["render", "db-1", "--wg-quick", "--repo", str(acme), "--out", str(out)]
    assert run(arguments) == Exit.DONE
    assert [p.name for p in (out / "db-1").iterdir()] == ["tg-acme.conf"]
    assert "Address = " in (out / "db-1" / "tg-acme.conf").read_text()


def test_device_without_files_is_explained(acme: Path, capsys: Capture) -> None:
    """A device that awaits its key gets nothing yet; an unknown one is guessed."""
    assert run(["render", "ana-new", "--repo", str(acme)]) == Exit.USAGE
    assert "`ana-new` gets no files: it awaits its key" in capsys.readouterr().err
    assert run(["render", "db-2", "--repo", str(acme)]) == Exit.USAGE
    assert "did you mean `db-1`?" in capsys.readouterr().err
