"""SSH to nodes: pinned host keys, one exec for each request, everything bounded.

The host key stands in the repository, so there is no first use to trust, and
`known_hosts` has no say: the same commit reaches the same machine from everywhere.
The operator's `~/.ssh/config` may say how to get there (deploy/jump.py), never who it
is. Nothing is forwarded. What a node sends is read up to a limit, and whatever goes
wrong becomes one of the `NodeError`s, with a sentence.

`Executor` is the seam of the fan-out: what drives nodes only ever opens a `Session`
and sends requests through it, so that a test can count them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from tailgit.deploy.answer import LARGEST
from tailgit.deploy.destination import Destination
from tailgit.deploy.failure import cause
from tailgit.deploy.identity import Identity
from tailgit.deploy.jump import ALWAYS, Ways, close
from tailgit.deploy.keychain import Keychain
from tailgit.deploy.limits import room_for_many
from tailgit.deploy.sshconfig import Settings, SshConfig, read
from tailgit.deploy.trust import trust
from tailgit.errors import BadAnswer, LoginRefused
from tailgit.model.tailnet import Device

if TYPE_CHECKING:
    import asyncssh

STDERR_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Login:
    """Where and as whom to log in, and which host that is.

    `host_key` is `TYPE BASE64`, the only one taken. Where it is empty, the host shows a
    certificate for `principal` that one of `host_cas` (keys, too) has signed.
    """

    node: str
    host: str
    port: int
    user: str
    host_key: str
    host_cas: tuple[str, ...] = ()
    principal: str = ""

    @property
    def destination(self) -> Destination:
        """What `Host` patterns of the operator's SSH configuration are matched with."""
        names = dict.fromkeys(filter(None, (self.host, self.node, self.principal)))
        return Destination(tuple(names), self.port, self.user)

    @property
    def where(self) -> str:
        return f"{self.host} port {self.port}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What one exec wrote: all of stdout, the beginning of stderr."""

    stdout: bytes
    stderr: bytes


class Session(Protocol):
    """One SSH connection to one node."""

    async def run(self, command: str, *, stdin: bytes = b"", seconds: float) -> Reply:
        """Run one command and hand over what it wrote; raises a `NodeError`."""


class Executor(Protocol):
    """How nodes are reached."""

    def connect(self, login: Login) -> AbstractAsyncContextManager[Session]:
        """A new connection, closed at the end; raises a `NodeError`."""


def login_of(device: Device) -> Login | None:
    """How the controller logs in to `device`; None while it is not enrolled."""
    ssh = device.ssh
    if ssh is None or not ssh.is_known:
        return None
    login = Login(device.name, ssh.host, ssh.port, ssh.user, ssh.host_key or "")
    if login.host_key:
        return login
    return replace(login, host_cas=ssh.host_cas, principal=ssh.principal)


class AsyncSsh:
    """The `Executor` over asyncssh.

    `config` is what is read of the operator's SSH configuration, by default what ssh
    itself reads. `connect_seconds` goes before its ConnectTimeout.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        connect_seconds: float | None = None,
        config: SshConfig | None = None,
    ) -> None:
        self._identity = identity
        self._keychain = Keychain()
        if config is None:
            config = read(None)
        self.ways = Ways(config, self._keychain, connect_seconds)
        room_for_many()

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Session]:
        known = trust(login)
        settings = await self.ways.settings(login.destination)
        async with self.ways.to(login.node, settings, login.host, login.port) as way:
            connection = await self._connection(login, settings, {**known, **way})
            try:
                yield _Connection(login, connection)
            finally:
                await close(connection)

    async def _connection(
        self, login: Login, settings: Settings, options: dict[str, Any]
    ) -> asyncssh.SSHClientConnection:
        import asyncssh

        seconds = self.ways.seconds(settings)
        try:
            async with asyncio.timeout(seconds), AsyncExitStack() as stack:
                keys = await self._keychain.offer(self._identity, settings, stack)
                if not keys and self._identity.agent:
                    raise LoginRefused(
                        login.node,
                        "the key to log in with is not in the SSH agent",
                        "add it with ssh-add, or give an unencrypted one with "
                        "--identity",
                    )
                return await asyncssh.connect(
                    login.host,
                    login.port,
                    username=login.user,
                    client_keys=keys or None,
                    **{**ALWAYS, **options},
                )
        except (OSError, asyncssh.Error) as error:
            raise cause(login, error, seconds) from None


class _Connection:
    """A `Session` on an open asyncssh connection."""

    def __init__(self, login: Login, connection: asyncssh.SSHClientConnection) -> None:
        self._login = login
        self._connection = connection

    async def run(self, command: str, *, stdin: bytes = b"", seconds: float) -> Reply:
        import asyncssh

        try:
            async with asyncio.timeout(seconds):
                return await self._exec(command, stdin)
        except (OSError, asyncssh.Error) as error:
            raise cause(self._login, error, seconds) from None

    async def _exec(self, command: str, stdin: bytes) -> Reply:
        import asyncssh

        process = await self._connection.create_process(command, encoding=None)
        try:
            # All three at once: a node may answer before it has read everything, and
            # a pipe that nobody empties would stop the others.
            sending = asyncio.create_task(_send(process.stdin, stdin))
            answer = asyncio.create_task(self._bounded(process.stdout))
            noise = asyncio.create_task(self._bounded(process.stderr, STDERR_BYTES))
            try:
                stdout, stderr = await asyncio.gather(answer, noise)
                await asyncio.sleep(0)  # for a goodbye that came with the end
                if self._connection.is_closed():
                    raise asyncssh.ConnectionLost("")
                return Reply(stdout, stderr)
            finally:
                for task in (sending, answer, noise):
                    task.cancel()
                await asyncio.gather(sending, answer, noise, return_exceptions=True)
        finally:
            process.close()

    async def _bounded(
        self, stream: asyncssh.SSHReader[bytes], keep: int = LARGEST
    ) -> bytes:
        """The first `keep` bytes of a stream that is read to its end."""
        parts: list[bytes] = []
        size = 0
        while chunk := await stream.read(65536):
            if size < keep:
                parts.append(chunk)
            size += len(chunk)
            if size > LARGEST:
                raise BadAnswer(
                    self._login.node, f"it answers with more than {LARGEST} bytes"
                )
        return b"".join(parts)[:keep]


async def _send(stream: asyncssh.SSHWriter[bytes], data: bytes) -> None:
    """Write `data` and end the stream; a node that reads no further is no error."""
    with suppress(BrokenPipeError, ConnectionError):
        for start in range(0, len(data), 65536):
            stream.write(data[start : start + 65536])
            await stream.drain()
        stream.write_eof()
