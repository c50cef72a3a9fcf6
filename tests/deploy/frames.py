"""Answers of a node, written independently of `tailgit.deploy.answer`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

Pairs = Iterable[tuple[str, str]]


def frame(pairs: Pairs) -> bytes:
    """The framed answer that says `pairs` (docs/node-protocol.md)."""
    text = "TAILGIT 1\n"
    for key, value in pairs:
        value = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        text += f"{key}\t{value}\n"
    body = text.encode()
    return body + b"end\t" + sha256(body).hexdigest().encode() + b"\n"


def ok(verb: str, tailnet: str, *more: tuple[str, str]) -> bytes:
    return frame([("verb", verb), ("tailnet", tailnet), ("result", "ok"), *more])


def error(verb: str, tailnet: str, code: str, message: str) -> bytes:
    head = [("verb", verb), ("tailnet", tailnet), ("result", "error")]
    return frame([*head, ("error", code), ("message", message)])


def observation(
    *,
    tailnet: str = "acme",
    public_keys: Sequence[str] = ("key",),
    record: Pairs = (),
    current: str = "none",
    live: str | None = None,
    states: Sequence[str] = ("absent",) * 7,
    more: Pairs = (),
) -> bytes:
    """An answer to `observe`; without arguments, of a node that was just enrolled."""
    record = tuple(record)
    parts = ("interface", "filter", "peers", "addresses", "routes", "names", "guard")
    return ok(
        "observe",
        tailnet,
        ("version", "1"),
        ("script", "5" * 64),
        ("time", "1800000000"),
        *(("publicKey", key) for key in public_keys),
        ("current", current),
        ("live", current if live is None else live),
        ("pending", "none"),
        ("rolledback", "none"),
        ("record", "ok" if record else "none"),
        *record,
        *(("serial", "1"), ("clock", "ok"), ("clockHigh", "0"), ("free", "4096")),
        *zip(parts, states, strict=True),
        *more,
    )
