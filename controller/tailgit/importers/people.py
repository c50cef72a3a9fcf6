"""Headscale's users: `alice@` is a name without a domain, and here people have e-mails.

Which ones only a person can say: `--email-domain acme.com` makes `alice@acme.com` of
`alice@`, `--user alice@=ana@acme.com` names a single one. Nobody is guessed: a name
that two people would share afterwards is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tailgit.edit.fmt.tree import Collection, Entry, Scalar
from tailgit.errors import Refused
from tailgit.importers.notes import Note
from tailgit.importers.remarks import quoted
from tailgit.load.located import Items, Map
from tailgit.model.findings import Place
from tailgit.model.text import shown

_NAME = re.compile(r"\s*([^\s@:*,\[\]]+@)((?::[^@]*)?)\s*")
_PERSON = re.compile(r"\s*([^\s@:*,\[\]]+@[^\s@:*,\[\]]+)(?::[^@]*)?\s*")
_OLD = re.compile(r"[^\s@:*,/\[\]]+")

_MENTIONS: Mapping[str, tuple[str, ...]] = {
    "acls": ("src", "dst"),
    "grants": ("src", "dst"),
    "tests": ("src", "accept", "deny"),
    "ssh": ("src", "dst"),
    "sshTests": ("src", "dst"),
    "nodeAttrs": ("target",),
}
"""Where people stand in the entries of a list; `users` of ssh are login names."""
_LISTS = ("groups", "tagOwners", "autoApprovers")


@dataclass(frozen=True, slots=True)
class People:
    """Who Headscale's users are: by name, else by a domain for all of them."""

    domain: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    def email(self, name: str) -> str:
        """The address of `alice@`; the name itself if nobody said it."""
        known = self.names.get(name)
        return known or (f"{name}{self.domain}" if self.domain else name)

    def rename(self, root: Collection, sections: Map) -> Iterator[Note]:
        """Renames everybody in the tree and says who stayed nameless."""
        known, said = set[str](), set[str]()
        found: list[tuple[Entry, str, str, Place]] = []
        for entry, text, at, group in _mentions(root, sections):
            match = _NAME.fullmatch(text)
            person = _PERSON.fullmatch(text)
            if person is not None:
                known.add(person[1])
            elif match is not None:
                found.append((entry, match[1], match[2], at))
            elif group and _OLD.fullmatch(text):  # before Headscale 0.26
                found.append((entry, f"{text}@", "", at))
        for entry, name, rest, at in found:
            email = self.email(name)
            if email in known and email != name:
                raise Refused(
                    f"`{shown(name)}` would become `{shown(email)}`, whom the policy "
                    f"names already ({at})",
                    f"if they are two people: --user {shown(name)}=ADDRESS",
                )
            behind = entry.value.behind
            if name not in said:
                said.add(name)
                yield _note(name, email, at)
            entry.value = quoted(f"{email}{rest}")
            entry.value.behind = behind


def _note(name: str, email: str, at: Place) -> Note:
    if email != name:
        return Note("changed", at, f"`{shown(name)}` is `{shown(email)}` now")
    message = f"`{shown(name)}` is a user without an e-mail address"
    help_ = f"--email-domain DOMAIN for all of them, or --user {shown(name)}=ADDRESS"
    return Note("assumed", at, message, help_)


def _mentions(
    root: Collection, sections: Map
) -> Iterator[tuple[Entry, str, Place, bool]]:
    """Every text that may name a person, and whether it is a member of a group."""
    for entry in root.entries:
        section = entry.key.value if entry.key is not None else ""
        value = sections[section]
        if section in _LISTS:
            for each, text, at in _texts(entry, value, Place(sections.file)):
                yield each, text, at, section == "groups"
        elif section in _MENTIONS and isinstance(value, Items):
            if not isinstance(entry.value, Collection):
                continue
            for item, about in zip(entry.value.entries, value, strict=True):
                if isinstance(about, Map) and isinstance(item.value, Collection):
                    for field_, (key, inner) in zip(
                        item.value.entries, about.items(), strict=True
                    ):
                        if key in _MENTIONS[section]:
                            for each, text, at in _texts(field_, inner, about.at(key)):
                                yield each, text, at, False


def _texts(
    entry: Entry, value: object, at: Place
) -> Iterator[tuple[Entry, str, Place]]:
    """The texts below an entry with their places."""
    if isinstance(entry.value, Scalar):
        if isinstance(value, str):
            yield entry, value, at
        return
    if isinstance(value, (Map, Items)):
        pairs: Iterable[tuple[str | int, object]] = (
            value.items() if isinstance(value, Map) else enumerate(value)
        )
        for inner, (step, one) in zip(entry.value.entries, pairs, strict=True):
            yield from _texts(inner, one, value.at(step))
