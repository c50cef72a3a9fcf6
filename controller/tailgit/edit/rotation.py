"""The repository's part of a rotation: the next key is staged, then takes the place.

Both are edits of the one file that defines the device, proven like every other one.
"""

from __future__ import annotations

from pathlib import Path

from tailgit.edit.change import Change, change_of, prove
from tailgit.edit.device import devices_change
from tailgit.edit.entries import Edit, Put, Remove
from tailgit.edit.tree import open_tree
from tailgit.model.tailnet import Device


def staged(repo: Path, device: Device, key: str) -> Change:
    """The change that announces `key` as the device's next one."""
    return devices_change(repo, {device.name: {("nextPublicKey",): key}})


def finished(repo: Path, device: Device) -> Change:
    """The change after which the next key is the key."""
    assert device.next_public_key is not None
    at = ("devices", device.name)
    edits: list[Edit] = [
        Put((*at, "publicKey"), device.next_public_key),
        Remove((*at, "nextPublicKey")),
    ]
    return _proven(repo, device, edits)


def aborted(repo: Path, device: Device) -> Change:
    """The change that takes the announcement back."""
    return _proven(repo, device, [Remove(("devices", device.name, "nextPublicKey"))])


def _proven(repo: Path, device: Device, edits: list[Edit]) -> Change:
    tree = open_tree(repo)
    change = change_of(tree, {device.place.file: edits})
    prove(tree, change)
    return change
