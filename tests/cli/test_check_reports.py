"""`tailgit check`: forms, reports, several tailnets, time and strictness."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tailgit.cli import run
from tailgit.errors import Exit
from tests.load.files import ACME, write

Capture = pytest.CaptureFixture[str]


def break_policy(root: Path) -> None:
    policy = root / "policy.yaml"
    policy.write_text(policy.read_text().replace("group:data-team", "group:dta-team"))


def second(acme: Path, name: str, ipv4: str, ipv6: str) -> Path:
    """Another tailnet beside `acme`, with ranges of its own."""
    other = acme.parent / name
    other.mkdir()
    for file in acme.iterdir():
        text = file.read_text().replace("100.64.0.0/10", ipv4)
        text = text.replace("fd5c:91aa:7be0::/48", ipv6)
        (other / file.name).write_text(text.replace("name: acme", f"name: {name}"))
    return other


def test_one_run_writes_several_reports(
    acme: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Each --report has its file, and --format says what is printed."""
    break_policy(acme)
    options = [
        *("--report", f"sarif={tmp_path / 'a.sarif'}"),
        *("--report", f"junit={tmp_path / 'b.xml'}"),
        *("--report", f"gitlab={tmp_path / 'c.json'}"),
    ]
    assert run(["check", str(acme), "--format", "json", *options]) == Exit.INVALID
    printed = json.loads(capsys.readouterr().out)
    assert "unknown-group" in {each["code"] for each in printed["findings"]}
    assert json.loads((tmp_path / "a.sarif").read_text())["version"] == "2.1.0"
    assert ElementTree.parse(tmp_path / "b.xml").getroot().tag == "testsuites"
    assert json.loads((tmp_path / "c.json").read_text())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("a.sarif", "acme", "b.xml", "c.json")
    ]


def test_report_to_stdout_takes_the_place_of_text(acme: Path, capsys: Capture) -> None:
    """`--report json=-` prints one document and nothing else."""
    assert run(["check", str(acme), "--report", "json=-"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["valid"] is True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--report", "xml=a"], "--report xml=a: not FORM=FILE"),
        (["--report", "json"], "--report json: not FORM=FILE"),
        (["--report", "json="], "--report json=: not FORM=FILE"),
        (["--report", "json=-", "--report", "text=-"], "two reports to standard out"),
        (["--format", "text", "--report", "json=-"], "two reports to standard out"),
        (["--report", "json=a", "--report", "text=./a"], "two reports to `./a`"),
        (["--watch", "--commit", "HEAD"], "--watch prints text"),
        (["--watch", "--report", "json=a"], "--watch prints text"),
        (["--watch", "--format", "json"], "--watch prints text"),
        (["--at", "tomorrow"], "--at: `tomorrow` is neither a date nor a time"),
        (["--at", "2027-01-31T10:00:00"], "does not say its offset"),
    ],
)
def test_odd_options_are_usage_errors(
    options: list[str], said: str, acme: Path, capsys: Capture
) -> None:
    """64, before anything is read or written."""
    assert run(["check", str(acme), *options]) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert "  help: " in printed.err


def test_report_needs_its_folder(acme: Path, tmp_path: Path, capsys: Capture) -> None:
    """A file that can't be written is exit 1, names itself, and leaves nothing."""
    missing = tmp_path / "no" / "a.json"
    assert run(["check", str(acme), "--report", f"json={missing}"]) == Exit.FAILED
    assert capsys.readouterr().err == (
        f"tailgit: error: can't write the report `{missing}`: No such file or "
        "directory\n  help: its folder must be there\n"
    )


def test_report_is_replaced_whole(acme: Path, tmp_path: Path) -> None:
    """A reader of the old file keeps it, and the umask holds."""
    file = tmp_path / "a.json"
    file.write_text("old")
    mask = os.umask(0o027)
    try:
        with file.open() as old:
            assert run(["check", str(acme), "--report", f"json={file}"]) == Exit.DONE
            assert old.read() == "old"
    finally:
        os.umask(mask)
    assert json.loads(file.read_text())["valid"] is True
    assert file.stat().st_mode & 0o777 == 0o640


def test_report_to_a_pipe_is_written_to_it(acme: Path, tmp_path: Path) -> None:
    """What is no regular file (`/dev/null`, a pipe) is never replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    assert run(["check", str(acme), "--report", f"json={pipe}"]) == Exit.DONE
    reader.join(10)
    assert json.loads("".join(got))["valid"] is True
    assert pipe.is_fifo()


def test_github_form_appends_to_the_jobs_summary(
    acme: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Annotations are printed, the whole table goes behind what the file has."""
    break_policy(acme)
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run(["check", str(acme), "--format", "github"]) == Exit.INVALID
    printed = capsys.readouterr()
    assert "::error file=policy.yaml,line=3,col=" in printed.out
    assert printed.err == ""
    assert summary.read_text().startswith("before\n### tailgit check\n")
    assert "unknown-group" in summary.read_text()
    run(["check", str(acme)])
    assert summary.read_text().count("### tailgit") == 1


def test_full_summary_is_said(
    acme: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub drops a summary over 1 MiB whole, so nothing is added to a full one."""
    summary = tmp_path / "summary.md"
    summary.write_bytes(b"x" * (1 << 20))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run(["check", str(acme), "--format", "github"]) == Exit.DONE
    assert "note: the job's summary was not written: it is full" in (
        capsys.readouterr().err
    )
    assert summary.stat().st_size == 1 << 20


def test_every_tailnet_below_the_path(acme: Path, capsys: Capture) -> None:
    """All are checked, findings by folder, then a line each; one error is exit 3."""
    beta = second(acme, "beta", "10.9.0.0/16", "fd00:9::/48")
    assert run(["check", str(acme.parent), "--no-local"]) == Exit.DONE
    last = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(",")[0] for line in last] == [
        "acme: 3 devices",
        "beta: 3 devices",
    ]
    break_policy(beta)
    assert run(["check", str(acme.parent), "--no-local"]) == Exit.INVALID
    assert "beta/policy.yaml:3:" in capsys.readouterr().out
    assert run(["check", str(acme), "--no-local"]) == Exit.DONE


def test_tailnets_that_clash(acme: Path, capsys: Capture) -> None:
    """One name twice is an error, one range twice a warning."""
    other = second(acme, "beta", "100.64.0.0/10", "fd00:9::/48")
    assert run(["check", str(acme.parent), "--no-local"]) == Exit.DONE
    assert "beta/tailnet.yaml:2:3: warning[range-shared]: " in capsys.readouterr().out
    file = other / "tailnet.yaml"
    file.write_text(file.read_text().replace("name: beta", "name: acme"))
    assert run(["check", str(acme.parent), "--no-local"]) == Exit.INVALID
    assert "beta/tailnet.yaml:2:3: error[tailnet-clash]: " in capsys.readouterr().out


def test_several_tailnets_of_a_revision(acme: Path, capsys: Capture) -> None:
    """--commit reads all of them from git, whatever the files say now."""
    second(acme, "beta", "10.9.0.0/16", "fd00:9::/48")

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        command = ["git", "-C", str(acme.parent), *identity, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "all")
    break_policy(acme)
    options = ["--commit", "HEAD", "--no-local", "--format", "json"]
    assert run(["check", str(acme.parent), *options]) == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert [each["root"] for each in document["tailnets"]] == ["acme", "beta"]
    assert len(document["commit"]) == 40


def test_too_many_tailnets_are_refused(tmp_path: Path, capsys: Capture) -> None:
    """Each costs a load, and a branch may hold any number."""
    for number in range(101):
        (tmp_path / f"t{number}").mkdir()
        (tmp_path / f"t{number}" / "tailnet.yaml").write_text("tailnet: {}\n")
    assert run(["check", str(tmp_path)]) == Exit.USAGE
    assert "101 tailnets, and one check takes 100" in capsys.readouterr().err


def test_strict_counts_warnings(acme: Path, capsys: Capture) -> None:
    """Without it a warning is exit 0; the text is the same."""
    root = acme / "tailnet.yaml"
    root.write_text(f"{root.read_text()}exclude: [drafts/]\n")
    assert run(["check", str(acme), "--no-local"]) == Exit.DONE
    printed = capsys.readouterr().out
    assert "warning[unused-exclude]" in printed
    assert run(["check", str(acme), "--no-local", "--strict"]) == Exit.INVALID
    assert capsys.readouterr().out == printed


def test_a_report_never_goes_through_a_link(tmp_path: Path) -> None:
    """A link of the report's name in the repository can't choose another file."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "check.xml").symlink_to(precious)
    folder = tmp_path / "net"
    write(folder, dict(ACME))
    flags = ["--report", f"junit={tmp_path / 'check.xml'}"]
    assert run(["check", str(folder), *flags]) == Exit.FAILED
    assert precious.read_text() == "mine"
