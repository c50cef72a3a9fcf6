"""`tailgit device export`: the file for a device that runs no tailgit-node.

A phone, a Mac, a router: it takes a file with everything inside, its private key too.
That key is the only one that this side ever sees. It comes from the device or is made
for this one file, and is never stored here: not in the repository, and in no other
file than the one that was asked for, which nobody else can read.
"""

from __future__ import annotations

import base64
import binascii
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.joining import keep
from tailgit.cli.tailnet import Repo, device_of, valid_tailnet
from tailgit.errors import Refused, UsageError
from tailgit.model.tailnet import Delivery

if TYPE_CHECKING:
    from tailgit.model.tailnet import Device, Tailnet


def export(
    name: Annotated[
        str, typer.Argument(metavar="DEVICE", help="Its name in the repository.")
    ],
    repo: Repo = Path(),
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write it there, readable for you alone; else print it.",
        ),
    ] = None,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key", help="Make a key for it; its public half goes into the YAML."
        ),
    ] = False,
) -> None:
    """Write the file for a phone, a Mac or any machine without tailgit-node.

    With `delivery: wg-quick`. The file holds all that a WireGuard app or wg-quick
    wants, also the private key: that is read from standard input, one line as wg
    genkey prints it, and must belong to the device's publicKey. With --new-key it is
    made here, is in this file and nowhere else, and its public half is written into
    the device's YAML. Such a device filters nothing itself and gets no changes by
    itself: export it again, with its key, when its peers have changed.

    \b
    Examples:
      tailgit device export ana-phone --new-key --out ana-phone.conf
      tailgit device export ana-mac --out ana-mac.conf < private.key
    """
    from tailgit.compile.wgquick import app_file

    tailnet = valid_tailnet(repo, for_nodes=True)
    device = device_of(tailnet, name)
    if device.delivery is not Delivery.WG_QUICK:
        raise Refused(
            f"{name} has `delivery: {device.delivery}`, and makes its key itself",
            "write `delivery: wg-quick` if nothing of tailgit shall run on it",
        )
    private, public = _made(device) if new_key else _given(device)
    text = app_file(_with_key(tailnet, device, public), name, private)
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        keep(out, text.encode(), 0o600)
    said = [f"Written to {out}, readable for you alone."] if out else []
    if new_key:
        from tailgit.edit.device import set_device

        written = set_device(repo, name, {("publicKey",): public})
        said.append(f"Its public key is in {written.name} now; keep the private one.")
        said.append("Next:  commit it, then tailgit plan")
    print("\n".join(said), file=sys.stderr)


def _made(device: Device) -> tuple[str, str]:
    """A new key pair for a device that has none yet."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    if device.public_key is not None:
        raise Refused(
            f"{device.name} has a publicKey already",
            "give its private key on standard input; or take publicKey out of its "
            "file, which ends the old one",
        )
    private = X25519PrivateKey.generate().private_bytes_raw()
    return _text(private), _public(private)


def _given(device: Device) -> tuple[str, str]:
    """The key pair of the private key on standard input."""
    if sys.stdin.isatty():
        raise UsageError(
            "the file needs the device's private key",
            "give it on standard input, or --new-key to have one made",
        )
    line = sys.stdin.read(200).strip()
    try:
        private = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        private = b""
    if len(private) != 32:
        # What was given may be a secret all the same, so it is not shown.
        raise UsageError(
            "standard input is no WireGuard private key",
            "give one line, as of `wg genkey`, or --new-key to have a key made",
        )
    public = _public(private)
    if device.public_key not in (None, public):
        raise Refused(f"that key is not the one of {device.name}'s publicKey")
    if device.public_key is None:
        raise Refused(
            f"{device.name} has no publicKey in the repository",
            f"write it there first: {public}",
        )
    return line, public


def _public(private: bytes) -> str:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.from_private_bytes(private)
    return _text(key.public_key().public_bytes_raw())


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _with_key(tailnet: Tailnet, device: Device, public: str) -> Tailnet:
    """The same tailnet where the device has its key, as after the next commit."""
    devices = {**tailnet.devices, device.name: replace(device, public_key=public)}
    return replace(tailnet, devices=devices)
