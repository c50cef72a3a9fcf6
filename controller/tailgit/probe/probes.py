"""Send packets between machines and say what became of each.

A probe that comes back proves that it passed. A probe that does not come back proves
nothing by itself: the listener may be dead, on another address, or never started. So
a listener is probed from its own machine before and after, and without that proof
the outcome is an `error`, never `blocked`. What a listener saw although its echo was
lost is kept too (`arrived`): one way is enough to break a promise of "denied".
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from tailgit.model.addresses import Address
from tailgit.probe.executor import Agent, Executor, Gone

Protocol = Literal["tcp", "udp", "icmp"]
Endpoint = tuple[str, str, int]  # protocol, address, port

LIMIT = 1.5
"""Seconds to wait for an answer: TCP repeats a lost SYN after one."""

_MARGIN = 10.0


class Result(StrEnum):
    """What became of a probe; `REFUSED` means that somebody said no (RST, ICMP)."""

    PASSED = "passed"
    BLOCKED = "blocked"
    REFUSED = "refused"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Probe:
    """One packet to send: from a machine, to an address that `dst` has.

    ICMP is one echo request and needs no listener, so nothing proves `dst` alive.
    """

    src: str
    dst: str
    protocol: Protocol
    address: Address
    port: int = 0
    source: Address | None = None

    @property
    def family(self) -> str:
        return f"IPv{self.address.version}"

    @property
    def endpoint(self) -> Endpoint:
        return self.protocol, str(self.address), self.port

    def __str__(self) -> str:
        port = "" if self.protocol == "icmp" else f":{self.port}"
        return f"{self.src} -> {self.dst}{port} {self.protocol} {self.family}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a probe, why, and whether it arrived without coming back."""

    probe: Probe
    result: Result
    detail: str = ""
    arrived: bool = False

    @property
    def reached(self) -> bool:
        """Whether the packet got to the destination's listener at all."""
        return self.result is Result.PASSED or self.arrived

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        arrived = ", yet it arrived" if self.arrived else ""
        return f"{self.probe}: {self.result}{arrived}{detail}"


def send(
    executor: Executor, probes: Iterable[Probe], *, limit: float = LIMIT
) -> tuple[Outcome, ...]:
    """Send all probes at once; outcomes in their order.

    Takes about `limit` seconds if any is blocked, however many there are.
    """
    probes = tuple(probes)
    with listening(executor, probes) as listeners:
        return listeners.send(probes, limit=limit)


@contextmanager
def listening(executor: Executor, probes: Iterable[Probe]) -> Iterator[Listeners]:
    """Listeners for all these probes, one agent a destination."""
    wanted: dict[str, set[Endpoint]] = {}
    for probe in probes:
        if probe.protocol != "icmp":
            wanted.setdefault(probe.dst, set()).add(probe.endpoint)
    with ExitStack() as stack:
        listeners = Listeners(executor)
        for machine, endpoints in sorted(wanted.items()):
            listeners.start(stack, machine, endpoints)
        listeners.settle()
        yield listeners


class Listeners:
    """Agents that listen, and what they could not listen on."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._agents: dict[str, Agent] = {}
        self._dead: dict[str, str] = {}
        self._failed: dict[tuple[str, Endpoint], str] = {}

    def start(self, stack: ExitStack, machine: str, endpoints: set[Endpoint]) -> None:
        """Begin to listen; `settle` waits for it."""
        try:
            agent = stack.enter_context(Agent(self._executor, machine, "listen"))
            agent.say({"listen": sorted(endpoints)})
            self._agents[machine] = agent
        except Gone as error:
            self._dead[machine] = str(error)

    def settle(self) -> None:
        """Wait until every listener listens or is known not to."""
        for machine, answer in self._answers().items():
            for endpoint, why in answer["failed"]:
                key = (machine, _endpoint(endpoint))
                self._failed[key] = f"{machine} can't listen there: {why}"

    def send(
        self, probes: Iterable[Probe], *, limit: float = LIMIT
    ) -> tuple[Outcome, ...]:
        """Send probes to these listeners; see `tailgit.probe.send`."""
        nonces = {probe: secrets.token_hex(16) for probe in probes}
        before, _ = self._check()
        outcomes = _sent(self._executor, nonces, limit)
        after, seen = self._check()
        faults = {**self._failed, **after, **before}
        return tuple(
            self._believed(outcomes[probe], faults, arrived=nonce in seen)
            for probe, nonce in nonces.items()
        )

    def _believed(
        self,
        outcome: Outcome,
        faults: Mapping[tuple[str, Endpoint], str],
        *,
        arrived: bool,
    ) -> Outcome:
        probe = outcome.probe
        if outcome.result is Result.PASSED or probe.protocol == "icmp":
            return outcome
        fault = self._dead.get(probe.dst) or faults.get((probe.dst, probe.endpoint))
        if fault:
            return Outcome(probe, Result.ERROR, fault, arrived)
        return replace(outcome, arrived=arrived)

    def _check(self) -> tuple[dict[tuple[str, Endpoint], str], set[str]]:
        """Endpoints that do not answer on their own machine, and nonces seen."""
        for machine, agent in list(self._agents.items()):
            try:
                agent.say({"check": True})
            except Gone as error:
                self._lose(machine, error)
        faults: dict[tuple[str, Endpoint], str] = {}
        seen: set[str] = set()
        for machine, answer in self._answers().items():
            seen.update(answer["seen"])
            for endpoint, why in answer["dead"]:
                key = (machine, _endpoint(endpoint))
                faults[key] = f"the listener on {machine} does not answer there: {why}"
        return faults, seen

    def _answers(self) -> dict[str, dict[str, Any]]:
        answers = {}
        for machine, agent in list(self._agents.items()):
            try:
                answers[machine] = agent.hear()
            except Gone as error:
                self._lose(machine, error)
        return answers

    def _lose(self, machine: str, error: Gone) -> None:
        self._dead[machine] = f"no listener: {error}"
        del self._agents[machine]


def _sent(
    executor: Executor, nonces: Mapping[Probe, str], limit: float
) -> dict[Probe, Outcome]:
    """Every machine sends its probes, all machines at the same time."""
    by_source: dict[str, list[Probe]] = {}
    for probe in nonces:
        by_source.setdefault(probe.src, []).append(probe)
    outcomes: dict[Probe, Outcome] = {}
    agents: dict[str, Agent] = {}
    with ExitStack() as stack:
        for machine, probes in by_source.items():
            request = {"probes": [_data(p, nonces[p]) for p in probes], "limit": limit}
            try:
                agents[machine] = stack.enter_context(Agent(executor, machine, "send"))
                agents[machine].say(request)
            except Gone as error:
                outcomes |= _lost(probes, error)
        for machine, probes in by_source.items():
            if machine not in agents or probes[0] in outcomes:
                continue
            try:
                answer = agents[machine].hear(2 * limit + _MARGIN)
            except Gone as error:
                outcomes |= _lost(probes, error)
                continue
            for probe, (result, why) in zip(probes, answer["outcomes"], strict=True):
                outcomes[probe] = Outcome(probe, Result(result), why)
    return outcomes


def _lost(probes: Iterable[Probe], error: Gone) -> dict[Probe, Outcome]:
    return {probe: Outcome(probe, Result.ERROR, str(error)) for probe in probes}


def _data(probe: Probe, nonce: str) -> dict[str, Any]:
    return {
        "protocol": probe.protocol,
        "address": str(probe.address),
        "port": probe.port,
        "source": str(probe.source) if probe.source else None,
        "nonce": nonce,
    }


def _endpoint(raw: list[Any]) -> Endpoint:
    protocol, address, port = raw
    return protocol, address, port
