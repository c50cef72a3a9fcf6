"""A connection that a command of the operator's makes: `ProxyCommand`.

The command stands in the operator's own file and is run as ssh would run it, by a
shell, talking SSH on its standard input and output. What it says on standard error is
kept for the message if the connection fails.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tailgit.errors import TailgitError, Unreachable
from tailgit.model.text import shown

END_SECONDS = 2.0
STDERR_BYTES = 2000


@asynccontextmanager
async def proxied(command: str) -> AsyncIterator[socket.socket]:
    """A socket to what `command` connects to; the command ends with it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                f"exec {command}",
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        assert process.stderr is not None
        said = asyncio.create_task(_last_line(process.stderr))
        try:
            yield ours
        except Unreachable as error:
            await asyncio.wait([said], timeout=0.2)
            line = said.result() if said.done() and not said.cancelled() else ""
            words = f"; ProxyCommand says: {shown(line)}" if line else ""
            raise Unreachable(error.node, error.message + words, error.help) from None
        finally:
            said.cancel()
            await _end(process)


async def _last_line(stream: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stream.read(4096):
        kept = (kept + chunk)[-STDERR_BYTES:]
    return (kept.decode(errors="replace").strip().splitlines() or [""])[-1]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the command and what it started; they are a process group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
                return
    raise TailgitError(f"process {process.pid}, a ProxyCommand, does not end")
