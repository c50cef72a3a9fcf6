"""The parcel of a node: what was compiled, who ordered it, and the proof that they did.

One signature covers a whole apply, whatever the fleet's size and also with a hardware
key that wants a touch: the statement that is signed names the root of a hash tree
whose leaves are the nodes' envelopes and manifests. Every parcel carries the same
statement and signature and its own way from leaf to root. The formats are those of
docs/node-protocol.md; this module has no I/O and knows no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from tailgit.compile.bundle import make_tar

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest parcel that a node accepts."""

LONGEST_BY = 200

Step = tuple[Literal["L", "R"], str]
"""A sibling on the way up: the side it stands on and its hash."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who ordered what for which node; `at` is RFC 3339 in UTC, to the second.

    `height` is `git rev-list --count COMMIT`. The envelope travels beside the bundle
    and is not part of it, so the same policy stays the same bytes.
    """

    tailnet: str
    node: str
    commit: str
    height: int
    by: str
    at: str
    kind: Literal["apply", "rollback"] = "apply"

    def text(self) -> bytes:
        lines = (
            "tailgit-envelope 1",
            f"tailnet {self.tailnet}",
            f"node {self.node}",
            f"commit {self.commit}",
            f"height {self.height}",
            f"kind {self.kind}",
            f"by {one_line(self.by)}",
            f"at {self.at}",
        )
        return "".join(f"{line}\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class Tree:
    """A hash tree: its root and, for each leaf in order, the siblings up to it."""

    root: str
    paths: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, slots=True)
class Order:
    """Everything of one apply that is signed once: statement and the nodes' paths."""

    statement: bytes
    paths: Mapping[str, bytes]


def one_line(text: str) -> str:
    """`text` as an envelope may carry it: printable, one line, at most 200 bytes."""
    clean = "".join(c if c.isprintable() else " " for c in text).strip() or "unknown"
    return clean.encode()[:LONGEST_BY].decode(errors="ignore")


def leaf(envelope: bytes, manifest: bytes) -> str:
    """The hash of one node's envelope and manifest (lowercase hex)."""
    parts = (sha256(envelope).hexdigest(), sha256(manifest).hexdigest())
    return sha256("leaf\n{}\n{}\n".format(*parts).encode()).hexdigest()


def tree(leaves: Sequence[str]) -> Tree:
    """The tree over `leaves`; an odd last one moves up a level unchanged."""
    if not leaves:
        raise ValueError("a tree needs a leaf")
    paths: list[list[Step]] = [[] for _ in leaves]
    level: list[tuple[str, tuple[int, ...]]] = [
        (hash_, (index,)) for index, hash_ in enumerate(leaves)
    ]
    while len(level) > 1:
        above: list[tuple[str, tuple[int, ...]]] = []
        for (left, below_left), (right, below_right) in zip(
            level[::2], level[1::2], strict=False
        ):
            for index in below_left:
                paths[index].append(("R", right))
            for index in below_right:
                paths[index].append(("L", left))
            inner = sha256(f"node\n{left}\n{right}\n".encode()).hexdigest()
            above.append((inner, below_left + below_right))
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return Tree(level[0][0], tuple(tuple(path) for path in paths))


def order(parts: Mapping[str, tuple[bytes, bytes]]) -> Order:
    """What has to be signed for nodes with these (envelope, manifest) pairs."""
    nodes = sorted(parts, key=str.encode)
    grown = tree([leaf(*parts[node]) for node in nodes])
    paths = {
        node: "".join(f"{side} {hash_}\n" for side, hash_ in path).encode()
        for node, path in zip(nodes, grown.paths, strict=True)
    }
    return Order(f"tailgit-apply 1\nroot {grown.root}\n".encode(), paths)


def parcel(
    *, envelope: bytes, statement: bytes, signature: bytes, path: bytes, bundle: bytes
) -> bytes:
    """The outer tar, the same bytes for the same parts; `bundle` is a tar itself.

    Raises `ValueError` when a node would refuse it for its size.
    """
    packed = make_tar(
        (
            ("envelope", envelope),
            ("statement", statement),
            ("statement.sig", signature),
            ("path", path),
            ("bundle.tar", bundle),
        )
    )
    if len(packed) > LARGEST:
        raise ValueError(f"{len(packed)} bytes are more than a node accepts")
    return packed
