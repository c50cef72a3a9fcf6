"""Delegations: what the files below a folder may define, held against each of them.

A team that owns `teams/data/` changes its folder without the tailnet's owners. So what
counts is not what a value says but which file says it: this walks the documents before
they are united, where every section, key and value still stands in its file. Nothing is
allowed that the delegation does not name; a folder that no delegation names may define
everything. The longest folder that matches decides alone, so `teams/: {sections: []}`
closes every folder of a team that has no delegation of its own yet.

What gives a device power over others than its own rules do (an owner's access, a pinned
address, an old name that addresses follow from, being a relay) is allowed by name only.
An address stands for whatever has it, and a group for whomever it is filled with: so
rules may open the delegation's own subnets, not addresses elsewhere, not even by an
alias, and no group that the same folder may define.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from posixpath import relpath

from tailgit.load.delegation import (
    POWERS,
    USER_POWERS,
    Delegation,
    read_delegation,
)
from tailgit.load.globs import fits
from tailgit.load.located import Items, Map, texts_of
from tailgit.load.unite import Document, Sections, parts
from tailgit.model.addresses import Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place, Severity
from tailgit.model.selectors import SelectorError, split_destination
from tailgit.model.tailnet import Tailnet
from tailgit.model.text import shown

_KEYS = {
    "users": ("user", "users"),
    "groups": ("group", "groups"),
    "hosts": ("host alias", "hosts"),
    "ipsets": ("ipset", "ipsets"),
    "postures": ("posture", "postures"),
    "devices": ("device", "devices"),
    "tagOwners": ("tag", "tags"),
}
"""Section -> what its keys are called, and which patterns they must match."""
_SIDES = {"acls": "dst", "grants": "dst", "nodeAttrs": "target"}


def check_delegations(
    sections: Sections, root: str, findings: list[Finding]
) -> Mapping[str, Delegation]:
    """A finding for everything that a delegated folder says beyond its delegation.

    The delegation of each file that has one.
    """
    section = sections.single.get("delegations")
    if not isinstance(section, Map):
        return {}
    delegations = [
        read_delegation(folder, about, section)
        for folder, about in section.items()
        if isinstance(about, Map)
    ]
    inner = {file: relpath(file, root or ".") for file in sections.documents}
    for each in delegations:
        findings.extend(_bad(each, inner.values()))
    aliases = sections.keyed["hosts"]
    bound = {}
    for file, document in sections.documents.items():
        delegation = _of(inner[file], delegations)
        if delegation is not None:
            bound[file] = delegation
            findings.extend(_Folder(delegation, aliases).outside(document))
    for file in sections.inner:
        delegation = _of(relpath(file, root or "."), delegations)
        if delegation is not None:
            folder = _Folder(delegation, aliases)
            what = "begin a tailnet of their own, which would hide what lies beside it"
            findings.append(folder.finding(Place(file), what, "rename it"))
    return bound


def stopping(
    findings: Iterable[Finding], bound: Mapping[str, Delegation]
) -> list[Finding]:
    """What nodes don't get yet is an error in a delegated folder.

    Its authors would otherwise stop everybody's plan behind a check that is green.
    """
    return [
        replace(each, severity=Severity.ERROR)
        if each.code == "not-applied" and each.place.file in bound
        else each
        for each in findings
    ]


def check_delegated_addresses(
    tailnet: Tailnet, bound: Mapping[str, Delegation], findings: list[Finding]
) -> None:
    """A name can be tried until its address is one that somebody else's rule means."""
    if not bound:
        return
    named = [
        (str(host.prefix), host.prefix, host.place) for host in tailnet.hosts.values()
    ]
    named += [
        (selector.value, selector.prefix, selector.place or rule.place)
        for rule in tailnet.rules
        for selector in (*rule.src, *rule.dst)
        if selector.prefix is not None
    ]
    named += [
        (each.name, prefix, each.place)
        for each in tailnet.ipsets.values()
        for prefix in each.prefixes
    ]
    for device in tailnet.devices.values():
        delegation = bound.get(device.place.file)
        for text, prefix, place in named if delegation is not None else ():
            if delegation is None or bound.get(place.file) is delegation:
                continue
            meant = [each for each in device.addresses if each in prefix]
            if meant and prefix.prefixlen and not _holds(prefix, tailnet):
                what = f"have a device with {meant[0]}, which `{shown(text)}` means"
                folder = _Folder(delegation, {})
                findings.append(folder.finding(device.place, what, "rename it"))
                break


def _holds(prefix: Network, tailnet: Tailnet) -> bool:
    """Whether it is a whole range of the tailnet: that names everybody."""
    return any(
        own.version == prefix.version
        and own.prefixlen >= prefix.prefixlen
        and own.network_address in prefix
        for own in (tailnet.ipv4, tailnet.ipv6)
    )


def _of(inner: str, delegations: Iterable[Delegation]) -> Delegation | None:
    """The longest folder around a file decides."""
    around = [each for each in delegations if inner.startswith(each.folder)]
    return max(around, key=lambda each: len(each.folder), default=None)


def _bad(delegation: Delegation, files: Iterable[str]) -> Iterator[Finding]:
    """A folder that is not there would leave the one that was meant unbounded."""
    folder = delegation.folder
    normal = f"{relpath(folder, '.')}/"
    if normal != folder or folder == "../":
        message = f"`{shown(folder)}` is not how a folder is written"
        help_ = f"write `{shown(normal)}`, relative to the folder of tailnet.yaml"
        yield finding("bad-delegation", delegation.place, message, help_)
    elif not any(file.startswith(folder) for file in files):
        message = f"no file of the tailnet lies in `{shown(folder)}`"
        help_ = "mend the path, or add a first file there; one with a comment will do"
        yield finding("bad-delegation", delegation.place, message, help_)


class _Folder:
    """A delegation, with the aliases that a rule's addresses may hide behind."""

    def __init__(self, delegation: Delegation, aliases: Mapping[str, Map]) -> None:
        self.delegation = delegation
        self.aliases = aliases

    def finding(self, at: Place, what: str, how: str) -> Finding:
        folder = shown(self.delegation.folder)
        return finding(
            "outside-delegation",
            at,
            f"the files in `{folder}` may not {what}",
            f"move it to a file outside of that folder, or {how}",
            [self.delegation.place],
        )

    def outside(self, document: Document) -> Iterator[Finding]:
        """Everything in one file that its folder may not say."""
        allowed = self.delegation.sections
        for name, holder, key in parts(document.sections):
            section = "devices" if name == "deviceDefaults" else name
            if section not in allowed and name not in allowed:
                how = f"add `{shown(name)}` to its `sections`"
                what = f"have the section `{shown(name)}`"
                yield self.finding(holder.key(key), what, how)
                continue
            value = holder[key]
            if name in _KEYS and isinstance(value, Map):
                yield from self.keys(name, value)
            if name in _SIDES and isinstance(value, Items):
                yield from self.rules(name, value)
            if name == "users" and isinstance(value, Map):
                yield from self.users(value)
            if name == "devices" and isinstance(value, Map):
                defaults = document.sections.get("deviceDefaults")
                yield from self.devices(value, defaults)
            elif name in ("hosts", "ipsets") and isinstance(value, Map):
                yield from self.addresses(value)
            elif name == "autoApprovers.routes" and isinstance(value, Map):
                yield from self.approvals(value)
            elif name == "dns.records" and isinstance(value, Items):
                yield from self.records(value)

    def keys(self, section: str, value: Map) -> Iterator[Finding]:
        noun, globs = _KEYS[section]
        for key in value:
            if not self.delegation.allows(globs, key):
                what = f"define the {noun} `{shown(key)}`"
                yield self.finding(value.key(key), what, f"widen its `{globs}`")

    def users(self, section: Map) -> Iterator[Finding]:
        for about in section.values():
            for field in USER_POWERS if isinstance(about, Map) else ():
                if field in about and field not in self.delegation.fields:
                    what = f"set `{field}` of a user"
                    yield self.finding(about.key(field), what, "add it to its `fields`")

    def devices(self, section: Map, defaults: object) -> Iterator[Finding]:
        for own in section.values():
            if not isinstance(own, Map):
                continue
            about = own.over(defaults) if isinstance(defaults, Map) else own
            yield from self.device(about)

    def device(self, about: Map) -> Iterator[Finding]:
        owner = about.get("owner")
        if isinstance(owner, str) and not self.delegation.allows("owners", owner):
            what = f"give a device to `{shown(owner)}`"
            yield self.finding(about.at("owner"), what, "widen its `owners`")
        for index, tag in texts_of(about.get("tags")):
            if not self.delegation.allows("tags", tag):
                what = f"put `{shown(tag)}` on a device"
                yield self.finding(about.at("tags", index), what, "widen its `tags`")
        for index, item in enumerate(about.get("routes") or ()):
            is_map = isinstance(item, Map)
            for text in (item.get("prefix"), item.get("as")) if is_map else (item,):
                if isinstance(text, str) and self.delegation.carries(text) is False:
                    at = about.at("routes", index)
                    what = f"carry the subnet {shown(text)}"
                    yield self.finding(at, what, "widen its `routes`")
        for field in POWERS:
            if field in about and field not in self.delegation.fields:
                what = f"set `{field}`, which has an effect on other devices"
                yield self.finding(about.key(field), what, "add it to its `fields`")

    def rules(self, section: str, value: Items) -> Iterator[Finding]:
        side = _SIDES[section]
        for item in value:
            if not isinstance(item, Map):
                continue
            for index, text in texts_of(item.get(side)):
                if not self.opens(text.strip(), with_ports=section == "acls"):
                    at = item.at(side, index)
                    verb = "open" if side == "dst" else "give attributes to"
                    what = f"{verb} `{shown(text)}`"
                    yield self.finding(at, what, "widen its `dst` or `routes`")

    def opens(self, text: str, *, with_ports: bool) -> bool:
        """Whether rules may open this destination."""
        if with_ports:
            try:
                text, _ = split_destination(text)
            except SelectorError:
                return True  # it is no rule at all, which is said elsewhere
        if text in self.delegation.globs["dst"]:
            return True
        holder = self.aliases.get(text)
        address = holder[text] if holder is not None else text
        inside = self.delegation.carries(address) if isinstance(address, str) else False
        if inside is not None or text.startswith("ipset:"):
            return bool(inside)
        if self.delegation.allows("groups", text):
            return False  # whoever fills a group would open any person's devices
        if _kind(text) == "name" and self.delegation.allows("devices", text):
            return True
        kinds = (_kind(text), "*")
        alike = (each for each in self.delegation.globs["dst"] if _kind(each) in kinds)
        return any(fits(each.split("*"), text) for each in alike)

    def addresses(self, value: Map) -> Iterator[Finding]:
        """The addresses of aliases and ipsets: within the delegated subnets."""
        for key, inner in value.items():
            entries = [(None, inner)] if isinstance(inner, str) else texts_of(inner)
            for index, text in entries:
                word = text.split()[-1] if text.split() else ""
                if not self.inside(word):
                    at = value.at(key) if index is None else inner.at(index)
                    what = f"name the address `{shown(word)}`"
                    yield self.finding(at, what, "widen its `routes`")

    def inside(self, word: str) -> bool:
        """Whether an entry names addresses of the delegation only."""
        holder = self.aliases.get(word.removeprefix("host:"))
        if holder is not None:
            word = str(holder[word.removeprefix("host:")])
        carried = self.delegation.carries(word)
        return self.delegation.allows("ipsets", word) if carried is None else carried

    def approvals(self, value: Map) -> Iterator[Finding]:
        for prefix in value:
            if not self.delegation.carries(prefix):
                what = f"approve routes in {shown(prefix)}"
                yield self.finding(value.key(prefix), what, "widen its `routes`")

    def records(self, value: Items) -> Iterator[Finding]:
        for item in value:
            name = item.get("name") if isinstance(item, Map) else None
            if isinstance(name, str) and not self.delegation.allows("records", name):
                what = f"define the name `{shown(name)}`"
                yield self.finding(item.at("name"), what, "widen its `records`")


def _kind(text: str) -> str:
    """Which sort of thing a selector or pattern names: `data-*` is no user."""
    if text == "*":
        return text
    if "@" in text:
        return "user"
    prefix, colon, _ = text.partition(":")
    return prefix if colon else "name"
