"""Long-lived flows: is an open connection still alive, and since when is it not?

    with Flow.open(lab, Probe("web-1", "db-1", "tcp", db.ipv4, 5432)) as flow:
        ...                    # revoke something, apply
        flow.state().silence   # seconds since the last echo

About ten messages a second go to an echo listener of its own and back. Ages are in
seconds and measured on the sending machine, so clocks need not agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tailgit.errors import TailgitError
from tailgit.probe.executor import Agent, Executor, Gone
from tailgit.probe.probes import Probe

INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class FlowState:
    """A flow at one moment.

    `silence` is the age of the last echo, `longest_gap` the longest time without one
    since it was opened, `recent` the ages of the last twenty echoes, oldest first;
    `ended` says why a TCP session is over, and is empty while it is not.
    """

    sent: int
    echoed: int
    silence: float
    longest_gap: float
    recent: tuple[float, ...]
    ended: str = ""

    def alive(self, within: float = 1.0) -> bool:
        """Whether an echo came within the last so many seconds."""
        return self.echoed > 0 and not self.ended and self.silence <= within


class Flow:
    """A TCP session or a stream of UDP datagrams between two machines."""

    def __init__(self, probe: Probe, sender: Agent) -> None:
        self.probe = probe
        self._sender = sender

    @staticmethod
    @contextmanager
    def open(
        executor: Executor, probe: Probe, *, interval: float = INTERVAL
    ) -> Iterator[Flow]:
        """A flow for as long as the block runs; `TailgitError` if it can't be opened.

        UDP has no handshake: whether anything comes back is `state`'s to say.
        """
        with ExitStack() as stack:
            try:
                listener = stack.enter_context(Agent(executor, probe.dst, "listen"))
                failed = listener.ask({"listen": [probe.endpoint]})["failed"]
                if failed:
                    raise Gone(f"{probe.dst} can't listen there: {failed[0][1]}")
                sender = stack.enter_context(Agent(executor, probe.src, "flow"))
                target = {
                    "protocol": probe.protocol,
                    "address": str(probe.address),
                    "port": probe.port,
                    "source": str(probe.source) if probe.source else None,
                }
                answer = sender.ask({"open": target, "interval": interval})
                if "failed" in answer:
                    raise Gone(answer["failed"])
            except Gone as error:
                raise TailgitError(f"no flow {probe}: {error}") from None
            yield Flow(probe, sender)

    def state(self) -> FlowState:
        """How it is now; `TailgitError` if the sending machine does not answer."""
        try:
            answer = self._sender.ask({"ask": True})
        except Gone as error:
            raise TailgitError(f"flow {self.probe}: {error}") from None
        return FlowState(
            answer["sent"],
            answer["echoed"],
            answer["silence"],
            answer["gap"],
            tuple(answer["recent"]),
            answer["ended"],
        )

    def wait(self, until: Callable[[FlowState], bool], limit: float) -> FlowState:
        """The first state for which `until` holds, else the one after `limit` s."""
        deadline = time.monotonic() + limit
        while True:
            state = self.state()
            if until(state) or time.monotonic() > deadline:
                return state
            time.sleep(INTERVAL / 2)
