"""People, their groups, and the lists that decide: who owns a tag, who lets a route in.

Groups, hosts, ipsets and postures also make access; they are named here whether or not
somebody gains or loses by them today.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tailgit.load.located import Map
from tailgit.load.unite import Sections
from tailgit.model.deadline import deadline_text
from tailgit.model.findings import Origin, Place
from tailgit.model.policy import Condition
from tailgit.model.tailnet import Tailnet, User
from tailgit.review.settings import ends, leftovers
from tailgit.review.standing import (
    Part,
    TrustLine,
    Weighing,
    Weight,
    Written,
    canonical,
    danger,
    differing,
    joined,
    notable,
    told,
    turned,
    while_set,
)

Both = tuple[Tailnet, Tailnet]


def people_lines(
    old: Tailnet, new: Tailnet, raw: tuple[Sections, Sections]
) -> Iterator[TrustLine]:
    """Users and what they are."""
    for login in sorted(old.users.keys() | new.users.keys()):
        one, other = old.users.get(login), new.users.get(login)
        if one is None and other is not None:
            weight = Weight.NOTABLE if other.role == "member" else Weight.DANGER
            text, now = f"new user, {other.role}", other.role
            what = "user-added", Part.TRUST, login, text
            yield told(what, (other.place, False), weight, (None, now))
        elif one is not None and other is None:
            what = "user-removed", Part.TRUST, login, "user removed"
            yield told(what, (one.place, True), Weight.NOTABLE, (one.role, None))
        elif one is not None and other is not None:
            written = Written(_user(raw[0], login), _user(raw[1], login), other.place)
            yield from _user_changes(one, other, written)
            yield from leftovers("users.*", Part.TRUST, login, written, _KNOWN)


_KNOWN = frozenset({"role", "disabled", "expires", "forge"})


def _user(sections: Sections, login: str) -> object:
    section = sections.keyed["users"].get(login)
    return None if section is None else section[login]


def _user_changes(old: User, new: User, written: Written) -> Iterator[TrustLine]:
    found: list[tuple[str, str, str | None, str | None, Weight]] = []
    if old.role != new.role:
        weight = Weight.NOTABLE if new.role == "member" else Weight.DANGER
        text = turned("role", old.role, new.role)
        found.append(("role", text, old.role, new.role, weight))
    if old.disabled != new.disabled:
        text = "is disabled" if new.disabled else "is enabled again"
        found.append(
            ("disabled", text, _yes(old.disabled), _yes(new.disabled), Weight.NOTABLE)
        )
    was, now = _end(old), _end(new)
    if was != now:
        found.append(("expires", turned("expiry", was, now), was, now, ends(was, now)))
    if old.forge != new.forge:
        was, now = old.forge or None, new.forge or None
        weight = Weight.DANGER if was else Weight.NOTABLE
        found.append(("forge", turned("name at the forge", was, now), was, now, weight))
    for field, text, before, after, weight in found:
        what = f"user-{field}", Part.TRUST, new.login, text
        yield told(what, written.place(field), weight, (before, after))


def _end(user: User) -> str | None:
    return None if user.expires is None else deadline_text(user.expires)


def _yes(value: bool) -> str | None:
    return "yes" if value else None


# Lists with a name


@dataclass(frozen=True, slots=True)
class _List:
    """A named list; `origin` knows where each of its entries stands."""

    values: tuple[str, ...]
    place: Place
    origin: Origin | None = None

    def at(self, value: str) -> Place:
        if self.origin is None or value not in self.values:
            return self.place
        return self.origin.at(self.values.index(value))


_Lists = Mapping[str, _List]


def list_lines(old: Tailnet, new: Tailnet) -> Iterator[TrustLine]:
    """Groups, tags, approvers, hosts, ipsets and postures."""
    yield from _lists("group", (_groups(old), _groups(new)), notable)
    yield from _lists("tag", (_tags(old), _tags(new)), while_set)
    approvers = _approvers(old), _approvers(new)
    yield from _lists("approver", approvers, while_set)
    yield from _lists("host", (_hosts(old), _hosts(new)), notable)
    yield from _lists("ipset", (_ipsets(old), _ipsets(new)), notable)
    yield from _lists("posture", (_postures(old), _postures(new)), danger)


_WORDS = {
    "group": "members",
    "tag": "owners",
    "approver": "approvers",
    "host": "address",
    "ipset": "addresses",
    "posture": "conditions",
}


def _lists(
    kind: str, both: tuple[_Lists, _Lists], weigh: Weighing
) -> Iterator[TrustLine]:
    old, new = both
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        if one is not None and other is not None:
            yield from _changed(kind, name, (one, other), weigh)
            continue
        known = other or one
        assert known is not None
        is_old = other is None
        said = ", ".join(known.values) or "empty"
        values: tuple[str | None, str | None]
        values = (said, None) if is_old else (None, said)
        text = f"{_THING[kind]} removed" if is_old else f"new {_THING[kind]}: {said}"
        weight = weigh(*values) if known.values else Weight.NOTABLE
        what = f"{kind}-{'removed' if is_old else 'added'}", Part.TRUST, name, text
        yield told(what, (known.place, is_old), weight, values)


_THING = {
    "group": "group",
    "tag": "tag",
    "approver": "approval of routes",
    "host": "host alias",
    "ipset": "ipset",
    "posture": "posture",
}


def _changed(
    kind: str, name: str, both: tuple[_List, _List], weigh: Weighing
) -> Iterator[TrustLine]:
    old, new = both
    come, gone = differing(old.values, new.values)
    if not come and not gone:
        return
    place = new.at(come[0]) if come else new.place
    text = f"{_WORDS[kind]} {joined(come, gone)}"
    weight = weigh(", ".join(gone) or None, ", ".join(come) or None)
    values = ", ".join(old.values) or None, ", ".join(new.values) or None
    what = f"{kind}-{_WORDS[kind]}", Part.TRUST, name, text
    yield told(what, (place, False), weight, values)


def _groups(tailnet: Tailnet) -> _Lists:
    groups = tailnet.groups.values()
    return {e.name: _List(e.members, e.place, e.origin) for e in groups}


def _tags(tailnet: Tailnet) -> _Lists:
    owners = tailnet.tag_owners.values()
    return {e.name: _List(e.owners, e.place, e.origin) for e in owners}


def _approvers(tailnet: Tailnet) -> _Lists:
    approvers = tailnet.auto_approvers
    origins: Sequence[Origin | None] = approvers.origins or [None] * len(
        approvers.routes
    )
    found = {
        str(prefix): _List(who, tailnet.place if at is None else at.at(), at)
        for (prefix, who), at in zip(approvers.routes, origins, strict=True)
    }
    if approvers.exit_node:
        at = next(iter(approvers.exit_origins), tailnet.place)
        found["exit nodes"] = _List(approvers.exit_node, at)
    return found


def _hosts(tailnet: Tailnet) -> _Lists:
    return {
        name: _List((str(each.prefix),), each.place)
        for name, each in tailnet.hosts.items()
    }


def _ipsets(tailnet: Tailnet) -> _Lists:
    return {
        name: _List(tuple(map(str, each.prefixes)), each.place)
        for name, each in tailnet.ipsets.items()
    }


def _postures(tailnet: Tailnet) -> _Lists:
    return {
        name: _List(tuple(map(condition_text, each.conditions)), each.place)
        for name, each in tailnet.postures.items()
    }


def condition_text(condition: Condition) -> str:
    values = ", ".join(map(canonical, condition.values))
    return f"{condition.attribute} {condition.operator} {values}".rstrip()


def approver_leftovers(
    raw: tuple[Sections, Sections], at: Place
) -> Iterator[TrustLine]:
    """What else `autoApprovers` and `dns` hold in each file, by its own name."""
    known = {"autoApprovers": {"routes", "exitNode"}}
    known["dns"] = {"nameservers", "splitDNS", "records"}
    for section, fields in known.items():
        files = sorted({file for each in raw for file in each.documents})
        for file in files:
            some = [_section(each, file, section) for each in raw]
            if any(isinstance(each, Map) and each.keys() - fields for each in some):
                written = Written(some[0], some[1], at)
                yield from leftovers(section, Part.TRUST, section, written, fields)


def _section(sections: Sections, file: str, section: str) -> object:
    document = sections.documents.get(file)
    return None if document is None else document.sections.get(section)
