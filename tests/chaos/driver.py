"""Runs `tailgit` on the controller and stops at every boundary of every request.

It is the real program over real SSH; only `AsyncSsh.connect` is wrapped, to tell the
test on standard output `NODE VERB MOMENT` and to wait on standard input for what
shall happen there: `go`, `die` (SIGKILL), `cut` (the connection is gone), `half` (the
request breaks off in the middle of what it sends), `spoil` (it sends other ports than
were signed). What tailgit prints goes to a file.

What `stage` sends is kept in the folder SENT as NODE, what two runs before sent as
NODE.older: that is older than anything that the node holds for its newest.

    python driver.py OUTPUT SENT WORD...
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tailgit import cli
from tailgit.deploy.ssh import AsyncSsh, Login, Reply, Session
from tailgit.errors import Unreachable

_connect = AsyncSsh.connect
_say = os.fdopen(os.dup(1), "w", buffering=1)
_hear = os.fdopen(os.dup(0), "r", buffering=1)


def boundary(node: str, verb: str, moment: str) -> str:
    """Tell where we are and do what is asked; `half` and `cut` are left to the caller.

    Everything waits meanwhile, also other nodes: a fault has one place.
    """
    print(node, verb, moment, file=_say)
    told = _hear.readline().strip() or "go"
    if told == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return told


def keep(node: str, parcel: bytes) -> None:
    """Write down what is sent, and keep what runs before sent."""
    file = Path(sys.argv[2], node)
    file.parent.mkdir(exist_ok=True)
    if file.exists() and file.read_bytes() != parcel:
        if Path(f"{file}.old").exists():
            Path(f"{file}.old").replace(f"{file}.older")
        file.replace(f"{file}.old")
    file.write_bytes(parcel)


class Watched:
    """A session whose requests can be broken before, during and after."""

    def __init__(self, node: str, session: Session) -> None:
        self._node = node
        self._session = session

    async def run(self, command: str, *, stdin: bytes = b"", seconds: float) -> Reply:
        verb = command.split()[0]
        if verb == "stage":
            keep(self._node, stdin)
        told = boundary(self._node, verb, "before")
        if told == "half":
            await self._half(command, stdin)
        if told in ("cut", "half"):
            self._cut()
        if told == "spoil":
            stdin = stdin.replace(b"8080", b"8081").replace(b"9090", b"9091")
        work = asyncio.create_task(
            self._session.run(command, stdin=stdin, seconds=seconds)
        )
        await asyncio.sleep(0.04)
        if boundary(self._node, verb, "during") in ("cut", "half"):
            work.cancel()
            await asyncio.wait([work])
            self._cut()
        reply = await work
        if boundary(self._node, verb, "after") in ("cut", "half"):
            self._cut()
        return reply

    async def _half(self, command: str, stdin: bytes) -> None:
        """Send the first half and break the connection under the node's hands."""
        process = await self._session._connection.create_process(  # type: ignore[attr-defined]
            command, encoding=None
        )
        process.stdin.write(stdin[: len(stdin) // 2])
        await process.stdin.drain()

    def _cut(self) -> None:
        self._session._connection.abort()  # type: ignore[attr-defined]
        raise Unreachable(self._node, "the connection was cut by the test")


@asynccontextmanager
async def connect(self: AsyncSsh, login: Login) -> AsyncIterator[Session]:
    async with _connect(self, login) as session:
        yield Watched(login.node, session)


if __name__ == "__main__":
    output = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    AsyncSsh.connect = connect  # type: ignore[method-assign]
    sys.exit(cli.run(sys.argv[3:]))
