"""The policy's `tests:` tried from real nodes, while an apply goes from wave to wave.

What a node was switched to is right by its own account; whether packets agree is
another question. After each switch the tests between the node and those that have the
commit already are tried: one TCP connection for each, made by the node that the test
names. That a port refuses the connection is as good as that it takes it, for then the
packet got there. Tests of other protocols are not tried; `tailgit lab` does that.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from tailgit.deploy.fleet import Fleet
from tailgit.errors import BadAnswer, NodeError, NodeRefused
from tailgit.model.tailnet import Tailnet
from tailgit.probe.probes import Probe
from tailgit.probe.verify import Expectation, expectations

PASSED = frozenset({"open", "refused"})
NO_WAY = "bad-request"
"""What a node answers where the address is no peer's, or not behind the tunnel."""

AT_ONCE = 8
PATIENCE = 2
"""How often what should pass is tried: the first try may wait for a handshake."""


class Trials:
    """What to try when a node was switched; `ready` nodes have the commit."""

    def __init__(self, tailnet: Tailnet, fleet: Fleet, ready: Iterable[str]) -> None:
        self._fleet = fleet
        self._ready = set(ready)
        self._of: dict[str, list[Expectation]] = defaultdict(list)
        for each in expectations(tailnet):
            for node in {end for p in each.probes for end in (p.src, p.dst)}:
                self._of[node].append(each)

    async def __call__(self, node: str) -> tuple[str, ...]:
        """What is not as the tests say, now that `node` has the commit, too."""
        here = self._ready | {node}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(expectation: Expectation) -> str:
            probes = [p for p in expectation.probes if _tried(p, node, here)]
            async with gate:
                try:
                    return await self._judged(expectation, probes)
                except NodeError as error:
                    if error.node == node:
                        raise
                    # Another node's trouble says nothing about this one.
                    return ""

        said = await asyncio.gather(*map(one, self._of[node]))
        wrong = tuple(filter(None, said))
        if not wrong:
            self._ready.add(node)
        return wrong

    async def _judged(self, expectation: Expectation, probes: list[Probe]) -> str:
        """Why the expectation does not hold; "" if it does, or can't be judged."""
        if not probes:
            return ""
        if not expectation.accept:
            for probe in probes:
                if await self._passes(probe, 1):
                    return f"{expectation}, and it does (tcp {probe.port})"
            return ""
        for probe in probes:
            if await self._passes(probe, PATIENCE):
                return ""
        # One of several may do it, so all of them have to be tried.
        whole = len(probes) == len(expectation.probes)
        return f"{expectation}, and it does not" if whole else ""

    async def _passes(self, probe: Probe, times: int) -> bool:
        words = str(probe.address), str(probe.port)
        async with self._fleet.aside(probe.src) as contact:
            for _ in range(times):
                try:
                    verdict = (await contact.ask("probe", *words)).one("verdict")
                except NodeRefused as error:
                    if error.code != NO_WAY:
                        raise
                    # Who may talk in nothing is no peer: no packet goes there at all.
                    return False
                except ValueError:
                    message = "its answer to `probe` has no verdict"
                    raise BadAnswer(probe.src, message) from None
                if verdict in PASSED:
                    return True
        return False


def _tried(probe: Probe, node: str, ready: set[str]) -> bool:
    ends = {probe.src, probe.dst}
    return probe.protocol == "tcp" and node in ends and ends <= ready
