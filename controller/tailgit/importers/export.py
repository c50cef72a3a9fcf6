"""The policy of a tailnet as Tailscale's policy file: HuJSON that means the same.

The sections are written as they stand in our files, entry by entry. What only tailgit
has is said in another way: a device's name in a rule becomes two aliases in `hosts`
(`db-1.ipv4`, `db-1.ipv6`; no device can have such a name), a rule's `name` goes to the
comment above it, a rule that is disabled or over is left out with a comment. Login
rules have no way to name a machine, so there such a name is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tailgit.errors import TailgitError
from tailgit.importers.hujson import Page
from tailgit.importers.notes import Note, in_order
from tailgit.load.bare import bare_policy
from tailgit.load.documents import read_bare, read_sections
from tailgit.load.located import Items, Map
from tailgit.load.remarks import comment_above
from tailgit.load.selectors import entries
from tailgit.load.source import Source
from tailgit.load.unite import Sections
from tailgit.model.deadline import Deadline, deadline_text, parse_deadline
from tailgit.model.findings import Bounded, Place
from tailgit.model.selectors import (
    Kind,
    SelectorError,
    parse_selector,
    split_destination,
)
from tailgit.model.tailnet import Device, Tailnet
from tailgit.model.text import shown

_OURS = ("name", "disabled", "expires")
_KEYED = ("groups", "hosts", "ipsets", "tagOwners", "postures")
_SETTINGS = ("randomizeClientPort", "disableIPv4", "OneCGNATRoute", "derpMap")
_RULES = ("acls", "grants")


@dataclass(frozen=True, slots=True)
class Exported:
    """The text, and what it can't say."""

    text: str
    notes: tuple[Note, ...]


def export_policy(
    source: Source, root: str, tailnet: Tailnet, now: Deadline | None = None
) -> Exported:
    """The policy of a tailnet without errors; what ended before `now` is left out."""
    findings = Bounded()
    bare = bare_policy(source, root)
    if bare is None:
        sections = read_sections(source, root, findings)
    else:
        sections = read_bare(source, bare, findings)
    return _Export(tailnet, sections, now).exported()


@dataclass(slots=True)
class _Export:
    """One export; `aliases` grows while rules that name devices are written."""

    tailnet: Tailnet
    sections: Sections
    now: Deadline | None
    aliases: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def exported(self) -> Exported:
        rules, tests = Page(), Page()
        self.listed(rules, "acls", self.acl)
        self.listed(rules, "grants", self.grant)
        self.no_rules(rules)
        self.ssh(rules)
        self.listed(rules, "nodeAttrs", self.node_attr)
        self.listed(tests, "tests", self.test)
        self.listed(tests, "sshTests", self.ssh_test)
        self.people_who_end()
        page = Page()
        for name in _KEYED:
            self.keyed(page, name)
        self.approvers(page)
        default = self.sections.single.get("defaultSrcPosture")
        if default is not None:
            page.value("defaultSrcPosture", default)
        page.join(rules)
        page.join(tests)
        for name, value in self.settings():
            page.value(name, value)
        return Exported(page.text(self.head()), in_order(self.notes))

    def head(self) -> list[str]:
        if self.tailnet.is_bare:
            return []
        return [
            f"The policy of the tailnet {self.tailnet.name}: `tailgit export policy`.",
            "Its source is a git repository: what is changed here is lost.",
        ]

    def settings(self) -> Iterator[tuple[str, Any]]:
        for document in self.sections.documents.values():
            for name in _SETTINGS:
                if name in document.sections:
                    yield name, document.sections[name]

    # Names

    def keyed(self, page: Page, name: str) -> None:
        found: Mapping[str, Map] = self.sections.keyed[name]
        if not found and not (name == "hosts" and self.aliases):
            return
        page.open(name, "{")
        for key, section in found.items():
            page.remark(self.above(section.key(key), key))
            page.entry(section[key], key)
        if name == "hosts":
            for alias, address in sorted(self.aliases.items()):
                page.entry(address, alias)
        page.close("}")

    def above(self, at: Place, key: str = "") -> str:
        """The comment above a place; of an entry with a key, if it begins its line."""
        document = self.sections.documents[at.file]
        line = document.lines[at.line - 1][: at.column - 1] if document.lines else ""
        return "" if key and line.strip() else comment_above(document, at)

    def approvers(self, page: Page) -> None:
        routes = self.sections.keyed["autoApprovers.routes"]
        lists = self.sections.listed["autoApprovers.exitNode"]
        exits = [text for each in lists for text in each]
        value: dict[str, Any] = {}
        if routes:
            value["routes"] = {prefix: routes[prefix][prefix] for prefix in routes}
        if exits:
            value["exitNode"] = exits
        if value:
            page.value("autoApprovers", value)

    def both(self, device: Device) -> tuple[str, str]:
        """A device's two aliases in `hosts`."""
        return self.alias(device, 4), self.alias(device, 6)

    def alias(self, device: Device, version: int) -> str:
        name = f"{device.name}.ipv{version}"
        while name in self.tailnet.hosts:
            name += "-tailgit"
        address = device.ipv4 if version == 4 else device.ipv6
        self.aliases[name] = str(address)
        return name

    def device(self, text: str) -> Device | None:
        return self.tailnet.devices.get(text.strip())

    # Lists

    def listed(
        self, page: Page, name: str, write: Any, places: list[Items] | None = None
    ) -> None:
        """A section that is a list, if any file has it."""
        lists = self.sections.listed[name] if places is None else places
        if not lists:
            return
        page.open(name, "[")
        for item, at in entries(lists):
            why = self.over(item, at)
            if why:
                page.left_out(f"Left out, since it {why}: {self.described(item, at)}")
                continue
            page.remark(self.described(item, at) + self.ends(item, at))
            for each in write(item):
                page.entry(each)
        page.close("]")

    def described(self, item: Map, at: Place) -> str:
        name, above = str(item.get("name", "")), self.above(at)
        return ": ".join(filter(None, (name, above)))

    def over(self, item: Map, at: Place) -> str:
        """Why an entry has no effect any more; empty if it has."""
        why = ""
        if item.get("disabled") is True:
            why = "is disabled"
        elif self.has_ended(item):
            why = f"ended with {shown(str(item['expires']))}"
        if why:
            self.notes.append(Note("left-out", at, f"a rule that {why}"))
        return why

    def has_ended(self, item: Map) -> bool:
        if self.now is None or "expires" not in item:
            return False
        return parse_deadline(str(item["expires"])) <= self.now

    def ends(self, item: Map, at: Place) -> str:
        """What Tailscale has no word for: the comment has to say it."""
        if "expires" not in item:
            return ""
        end = deadline_text(parse_deadline(str(item["expires"])))
        message = f"the rule ends with {end}, and Tailscale's policy has no deadlines"
        help_ = "export again afterwards"
        self.notes.append(Note("not-enforced", at, message, help_))
        return f" (Ends with {end}: export again then.)"

    def people_who_end(self) -> None:
        """Tailscale would go on letting them in."""
        users, devices = self.tailnet.users, self.tailnet.devices
        ends = [(name, each.expires, each.place) for name, each in users.items()]
        ends += [(name, each.expires, each.place) for name, each in devices.items()]
        for name, expires, place in ends:
            if expires is not None:
                end = deadline_text(expires)
                message = f"`{shown(name)}` ends with {end}, and Tailscale's policy "
                message += "has no deadlines"
                help_ = "take them out there on that day"
                self.notes.append(Note("not-enforced", place, message, help_))

    def no_rules(self, page: Page) -> None:
        """Absent rules would allow everything; here the tailnet decides."""
        if any(self.sections.listed[name] for name in _RULES):
            return
        page.open("grants", "[")
        if self.tailnet.rules:
            page.entry({"src": ["*"], "dst": ["*"], "ip": ["*"]})
        page.close("]")

    # Entries

    def acl(self, item: Map) -> Iterator[dict[str, Any]]:
        src, dst = self.names(item, "src"), self.targets(item)
        yield {**_theirs(item), "src": src, "dst": dst}

    def grant(self, item: Map) -> Iterator[dict[str, Any]]:
        src, dst = self.names(item, "src"), self.names(item, "dst")
        yield {**_theirs(item), "src": src, "dst": dst}

    def node_attr(self, item: Map) -> Iterator[dict[str, Any]]:
        found = _theirs(item)
        if "target" in item:
            found["target"] = self.names(item, "target")
        yield found

    def names(self, item: Map, key: str) -> list[str]:
        found: list[str] = []
        for text in item[key]:
            device = self.device(text)
            found += self.both(device) if device is not None else [text]
        return found

    def targets(self, item: Map) -> list[str]:
        """The destinations of an acl."""
        found: list[str] = []
        for text in item["dst"]:
            head, ports = split_destination(text)
            device = self.device(head)
            if device is None:
                found.append(text)
            else:
                found += [f"{alias}:{ports}" for alias in self.both(device)]
        return found

    def ssh(self, page: Page) -> None:
        items = self.sections.single.get("ssh")
        if isinstance(items, Items):
            self.listed(page, "ssh", self.login, [items])

    def login(self, item: Map) -> Iterator[dict[str, Any]]:
        for key in ("src", "dst"):
            for index, text in enumerate(item.get(key) or ()):
                if self.device(text) is not None:
                    raise TailgitError(
                        f"{item.at(key, index)}: Tailscale's ssh rules can't name a "
                        f"machine, and this one names `{shown(text.strip())}`",
                        "name a tag that only this machine has",
                    )
        yield _theirs(item)

    def test(self, item: Map) -> Iterator[dict[str, Any]]:
        """One test; two where the source is a device, one for each of its addresses."""
        source = self.device(item["src"])
        versions = self.versions(item["src"])
        for version in versions if source is not None else ["any"]:
            found = _theirs(item)
            if source is not None:
                found["src"] = self.alias(source, int(version))
            asked = [int(version)] if source is not None else [*map(int, versions)]
            for key in ("accept", "deny"):
                if key in item:
                    found[key] = list(self.asked(item[key], asked))
            yield found

    def asked(self, targets: Iterable[str], versions: list[int]) -> Iterator[str]:
        """Targets, devices by the addresses that the source has a family with."""
        for text in targets:
            head, port = split_destination(text)
            device = self.device(head)
            if device is None:
                yield text
                continue
            for version in versions:
                yield f"{self.alias(device, version)}:{port}"

    def versions(self, text: str) -> list[str]:
        """The families of a source's addresses: a literal has one."""
        try:
            selector = parse_selector(
                text, devices=self.tailnet.devices, hosts=self.tailnet.hosts
            )
        except SelectorError:  # a tailnet without errors has none
            return ["4", "6"]
        prefixes = [selector.prefix] if selector.prefix is not None else []
        if selector.kind is Kind.HOST:
            prefixes = [self.tailnet.hosts[selector.value].prefix]
        if selector.kind is Kind.IPSET:
            prefixes = list(self.tailnet.ipsets[selector.value].prefixes)
        found = {str(each.version) for each in prefixes}
        return sorted(found) if found else ["4", "6"]

    def ssh_test(self, item: Map) -> Iterator[dict[str, Any]]:
        """Machines by one of their aliases: it stands for the whole machine here."""
        found = _theirs(item)
        source = self.device(item["src"])
        if source is not None:
            found["src"] = self.alias(source, 4)
        devices = [(text, self.device(text)) for text in item.get("dst") or ()]
        found["dst"] = [
            text if device is None else self.alias(device, 4)
            for text, device in devices
        ]
        yield found


def _theirs(item: Map) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in _OURS}
