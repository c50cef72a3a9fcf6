"""Private keys in a repository: found by what they look like, in every file.

A WireGuard private key can't be told from a public one, so it is found by the name
in front of it; PEM, OpenSSH and age keys say what they are. The finding never quotes
the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place

MAX_SCANNED_BYTES = 16 << 20
MOST = 20

_MARKS = (b"PRIVATE KEY", b"SECRET-KEY", b"rivate", b"RIVATE", b"hared", b"HARED")
_SECRETS = re.compile(
    rb"(?P<block>-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    # Base64 follows, perhaps indented, quoted, escaped or behind PEM headers.
    rb"(?:\\[rn]|[\s>|#\"'])*(?:[A-Za-z-]{1,20}: [^\n]{0,200}\n\s*){0,4}"
    rb"[A-Za-z0-9+/]{20})"
    rb"|(?P<age>AGE-SECRET-KEY-1[0-9A-Z]{50})"
    rb"|(?P<named>(?:private|preshared)[-_ ]?key[\"']?\s{0,8}[:=]\s{0,8}[\"']?"
    rb"[a-z0-9+/]{42}[AEIMQUYcgkosw048]=)",
    re.IGNORECASE,
)
_KINDS = {
    "block": "a private key",
    "age": "an age secret key",
    "named": "a WireGuard private or pre-shared key",
}


def find_secrets(data: bytes, file: str) -> Iterator[Finding]:
    """A finding for each private key in a file of any kind; at most `MOST`."""
    data = data[:MAX_SCANNED_BYTES]
    if not any(mark in data for mark in _MARKS):
        return
    for match in islice(_SECRETS.finditer(data), MOST):
        start = match.start()
        line = data.count(b"\n", 0, start) + 1
        column = start - (data.rfind(b"\n", 0, start) + 1) + 1
        yield finding(
            "private-key",
            Place(file, line, column),
            f"{_KINDS[match.lastgroup or 'block']} lies in the repository",
            "take it out of the history too and replace the key: it is known now",
        )
