"""Taking a device or a person out of a tailnet, with every reference to them.

What stands in a list is taken out of it; a rule, a test or a record that would be about
nobody goes as a whole. Where a person has to decide, such as whose gateway comes
instead, nothing is done and the places are named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Any

from tailgit.edit.change import Change, FileChange, change_of, prove
from tailgit.edit.entries import Edit, Path, Put, Remove
from tailgit.edit.mentions import Note, device_notes, user_notes
from tailgit.edit.references import Reference, Role, references
from tailgit.edit.tree import Tree, open_tree, raw
from tailgit.errors import Refused, UsageError
from tailgit.model.findings import Place
from tailgit.model.near import meant
from tailgit.model.text import shown


@dataclass(frozen=True, slots=True)
class Removal:
    """A proven change, with what a person should know before saying yes."""

    change: Change
    devices: tuple[str, ...] = ()
    rules: tuple[Place, ...] = ()
    emptied: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """Edits by file while they are collected."""

    tree: Tree
    edits: defaultdict[str, list[Edit]] = field(
        default_factory=lambda: defaultdict(list)
    )
    lost: dict[tuple[str, Path], set[int]] = field(default_factory=dict)
    rules: set[Place] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)

    def remove(self, file: str, path: Path) -> None:
        self.edits[file].append(Remove(path))

    def entry(self, file: str, path: Path) -> None:
        """Takes out a rule, a test or a record as a whole."""
        self.remove(file, path)
        self.rules.add(self.tree.documents[file].at(*path))


def remove_device(repo: FilePath, name: str) -> Removal:
    """The change that takes a device out; `UsageError` if there is none."""
    tree = open_tree(repo)
    devices = _devices(tree)
    if name not in devices:
        raise UsageError(f"no device `{shown(name)}`", meant(name, devices))
    work = _Work(tree)
    _drop(work, {name: devices[name]}, (name,))
    return _finished(work, (name,), lambda after: device_notes(tree, after, name))


def remove_user(repo: FilePath, login: str, heir: str | None = None) -> Removal:
    """The change that takes a person out, with their devices or with those given on."""
    tree = open_tree(repo)
    files = [
        file
        for file, document in tree.documents.items()
        if isinstance(document.get("users"), Mapping) and login in document["users"]
    ]
    known = {
        *(key for document in tree.documents.values() for key in _users(document)),
        *(each.name for each in references(tree) if "@" in each.name),
    }
    if login not in known:
        raise UsageError(f"no user `{shown(login)}`", meant(login, known))
    if heir is not None and (heir == login or heir not in known):
        wrong = "leaves" if heir == login else "is no user"
        raise UsageError(f"`{shown(heir)}` {wrong}", meant(heir, known - {login}))
    work = _Work(tree)
    for file in files:
        work.remove(file, ("users", login))
    owned = {} if heir else _owned(tree, login)
    for each in references(tree):
        if each.role is not Role.OWNER or each.name != login:
            continue
        if heir:
            work.edits[each.file].append(Put(each.path, each.renamed(heir)))
        elif each.path[0] == "deviceDefaults":
            work.remove(each.file, each.path)
    _drop(work, owned, (login, *owned))
    return _finished(work, tuple(owned), lambda after: user_notes(tree, after, login))


def _users(document: Mapping[str, object]) -> Iterable[str]:
    users = document.get("users")
    return users if isinstance(users, Mapping) else ()


def _devices(tree: Tree) -> dict[str, str]:
    """Every device's name and the file that defines it."""
    return {
        name: file
        for file, document in tree.documents.items()
        for name in document.get("devices") or ()
    }


def _owned(tree: Tree, login: str) -> dict[str, str]:
    """A person's devices; a file's defaults may be what names the owner."""
    found = {}
    for name, file in _devices(tree).items():
        document = tree.documents[file]
        defaults = document.get("deviceDefaults")
        device = document["devices"][name]
        inherited = defaults.get("owner") if isinstance(defaults, Mapping) else None
        owner = device.get("owner", inherited) if isinstance(device, Mapping) else None
        if isinstance(owner, str) and owner.strip() == login:
            found[name] = file
    return found


def _drop(work: _Work, devices: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Edits that take out the devices and every reference to one of the names."""
    for name, file in devices.items():
        work.remove(file, ("devices", name))
    gone = {(file, ("devices", name)) for name, file in devices.items()}
    found = [
        each
        for each in references(work.tree)
        if each.name in names
        and each.role is not Role.OWNER
        and (each.file, each.path[:2]) not in gone
    ]
    _decided([each for each in found if each.role is Role.NEEDED])
    for each in found:
        if each.role is Role.SUBJECT:
            work.entry(each.file, _entry(each.path))
        else:
            work.remove(each.file, each.path)
            if isinstance(each.path[-1], int):
                key = each.file, each.path[:-1]
                work.lost.setdefault(key, set()).add(each.path[-1])
    roles = {(each.file, each.path[:-1]): each.role for each in found}
    for (file, path), numbers in work.lost.items():
        if len(numbers) == len(_at(work.tree, file, path)):
            _emptied(work, file, path, roles[file, path])


def _decided(needed: list[Reference]) -> None:
    if needed:
        places = ", ".join(
            f"{shown(str(each.place))} (`{shown(str(each.path[-1]))}: "
            f"{shown(each.name)}`)"
            for each in needed
        )
        raise Refused(
            f"`{shown(needed[0].name)}` is still needed: {places}",
            "say there what comes instead, then remove it",
        )


def _entry(path: Path) -> Path:
    """The path of the rule, test or record that a path lies in."""
    return path[:3] if path[0] == "dns" else path[:2]


def _emptied(work: _Work, file: str, path: Path, role: Role) -> None:
    """A list has lost all that it had."""
    if role is Role.PART:
        work.entry(file, _entry(path))
    elif role is Role.TARGET:
        test = _at(work.tree, file, path[:2])
        left = [
            key
            for key in ("accept", "deny")
            if test.get(key)
            and len(work.lost.get((file, (*path[:2], key)), ())) < len(test[key])
        ]
        if left:
            work.remove(file, path)
        else:
            work.entry(file, path[:2])
    else:
        work.emptied.add(".".join(map(str, path[1:])))


def _at(tree: Tree, file: str, path: Path) -> Any:
    found: Any = tree.documents[file]
    for step in path:
        found = found[step]
    return found


def _finished(
    work: _Work,
    devices: tuple[str, ...],
    notes: Callable[[Change], Iterable[Note]],
) -> Removal:
    """The proven change of all edits that were collected."""
    tree = work.tree
    change = change_of(tree, work.edits)
    change = Change(
        change.top, tuple(_without_file(tree, each, devices) for each in change.files)
    )
    others = prove(tree, change)[1]
    return Removal(
        change=change,
        devices=devices,
        rules=tuple(sorted(work.rules)),
        emptied=tuple(sorted(work.emptied)),
        notes=tuple(notes(change)),
        others=others,
    )


def _without_file(
    tree: Tree, change: FileChange, devices: tuple[str, ...]
) -> FileChange:
    """No file at all in place of `NAME.yaml` that holds nothing more."""
    if change.after is None or not tree.is_below(change.file):
        return change
    path = PurePosixPath(change.file)
    if path.stem in devices and raw(change.after, change.file) == {"devices": {}}:
        return FileChange(change.file, change.before, None)
    return change
