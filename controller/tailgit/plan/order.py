"""In which order nodes are written to: canary, revocations, the rest, who leaves, home.

One node goes first and alone: what is wrong with a change is mostly wrong everywhere,
and one node is cheap. Then nodes that lose something, since a revocation waits for
nobody. A peer that comes is loaded at either end in any order, as packets pass only
once both have it; so nothing breaks between waves that was not meant to. Nodes that
whose only change is a key (somebody's rotation) are switched together, as a pair is
apart from the switch of one end to that of the other. Nodes that
leave the tailnet come after everybody let go of them, and the controller's own last
of all: whatever goes wrong, the hand that mends it is still there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tailgit.errors import UsageError
from tailgit.plan.row import Row, State

Kind = Literal["canary", "wave", "keys", "leaving", "controller"]

SMALLEST = 5
"""A wave has room for so many nodes, also in a small tailnet."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Nodes that are written to at the same time, those that lose something first."""

    kind: Kind
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a change spreads. `canary` is a node's name, "" to choose one.

    `size` is how many nodes a wave has: a number or a share such as `25%`. `at_once`
    is for a revocation: everybody in one wave, no canary.
    """

    canary: str = ""
    size: str = "25%"
    at_once: bool = False


AS_EVER = Pace()


def waves(rows: Iterable[Row], pace: Pace, controller: str | None) -> tuple[Wave, ...]:
    """The order of the rows that are written; each of them is in exactly one wave.

    Raises `UsageError` where `pace` makes no sense for them.
    """
    written = [row for row in rows if row.written]
    size = wave_size(pace.size, len(written))
    if pace.at_once:
        return _split("wave", sorted(written, key=_urgency), len(written))
    keys = [row for row in written if _only_keys(row) and row.node != pace.canary]
    others = [row for row in written if row not in keys]
    home = [row for row in others if row.node == controller]
    leaving = [r for r in others if r.state is State.LEAVING and r not in home]
    rest = [row for row in others if row not in leaving and row not in home]
    first = _canary(rest, pace.canary, known={row.node for row in rows})
    after = sorted((row for row in rest if row not in first), key=_urgency)
    return (
        *_split("canary", first, 1),
        *_split("wave", after, size),
        *_split("keys", sorted(keys, key=_own_key), len(keys)),
        *_split("leaving", leaving, size),
        *_split("controller", home, 1),
    )


def wave_size(text: str, nodes: int) -> int:
    """How many nodes a wave has; `UsageError` if `text` is neither number nor share."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})(%?)", text, re.ASCII)
    if match is None or (match[2] and int(match[1]) > 100):
        raise UsageError(
            f"--wave-size {text}: neither a number of nodes nor a share of them",
            "write --wave-size 20 or --wave-size 10%",
        )
    number = int(match[1])
    return max(SMALLEST, -(-nodes * number // 100)) if match[2] else number


def _canary(rest: Sequence[Row], name: str, known: set[str]) -> list[Row]:
    """Who goes first: who was named, else the node that fewest others depend on.

    It should be one that changes: a first generation or a repair shows little of what
    a change does. A named one that is not written to this time (asleep, in sync) can't
    try anything, so another one does.
    """
    if name and name not in known:
        raise UsageError(f"--canary {name}: there is no such device")
    named = [row for row in rest if row.node == name]
    if named or len(rest) < 2:
        return named
    return [min(rest, key=_price)]


def _price(row: Row) -> tuple[bool, int, bytes]:
    return row.state is not State.CHANGE, row.peers, row.node.encode()


def _urgency(row: Row) -> tuple[bool, bytes]:
    """Nodes that take something away from somebody go first."""
    return not row.loses, row.node.encode()


def _only_keys(row: Row) -> bool:
    return row.difference is not None and row.difference.only_keys


def _own_key(row: Row) -> tuple[bool, bytes]:
    """Who knows a new key before who has it: then its first handshake is answered."""
    own = row.difference is not None and row.difference.own_key
    return own, row.node.encode()


def _split(kind: Kind, rows: Sequence[Row], size: int) -> tuple[Wave, ...]:
    names = [row.node for row in rows]
    return tuple(
        Wave(kind, tuple(names[start : start + size]))
        for start in range(0, len(names), max(size, 1))
    )
