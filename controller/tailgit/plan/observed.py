"""What a node said about itself, as a value that `deploy.observe` makes of its answer.

It is testimony, not proof: texts in here are shown escaped and never acted on. A lying
node decides whether there is anything to do on itself; and a record of a commit that
git does not know refuses the whole apply until the node is mended or disabled.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
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
    guard, which is at work (ok) or absent. `deposited` and `fetched` are a mailbox's.
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
    deposited: tuple[Deposited, ...] = ()
    fetched: tuple[Fetched, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what a plan rests on: all but the clock and the traffic.

        A laptop that asks its mailbox makes no plan stale."""
        facts = asdict(self)
        del facts["time"], facts["peers"], facts["fetched"]
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

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
        found += [f"{part} {state}" for part, state in self.parts if state != OK]
        return tuple(found)
