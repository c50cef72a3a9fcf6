"""The files around the code: the Makefile's promises, scripts, what must not be in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT, files

TARGETS = {"demo", "test", "check", "lab", "golden", "docs", "wheel", "bench"}


def test_bare_make_prints_every_target() -> None:
    """`make` alone is the help, and the help names all there is."""
    printed = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    named = set(re.findall(r"^  make (\w+) +\S", printed, re.MULTILINE))
    declared = set(
        re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    assert named == declared
    assert named >= TARGETS


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_target_sets_up_what_it_needs(target: str) -> None:
    """Each target runs the set-up first, so it works on a bare machine."""
    commands = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert commands[0] == "scripts/setup"
    assert len(commands) > 1


def test_ci_runs_what_people_run() -> None:
    """`.ci/run` is `make test` and nothing of its own."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1] == "exec make test"


def shell_scripts() -> list[str]:
    return [
        name
        for name in files()
        if re.match(rb"#!.*\b(sh|bash|dash)\b", (ROOT / name).read_bytes()[:60])
    ]


def test_shell_scripts_are_clean() -> None:
    """ShellCheck has nothing to say about any script, wherever it lies."""
    scripts = shell_scripts()
    assert "scripts/setup" in scripts
    done = subprocess.run(
        ["shellcheck", *scripts], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_no_file_names_this_machine() -> None:
    """No path of this checkout or its venv, and no package index of its own."""
    # A checkout right below / would make every absolute path suspicious.
    places = {str(path) for path in (ROOT, Path(sys.prefix)) if len(path.parts) > 2}
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    ).stdout
    hosts = set(re.findall(r"https?://(?:[^@/\s']*@)?([^/:\s']+)", configured))
    unwanted = places | (hosts - {"pypi.org"})
    found = [
        f"{name}: {text}"
        for name in files()
        for text in unwanted
        if text.encode() in (ROOT / name).read_bytes()
    ]
    assert found == []


def test_nothing_that_is_shipped_is_ignored() -> None:
    """A .gitignore pattern that hits a data file would drop it from the sdist."""
    for folder in ("node", "policies", "schemas", "templates"):
        kept = set(files(folder))
        there = {
            str(path.relative_to(ROOT))
            for path in (ROOT / folder).rglob("*")
            if path.is_file()
        }
        assert there == kept
