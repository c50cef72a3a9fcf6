"""`tailgit check --watch`, as a process that files are changed under."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import ROOT

PATIENCE = 20.0


class Watched:
    """A running `check --watch` and what it has printed so far."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tailgit", "check", str(path), "--watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "controller")},
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def wait(self, text: str, after: int = 0) -> int:
        """The number of lines up to one with `text`, once that is printed."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for number, line in enumerate(self.lines[after:], after):
                if text in line:
                    return number + 1
            time.sleep(0.02)
        raise AssertionError(f"no {text!r} in {''.join(self.lines[after:])}")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """The exit code, once the process has ended by itself."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def close(self) -> None:
        """End it, however far it is."""
        self.process.kill()
        self.end()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def watched(acme: Path) -> Iterator[Watched]:
    running = Watched(acme)
    try:
        running.wait("Ctrl-C ends it")
        yield running
    finally:
        running.close()


def test_mistake_comes_and_goes(acme: Path, watched: Watched) -> None:
    """A finding appears with the mistake and goes with it; Ctrl-C is 130, quietly."""
    policy = acme / "policy.yaml"
    good = policy.read_text()
    policy.write_text(good.replace("group:data-team", "group:dta-team"))
    at = watched.wait("error[unknown-group]")
    assert any(
        line.startswith("=== ") and line.endswith("  policy.yaml\n")
        for line in watched.lines
    )
    at = watched.wait("1 error", at)
    policy.write_text(good)
    end = watched.wait("acme: 3 devices", at)
    assert "error" not in "".join(watched.lines[at:end])
    assert watched.interrupt() == 130
    assert "Traceback" not in "".join(watched.lines)


def test_nothing_happens_without_a_change(acme: Path, watched: Watched) -> None:
    """Reading is no change, nor is what an editor keeps beside a file."""
    before = len(watched.lines)
    (acme / ".policy.yaml.swp").write_text("x")
    (acme / "policy.yaml~").write_text("x")
    (acme / "policy.yaml").read_text()
    time.sleep(1.5)
    assert watched.lines[before:] == []
    assert watched.interrupt() == 130


def test_a_save_is_one_run(acme: Path, watched: Watched) -> None:
    """Many writes at once are checked once, when they are over."""
    before = len(watched.lines)
    for number in range(20):
        (acme / f"n{number}.yaml").write_text("groups: {}\n")
    watched.wait("acme: 3 devices", before)
    time.sleep(0.8)
    assert sum(line.startswith("=== ") for line in watched.lines) == 1


def test_repository_that_is_gone_for_a_while(acme: Path, watched: Watched) -> None:
    """A checkout may take the folder away and put another there; watching goes on."""
    away = acme.with_name("away")
    shutil.copytree(acme, away)
    shutil.rmtree(acme)
    at = watched.wait("tailgit: error: ")
    away.rename(acme)
    at = watched.wait("acme: 3 devices", at)
    policy = acme / "policy.yaml"
    policy.write_text(policy.read_text().replace("group:data-team", "group:dta-team"))
    watched.wait("error[unknown-group]", at)
    assert watched.interrupt() == 130


def test_included_file_is_watched(acme: Path) -> None:
    """Also one that lies elsewhere in the repository."""
    subprocess.run(["git", "init", "-q", str(acme.parent)], check=True)
    shared = acme.parent / "shared"
    shared.mkdir()
    (shared / "people.yaml").write_text("users: {}\n")
    root = acme / "tailnet.yaml"
    root.write_text(f"{root.read_text()}include: [../shared/people.yaml]\n")
    running = Watched(acme)
    try:
        at = running.wait("Ctrl-C ends it")
        (shared / "people.yaml").write_text("usres: {}\n")
        running.wait("error[unknown-section]", at)
        assert running.interrupt() == 130
    finally:
        running.close()


def test_nothing_to_watch_is_an_error(tmp_path: Path) -> None:
    """A folder without a tailnet is said at once, as without --watch."""
    running = Watched(tmp_path)
    try:
        assert running.end() == 1
        running.wait("no tailnet.yaml")
    finally:
        running.close()


def test_watchdog_is_loaded_for_watch_alone(acme: Path) -> None:
    """A check costs nothing for what it does not use."""
    code = (
        "import sys; from tailgit.cli import run\n"
        f"assert run(['check', {str(acme)!r}]) == 0\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'watchdog', 'rich'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "controller")},
    )
    assert done.stdout.splitlines()[-1] == "[]"
