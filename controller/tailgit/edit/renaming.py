"""Another name for a device, and nothing else: same addresses, same access.

The old name goes into `formerly`, from whose oldest entry addresses, port and slot
follow. Afterwards the relation of who reaches whom must be the same as before but for
the name, or nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from pathlib import PurePosixPath

from tailgit.access import Opening, Relation, View
from tailgit.edit.change import Change, FileChange, change_of, prove
from tailgit.edit.entries import Append, Edit, Put, Remove, Rename
from tailgit.edit.mentions import Note, device_notes
from tailgit.edit.references import Role, references
from tailgit.edit.tree import Tree, open_tree
from tailgit.errors import InvalidTailnet, Refused, UsageError
from tailgit.model.near import meant
from tailgit.model.tailnet import Device, Tailnet
from tailgit.model.text import shown


@dataclass(frozen=True, slots=True)
class Renaming:
    """A proven change, with what stays the same and what is worth a look."""

    change: Change
    device: Device
    references: int
    notes: tuple[Note, ...]
    others: tuple[str, ...]


def rename_device(repo: FilePath, old: str, new: str) -> Renaming:
    """The change that gives a device another name.

    `UsageError` for a name that is none, `Refused` for one that is taken.
    """
    tree = open_tree(repo)
    tailnet = tree.loaded.tailnet
    if tailnet is None:
        raise InvalidTailnet(tree.findings)
    device = tailnet.devices.get(old)
    if device is None:
        raise UsageError(f"no device `{shown(old)}`", meant(old, tailnet.devices))
    free_name(tailnet, new, device)
    edits: defaultdict[str, list[Edit]] = defaultdict(list)
    found = [
        each
        for each in references(tree)
        if each.name == old and each.role is not Role.OWNER
    ]
    for each in found:
        edits[each.file].append(Put(each.path, each.renamed(new)))
    edits[device.place.file] += _own(tree, device, new)
    change = change_of(tree, edits)
    change = Change(
        change.top, tuple(f for e in change.files for f in _moved(tree, e, old, new))
    )
    loaded, others = prove(tree, change, {old: new})
    after = loaded.tailnet
    if after is None:
        raise InvalidTailnet(loaded.findings)
    _must_be_the_same(tailnet, after, old, new)
    notes = tuple(device_notes(tree, change, old))
    return Renaming(change, after.devices[new], len(found), notes, others)


def free_name(tailnet: Tailnet, name: str, device: Device | None = None) -> None:
    """`Refused`, with the place, if something has or had the name."""
    taken = tailnet.devices.get(name)
    if taken is not None:
        raise Refused(f"there is a device `{name}` already: {shown(str(taken.place))}")
    if name in tailnet.hosts:
        place = shown(str(tailnet.hosts[name].place))
        raise Refused(f"`{name}` is an alias in `hosts`: {place}")
    for other in tailnet.devices.values():
        if name in other.formerly and (device is None or other.name != device.name):
            raise Refused(
                f"`{other.name}` was called `{name}` once: {shown(str(other.place))}",
                "its addresses may follow from that name: take another one",
            )


def _own(tree: Tree, device: Device, new: str) -> list[Edit]:
    """The edits of the device's own entry: its key, and its old names."""
    path = ("devices", device.name)
    own = tree.documents[device.place.file]["devices"][device.name]
    key, old_names = (*path, "formerly"), list(device.formerly)
    edits: list[Edit] = [Rename(path, new)]
    if "formerly" not in own:
        edits.append(Put(key, (device.name,)))
    elif old_names and old_names[0] == new:
        edits.append(Remove(key))  # its addresses follow from its name again
    elif new in old_names:
        old_names.remove(new)
        edits.append(Put(key, (*old_names, device.name)))
    else:
        edits.append(Append(key, device.name))
    return edits


def _moved(
    tree: Tree, change: FileChange, old: str, new: str
) -> tuple[FileChange, ...]:
    """`OLD.yaml` as `NEW.yaml`, where the file holds the device alone."""
    path = PurePosixPath(change.file)
    document = tree.documents[change.file]
    alone = list(document) == ["devices"] and list(document["devices"]) == [old]
    target = str(path.with_name(f"{new}{path.suffix}"))
    if path.stem != old or not alone or not tree.is_below(change.file):
        return (change,)
    if tree.source.entry(target) is not None or _is_named(tree, change.file):
        return (change,)
    return (
        FileChange(change.file, change.before, None),
        FileChange(target, None, change.after, like=change.file),
    )


def _is_named(tree: Tree, file: str) -> bool:
    """Whether tailnet.yaml names the file, so that it can't have another name."""
    root_file = tree.documents[tree.below("tailnet.yaml")]
    named = [*(root_file.get("include") or ()), *(root_file.get("exclude") or ())]
    return any(
        PurePosixPath(str(each)).name == PurePosixPath(file).name for each in named
    )


def _must_be_the_same(before: Tailnet, after: Tailnet, old: str, new: str) -> None:
    one, two = before.devices[old], after.devices[new]
    for what in ("ipv4", "ipv6", "listen_port", "relay_slot", "public_key", "ssh"):
        if getattr(one, what) != getattr(two, what):
            raise Refused(
                f"the {what.replace('_', ' ')} of `{old}` would not stay the same",
                "its `formerly` must begin with the oldest name",
            )
    now, then = (_access(Relation.of(each)) for each in (before, after))
    alike: set[tuple[int, int]] = set()  # devices of one view share what they see
    for name, seen in now.items():
        other = then.get(new if name == old else name)
        if (id(seen), id(other)) in alike:
            continue
        alike.add((id(seen), id(other)))
        if other != _renamed(seen, old, new):
            raise Refused(
                f"what `{name}` may reach or be reached by would not stay the same",
                "of two routers for one subnet the first by name may be the one that "
                "carries it",
            )


_Gate = frozenset[tuple[object, frozenset[str], object, object]]
_Seen = tuple[tuple[_Gate, ...], frozenset[str], Mapping[str, object]]


def _access(relation: Relation) -> dict[str, _Seen]:
    """For each device what it may reach and who may reach it; shared by its view."""
    views: dict[View, _Seen] = {}
    found = {}
    for device in relation.devices:
        view = relation.view(device.name)
        if view not in views:
            views[view] = _seen(relation, view)
        found[device.name] = views[view]
    return found


def _seen(relation: Relation, view: View) -> _Seen:
    names = [device.name for device in relation.devices]

    def gate(openings: tuple[Opening, ...]) -> _Gate:
        return frozenset(
            (
                each.ports,
                frozenset(names[number] for number in each.devices),
                each.prefixes,
                each.here,
            )
            for each in openings
        )

    gates = tuple(
        gate(side(view, version))
        for side in (relation.inward, relation.outward)
        for version in (4, 6)
    )
    peers = frozenset(names[number] for number in relation.peer_numbers(view))
    routes = relation.routes_through(view)
    return gates, peers, {names[number]: each for number, each in routes.items()}


def _renamed(seen: _Seen, old: str, new: str) -> _Seen:
    def name(text: str) -> str:
        return new if text == old else text

    gates, peers, routes = seen
    return (
        tuple(
            frozenset(
                (ports, frozenset(map(name, devices)), prefixes, here)
                for ports, devices, prefixes, here in gate
            )
            for gate in gates
        ),
        frozenset(map(name, peers)),
        {name(router): each for router, each in routes.items()},
    )
