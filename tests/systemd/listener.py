"""A Python process of the test in the network that a machine has now.

It is no process of the machine: it may listen before systemd starts and after it ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.systemd.machine import Machine


class Listener:
    """Runs `script`, which prints `ready`, waits for a line and prints JSON."""

    def __init__(self, machine: Machine, script: str, *words: str) -> None:
        command = [sys.executable, "-I", "-c", script, *words]
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/proc/{machine.pid}/ns/net", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        machine.when_off.append(self._kill)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self) -> Any:
        said, _ = self._process.communicate(b"stop\n", timeout=20)
        return json.loads(said)

    def _kill(self) -> None:
        with self._process as process:
            process.kill()
