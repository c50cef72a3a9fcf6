"""Devices of Tailscale and Headscale as ours: names, owners or tags, and routes.

Their keys stay behind. They belong to clients that go on using them, so each device
awaits a key of its own; addresses follow from names, so that both networks can run
side by side while machines move. What is not written is not read: a list of nodes may
hold pre-auth keys.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from tailgit.edit.fmt.tree import Collection, Entry, File, Scalar
from tailgit.errors import InvalidTailnet
from tailgit.importers.layout import as_yaml, listing, mapping, remark
from tailgit.importers.naming import label
from tailgit.importers.notes import Note
from tailgit.importers.people import People
from tailgit.importers.remarks import quoted
from tailgit.load.decode import decode
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

FILE = "devices.yaml"
_ROUTES = ("advertisedRoutes", "enabledRoutes", "available_routes", "availableRoutes")
_APPROVED = ("enabledRoutes", "approved_routes", "approvedRoutes")
_TAGS = ("tags", "forced_tags", "forcedTags", "valid_tags", "validTags")


@dataclass(frozen=True, slots=True)
class _Record:
    """What is taken of one entry."""

    name: str
    owner: str
    tags: tuple[str, ...]
    routes: tuple[str, ...]
    approved: tuple[str, ...]
    is_foreign: bool


def import_devices(
    data: bytes, file: str, people: People
) -> tuple[bytes, tuple[Note, ...]]:
    """`devices.yaml` and notes; `InvalidTailnet` for what is no list of devices."""
    notes: list[Note] = []
    entries: list[Entry] = []
    taken: dict[str, str] = {}
    times: Counter[str] = Counter()
    at = Place(file)
    for about in _listed(data, file):
        record = _record(about)
        if record.is_foreign:
            message = f"`{shown(record.name)}` is shared by another tailnet"
            notes.append(Note("left-out", at, message))
            continue
        name = label([record.name], taken, times)
        taken[name] = record.name
        fields = dict(_fields(record, people))
        entry = Entry(quoted(name), mapping(fields), [], [], False)
        if name != record.name:
            entry.leading = [remark(shown(record.name))]
            message = f"`{shown(record.name)}` is called `{name}`"
            notes.append(Note("changed", at, message))
        entries.append(entry)
        notes += _notes(record, name, at)
    section = Collection(flow=not entries, mapping=True, line=0, entries=entries)
    root = Entry(quoted("devices"), section, [], [], False)
    head = remark(
        "Their keys stay where they were: `tailgit device enroll` makes new ones."
    )
    tree = Collection(flow=False, mapping=True, line=0, entries=[root])
    return as_yaml(File(tree, [head], [])), tuple(notes)


def _listed(data: bytes, file: str) -> list[Mapping[str, Any]]:
    """The entries of `{"devices": […]}`, `{"nodes": […]}` or a list alone."""
    findings: list[Finding] = []
    text = decode(data, file, findings)
    if text is None:
        raise InvalidTailnet(findings)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        at, message = Place(file, error.lineno, error.colno), f"no JSON: {error.msg}"
        raise InvalidTailnet([finding("bad-json", at, message)]) from None
    except (RecursionError, ValueError):  # thousands of brackets, or of digits
        wrong = finding("bad-json", Place(file), "the file can't be read as JSON")
        raise InvalidTailnet([wrong]) from None
    if isinstance(value, dict):
        value = value.get("devices", value.get("nodes"))
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        help_ = (
            "the answer of Tailscale's API for devices, or what `headscale nodes list "
            "-o json` prints"
        )
        wrong = finding("bad-json", Place(file), "this is no list of devices", help_)
        raise InvalidTailnet([wrong])
    return value


def _record(about: Mapping[str, Any]) -> _Record:
    given = _text(about, "given_name") or _text(about, "givenName")
    full = _text(about, "name").partition(".")[0]
    user = about.get("user")
    owner = user if isinstance(user, str) else ""
    if isinstance(user, Mapping):
        name = _text(user, "name")
        owner = _text(user, "email") or (name if "@" in name else f"{name}@")
    return _Record(
        given or full or _text(about, "hostname"),
        owner,
        _texts(about, _TAGS),
        _texts(about, (*_ROUTES, *_APPROVED)),
        _texts(about, _APPROVED),
        about.get("isExternal") is True,
    )


def _text(about: Mapping[str, Any], key: str) -> str:
    value = about.get(key)
    return _whole(value) if isinstance(value, str) else ""


def _texts(about: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    lists = (about.get(key) for key in keys)
    found = (
        _whole(text)
        for each in lists
        if isinstance(each, list)
        for text in each
        if isinstance(text, str)
    )
    return tuple(dict.fromkeys(found))


def _whole(text: str) -> str:
    """Without halves of characters, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _fields(
    record: _Record, people: People
) -> Iterator[tuple[str, Scalar | Collection]]:
    if record.tags:
        yield "tags", listing([quoted(each) for each in record.tags])
    elif record.owner not in ("", "@"):
        owner = record.owner
        yield "owner", quoted(people.email(owner) if owner.endswith("@") else owner)
    subnets = [each for each in record.routes if not each.endswith("/0")]
    routes: list[Scalar | Collection] = [
        quoted(each) for each in subnets if _is_net(each)
    ]
    if routes:
        yield "routes", listing(routes)
    if len(subnets) < len(record.routes):
        yield "exitNode", Scalar("true", "", "", 0, 0)


def _is_net(text: str) -> bool:
    try:
        return "/" in text and bool(ip_network(text))
    except ValueError:
        return False


def _notes(record: _Record, name: str, at: Place) -> Iterator[Note]:
    if not record.tags and record.owner in ("", "@"):
        message = f"`{name}` has neither a user nor tags in the list"
        yield Note("mistake", at, message, "give it an owner or tags")
    if record.approved:
        message = f"routes of `{name}` were approved: {', '.join(record.approved)}"
        help_ = "here only `autoApprovers` approves"
        yield Note("left-out", at, shown(message), help_)
    for text in record.routes:
        if not _is_net(text):
            yield Note("left-out", at, f"`{shown(text)}` of `{name}` is no prefix")
