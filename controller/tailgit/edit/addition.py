"""A new device: one file of its own, so that branches merge without a conflict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, relpath

from tailgit.edit.change import Change, Edited, FileChange, prove
from tailgit.edit.entries import Scalar, flow, scalar
from tailgit.edit.renaming import free_name
from tailgit.edit.schema import SCHEMA
from tailgit.edit.tree import Tree, judged, new_errors, open_tree
from tailgit.errors import InvalidTailnet, Refused, UsageError
from tailgit.load.source import open_source
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Device
from tailgit.model.text import shown

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

Fields = Mapping[str, Scalar | Sequence[str] | Mapping[str, Scalar]]


@dataclass(frozen=True, slots=True)
class Addition:
    """A change that adds a device; `clash` if another one has its address."""

    change: Change
    device: Device
    clash: Finding | None = None


def add_device(repo: Path, name: str, fields: Fields) -> Addition:
    """The change that adds `devices/NAME.yaml` below the root, or to its folder `repo`.

    `UsageError` for a name that is none, `Refused` if name or file are there already,
    `InvalidTailnet` with the errors that the device would bring. An address that
    another device has is not one of those: a pin in the new file mends it.
    """
    device_name(name)
    tree = open_tree(repo)
    tailnet = tree.loaded.tailnet or tree.loaded.partial
    if tailnet is not None:
        free_name(tailnet, name)
    file = _file(tree, repo, name)
    there = tree.source.entry(file)
    if there is not None:
        what = "leads through a symbolic link" if there.kind == "link" else "exists"
        raise Refused(f"{shown(file)} {what}", "nothing is written over it")
    lines = [f"    {key}: {flow(value)}\n" for key, value in fields.items()]
    text = f"devices:\n  {scalar(name, quoted=False)}:\n{''.join(lines)}"
    if tree.source.entry(tree.below(SCHEMA)) is not None:
        way = relpath(tree.below(SCHEMA), dirname(file))
        text = f"# yaml-language-server: $schema={way}\n{text}"
    change = Change(tree.top, (FileChange(file, None, text.encode()),))
    loaded, findings = judged(Edited(tree.source, change), tree.root)
    found = new_errors(tree.findings, findings, words={})
    # Where something is wrong already, the tests may run for the first time now.
    was_invalid = any(each.is_error for each in tree.findings)
    others = ("test-failed", "ssh-test-failed") if was_invalid else ()
    found = tuple(each for each in found if each.code not in others)
    clashes = [each for each in found if each.code == "address-clash"]
    if found != tuple(clashes):
        raise InvalidTailnet(found)
    if not clashes:
        prove(tree, change, passed_over=others)  # for other tailnets, too
    after = loaded.tailnet or loaded.partial
    device = after.devices.get(name) if after is not None else None
    if device is None:
        raise Refused(
            f"{shown(file)} would be no part of the tailnet",
            "does `exclude` in tailnet.yaml name it?",
        )
    return Addition(change, device, clashes[0] if clashes else None)


def _file(tree: Tree, repo: Path, name: str) -> str:
    """Where the device goes: into the folder that was named, else into `devices/`."""
    _, folder = open_source(repo, None)
    inside = folder != tree.root and tree.is_below(f"{folder}/x")
    return f"{folder}/{name}.yaml" if inside else tree.below(f"devices/{name}.yaml")


def device_name(name: str) -> None:
    """`UsageError` for what can't be a device's name."""
    if name == "localhost" or not _NAME.fullmatch(name):
        raise UsageError(
            f"`{shown(name)}` can't be a device's name",
            "a DNS label: lower-case letters, digits and dashes, a letter first, "
            "at most 63, and not localhost",
        )
