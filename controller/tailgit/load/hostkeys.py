"""SSH public keys as they stand in a .pub file: a type and base64 that repeats it."""

from __future__ import annotations

import base64
import binascii


def is_ssh_key(text: str) -> bool:
    """Whether `TYPE BASE64` is one: the blob begins with its own type (RFC 4253)."""
    kind, _, encoded = text.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    name = kind.encode()
    return blob.startswith(len(name).to_bytes(4, "big") + name)
