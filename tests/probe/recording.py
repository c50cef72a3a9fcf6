"""An executor that remembers what it started, so that a test can kill it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tailgit.lab import Lab


class Recording:
    """A lab whose spawned commands are kept, newest last."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.python = lab.python
        self.spawned: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[bytes]:
        return self._lab.run(machine, argv, input=input, timeout=timeout)

    def spawn(self, machine: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        self.spawned.append(self._lab.spawn(machine, argv))
        return self.spawned[-1]
