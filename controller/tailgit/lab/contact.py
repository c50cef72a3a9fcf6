"""From outside: start a supervisor, find the labs that run, ask one, end one.

`supervisor` has the other side, and says what the lines between them mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tailgit
from tailgit.errors import LabError
from tailgit.lab.requirements import ADMIN_PATH

_SOCKET = "tailgit-lab/"
_START_LIMIT = 30.0
_ANSWER_LIMIT = 60.0
_END_LIMIT = 20.0


def running() -> tuple[str, ...]:
    """The names of the labs that run on this machine, in order."""
    prefix = f"@{_SOCKET}"
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    names = (line.split()[-1] for line in lines if prefix in line)
    return tuple(sorted({name.removeprefix(prefix) for name in names}))


def start(about: Mapping[str, Any]) -> int:
    """Start the supervisor; the end of the pipe that keeps the lab alive."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"\0{_SOCKET}{about['name']}")
    except OSError:
        listener.close()
        raise LabError(
            f"lab {about['name']} is already up",
            f"tailgit lab down --name {about['name']}, or choose another --name",
        ) from None
    alive, ours = os.pipe()
    with listener:
        arguments = [json.dumps(about), str(listener.fileno()), str(alive)]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tailgit.lab.supervisor", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(listener.fileno(), alive),
            env={"PATH": ADMIN_PATH, "PYTHONPATH": package_root()},
            cwd="/",
            start_new_session=True,
            timeout=_START_LIMIT,
        )
    os.close(alive)
    if done.returncode != 0:
        os.close(ours)
        raise LabError(f"the lab did not start: {done.stderr.decode().strip()}")
    return ours


def _connect(name: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(_ANSWER_LIMIT)
    try:
        client.connect(f"\0{_SOCKET}{name}")
    except OSError:
        client.close()
        others = ", ".join(running())
        raise LabError(
            f"no lab {name} is up",
            f"these are: {others}" if others else "tailgit lab up starts one",
        ) from None
    return client


def ask(name: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one request; `LabError` if it is an error, or there is none."""
    with _connect(name) as client, client.makefile("rwb") as stream:
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        try:
            line = stream.readline()
        except TimeoutError:
            raise LabError(f"lab {name} does not answer") from None
    if not line.endswith(b"\n"):
        raise LabError(f"lab {name} ended while it was asked")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise LabError(answer["error"], answer["help"])
    return answer


def end(name: str) -> None:
    """Kill the PID 1 of a lab: the kernel kills the rest before that is over."""
    try:
        with _connect(name) as client:
            peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            process = os.pidfd_open(struct.unpack("3i", peer)[0])
    except (LabError, ProcessLookupError):
        return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)
    ended = select.poll()
    ended.register(process, select.POLLIN)
    gone = ended.poll(_END_LIMIT * 1000)
    os.close(process)
    if not gone:
        raise LabError(f"lab {name} does not end")


def package_root() -> str:
    """Where `import tailgit` finds us, also uninstalled."""
    return str(Path(tailgit.__file__).resolve().parents[1])
