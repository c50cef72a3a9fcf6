"""Public keys that are points of low order on Curve25519.

Multiplied with any private key they give one of a handful of values that everybody
can compute, so a tunnel to such a key would keep nothing secret; WireGuard refuses the
handshake. No device makes one by chance: somebody has typed or planted it.

The list is that of https://cr.yp.to/ecdh.html#validate. Of its twelve numbers five
have more than 255 bits; X25519 ignores the highest bit of a key (RFC 7748, section 5),
so keys are compared without it, and modulo 2^255 - 19, which leaves the five below.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Tailnet

_PRIME = 2**255 - 19

_LOW_ORDER = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


def is_weak(key: str) -> bool:
    """Whether a public key in base64 is a point of low order."""
    try:
        data = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False  # the loader has said that it is no key
    number = int.from_bytes(data, "little") & (2**255 - 1)
    return len(data) == 32 and number % _PRIME in _LOW_ORDER


def check_keys(tailnet: Tailnet) -> Iterator[Finding]:
    """A finding for each key of a device that is weak."""
    for device in tailnet.devices.values():
        for field, key in (
            ("publicKey", device.public_key),
            ("nextPublicKey", device.next_public_key),
            ("relayPublicKey", device.relay_public_key),
        ):
            if key is None or not is_weak(key):
                continue
            origin = device.origin
            yield finding(
                "weak-public-key",
                origin.at(field) if origin is not None else device.place,
                f"`{field}` of `{device.name}` is a point of low order: nothing that "
                "is encrypted for it would be secret",
                f"enroll the device again: `tailgit device enroll {device.name}`; and "
                "ask where this key came from",
            )
