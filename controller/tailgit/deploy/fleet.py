"""The nodes of one command: a kept connection to each, so many at the same time.

A handshake costs more than everything else that is said to a node, so the connection
that read it also brings it the parcel and makes the switch. Only the confirmation
comes over a new one, because that is what it proves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from tailgit.deploy.answer import Answer
from tailgit.deploy.request import ask
from tailgit.deploy.ssh import Executor, Login, Session
from tailgit.errors import Unreachable

PARALLEL = 32
"""Nodes that are talked to at the same time unless somebody says otherwise."""

KEPT = 512
"""Connections that are kept open between requests; of more nodes they are closed."""


class Contact:
    """One node and the connection to it, opened when it is needed."""

    def __init__(self, executor: Executor, tailnet: str, login: Login) -> None:
        self.login = login
        self._executor = executor
        self._tailnet = tailnet
        self._open: AsyncExitStack | None = None
        self._session: Session | None = None

    @property
    def node(self) -> str:
        return self.login.node

    async def ask(self, verb: str, *words: str, stdin: bytes = b"") -> Answer:
        """One request; raises a `NodeError`. A lost connection is not used again."""
        session = await self._connected()
        try:
            return await ask(
                session, self.node, verb, self._tailnet, *words, stdin=stdin
            )
        except Unreachable:
            await self.hang_up()
            raise

    async def ask_twice(self, verb: str, *words: str, stdin: bytes = b"") -> Answer:
        """The same for a request that may be repeated: where the connection breaks, or
        was dead already, it is asked once more over a new one."""
        await self._connected()
        try:
            return await self.ask(verb, *words, stdin=stdin)
        except Unreachable:
            return await self.ask(verb, *words, stdin=stdin)

    async def hang_up(self) -> None:
        """Close the connection; the next request opens a new one."""
        stack, self._open, self._session = self._open, None, None
        if stack is not None:
            await stack.aclose()

    async def _connected(self) -> Session:
        if self._session is None:
            stack = AsyncExitStack()
            self._session = await stack.enter_async_context(
                self._executor.connect(self.login)
            )
            self._open = stack
        return self._session


class Fleet:
    """The nodes that a command talks to, by name."""

    def __init__(
        self, executor: Executor, tailnet: str, *, parallel: int = PARALLEL
    ) -> None:
        self.tailnet = tailnet
        self._executor = executor
        self._gate = asyncio.Semaphore(parallel)
        self._contacts: dict[str, Contact] = {}

    def call(self, logins: Iterable[Login]) -> None:
        """Make these nodes known; one that is known already stays as it is."""
        for login in logins:
            if login.node not in self._contacts:
                contact = Contact(self._executor, self.tailnet, login)
                self._contacts[login.node] = contact

    @asynccontextmanager
    async def at(self, node: str) -> AsyncIterator[Contact]:
        """The contact to a node, when it is its turn."""
        async with self._gate:
            contact = self._contacts[node]
            try:
                yield contact
            finally:
                if len(self._contacts) > KEPT:
                    await contact.hang_up()

    @asynccontextmanager
    async def aside(self, node: str) -> AsyncIterator[Contact]:
        """A further connection to a node, for whoever is at another one already."""
        known = self._contacts[node]
        contact = Contact(self._executor, self.tailnet, known.login)
        try:
            yield contact
        finally:
            await contact.hang_up()

    async def close(self) -> None:
        """Hang up everywhere; the fleet may be used again."""
        hanging = (contact.hang_up() for contact in self._contacts.values())
        await asyncio.gather(*hanging)
