"""Nodes that keep the protocol in Python, and a clock that takes no time.

Mocked, because here the controller is tried against every place at which a request or
its answer may get lost, some thousand times; the true script has the same tries, fewer
of them, in tests/chaos. `Machine` is the contract of docs/node-protocol.md as a few
lines: a node that is asked to activate counts down and goes back by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import selectors
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tailgit.deploy.ssh import Login, Reply, Session
from tailgit.errors import Unreachable
from tests.deploy.frames import error, ok

T = TypeVar("T")


class _Patient(selectors.DefaultSelector):
    """Never waits: the time that it should have waited has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.passed += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.patient = _Patient()
        super().__init__(self.patient)

    def time(self) -> float:
        return self.patient.passed


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a clock that jumps over every wait."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


@dataclass
class Machine:
    """One node. `fault("before VERB")` and `fault("after VERB")` are called around each
    request; they may raise `Unreachable`, and the answer is lost."""

    node: str
    fault: Callable[[str], None] = lambda _: None
    well: bool = True
    """Whether what is switched to is as its files say."""
    refuses: dict[str, str] = field(default_factory=dict)
    bare: set[str] = field(default_factory=set)
    """Verbs that it answers with a number and nothing else."""
    envelopes: dict[int, str] = field(default_factory=dict)
    current: int | None = None
    pending: tuple[int, float] | None = None
    live: int | None = None
    token: str = "none"
    handshakes: bool = True
    requests: list[str] = field(default_factory=list)

    def settle(self, now: float) -> None:
        """What the timer has done by now."""
        if self.pending and now >= self.pending[1]:
            self.roll_back()

    def roll_back(self) -> None:
        self.pending, self.live, self.token = None, self.current, "none"

    def answer(self, command: str, stdin: bytes, now: float) -> bytes:
        self.settle(now)
        verb, _, *words = command.split()
        self.requests.append(verb)
        token = words[-1] if verb != "observe" else ""
        if verb in self.refuses:
            return error(verb, "acme", self.refuses[verb], "as told")
        if verb in self.bare:
            return ok(verb, "acme", ("generation", "999"))
        if verb not in ("observe", "stage") and self.token != token:
            if verb == "confirm" and self.current == int(words[0]):
                return ok(verb, "acme", ("generation", words[0]))
            if verb != "unlock":
                return error(verb, "acme", "locked", "the lock is gone")
        match verb:
            case "stage":
                return self._stage(words, stdin)
            case "activate":
                return self._activate(words, now)
            case "confirm":
                return self._confirm(words)
            case "rollback":
                self.roll_back()
                return ok(verb, "acme", ("generation", words[0]))
            case "unlock":
                return self._unlock(words)
        return self._observe()

    def _unlock(self, words: list[str]) -> bytes:
        if self.token == words[0]:
            self.token = "none"
        return ok("unlock", "acme")

    def _stage(self, words: list[str], stdin: bytes) -> bytes:
        if self.token not in ("none", words[0]):
            said = "ana holds it since today"
            return error("stage", "acme", "locked", said)
        with tarfile.open(fileobj=io.BytesIO(stdin)) as tar:
            member = tar.extractfile("envelope")
            assert member is not None
            digest = hashlib.sha256(member.read()).hexdigest()
        known = [n for n, each in self.envelopes.items() if each == digest]
        number = known[0] if known else max(self.envelopes, default=0) + 1
        self.envelopes[number] = digest
        self.token = words[0]
        return ok(
            "stage",
            "acme",
            ("generation", str(number)),
            ("envelope", self.envelopes.get(self.current or 0, "none")),
            ("live", str(self.live or "none")),
            ("pending", str(self.pending[0] if self.pending else "none")),
        )

    def _activate(self, words: list[str], now: float) -> bytes:
        number = int(words[0])
        if not (self.pending and self.pending[0] == number):
            self.pending = number, now + int(words[1])
        self.live = number
        return ok("activate", "acme", ("generation", words[0]))

    def _confirm(self, words: list[str]) -> bytes:
        number = int(words[0])
        if self.current != number:
            if not self.pending or self.pending[0] != number:
                return error("confirm", "acme", "not-pending", "given up")
            if not self.well:
                return error("confirm", "acme", "differs", "filter: differs")
            self.current, self.pending = number, None
        self.token = "none"
        return ok("confirm", "acme", ("generation", words[0]))

    def _record(self) -> tuple[tuple[str, str], ...]:
        if self.current is None:
            return ()
        return (
            *(("commit", "c" * 40), ("height", "1"), ("kind", "apply"), ("by", "ana")),
            *(("at", "2026-11-22T13:00:00Z"), ("manifest", "d" * 64)),
            ("envelope", self.envelopes[self.current]),
        )

    def _observe(self) -> bytes:
        handshake = "1800000000" if self.handshakes else "0"
        peer = f"{'P' * 43}= none {handshake} 1 1"
        return ok(
            "observe",
            "acme",
            ("version", "1"),
            ("script", "5" * 64),
            ("time", "1800000060"),
            ("current", str(self.current or "none")),
            ("live", str(self.live or "none")),
            ("pending", str(self.pending[0] if self.pending else "none")),
            ("rolledback", "none"),
            ("record", "ok" if self.current else "none"),
            *self._record(),
            *((p, "ok") for p in ("filter", "peers", "addresses", "routes", "names")),
            *(("interface", "up"), ("guard", "ok"), ("serial", "1"), ("clock", "ok")),
            *(("clockHigh", "0"), ("free", "1000"), ("peer", peer)),
        )


@dataclass
class Fabric:
    """The executor that reaches the machines; `log` has what was asked, in order."""

    machines: dict[str, Machine]
    log: list[tuple[str, str]] = field(default_factory=list)
    connects: int = 0

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Session]:
        machine = self.machines[login.node]
        self.connects += 1
        machine.fault("connect")
        self.log.append((login.node, "connect"))
        yield _Wire(self, machine)

    def settle(self) -> None:
        """Long after: every timer has run out."""
        for machine in self.machines.values():
            machine.settle(float("inf"))


@dataclass
class _Wire:
    fabric: Fabric
    machine: Machine

    async def run(self, command: str, *, stdin: bytes = b"", seconds: float) -> Reply:
        assert seconds > 20  # the node may wait that long for its own lock
        verb = command.split()[0]
        await asyncio.sleep(0.01)
        self.machine.fault(f"before {verb}")
        now = asyncio.get_running_loop().time()
        self.fabric.log.append((self.machine.node, verb))
        answer = self.machine.answer(command, stdin, now)
        await asyncio.sleep(0.01)
        self.machine.fault(f"after {verb}")
        return Reply(answer, b"")


def lost(node: str) -> Unreachable:
    return Unreachable(node, "the connection is gone")
