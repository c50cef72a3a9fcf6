"""Whoever is killed, and when: nothing of a lab is left on this machine."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailgit.lab import Lab, running

pytestmark = pytest.mark.live

SCRIPT = """
import sys, time
from tailgit.lab import Lab
from tests.lab.small import topology
lab = Lab.up(topology(sys.argv[1]), progress=lambda text: print(text, flush=True))
if len(sys.argv) > 2:
    lab.stay()
print("up", flush=True)
time.sleep(60)
"""

ROOT = Path(__file__).parents[2]
MOMENTS = ("started", "named", "lab", "addresses", "up")


def marked(mark: int) -> list[str]:
    """Every living process that has our odd limit, which children inherit.

    A dead one that the host's PID 1 has yet to collect is
    not ours to collect.
    """
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            limits = (process / "limits").read_text() if process.name.isdigit() else ""
            if f" {mark} " in limits and "(zombie)" not in _status(process):
                found.append(_status(process))
    return found


def _status(process: Path) -> str:
    return (process / "status").read_text()


def traces() -> tuple[object, ...]:
    """What a lab could leave that is not a process: mounts, links, names, files."""
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, check=True)
    netns = Path("/run/netns")
    return (
        Path("/proc/self/mounts").read_text(),
        [line.split()[0] for line in links.stdout.splitlines()],
        sorted(path.name for path in Path("/run").iterdir()),
        sorted(path.name for path in netns.iterdir()) if netns.is_dir() else [],
    )


@contextlib.contextmanager
def started(
    name: str, mark: int, scratch: Path, *more: str
) -> Iterator[subprocess.Popen[str]]:
    """A process that builds a lab and says how far it is, line by line."""

    def set_mark() -> None:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (mark, mark))

    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name, *more],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=set_mark,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'controller'}:{ROOT}",
            "TMPDIR": str(scratch),
        },
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], name: str, moment: str) -> None:
    if moment == "started":
        return
    deadline = time.monotonic() + 20
    if moment == "named":
        while name not in running() and time.monotonic() < deadline:
            time.sleep(0.001)
        return
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(moment):
            return
    pytest.fail(f"the lab never was at `{moment}`")


def assert_nothing_is_left(
    name: str, mark: int, before: tuple[object, ...], scratch: Path
) -> None:
    deadline = time.monotonic() + 10
    while (marked(mark) or name in running()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []
    assert name not in running()
    while traces() != before and time.monotonic() < deadline:
        time.sleep(0.05)  # the kernel takes links away a moment after the namespaces
    assert traces() == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_killing_up_leaves_nothing(moment: str, tmp_path: Path) -> None:
    """kill -9 of the process that builds a lab, at five moments."""
    name, mark = f"kill-{os.getpid()}-{moment}", 600_000 + os.getpid()
    before = traces()
    with started(name, mark, tmp_path) as process:
        wait_for(process, name, moment)
        if moment != "started":
            assert len(marked(mark)) >= 2  # so that the mark is known to work
        process.kill()
    assert_nothing_is_left(name, mark, before, tmp_path)


@pytest.mark.parametrize("victim", ["first process", "worker"])
def test_killing_the_supervisor_leaves_nothing(victim: str, tmp_path: Path) -> None:
    """kill -9 of PID 1 of a lab that stays, or of the worker beside it."""
    name, mark = f"super-{os.getpid()}-{victim[0]}", 600_000 + os.getpid()
    before = traces()
    with started(name, mark, tmp_path, "stay") as process:
        wait_for(process, name, "up")
        process.kill()
    with contextlib.suppress(OSError):
        assert len(Lab.open(name).nodes) == 2  # it outlived the process that made it
    first = _first_process(name)
    if victim == "first process":
        os.kill(first, signal.SIGKILL)
    else:
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        os.kill(min(map(int, children)), signal.SIGKILL)
    assert_nothing_is_left(name, mark, before, tmp_path)


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """`down` returns once the last process of the lab is gone."""
    name, mark = f"down-{os.getpid()}", 600_000 + os.getpid()
    before = traces()
    with started(name, mark, tmp_path, "stay") as process:
        wait_for(process, name, "up")
        process.kill()
    assert len(marked(mark)) >= 6
    Lab.open(name).down()
    assert marked(mark) == []
    assert_nothing_is_left(name, mark, before, tmp_path)


def _first_process(name: str) -> int:
    """PID 1 of a lab: the parent of all its machines' first processes."""
    machine = Lab.open(name).pid("node-a")
    status = Path(f"/proc/{machine}/status").read_text()
    return int(status.split("PPid:")[1].split()[0])
