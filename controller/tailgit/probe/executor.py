"""How probes get onto machines: the one seam between them and a lab, or SSH."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tailgit.errors import TailgitError

_LIMIT = 10.0


class Executor(Protocol):
    """Runs commands on machines by name; `TailgitError` for a machine it can't reach.

    `python` is the interpreter there. A spawned process has pipes as stdin and
    stdout, and `kill` ends what runs on the machine.
    """

    python: str

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002
        timeout: float = ...,
    ) -> subprocess.CompletedProcess[bytes]: ...

    def spawn(self, machine: str, argv: Sequence[str]) -> subprocess.Popen[bytes]: ...


class Gone(Exception):
    """An agent ended or fell silent; the text says which machine and why."""


class Agent:
    """A running `tailgit.probe.agent` on a machine: one JSON line each way.

    It is sent as an argument, so a machine needs Python and nothing of ours. It ends
    with its standard input.
    """

    def __init__(self, executor: Executor, machine: str, role: str) -> None:
        self.machine = machine
        self._rest = b""
        argv = [executor.python, "-I", "-c", _source(), role]
        try:
            self._process = executor.spawn(machine, argv)
        except (TailgitError, OSError) as error:
            raise Gone(f"{machine}: {error}") from None

    def say(self, request: Mapping[str, Any]) -> None:
        """Send one request; its answer is what `hear` returns next."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise Gone(f"the agent on {self.machine} has ended") from None

    def hear(self, limit: float = _LIMIT) -> dict[str, Any]:
        """The next answer; `Gone` if none comes within `limit` seconds."""
        assert self._process.stdout is not None
        stdout, deadline = self._process.stdout.fileno(), time.monotonic() + limit
        waiting = select.poll()
        waiting.register(stdout, select.POLLIN)
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not waiting.poll(left * 1000):
                raise Gone(f"the agent on {self.machine} does not answer")
            chunk = os.read(stdout, 65536)
            if not chunk:
                raise Gone(f"the agent on {self.machine} has ended")
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if "fault" in answer:
            raise Gone(f"the agent on {self.machine}: {answer['fault']}")
        return answer

    def ask(self, request: Mapping[str, Any], limit: float = _LIMIT) -> dict[str, Any]:
        """`say`, then `hear`."""
        self.say(request)
        return self.hear(limit)

    def close(self) -> None:
        """End the agent, at once."""
        self._process.kill()
        self._process.wait(_LIMIT)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # a request that it did not live to read

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@cache
def _source() -> str:
    from tailgit.probe import agent

    return Path(agent.__file__).read_text()
