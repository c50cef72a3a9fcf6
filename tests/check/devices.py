"""Small tailnets for the judgements about devices, and what `check` says to them."""

from __future__ import annotations

import base64
from pathlib import Path

from tailgit.check import Surroundings, check
from tailgit.load import load
from tailgit.model.findings import Finding
from tests.load.files import HEAD, write

HOST_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"
)


def key(number: int) -> str:
    """A public key as a device's file has it; each number has its own."""
    return base64.b64encode(number.to_bytes(32, "big")[::-1]).decode()


def found(
    folder: Path,
    devices: str,
    *codes: str,
    rest: str = "grants: []\n",
    now: int | None = None,
) -> list[Finding]:
    """The findings of those codes for a tailnet with these devices."""
    text = f"{rest}devices:\n{devices}"
    loaded = load(write(folder, {"tailnet.yaml": HEAD, "a.yaml": text}))
    assert loaded.tailnet is not None, loaded.findings
    return [
        each for each in check(loaded.tailnet, Surroundings(now)) if each.code in codes
    ]
