"""Where a tailnet's files name a device or a person.

One table says which fields hold selectors, and what follows when one is taken out: a
rule whose src is empty is gone, a test without its subject, too, while a group stays.
It reads documents, not the model, so that every section is searched alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tailgit.edit.entries import Path
from tailgit.edit.tree import Tree
from tailgit.model.findings import Place
from tailgit.model.selectors import SelectorError, split_destination


class Role(Enum):
    """What follows if a reference is taken out."""

    PART = "an item of a list that a rule needs: without any, the rule goes"
    TARGET = "one of a test's targets: without any, the test goes"
    SUBJECT = "what an entry is about: the entry goes"
    ITEM = "an item of a list that may be empty"
    FIELD = "a field that may be left out"
    OWNER = "a device's owner"
    NEEDED = "something that a person must decide about"


_RULES: dict[str, dict[str, Role]] = {
    "acls": {"src": Role.PART, "dst": Role.PART},
    "grants": {"src": Role.PART, "dst": Role.PART},
    "ssh": {"src": Role.PART, "dst": Role.PART},
    "nodeAttrs": {"target": Role.PART},
    "tests": {"src": Role.SUBJECT, "accept": Role.TARGET, "deny": Role.TARGET},
    "sshTests": {"src": Role.SUBJECT, "dst": Role.PART},
}
_WITH_PORTS = {("acls", "dst"), ("tests", "accept"), ("tests", "deny")}
_OF_DEVICES = {
    "owner": Role.OWNER,
    "gateway": Role.NEEDED,
    "useExitNode": Role.NEEDED,
}


@dataclass(frozen=True, slots=True)
class Reference:
    """One place that names something: the whole text there, and the name in it."""

    file: str
    path: Path
    text: str
    name: str
    role: Role
    place: Place

    def renamed(self, new: str) -> str:
        """The whole text with another name."""
        head, found, tail = self.text.partition(self.name)
        return f"{head}{new}{tail}" if found else self.text


def references(tree: Tree) -> Iterator[Reference]:
    """Every reference of every file, whoever is meant."""
    domain = _domain(tree)
    for file, document in tree.documents.items():
        for path, text, name, role in _in_document(document, domain):
            place = document.at(*path)
            yield Reference(file, path, text, name, role, place)


def _domain(tree: Tree) -> str:
    tailnet = tree.documents[tree.below("tailnet.yaml")].get("tailnet")
    return str(tailnet.get("domain", "")) if isinstance(tailnet, Mapping) else ""


_Found = tuple[Path, str, str, Role]


def _in_document(document: Mapping[str, Any], domain: str) -> Iterator[_Found]:
    for section, roles in _RULES.items():
        for number, item in enumerate(_list(document, section)):
            for key, role in roles.items():
                ports = (section, key) in _WITH_PORTS
                yield from _texts((section, number, key), item, role, ports=ports)
    for section in ("groups", "tagOwners"):
        yield from _lists((section,), document.get(section))
    approvers = document.get("autoApprovers")
    if isinstance(approvers, Mapping):
        for key in ("routes", "services"):
            yield from _lists(("autoApprovers", key), approvers.get(key))
        yield from _texts(("autoApprovers", "exitNode"), approvers, Role.ITEM)
    for name, folder in _entries(document, "delegations"):
        for key in ("owners", "dst"):
            role = Role.ITEM if isinstance(folder.get(key), list) else Role.FIELD
            yield from _texts(("delegations", name, key), folder, role)
    for name, device in _entries(document, "devices"):
        for key, role in _OF_DEVICES.items():
            yield from _texts(("devices", name, key), device, role)
    for key, role in _OF_DEVICES.items():
        defaults = document.get("deviceDefaults")
        yield from _texts(("deviceDefaults", key), defaults, role)
    tailnet = document.get("tailnet")
    if isinstance(tailnet, Mapping):
        path: Path = ("tailnet", "controller", "device")
        yield from _texts(path, tailnet.get("controller"), Role.NEEDED)
    yield from _records(document, domain)


def _records(document: Mapping[str, Any], domain: str) -> Iterator[_Found]:
    """DNS records whose value is a device: `web-1`, `web-1.acme.internal`."""
    dns = document.get("dns")
    for number, record in enumerate(_list(dns, "records")):
        if not isinstance(record, Mapping) or record.get("type") not in (
            "CNAME",
            "SRV",
        ):
            continue
        text = str(record.get("value", ""))
        host = text.split(" ")[-1].removesuffix(".")
        name = host.removesuffix(f".{domain}") if domain else host
        if name and "." not in name:
            path = ("dns", "records", number, "value")
            yield path, text, name, Role.SUBJECT


def _texts(
    path: Path, holder: Any, role: Role, *, ports: bool = False
) -> Iterator[_Found]:
    """The text, or the texts of the list, that the last step of a path leads to."""
    value = holder.get(path[-1]) if isinstance(holder, Mapping) else None
    if isinstance(value, str):
        yield path, value, _name(value, ports=ports), role
    elif isinstance(value, list):
        for number, each in enumerate(value):
            if isinstance(each, str):
                yield (*path, number), each, _name(each, ports=ports), role


def _name(text: str, *, ports: bool) -> str:
    if not ports:
        return text.strip()
    try:
        return split_destination(text)[0].strip()
    except SelectorError:
        return text.strip()


def _lists(path: Path, holder: Any) -> Iterator[_Found]:
    if isinstance(holder, Mapping):
        for key in holder:
            yield from _texts((*path, key), holder, Role.ITEM)


def _list(holder: Any, key: str) -> list[Any]:
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, list) else []


def _entries(
    document: Mapping[str, Any], section: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    entries = document.get(section)
    if isinstance(entries, Mapping):
        for name, entry in entries.items():
            if isinstance(entry, Mapping):
                yield name, entry
