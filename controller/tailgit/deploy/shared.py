"""What several connections use at a time: opened by the first, closed by the last.

One connection to a jump host carries those to all nodes behind it, and one question to
the SSH agent answers for all of them. Where opening fails, all that wait for it fail
with it; who comes later tries anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Things by name; `is_good` says whether one that is open can still be used."""

    def __init__(self, is_good: Callable[[T], bool]) -> None:
        self._is_good = is_good
        self._held: dict[Hashable, _Held[T]] = {}

    @asynccontextmanager
    async def use(
        self, name: Hashable, make: Callable[[], AbstractAsyncContextManager[T]]
    ) -> AsyncIterator[T]:
        """The thing of that name for as long as this context lasts."""
        held = self._held.get(name)
        if held is None or held.is_over(self._is_good):
            held = self._held[name] = _Held(make)
        held.users += 1
        try:
            # Shielded: one that runs out of time does not take it from the others.
            yield await asyncio.shield(held.ready)
        finally:
            held.users -= 1
            if not held.users:
                if self._held.get(name) is held:
                    del self._held[name]
                await held.close()


class _Held(Generic[T]):
    """One thing, kept open by a task of its own: whoever asked first may be gone."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self.users = 0
        self.ready: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enough = asyncio.Event()
        self._task = asyncio.create_task(self._keep(make))

    def is_over(self, is_good: Callable[[T], bool]) -> bool:
        if not self.ready.done():
            return False
        if self.ready.cancelled() or self.ready.exception() is not None:
            return True
        return not is_good(self.ready.result())

    async def close(self) -> None:
        self._enough.set()
        if not self.ready.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        try:
            async with make() as thing:
                self.ready.set_result(thing)
                await self._enough.wait()
        except asyncio.CancelledError:
            self.ready.cancel()
            raise
        except Exception as error:
            if self.ready.done():
                raise
            self.ready.set_exception(error)
            self.ready.exception()  # seen, also when everybody who waited has left
