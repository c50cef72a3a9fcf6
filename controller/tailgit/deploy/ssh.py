"""SSH to nodes: pinned host keys, one exec for each request, everything bounded.

The host key stands in the repository, so there is no first use to trust, and neither
`known_hosts` nor `~/.ssh/config` has a say: the same commit reaches the same machine
from everywhere. Nothing is forwarded. What a node sends is read up to a limit, and
whatever goes wrong becomes one of the `NodeError`s, with a sentence.

`Executor` is the seam of the fan-out: what drives nodes only ever opens a `Session`
and sends requests through it, so that a test can count them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
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
from tailgit.deploy.identity import Identity, offer
from tailgit.errors import (
    BadAnswer,
    HostKeyMismatch,
    LoginRefused,
    NodeError,
    Unreachable,
)
from tailgit.model.tailnet import Device

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 2.0
KEEPALIVE_SECONDS = 15
STDERR_BYTES = 2000
HOST_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""The host keys that are taken, the best first."""

_PUBLIC_KEYS_ONLY: dict[str, Any] = {
    "config": None,
    "agent_forwarding": False,
    "x11_forwarding": False,
    "compression_algs": None,
    "preferred_auth": "publickey",
    "password_auth": False,
    "kbdint_auth": False,
    "host_based_auth": False,
    "gss_host": None,
    "gss_auth": False,
    "gss_kex": False,
    "x509_trusted_certs": None,
}
"""Options of every connection: no other way to log in, nothing forwarded."""


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
    """The `Executor` over asyncssh."""

    def __init__(
        self, identity: Identity, *, connect_seconds: float = CONNECT_SECONDS
    ) -> None:
        self._identity = identity
        self._seconds = connect_seconds

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Session]:
        import asyncssh

        trust = _trust(login)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._seconds):
                    connection = await asyncssh.connect(
                        login.host,
                        login.port,
                        username=login.user,
                        **trust,
                        keepalive_interval=KEEPALIVE_SECONDS,
                        **_PUBLIC_KEYS_ONLY,
                        **await offer(self._identity, login.node, stack),
                    )
            except (OSError, asyncssh.Error) as error:
                raise cause(login, error, self._seconds) from None
            try:
                yield _Connection(login, connection)
            finally:
                await _close(connection)


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
        process = await self._connection.create_process(command, encoding=None)
        try:
            # All three at once: a node may answer before it has read everything, and
            # a pipe that nobody empties would stop the others.
            sending = asyncio.create_task(_send(process.stdin, stdin))
            reading = asyncio.create_task(_beginning(process.stderr))
            try:
                stdout = await self._bounded(process.stdout)
                return Reply(stdout, await reading)
            finally:
                for task in (sending, reading):
                    task.cancel()
                await asyncio.gather(sending, reading, return_exceptions=True)
        finally:
            process.close()

    async def _bounded(self, stream: asyncssh.SSHReader[bytes]) -> bytes:
        parts: list[bytes] = []
        size = 0
        while chunk := await stream.read(65536):
            size += len(chunk)
            if size > LARGEST:
                raise BadAnswer(
                    self._login.node, f"it answers with more than {LARGEST} bytes"
                )
            parts.append(chunk)
        return b"".join(parts)


async def _send(stream: asyncssh.SSHWriter[bytes], data: bytes) -> None:
    """Write `data` and end the stream; a node that reads no further is no error."""
    with suppress(BrokenPipeError, ConnectionError):
        for start in range(0, len(data), 65536):
            stream.write(data[start : start + 65536])
            await stream.drain()
        stream.write_eof()


async def _beginning(stream: asyncssh.SSHReader[bytes]) -> bytes:
    """The first bytes of a stream that is read to its end."""
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[:STDERR_BYTES]
    return kept


def _trust(login: Login) -> dict[str, Any]:
    """asyncssh's options for the one host key, or the host CAs, that are taken."""
    import asyncssh

    field = "ssh.hostKey" if login.host_key else "tailnet.hostCA"
    try:
        if login.host_key:
            pinned = asyncssh.import_public_key(login.host_key)
            algorithms = _host_key_algorithms(pinned)
            return {
                "known_hosts": ([pinned], [], []),
                "server_host_key_algs": algorithms,
            }
        return {
            "known_hosts": (
                [],
                list(map(asyncssh.import_public_key, login.host_cas)),
                [],
            ),
            # Bare keys last, so that a machine without a certificate is told apart from
            # one that breaks off; none of them is trusted.
            "server_host_key_algs": [
                *(f"{kind}-cert-v01@openssh.com" for kind in HOST_KEY_TYPES),
                *HOST_KEY_TYPES,
            ],
            "host_key_alias": login.principal,
        }
    except asyncssh.KeyImportError:
        message = f"its {field} in the repository is not a public key"
        raise HostKeyMismatch(login.node, message) from None


def _host_key_algorithms(pinned: asyncssh.SSHKey) -> list[str]:
    """The pinned key's first, then all others: a machine that has no key of that type
    shall show what it has, to be told apart from one that breaks off."""
    kind = pinned.get_algorithm()
    own = [
        k for k in HOST_KEY_TYPES if k == kind or (kind, k[:3]) == ("ssh-rsa", "rsa")
    ]
    return [*own, *(k for k in HOST_KEY_TYPES if k not in own)]


async def _close(connection: asyncssh.SSHClientConnection) -> None:
    """Say goodbye; a peer that hangs does not hold us."""
    import asyncssh

    connection.close()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.wait_closed()
    except (OSError, asyncssh.Error):
        connection.abort()


def cause(login: Login, error: Exception, seconds: float) -> NodeError:
    """The `NodeError` that an error of asyncssh or of the system stands for."""
    import asyncssh

    node, where = login.node, login.where
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return _other_host_key(login)
        case asyncssh.KeyExchangeFailed() if "host key" in error.reason:
            return _other_host_key(login)
        case asyncssh.PermissionDenied():
            return LoginRefused(
                node,
                f"{where} does not let {login.user} in with our key",
                "choose the key with --identity; "
                "`tailgit device enroll` installs the controller's",
            )
        case asyncssh.DisconnectError() if "authentication failures" in error.reason:
            return LoginRefused(
                node,
                f"{where} was offered more keys than it wants to try",
                "choose one with --identity",
            )
        case TimeoutError():
            return Unreachable(node, f"no answer from {where} within {seconds:.0f} s")
        case asyncssh.ConnectionLost():
            return Unreachable(node, f"{where} closed the connection")
        case asyncssh.Error():
            return Unreachable(node, f"{where}: {error.reason}")
        case OSError():
            return Unreachable(node, _system(login, error))
    raise error


def _system(login: Login, error: OSError) -> str:
    """What an error of the system means for who wants to reach a node.

    asyncio puts a text of its own in the place of the system's, and one without any
    number around the errors of several addresses, so the number is looked for.
    """
    if isinstance(error, socket.gaierror):
        return f"{login.host} has no address here: {error.strerror}"
    inside = re.search(r"\[Errno (\d+)\]", str(error))
    number = error.errno or (int(inside[1]) if inside else None)
    match number:
        case errno.ECONNREFUSED:
            return f"{login.where} refuses the connection"
        case errno.ECONNRESET | errno.EPIPE:
            return f"{login.where} closed the connection"
        case errno.ENETUNREACH | errno.EHOSTUNREACH:
            return f"there is no way from here to {login.host}"
        case errno.ETIMEDOUT:
            return f"no answer from {login.where}"
        case errno.EACCES | errno.EPERM:
            return f"this machine's own rules forbid to connect to {login.where}"
        case None:
            return f"{login.where}: {error}"
    return f"{login.where}: {os.strerror(number)}"


def _other_host_key(login: Login) -> HostKeyMismatch:
    if not login.host_key:
        return HostKeyMismatch(
            login.node,
            f"{login.where} shows no valid certificate for {login.principal} by the "
            "repository's tailnet.hostCA",
            "sign its host key for that name, or pin the key as the device's "
            "ssh.hostKey",
        )
    return HostKeyMismatch(
        login.node,
        f"{login.where} has another host key than the repository's ssh.hostKey",
        "if the machine was made anew, take ssh.hostKey out and enrol it again; "
        "else somebody is between you and it",
    )
