"""Private keys in a repository: found by what they look like, in every file.

PEM, OpenSSH, PuTTY and age keys say what they are. A WireGuard private key can't be
told from a public one: it is found by the name in front of it or, wherever and under
whatever name it lies, because its public key is one that the tailnet declares. The
findings never quote a private key.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from itertools import islice

from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place

MAX_SCANNED_BYTES = 16 << 20
MOST = 20
MAX_TOKENS = 200_000
"""Texts of 32 bytes that are remembered; a tailnet's own public keys are among them."""
MAX_DERIVED = 20_000
"""Public keys that are computed, 50 microseconds each."""

_MARKS = (b"priv", b"Priv", b"PRIV", b"hared", b"HARED", b"SECRET-KEY", b"secret-key")
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_KEY = rb"[a-z0-9+/]{42}[AEIMQUYcgkosw048]="
_SECRETS = re.compile(
    # One class for the first letter of all: the search then leaps to it.
    rb"[-APap](?:"
    rb"(?P<block>(?<=-)--- ?-?BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)? ?----"
    # Base64 follows, perhaps indented, quoted, escaped or behind headers.
    rb"-?(?:\\[rn]|[\s>|#\"'])*(?:[A-Za-z-]{1,20}: [^\n]{0,200}\n\s*){0,4}"
    rb"[A-Za-z0-9+/]{20})"
    rb"|(?P<putty>(?<=P)rivate-Lines: [0-9]{1,4}\r?\n\s*[A-Za-z0-9+/]{20})"
    rb"|(?P<age>(?<=A)GE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50})"
    # privateKey, WG_PRIVATE_KEY, pre-shared-key …; then `:`, `=`, `>` or blanks alone.
    rb"|(?P<named>(?<=P)r(?:iv(?:ate)?|e[-_ ]?shared)[-_ ]?key\\?[\"']?"
    rb"(?:\s{0,8}[:=>]{1,2}\s{0,8}|[ \t]{1,8})(?:[|>][-+]?\s{1,80})?\\?[\"']?"
    rb"(?:" + _KEY + rb"|[0-9a-f]{64}(?![0-9a-z+/]))))",
    re.IGNORECASE,
)
_KINDS = {
    "block": "a private key",
    "putty": "a private key",
    "age": "an age secret key",
    "named": "a WireGuard private or pre-shared key",
}
_HELP = "take it out of the history too and replace the key: it is known now"

# 32 bytes in base64, found from the end: `=` is rare, so nothing is slower for it.
_TOKEN_END = re.compile(
    rb"=(?!=)(?<=[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)"
    rb"(?<![A-Za-z0-9+/][A-Za-z0-9+/]{43}=)"
)
_TOKEN_LENGTH = 44
_ALONE = re.compile(rb"\s*[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\s*")
"""What `wg genkey > file` leaves. So does `wg pubkey`, and such a file says `pub`."""


def find_secrets(data: bytes, file: str) -> Iterator[Finding]:
    """A finding for each private key in a file of any kind; at most `MOST`."""
    data = _narrow(data[:MAX_SCANNED_BYTES])
    if _is_a_key(data, file):
        line = data[: len(data) - len(data.lstrip())].count(b"\n") + 1
        message = "the file holds nothing but what looks like a private key"
        help_ = f"{_HELP}; the file of a public key says `pub` in its name"
        yield finding("private-key", Place(file, line), message, help_)
        return
    for match in islice(_named(data), MOST):
        line_start = data.rfind(b"\n", 0, match.start()) + 1
        line = data.count(b"\n", 0, line_start) + 1
        yield finding(
            "private-key",
            Place(file, line, _column(data, line_start, match.start())),
            f"{_KINDS[match.lastgroup or 'block']} lies in the repository",
            _HELP,
        )


class Suspects:
    """Texts of 32 bytes anywhere in the files: is one a declared key's private half?

    `look` at every file as it goes by, then ask for the `findings` once it is known
    which public keys the tailnet declares. What `find_secrets` finds by its name is
    left to it.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, list[tuple[str, int, int]]] = {}
        self._overflow: Place | None = None

    def look(self, data: bytes, file: str) -> None:
        """Remembers the texts of one file and where they stand."""
        data = _narrow(data[:MAX_SCANNED_BYTES])
        if _is_a_key(data, file):
            return
        named: set[int] | None = None
        places, line, line_start = self._places, 1, 0
        for match in _TOKEN_END.finditer(data):
            end = match.end()
            start = end - _TOKEN_LENGTH
            if named is None:
                named = {each.end() for each in islice(_named(data), MOST)}
            if end in named:
                continue
            breaks = data.count(b"\n", line_start, start)
            if breaks:
                line += breaks
                line_start = data.rfind(b"\n", line_start, start) + 1
            token = data[start:end]
            known = places.get(token)
            if known is not None:
                if len(known) < MOST:
                    known.append((file, line, _column(data, line_start, start)))
            elif len(places) < MAX_TOKENS:
                places[token] = [(file, line, _column(data, line_start, start))]
            elif self._overflow is None:
                self._overflow = Place(file, line, _column(data, line_start, start))

    def findings(self, declared: Iterable[str]) -> Iterator[Finding]:
        """A finding wherever the private half of a declared public key stands."""
        wanted = {key.encode(errors="replace") for key in declared}
        if not wanted:
            return
        unknown = [token for token in self._places if token not in wanted]
        if len(unknown) > MAX_DERIVED:
            self._overflow = Place(*self._places[unknown[MAX_DERIVED]][0])
        if self._overflow is not None:
            yield finding(
                "too-large",
                self._overflow,
                f"more than {MAX_DERIVED} texts that could be private keys, too many "
                "to compare with the devices' public keys",
                "give the tailnet a folder of its own",
            )
        for token in unknown[:MAX_DERIVED]:
            public = _public_half(token)
            if public not in wanted:
                continue
            for file, line, column in self._places[token]:
                yield finding(
                    "private-key",
                    Place(file, line, column),
                    f"the private key of the public key `{public.decode()}` lies in "
                    "the repository",
                    _HELP,
                )


def _is_a_key(data: bytes, file: str) -> bool:
    """Whether the file is one key and does not call itself public."""
    if len(data) > 2 * _TOKEN_LENGTH or "pub" in file.rpartition("/")[2].lower():
        return False
    return _ALONE.fullmatch(data) is not None


def _public_half(token: bytes) -> bytes:
    # Imported here: most repositories hold no text that would need it.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    private = X25519PrivateKey.from_private_bytes(b64decode(token))
    return b64encode(private.public_key().public_bytes_raw())


def _named(data: bytes) -> Iterator[re.Match[bytes]]:
    if any(mark in data for mark in _MARKS):
        yield from _SECRETS.finditer(data)


def _narrow(data: bytes) -> bytes:
    """UTF-8 where an editor wrote UTF-16; whatever else it is, as it is."""
    if not data.startswith(_WIDE):
        return data
    return data.decode("utf-16", "replace").encode(errors="replace")


def _column(data: bytes, line_start: int, start: int) -> int:
    """The column as people count, in characters; a byte order mark is none."""
    before = data[line_start:start]
    if before.isascii():
        return len(before) + 1
    text = before.decode("utf-8", "replace")
    return len(text.removeprefix("\ufeff") if line_start == 0 else text) + 1
