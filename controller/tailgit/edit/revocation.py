"""Switching a device or a person off: the smallest edit that takes all access away.

What is edited is the commit, not the folder's files as they happen to lie there: a
revocation is made at night, beside half-done work of other people, and nothing of that
may stop it or get into its commit. For the same reason a test of the policy that fails
by it is no reason to refuse: such a test says that the device may reach something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from tailgit.edit.change import Change, Edited, change_of
from tailgit.edit.entries import Edit, Put
from tailgit.edit.tree import Tree, judged, new_errors, open_tree, other_roots
from tailgit.errors import InvalidTailnet, Refused, UsageError
from tailgit.load.git import Repo
from tailgit.load.located import Map
from tailgit.model.codes import OF_TESTS
from tailgit.model.findings import Finding
from tailgit.model.near import meant
from tailgit.model.tailnet import Device, Tailnet
from tailgit.model.text import shown


@dataclass(frozen=True, slots=True)
class Revocation:
    """What has to be written to switch `name` off; nothing where it is off already.

    `devices` are all that lose their access by it; `failing` the tests of the policy
    that fail from now on, `others` other tailnets that read the file.
    """

    name: str
    change: Change
    devices: tuple[Device, ...]
    failing: tuple[Finding, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The one file that changes, by its path from the top; "" for none."""
        return self.change.files[0].file if self.change.files else ""


def revocation(repo: FilePath, name: str) -> Revocation:
    """What switches a device or a user off in `HEAD`.

    `UsageError` if there is neither, `Refused` if the file can't be edited, holds
    changes that are not committed, or `HEAD` is on no branch; `InvalidTailnet` where
    something still needs the device.
    """
    tree = open_tree(repo, "HEAD")
    tailnet = tree.loaded.tailnet
    if tailnet is None:
        raise InvalidTailnet(tree.findings)
    devices = _devices(tailnet, name)
    file, edit = _edit(tree, tailnet, name)
    if edit is None:
        return Revocation(name, Change(tree.top), devices)
    change = change_of(tree, {file: [edit]})
    _committable(repo, file)
    after = judged(Edited(tree.source, change), tree.root)[1]
    new = new_errors(tree.findings, after, words={})
    broken = tuple(each for each in new if each.code not in OF_TESTS)
    if broken:
        raise InvalidTailnet(broken)
    failing = tuple(each for each in new if each.code in OF_TESTS)
    return Revocation(name, change, devices, failing, other_roots(tree, [file]))


def _devices(tailnet: Tailnet, name: str) -> tuple[Device, ...]:
    """The device of that name, or all that the person owns."""
    if name in tailnet.devices:
        return (tailnet.devices[name],)
    if name in tailnet.users:
        owned = (d for d in tailnet.devices.values() if d.owner == name)
        return tuple(sorted(owned, key=lambda device: device.name.encode()))
    known = [*tailnet.devices, *tailnet.users]
    raise UsageError(
        f"{tailnet.name} has no device or user `{shown(name)}`", meant(name, known)
    )


def _edit(tree: Tree, tailnet: Tailnet, name: str) -> tuple[str, Edit | None]:
    """The file that defines it, and what to change there; None for nothing."""
    device, user = tailnet.devices.get(name), tailnet.users.get(name)
    if device is not None:
        file, section, off = device.place.file, "devices", device.disabled
    else:
        assert user is not None
        file, section, off = user.place.file, "users", user.disabled
    if off:
        return file, None
    about: Mapping[str, object] = tree.documents[file][section]
    if isinstance(about.get(name), Map):
        return file, Put((section, name, "disabled"), value=True)
    return file, Put((section, name), {"disabled": True})


def _committable(repo: FilePath, file: str) -> None:
    """`Refused` where a commit of this one file would take more along, or get lost."""
    repository = Repo(repo)
    if not repository.branch():
        raise Refused(
            "HEAD is on no branch, so the commit would get lost",
            "check out the branch that is applied: git switch main",
        )
    if repository.changed(file):
        raise Refused(
            f"{shown(file)} has changes that are not committed, and they would get "
            "into the same commit",
            "commit them, or put them aside: git stash push -- FILE",
        )
