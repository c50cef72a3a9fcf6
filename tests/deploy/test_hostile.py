"""Machines that answer with bad intent: everything is bounded in size and in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tailgit.deploy.answer import LARGEST
from tailgit.deploy.identity import Identity, identity, short
from tailgit.deploy.ssh import AsyncSsh, Login, Reply
from tailgit.deploy.sshconfig import read
from tailgit.errors import BadAnswer, NodeError, Unreachable
from tests.deploy.sshd import make_key, public

pytestmark = pytest.mark.live

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talker(talk: Talk) -> AsyncIterator[int]:
    """Somebody on a port who speaks no SSH, or begins to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.transport.abort()

    tasks: list[asyncio.Task[None] | None] = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.sleep(0.05)


def failure(talk: Talk, folder: Path) -> tuple[NodeError, float]:
    """What connecting to such a one ends in, and after how many seconds."""
    key = make_key(folder / "key")
    executor = AsyncSsh(identity(key), config=read("none"), connect_seconds=3)

    async def run() -> tuple[NodeError, float]:
        async with talker(talk) as port:
            login = Login("db-1", "127.0.0.1", port, "root", public(key))
            started = time.monotonic()
            with pytest.raises(NodeError) as caught:
                async with executor.connect(login):
                    pass
            return caught.value, time.monotonic() - started

    return asyncio.run(run())


async def flood(writer: asyncio.StreamWriter, chunk: bytes, size: int) -> None:
    for _ in range(size // len(chunk)):
        writer.write(chunk)
        await writer.drain()


@pytest.mark.parametrize(
    "chunk",
    [b"x" * 65536, b"motd\n" * 8192, b"SSH-2.0-x\r\n" + b"\xff" * 65536],
    ids=["no line", "a megabyte of lines", "a packet without end"],
)
def test_a_flood_before_the_login_is_given_up(chunk: bytes, tmp_path: Path) -> None:
    """At once, not after the time that is allowed for a connection."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await flood(writer, chunk, 1 << 24)

    error, took = failure(talk, tmp_path)
    assert isinstance(error, Unreachable)
    assert took < 2.5


def test_a_version_that_drips_is_given_up_in_time(tmp_path: Path) -> None:
    """A byte now and then keeps no connection open."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.2)

    error, took = failure(talk, tmp_path)
    assert "within 3 s" in error.message
    assert took < 6


class _Server(asyncssh.SSHServer):
    """Lets everybody in, after a banner; or hangs up with words."""

    banner = ""
    goodbye = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn

    def begin_auth(self, username: str) -> bool:
        del username
        for _ in range(100 if self.banner else 0):
            self._conn.send_auth_banner(self.banner)
        if self.goodbye:
            self._conn.disconnect(2, self.goodbye)
        return False


Process = asyncssh.SSHServerProcess[bytes]


def answer(
    act: Callable[[Process], Awaitable[None]], *, seconds: float, **server_says: str
) -> tuple[Reply | NodeError, float]:
    """What comes of one exec at a server that acts like that; its seconds, and those
    of saying goodbye."""
    host, ours = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    executor = AsyncSsh(Identity(private=ours), config=read("none"))

    async def handle(process: Any) -> None:
        with suppress(asyncssh.Error, OSError, asyncio.CancelledError):
            await act(process)

    async def run() -> tuple[Reply | NodeError, float]:
        kind = type("Server", (_Server,), server_says)
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=kind,
            server_host_keys=[host],
            process_factory=handle,
            encoding=None,
        )
        async with server:
            login = Login("db-1", "127.0.0.1", server.get_port(), "x", short(host))
            started = time.monotonic()
            found: Reply | NodeError
            try:
                async with executor.connect(login) as session:
                    found = await session.run("observe acme", seconds=seconds)
            except NodeError as error:
                found = error
            return found, time.monotonic() - started

    return asyncio.run(run())


def test_an_answer_that_drips_ends_with_its_time() -> None:
    """Every byte is one too few: the time is for the whole answer."""

    async def act(process: Process) -> None:
        while True:
            process.stdout.write(b"T")
            await asyncio.sleep(0.1)

    found, took = answer(act, seconds=1)
    assert isinstance(found, Unreachable)
    assert "within 1 s" in found.message
    assert took < 5


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_endless_stream_is_cut_off(stream: str) -> None:
    """Long before the time is over, whichever stream it is."""

    async def act(process: Process) -> None:
        while True:
            getattr(process, stream).write(b"x" * 65536)
            await getattr(process, stream).drain()

    found, took = answer(act, seconds=60)
    assert isinstance(found, BadAnswer)
    assert f"more than {LARGEST} bytes" in found.message
    assert took < 30


def test_a_channel_that_is_never_closed_does_not_hold_the_answer() -> None:
    """The end of the data is the end of the answer; the rest is waited for briefly."""

    async def act(process: Process) -> None:
        process.stdout.write(b"all of it")
        process.stdout.write_eof()
        await asyncio.sleep(60)

    found, took = answer(act, seconds=20)
    assert isinstance(found, Reply)
    assert found.stdout == b"all of it"
    assert took < 8


def test_a_hundred_large_banners_are_passed_over() -> None:
    """What a server says before the login is neither kept nor shown."""

    async def act(process: Process) -> None:
        process.stdout.write(b"answer")
        process.exit(0)

    found, _ = answer(act, seconds=20, banner="look at me " * 2000)
    assert isinstance(found, Reply)
    assert found.stdout == b"answer"


def test_words_of_a_server_are_shown_escaped() -> None:
    """A reason for hanging up can't steer the terminal."""

    async def act(process: Process) -> None:
        process.exit(0)

    found, _ = answer(act, seconds=20, goodbye="\x1b[2Jgone" + "x" * 5000)
    assert isinstance(found, Unreachable)
    assert "gone" in found.message
    assert "\x1b" not in found.message
    assert len(found.message) < 400


def test_a_polite_goodbye_in_the_middle_is_no_answer() -> None:
    """It is Unreachable, so that what may be asked again is asked again."""

    async def act(process: Process) -> None:
        process.stdout.write(b"TAILGIT 1\n")
        process.channel.get_connection().disconnect(11, "good bye")
        await asyncio.sleep(5)

    found, _ = answer(act, seconds=20)
    assert isinstance(found, Unreachable)
    assert "closed the connection" in found.message
