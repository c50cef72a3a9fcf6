"""The first message of a WireGuard handshake, with a time that the test chooses.

Written from the protocol's description (Noise_IKpsk2 with its four messages): nothing
else lets a test say what time a node believes it is, as no clock is the test's to set.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_MAC1 = b"mac1----"
_NONCE = bytes(12)
"""Each key encrypts one thing."""

INITIATION, RESPONSE = 1, 2
"""The types of the first two messages: their first byte."""


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2s(b"".join(parts)).digest()


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.blake2s).digest()


def _derive(chaining: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """The next chaining key, and a key to encrypt with."""
    root = _mac(chaining, secret)
    first = _mac(root, b"\x01")
    return first, _mac(root, first + b"\x02")


def _raw(key: X25519PublicKey) -> bytes:
    return key.public_bytes_raw()


def tai64n(epoch: float) -> bytes:
    """Seconds since 1970 TAI, from 2**62 on, and nanoseconds; both big endian."""
    seconds, part = divmod(epoch, 1)
    return struct.pack(">QI", 2**62 + 10 + int(seconds), int(part * 1e9))


def initiation(private: str, responder: str, epoch: float, *, index: int = 1) -> bytes:
    """What the owner of `private` sends to `responder` (keys as `wg` writes them) to
    begin a handshake when his clock says `epoch`."""
    own = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    theirs = X25519PublicKey.from_public_bytes(base64.b64decode(responder))
    ephemeral = X25519PrivateKey.generate()

    chaining = _hash(_CONSTRUCTION)
    transcript = _hash(_hash(chaining, _IDENTIFIER), _raw(theirs))
    shown = _raw(ephemeral.public_key())
    chaining, _ = _derive(chaining, shown)
    transcript = _hash(transcript, shown)

    chaining, key = _derive(chaining, ephemeral.exchange(theirs))
    static = ChaCha20Poly1305(key).encrypt(_NONCE, _raw(own.public_key()), transcript)
    transcript = _hash(transcript, static)

    chaining, key = _derive(chaining, own.exchange(theirs))
    time = ChaCha20Poly1305(key).encrypt(_NONCE, tai64n(epoch), transcript)

    message = struct.pack("<B3xI", INITIATION, index) + shown + static + time
    mac1_key = _hash(_MAC1, _raw(theirs))
    mac1 = hashlib.blake2s(message, digest_size=16, key=mac1_key).digest()
    return message + mac1 + bytes(16)
