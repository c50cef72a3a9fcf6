"""What is defined and never used: tags, groups, host aliases; people without devices.

Every mention counts, also one in a rule that is switched off: somebody wants it back.
A tag that owns itself mentions nothing. What is defined in a file from outside of the
tailnet's folder (`include`) is there for other tailnets, too, and never called unused.
Nobody is said to lack a device while the tailnet has none at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Tailnet, User
from tailgit.model.text import shown

MOST_PEOPLE = 20
"""Users without devices of one file that each get a finding; more get one together."""
_FEW = 5


def check_unused(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings at definitions that nothing needs."""
    mentioned = _mentioned(tailnet)
    worn = {tag for device in tailnet.devices.values() for tag in device.tags}
    for name, tag in tailnet.tag_owners.items():
        if name not in worn and name not in mentioned and _is_own(tailnet, tag.place):
            yield finding(
                "unused-tag",
                tag.place,
                f"no device has `{shown(name)}`, and nothing mentions it",
                "give it to a device, or take it out",
            )
    for name, group in tailnet.groups.items():
        if name not in mentioned and _is_own(tailnet, group.place):
            yield finding(
                "unused-group",
                group.place,
                f"nothing mentions `{shown(name)}`",
                "use it in a rule, or take it out",
            )
        elif name in mentioned and not group.members:
            yield finding(
                "empty-group",
                group.place,
                f"`{shown(name)}` has no members, so what names it means nobody",
                "add somebody, or take it out where it is named",
                [mentioned[name]],
            )
    for name, host in tailnet.hosts.items():
        if name not in mentioned and _is_own(tailnet, host.place):
            yield finding(
                "unused-host",
                host.place,
                f"nothing mentions the alias `{shown(name)}`",
                "use it in a rule, or take it out",
            )
    if tailnet.devices:
        yield from _people(tailnet)


def _is_own(tailnet: Tailnet, place: Place) -> bool:
    """Whether a file lies in the tailnet's own folder."""
    root, slash, _ = tailnet.place.file.rpartition("/")
    return place.file.startswith(root + slash)


def _mentioned(tailnet: Tailnet) -> dict[str, Place]:
    """Names of tags, groups and aliases, each with a place that mentions it."""
    found: dict[str, Place] = {}
    for selector, place in _selectors(tailnet):
        if selector.kind in (Kind.TAG, Kind.GROUP, Kind.HOST):
            found.setdefault(selector.value, selector.place or place)
    for tag in tailnet.tag_owners.values():
        for index, owner in enumerate(tag.owners):
            if owner != tag.name:
                at = tag.origin.at(index) if tag.origin is not None else tag.place
                found.setdefault(owner, at)
    approvers = tailnet.auto_approvers
    for who in chain((who for _, who in approvers.routes), [approvers.exit_node]):
        for each in who:
            found.setdefault(each, tailnet.place)
    for ipset in tailnet.ipsets.values():
        for name in ipset.mentions:
            found.setdefault(name, ipset.place)
    return found


def _selectors(tailnet: Tailnet) -> Iterator[tuple[Selector, Place]]:
    for rule in tailnet.rules:
        for selector in (*rule.src, *rule.dst):
            yield selector, rule.place
        for tag in rule.via:
            yield Selector(Kind.TAG, tag), rule.place
    for login in tailnet.ssh_rules:
        for selector in (*login.src, *login.dst):
            yield selector, login.place
    for entry in tailnet.node_attrs:
        for selector in entry.target:
            yield selector, entry.place
    for ssh_test in tailnet.ssh_tests:
        for selector in (ssh_test.src, *ssh_test.dst):
            yield selector, ssh_test.place
    for test in tailnet.tests:
        yield test.src, test.place
        for target in (*test.accept, *test.deny):
            yield target.selector, target.place


def _people(tailnet: Tailnet) -> Iterator[Finding]:
    owners = {device.owner for device in tailnet.devices.values()}
    by_file: dict[str, list[User]] = {}
    for login, user in tailnet.users.items():
        if login in owners or user.disabled:
            continue
        if _is_own(tailnet, user.place):
            by_file.setdefault(user.place.file, []).append(user)
    help_ = "enroll one, or take the user out; `disabled: true` keeps somebody in view"
    for users in by_file.values():
        users.sort(key=lambda user: user.place)
        if len(users) > MOST_PEOPLE:
            names = ", ".join(f"`{shown(user.login)}`" for user in users[:_FEW])
            message = (
                f"{len(users)} users of this file have no device: {names} and "
                f"{len(users) - _FEW} more"
            )
            yield finding("user-without-devices", users[0].place, message, help_)
            continue
        for user in users:
            message = f"`{shown(user.login)}` has no device"
            yield finding("user-without-devices", user.place, message, help_)
