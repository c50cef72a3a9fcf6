"""The example tailnet with keys, as the tests of the compiler use it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from tailgit.load import load
from tailgit.model.tailnet import Tailnet

EXAMPLE = Path(__file__).parents[2] / "examples" / "acme"


def key_of(name: str) -> str:
    """A stand-in for a public key: any 32 bytes are one, as far as files go."""
    return b64encode(sha256(name.encode()).digest()).decode()


def with_keys(tailnet: Tailnet) -> Tailnet:
    devices = {
        name: replace(device, public_key=key_of(name))
        for name, device in tailnet.devices.items()
    }
    return replace(tailnet, devices=devices)


def acme() -> Tailnet:
    loaded = load(EXAMPLE)
    assert loaded.tailnet is not None, loaded.findings
    return with_keys(loaded.tailnet)
