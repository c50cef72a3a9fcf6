"""One exec on an open SSH connection: bytes there, what is written comes back.

asyncssh's own process has a reader, a writer and their locks for each of three pipes.
A request needs none of that: it is sent whole, and nobody looks at half an answer. On a
fleet that is a third of what a request costs us.

Imports asyncssh, so it is imported where a connection is there already.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncssh

from tailgit.deploy.answer import LARGEST
from tailgit.errors import BadAnswer

STDERR_BYTES = 2000
_CHUNK = 65536


class Exchange(asyncssh.SSHClientSession[bytes]):
    """Sends `stdin` and its end, and gathers what `node` writes, up to a limit.

    It takes and gives at the same time: a node may answer before it read everything.
    """

    def __init__(self, node: str, stdin: bytes) -> None:
        self._node = node
        self._left = memoryview(stdin)
        self._full = False
        self._parts: dict[asyncssh.DataType, list[bytes]] = {}
        self._sizes: dict[asyncssh.DataType, int] = {}
        self._error: Exception | None = None
        self._ended = asyncio.get_running_loop().create_future()

    async def end(self) -> tuple[bytes, bytes]:
        """Stdout, and the beginning of stderr, once the node is done; raises
        `BadAnswer`, and what the connection ended with."""
        await self._ended
        if self._error is not None:
            raise self._error
        errors = b"".join(self._parts.get(asyncssh.EXTENDED_DATA_STDERR, []))
        return b"".join(self._parts.get(None, [])), errors[:STDERR_BYTES]

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def session_started(self) -> None:
        self._send()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._send()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        size = self._sizes.get(datatype, 0)
        self._sizes[datatype] = size + len(data)
        if size + len(data) > LARGEST:
            said = f"it answers with more than {LARGEST} bytes"
            self._finish(BadAnswer(self._node, said))
        elif datatype is None or size < STDERR_BYTES:
            self._parts.setdefault(datatype, []).append(data)

    def eof_received(self) -> bool:
        self._finish(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(exc)

    def _send(self) -> None:
        """Go on until the channel is full; a node that reads no further is no error."""
        with suppress(BrokenPipeError, ConnectionError):
            while self._left and not self._full:
                chunk, self._left = self._left[:_CHUNK], self._left[_CHUNK:]
                self._channel.write(bytes(chunk))
            if not self._left and not self._full:
                self._channel.write_eof()

    def _finish(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._error = error
            self._ended.set_result(None)
