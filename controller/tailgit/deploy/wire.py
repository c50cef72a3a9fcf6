"""A TCP connection for asyncssh that gathers what is written at once into one packet.

asyncssh writes each message by itself, and before it an empty one that hides when
somebody types: twenty small packets for one request, each of which wakes the other
side. Gathered they are eleven, and the messages stay the same.

asyncssh takes it as a `tunnel`: something that makes connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any


class Wire:
    """Makes TCP connections; `way` has options of `create_connection`."""

    def __init__(self, way: Mapping[str, Any]) -> None:
        self._way = way

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.BaseTransport, asyncio.Protocol]:
        loop = asyncio.get_running_loop()
        ssh = factory()
        transport, _ = await loop.create_connection(
            lambda: _Between(ssh), host, port, **self._way
        )
        return transport, ssh


class _Between(asyncio.Protocol):
    """Hands everything on, but lets asyncssh write to a `_Gathering`."""

    def __init__(self, ssh: asyncio.Protocol) -> None:
        self._ssh = ssh
        self.data_received = ssh.data_received  # type: ignore[method-assign]
        self.eof_received = ssh.eof_received  # type: ignore[method-assign]
        self.pause_writing = ssh.pause_writing  # type: ignore[method-assign]
        self.resume_writing = ssh.resume_writing  # type: ignore[method-assign]
        self.connection_lost = ssh.connection_lost  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._ssh.connection_made(_Gathering(transport))


class _Gathering(asyncio.Transport):
    """A transport that sends what was written in one turn of the loop at its end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(bytes(data))

    def _send(self) -> None:
        if self._parts:
            data, self._parts = b"".join(self._parts), []
            self._transport.write(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def abort(self) -> None:
        self._parts = []
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
