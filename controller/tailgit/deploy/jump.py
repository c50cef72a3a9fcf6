"""The way to a host: straight, through jump hosts, or through a command.

The operator's SSH configuration says which. A jump host is the operator's own: its
name, port, user, keys and `known_hosts` come from there, it must be known already
whatever the configuration says, and all that it is asked for is a connection onwards.
Behind it a node proves itself by the repository's key as it does everywhere.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailgit.deploy.destination import Destination, me
from tailgit.deploy.failure import cause_at_jump
from tailgit.deploy.identity import Identity
from tailgit.deploy.keychain import Keychain
from tailgit.deploy.proxy import proxied
from tailgit.deploy.shared import Shared
from tailgit.deploy.sshconfig import Settings, SshConfig
from tailgit.deploy.wire import Wire
from tailgit.errors import NodeError, Unreachable

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 2.0
KEEPALIVE_SECONDS = 5
"""Three of them without an answer, and the connection is dead: sooner than the time
is over that a switched node is given, so that a confirmation over a new one can come
still."""
KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

CIPHERS = (
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
"""The same that OpenSSH takes by default. AES-GCM goes first: it is one call of the
library for each packet, ChaCha20 as SSH wants it is three."""

ALWAYS: dict[str, Any] = {
    "config": None,
    "encryption_algs": CIPHERS,
    "compression_algs": None,
    "keepalive_interval": KEEPALIVE_SECONDS,
    "agent_path": None,
    "agent_forwarding": False,
    "x11_forwarding": False,
    "preferred_auth": "publickey",
    "password_auth": False,
    "kbdint_auth": False,
    "host_based_auth": False,
    "gss_host": None,
    "gss_auth": False,
    "gss_kex": False,
    "x509_trusted_certs": None,
}
"""Options of every connection: no other way to log in, nothing forwarded, and nothing
of any configuration but what is handed over here."""

_SPEC = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@\s]+)@)?"
    r"(?:\[(?P<address>[^\]\s]+)\]|(?P<host>[^:@\s/]+))(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One jump host, as the configuration names it; empty and 0 is left to its
    own block."""

    host: str
    port: int
    user: str


@dataclass(frozen=True, slots=True)
class Jump:
    """An open connection to a jump host."""

    host: str
    connection: asyncssh.SSHClientConnection


class Ways:
    """The ways to all hosts, by one SSH configuration."""

    def __init__(
        self, config: SshConfig, keychain: Keychain, seconds: float | None = None
    ) -> None:
        self._config = config
        self._keychain = keychain
        self._seconds = seconds
        self._settings: dict[Destination, Settings] = {}
        self._jumps = Shared[Jump](lambda jump: not jump.connection.is_closed())
        self._known: dict[tuple[Path, ...], asyncssh.SSHKnownHosts] = {}

    async def settings(self, to: Destination) -> Settings:
        """What the configuration says for one destination; judged once."""
        found = self._settings.get(to)
        if found is None:
            if self._config.runs_commands:
                found = await asyncio.to_thread(self._config.settings, to)
            else:
                found = self._config.settings(to)
            self._settings[to] = found
        return found

    def seconds(self, settings: Settings) -> float:
        """How long a connection may take to be made."""
        return self._seconds or float(
            settings.number("connecttimeout") or CONNECT_SECONDS
        )

    @asynccontextmanager
    async def to(
        self, node: str, settings: Settings, host: str, port: int
    ) -> AsyncIterator[Mapping[str, Any]]:
        """The way, as options of `asyncssh.connect`; raises a `NodeError` of `node`."""
        async with AsyncExitStack() as stack:
            try:
                way = await self._way(settings, host, port, (), stack)
            except NodeError as error:
                raise type(error)(node, error.message, error.help) from None
            yield way

    async def _way(
        self,
        settings: Settings,
        host: str,
        port: int,
        passed: tuple[Hop, ...],
        stack: AsyncExitStack,
    ) -> Mapping[str, Any]:
        chain = hops(settings)
        names = {host, *settings.to.names}
        if any(hop.host in names and hop.port in (0, port) for hop in chain):
            chain = ()  # it is the jump host itself, in a block for everything
        if chain:
            jump = await self._jump(chain, passed, stack)
            return {"tunnel": _Onwards(jump)}
        command = settings.command()
        if command:
            return {"sock": await stack.enter_async_context(proxied(command))}
        way: dict[str, Any] = {}
        family = settings.word("addressfamily").lower()
        if family in ("inet", "inet6"):
            way["family"] = socket.AF_INET if family == "inet" else socket.AF_INET6
        if settings.word("bindaddress"):
            way["local_addr"] = (settings.word("bindaddress"), 0)
        return {"tunnel": Wire(way)}

    async def _jump(
        self, chain: tuple[Hop, ...], passed: tuple[Hop, ...], stack: AsyncExitStack
    ) -> Jump:
        """The connection to the last hop of `chain`, through those before it."""
        if chain[-1] in passed:
            way = ", ".join(hop.host for hop in (*passed, chain[-1]))
            message = f"the jump hosts of the SSH configuration go in a circle: {way}"
            raise Unreachable("", message, "look at ProxyJump there")
        return await stack.enter_async_context(
            self._jumps.use((chain, passed), partial(self._open, chain, passed))
        )

    @asynccontextmanager
    async def _open(
        self, chain: tuple[Hop, ...], passed: tuple[Hop, ...]
    ) -> AsyncIterator[Jump]:
        import asyncssh

        hop = chain[-1]
        settings = await self._own(hop)
        to = settings.to
        host, seconds = to.host, self.seconds(settings)
        async with AsyncExitStack() as stack:
            way: Mapping[str, Any]
            if chain[:-1]:
                before = await self._jump(chain[:-1], (*passed, hop), stack)
                way = {"tunnel": _Onwards(before)}
            else:
                way = await self._way(settings, host, to.port, (*passed, hop), stack)
            try:
                async with asyncio.timeout(seconds), AsyncExitStack() as keys:
                    connection = await asyncssh.connect(
                        host,
                        to.port,
                        username=to.user,
                        client_keys=await self._keychain.offer(
                            Identity(), settings, keys
                        )
                        or None,
                        known_hosts=self._known_hosts(settings),
                        host_key_alias=settings.word("hostkeyalias") or None,
                        **{**ALWAYS, **way},
                    )
            except (OSError, asyncssh.Error) as error:
                raise cause_at_jump(host, to.port, to.user, error, seconds) from None
            try:
                yield Jump(hop.host, connection)
            finally:
                await close(connection)

    async def _own(self, hop: Hop) -> Settings:
        """What the configuration says of a jump host: all of it counts."""
        asked = Destination((hop.host,), hop.port or 22, hop.user or me())
        settings = await self.settings(asked)
        whole = replace(
            asked,
            host=settings.word("hostname") or hop.host,
            port=hop.port or settings.number("port") or 22,
            user=hop.user or settings.word("user") or me(),
        )
        return replace(settings, to=whole)

    def _known_hosts(self, settings: Settings) -> asyncssh.SSHKnownHosts:
        """The operator's known hosts; what is in none of the files is not let through,
        whatever StrictHostKeyChecking says."""
        import asyncssh

        files = tuple(
            file
            for keyword, usual in (
                ("userknownhostsfile", KNOWN_HOSTS),
                ("globalknownhostsfile", SYSTEM_KNOWN_HOSTS),
            )
            for file in (
                settings.files(keyword) or tuple(Path(f).expanduser() for f in usual)
            )
            if file.is_file()
        )
        if files not in self._known:
            self._known[files] = asyncssh.read_known_hosts([str(f) for f in files])
        return self._known[files]


class _Onwards:
    """A jump host as asyncssh's `tunnel`; what fails there says that it was there."""

    def __init__(self, jump: Jump) -> None:
        self._jump = jump
        self.logger = jump.connection.logger

    async def create_connection(self, factory: Any, host: str, port: int) -> Any:
        import asyncssh

        try:
            return await self._jump.connection.create_connection(factory, host, port)
        except asyncssh.ChannelOpenError as error:
            said = error.reason
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                said = "connections onwards are forbidden (AllowTcpForwarding there)"
            error.reason = f"the jump host {self._jump.host} says: {said}"
            raise


def hops(settings: Settings) -> tuple[Hop, ...]:
    """The jump hosts on the way, the first one first."""
    word = settings.word("proxyjump")
    found = []
    for part in filter(None, word.split(",")):
        match = _SPEC.fullmatch(part.strip())
        if match is None or int(match["port"] or 0) > 65535:
            line = settings.lines["proxyjump"][0]
            raise line.error(f"`{part}` is not [USER@]HOST[:PORT]")
        found.append(
            Hop(
                match["address"] or match["host"],
                int(match["port"] or 0),
                match["user"] or "",
            )
        )
    return tuple(found)


async def close(connection: asyncssh.SSHClientConnection) -> None:
    """Say goodbye; a peer that hangs does not hold us."""
    import asyncssh

    connection.close()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.wait_closed()
    except (OSError, asyncssh.Error):
        connection.abort()
