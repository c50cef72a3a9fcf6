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
)
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from tailgit.deploy.destination import Destination
from tailgit.deploy.failure import cause
from tailgit.deploy.identity import Identity
from tailgit.deploy.jump import ALWAYS, Ways, close
from tailgit.deploy.keychain import Keychain
from tailgit.deploy.limits import room_for_many
from tailgit.deploy.sshconfig import Settings, SshConfig, read
from tailgit.deploy.trust import trust
from tailgit.errors import LoginRefused
from tailgit.model.tailnet import Device

if TYPE_CHECKING:
    import asyncssh


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

        from tailgit.deploy.exchange import Exchange

        exchange = Exchange(self._login.node, stdin)
        channel, _ = await self._connection.create_session(
            lambda: exchange, command, encoding=None
        )
        try:
            stdout, stderr = await exchange.end()
            await asyncio.sleep(0)  # for a goodbye that came with the end
            if self._connection.is_closed():
                raise asyncssh.ConnectionLost("")
            return Reply(stdout, stderr)
        finally:
            channel.close()
