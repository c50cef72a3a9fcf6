"""What a node said about itself, as a value that `deploy.observe` makes of its answer.

It is testimony, not proof: texts in here are shown escaped and never acted on. A lying
node decides whether there is anything to do on itself; and a record of a commit that
git does not know refuses the whole apply until the node is mended or disabled.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256

OK = "ok"


@dataclass(frozen=True, slots=True)
class Record:
    """What was last confirmed on a node: its envelope, and the digests of two files."""

    commit: str
    height: int
    kind: str
    by: str
    at: str
    envelope: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One that a node keeps; its digests are those of two files (hex)."""

    number: int
    commit: str
    height: int
    kind: str
    at: str
    envelope: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Who applies to a node at the moment; `silent` is seconds without a request."""

    token: str
    commit: str
    at: str
    by: str
    silent: int

    def __str__(self) -> str:
        return (
            f"{self.by} holds it since {self.at} for {self.commit[:7]} "
            f"(lock {self.token}, silent for {self.silent} s)"
        )


@dataclass(frozen=True, slots=True)
class Suspension:
    """Until when (epoch seconds) a node takes nothing, who said so and why."""

    until: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Peer:
    """A WireGuard peer as it stands; `handshake` is epoch seconds, 0 for none yet."""

    public_key: str
    endpoint: str
    handshake: int
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class Deposited:
    """A parcel that a mailbox holds for `node`, as the mailbox says."""

    node: str
    envelope: str
    at: str
    commit: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What `node` told a mailbox when it last asked there, and when by its clock.

    `envelope` is the digest of what it has confirmed, None for nothing; `result` how
    its turn before ended: ok, none, confirming, or a node's word for an error.
    """

    node: str
    time: int
    envelope: str | None
    result: str


@dataclass(frozen=True, slots=True)
class Observed:
    """One node at one moment. Numbers of generations are None where there is none.

    `interface` is up, down or absent; `parts` are (filter, peers, addresses, routes,
    names) with ok, differs or absent, judged by the node against what it runs, and
    guard, which is at work (ok) or absent. `damaged` means that the node has a current
    generation whose record can't be read. `confirm_in` is seconds until a pending
    generation is given up, `free` KiB on the disk. `behind` is a clock that is before
    what is known to be past, `clock_high` the latest time (epoch) that it ever showed.
    `deposited` and `fetched` are a mailbox's.
    """

    node: str
    version: str
    script: str
    time: int
    public_keys: tuple[str, ...]
    current: int | None
    live: int | None
    pending: int | None
    rolledback: int | None
    record: Record | None
    interface: str
    parts: tuple[tuple[str, str], ...]
    listen_port: int | None
    peers: tuple[Peer, ...]
    foreign: tuple[str, ...]
    serial: int = 0
    damaged: bool = False
    generations: tuple[Generation, ...] = ()
    confirm_in: int | None = None
    hold: Hold | None = None
    suspended: Suspension | None = None
    behind: bool = False
    clock_high: int = 0
    free: int = 0
    drift: tuple[str, ...] = ()
    deposited: tuple[Deposited, ...] = ()
    fetched: tuple[Fetched, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what a plan rests on: what is, without what passes by.

        A laptop that asks its mailbox makes no plan stale.
        """
        facts = {name: getattr(self, name) for name in _LASTING}
        facts["record"] = self.record and asdict(self.record)
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def newest(self) -> str:
        """The latest `at` (RFC 3339, UTC) of an order that the node has; "" for none.

        It takes no order from before (docs/node-protocol.md, Order in time).
        """
        return max((one.at for one in self.generations), default="")

    @property
    def faults(self) -> tuple[str, ...]:
        """Why what runs is not what was confirmed; empty when all is well."""
        if self.current is None:
            return ()
        found: list[str] = []
        if self.pending is not None:
            found.append(f"generation {self.pending} was activated, never confirmed")
        if self.live is None:
            found.append("nothing runs")
        elif self.live != self.current:
            found.append(f"runs generation {self.live}, confirmed is {self.current}")
        if self.interface != "up":
            found.append(f"interface {self.interface}")
        if self.behind:
            found.append("its clock is behind: what has a deadline is off")
        found += [f"{part} {state}" for part, state in self.parts if state != OK]
        return tuple(found)


_PASSING = (
    *("time", "peers", "generations", "confirm_in", "hold", "suspended"),
    *("clock_high", "free", "drift", "fetched", "deposited"),
)
_LASTING = tuple(one.name for one in fields(Observed) if one.name not in _PASSING)
