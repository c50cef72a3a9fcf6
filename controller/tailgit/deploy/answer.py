"""What a node answers, taken apart strictly.

An answer is a frame of lines with a hash at its end (docs/node-protocol.md). Anything
that is not exactly that is no answer: a cut connection, a login shell that talks, a
node that is something else altogether. Values are a node's testimony: text to show,
escaped, never a path, host or command to act on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from tailgit.errors import BadAnswer

LARGEST = 8 * 1024 * 1024
"""Bytes of the longest answer that is read: some 60,000 peers."""

_START = b"TAILGIT 1\n"
_LINE = re.compile(r"([A-Za-z][A-Za-z0-9]*)\t([^\t\n\r]*)")
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_PLAIN = {"t": "\t", "n": "\n", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The pairs of one answer in their order; keys may repeat."""

    pairs: tuple[tuple[str, str], ...]

    def every(self, key: str) -> tuple[str, ...]:
        return tuple(value for name, value in self.pairs if name == key)

    def maybe(self, key: str) -> str | None:
        """The only value of `key`, None without one; `ValueError` if there are more."""
        values = self.every(key)
        if len(values) > 1:
            raise ValueError(f"`{key}` stands there {len(values)} times")
        return values[0] if values else None

    def one(self, key: str) -> str:
        """The only value of `key`; `ValueError` if there is none or more."""
        value = self.maybe(key)
        if value is None:
            raise ValueError(f"`{key}` is missing")
        return value


def parse(node: str, data: bytes) -> Answer:
    """The answer in what `node` sent; noise before its first line is passed over.

    Raises `BadAnswer` for everything else than one whole frame with verb, tailnet and
    result that ends where the data ends.
    """
    try:
        return _parse(data)
    except ValueError as error:
        raise BadAnswer(
            node,
            f"what came back is not an answer of tailgit-node: {error}",
            "look at what the login prints there, or enrol the node again",
        ) from None


def _parse(data: bytes) -> Answer:
    if len(data) > LARGEST:
        raise ValueError(f"it is longer than {LARGEST} bytes")
    frame = _frame(data)
    body = frame[: frame.rindex(b"\n", 0, -1) + 1]
    if frame[len(body) :] != f"end\t{sha256(body).hexdigest()}\n".encode():
        raise ValueError("its last line is not the hash of the others")
    try:
        lines = body.decode("utf-8").removesuffix("\n").split("\n")[1:]
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    answer = Answer(tuple(_pair(line) for line in lines))
    if answer.one("result") not in ("ok", "error"):
        raise ValueError("its result is neither ok nor error")
    wanted = ("error", "message") if answer.one("result") == "error" else ()
    for key in ("verb", "tailnet", *wanted):
        answer.one(key)
    return answer


def _frame(data: bytes) -> bytes:
    """From the last line that is exactly the opening one to the end."""
    start = (b"\n" + data).rfind(b"\n" + _START)
    if start < 0:
        raise ValueError("it is empty" if not data.strip() else "it has no first line")
    frame = data[start:]
    if not frame.endswith(b"\n") or frame == _START:
        raise ValueError("it breaks off")
    return frame


def _pair(line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None or match[1] == "end":
        raise ValueError("it has a line that is no key and value")
    return match[1], _ESCAPE.sub(_unescaped, match[2])


def _unescaped(match: re.Match[str]) -> str:
    try:
        return _PLAIN[match[1]]
    except KeyError:
        raise ValueError("it has an unknown escape") from None
