"""Every name that is used is defined: users, groups, tags.

Users are known by `users:` where a tailnet has that section; without it, any e-mail
address is one. Devices and host aliases are resolved while loading already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Origin, Place
from tailgit.model.near import Near, meant_kind, meant_user
from tailgit.model.selectors import (
    Kind,
    Selector,
    SelectorError,
    parse_selector,
)
from tailgit.model.tailnet import Device, Group, Tailnet
from tailgit.model.text import shown

_APPROVERS = frozenset(
    {*(Kind.USER, Kind.GROUP, Kind.TAG, Kind.MEMBER, Kind.ROLE, Kind.DOMAIN)}
)
"""What may own a tag or approve a route: who, never where."""


def check_references(tailnet: Tailnet) -> Iterator[Finding]:
    """A finding for each mention of something that is not there."""
    names = _Names(tailnet)
    for device in tailnet.devices.values():
        yield from names.of_device(device)
    for group in tailnet.groups.values():
        yield from names.of_group(group)
    for tag in tailnet.tag_owners.values():
        yield from names.of_list(tag.owners, tag.origin, tag.place)
    approvers = tailnet.auto_approvers
    origins = approvers.origins or (None,) * len(approvers.routes)
    for (_, who), origin in zip(approvers.routes, origins, strict=True):
        yield from names.of_list(who, origin, tailnet.place)
    exits = approvers.exit_origins or (tailnet.place,) * len(approvers.exit_node)
    for text, at in zip(approvers.exit_node, exits, strict=True):
        yield from names.of_approver(text, at)
    yield from _rules(tailnet, names)
    yield from _logins(tailnet, names)
    for entry in tailnet.node_attrs:
        for selector in entry.target:
            yield from names.of_selector(selector, selector.place or entry.place)
    yield from _tests(tailnet, names)


def _rules(tailnet: Tailnet, names: _Names) -> Iterator[Finding]:
    """Tailscale says on which side of a rule a tag is unknown."""
    for rule in tailnet.rules:
        for selector in rule.src:
            at = selector.place or rule.place
            yield from names.of_selector(selector, at, "src=")
        for selector in rule.dst:
            at = selector.place or rule.place
            side = f'dst="{shown(selector.value)}": '
            yield from names.of_selector(selector, at, side)


def _logins(tailnet: Tailnet, names: _Names) -> Iterator[Finding]:
    for rule in tailnet.ssh_rules:
        for selector in (*rule.src, *rule.dst):
            yield from names.of_selector(selector, selector.place or rule.place)


def _tests(tailnet: Tailnet, names: _Names) -> Iterator[Finding]:
    """Whatever a test names and is not there makes it fail, and that is its code."""
    for test in tailnet.tests:
        named = [(test.src, test.src.place or test.place)]
        named += [(each.selector, each.place) for each in (*test.accept, *test.deny)]
        for selector, at in named:
            for found in names.of_selector(selector, at):
                yield _recoded(found, "test-of-nobody")
    for ssh_test in tailnet.ssh_tests:
        src = ssh_test.src
        for found in names.of_selector(src, src.place or ssh_test.place):
            yield _recoded(found, "test-of-nobody")
        for selector in ssh_test.dst:
            at = selector.place or ssh_test.place
            for found in names.of_selector(selector, at):
                message = found.message
                if found.code == "unknown-tag":
                    message = f'SSH tests dst contains unknown tag "{selector.value}"'
                yield replace(_recoded(found, "bad-ssh-test"), message=shown(message))


def _recoded(found: Finding, code: str) -> Finding:
    """The same under another code; users are tailgit's own business."""
    return found if found.code == "unknown-user" else replace(found, code=code)


class _Names:
    """What a tailnet defines, with guesses for what it does not."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.tailnet = tailnet
        self.near_users = Near(tailnet.users)
        self.near_groups = Near(tailnet.groups)
        self.near_tags = Near(tailnet.tag_owners)

    def of_device(self, device: Device) -> Iterator[Finding]:
        if device.owner is not None:
            at = _at(device.origin, device.place, "owner")
            if "@" in device.owner:
                yield from self.user(device.owner, at)
            else:
                message = f"the owner `{shown(device.owner)}` is not a user"
                help_ = "a user is an e-mail address; machines of nobody have `tags`"
                guess = meant_user(device.owner, self.tailnet.users)
                help_ = f"{help_}; {guess}" if guess else help_
                yield finding("unknown-user", at, message, help_, self.see(help_))
        for tag in device.tags:
            if not tag.startswith("tag:"):
                continue  # the schema has said so
            at = _at(device.origin, device.place, "tags")
            for found in self.tag(tag, at):
                yield replace(found, code="undeclared-tag")

    def of_group(self, group: Group) -> Iterator[Finding]:
        for index, member in enumerate(group.members):
            at = _at(group.origin, group.place, index)
            if member.startswith("group:"):
                yield finding(
                    "nested-group",
                    at,
                    f'groups["{shown(group.name)}"]: "{shown(member)}": group members '
                    "cannot be recursive",
                    "list the users themselves",
                )
            elif "@" not in member:
                message = f"`{shown(member)}` is not a user"
                help_ = "members of a group are e-mail addresses"
                guess = meant_user(member, self.tailnet.users)
                help_ = f"{help_}; {guess}" if guess else help_
                yield finding("bad-member", at, message, help_, self.see(help_))
            else:
                yield from self.user(member, at)

    def of_list(
        self, texts: tuple[str, ...], origin: Origin | None, place: Place
    ) -> Iterator[Finding]:
        """Owners of a tag or approvers of a route."""
        for index, text in enumerate(texts):
            yield from self.of_approver(text, _at(origin, place, index))

    def of_approver(self, text: str, at: Place) -> Iterator[Finding]:
        """One who owns or approves something: a selector that names people or tags."""
        try:
            selector = parse_selector(text, devices=(), hosts=())
        except SelectorError as error:
            help_ = self.with_kind(text) or "write a user, a group or a tag"
            see = self.see(help_)
            yield finding(error.code, at, shown(str(error)), help_, see)
            return
        if selector.kind not in _APPROVERS:
            message = f"`{shown(text)}` can't own or approve anything"
            yield finding("bad-value", at, message, "write a user, group or tag")
            return
        yield from self.of_selector(selector, at)

    def of_selector(
        self, selector: Selector, at: Place, side: str = ""
    ) -> Iterator[Finding]:
        match selector.kind:
            case Kind.USER:
                yield from self.user(selector.value, at)
            case Kind.TAG:
                yield from self.tag(selector.value, at, side)
            case Kind.GROUP if selector.value not in self.tailnet.groups:
                message = f"no group `{shown(selector.value)}`"
                define = f"define it: `groups: {{{shown(selector.value)}: […]}}`"
                help_ = self.near_groups.meant(selector.value) or define
                see = self.see(help_)
                yield finding("unknown-group", at, message, help_, see)
            case _:
                pass

    def user(self, login: str, at: Place) -> Iterator[Finding]:
        if self.tailnet.users and login not in self.tailnet.users:
            message = f"no user `{shown(login)}`"
            add = f"add them: `users: {{{shown(login)}: {{}}}}`"
            help_ = self.near_users.meant(login) or add
            yield finding("unknown-user", at, message, help_, self.see(help_))

    def tag(self, tag: str, at: Place, side: str = "") -> Iterator[Finding]:
        if tag not in self.tailnet.tag_owners:
            message = f'{side}tag not found: "{shown(tag)}"'
            guess = self.near_tags.meant(tag)
            help_ = f"declare it: `tagOwners: {{{shown(tag)}: [group:…]}}`"
            help_ = f"{help_}; or {guess}" if guess else help_
            yield finding("unknown-tag", at, message, help_, self.see(help_))

    def with_kind(self, text: str) -> str:
        """The group, tag or user that a bare name most likely means."""
        tailnet = self.tailnet
        return meant_kind(text, tailnet.groups, tailnet.tag_owners, tailnet.users)

    def see(self, help_: str) -> list[Place]:
        """Where the thing stands that a guess names."""
        _, _, rest = help_.partition("did you mean `")
        name = rest.partition("`?")[0]
        known = (self.tailnet.users, self.tailnet.groups, self.tailnet.tag_owners)
        return [table[name].place for table in known if name in table]


def _at(origin: Origin | None, place: Place, *path: str | int) -> Place:
    return origin.at(*path) if origin is not None else place
