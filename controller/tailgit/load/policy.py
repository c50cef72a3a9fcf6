"""Rules and tests: selectors and ports parsed, each with its place.

The syntax is Tailscale's (POLICY.md §2 to §4, §8). What it has and this version can't
enforce (`autogroup:internet`, `ipset:…`) is refused by name: a rule that is silently
narrower or wider than it reads is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any, Literal

from tailgit.load.deadlines import read_deadline
from tailgit.load.located import Items, Map
from tailgit.load.ports import explain_comma, meant_ports, ports_behind
from tailgit.load.unite import Sections
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.near import Near, meant_kind
from tailgit.model.ports import (
    WITH_PORTS,
    PortError,
    Ports,
    parse_acl,
    parse_ip,
    protocol_number,
)
from tailgit.model.selectors import (
    Kind,
    Selector,
    SelectorError,
    parse_selector,
    split_destination,
)
from tailgit.model.tailnet import Rule, Target, Test
from tailgit.model.text import shown

_MANY_PORTS = 'quote the whole, "tag:db:22,80"'
_ONE_PORT = 'write one target for each port, "db-1:22", "db-1:80"'

MAX_WIDTH = 250_000
"""Entries of a rule's src times those of its dst; of a test, accept times deny."""
MAX_TOTAL_WIDTH = 5_000_000
_SIDES = {
    "acls": ("src", "dst"),
    "grants": ("src", "dst"),
    "tests": ("accept", "deny"),
}

Side = Literal["src", "dst"]

_LATER = {
    "autogroup:internet": "there are no exit nodes",
    "autogroup:danger-all": "addresses outside of the tailnet are no source",
    "autogroup:shared": "devices are not shared between tailnets",
    "autogroup:nonroot": "logins are not governed by the policy",
    **{
        f"autogroup:{role}": "roles select nothing"
        for role in (
            "owner",
            "admin",
            "it-admin",
            "network-admin",
            "billing-admin",
            "auditor",
        )
    },
}
_LATER_PREFIXES = {
    "ipset:": "there are no ipsets",
    "svc:": "there are no services",
    "posture:": "there are no posture checks",
    "user:": "users are named one by one, or by a group",
}
_AUTOGROUPS = ("autogroup:member", "autogroup:tagged", "autogroup:self", *_LATER)
_WRONG_SIDE = {
    ("src", "autogroup:self"): '"autogroup:self" not valid on the src side of a rule',
    ("src", "autogroup:internet"): (
        "autogroup:internet can only be used in ACL destinations"
    ),
    ("dst", "autogroup:danger-all"): "cannot use autogroup:danger-all as a dst",
}


def build_policy(
    sections: Sections, findings: list[Finding]
) -> tuple[tuple[Rule, ...], tuple[Test, ...]]:
    """Every rule and every test, in bytewise order of file, then as written."""
    if not _within_limits(sections, findings):
        return (), ()
    builder = _Builder(sections, findings)
    rules = [
        rule
        for section, build in (("acls", builder.acl), ("grants", builder.grant))
        for item, at in _items(sections.listed[section])
        for rule in build(item, at)
    ]
    tests = [
        test
        for item, at in _items(sections.listed["tests"])
        for test in builder.test(item, at)
    ]
    return tuple(rules), tuple(tests)


def _within_limits(sections: Sections, findings: list[Finding]) -> bool:
    """Whether nothing is so wide that the pairs it stands for can't be held."""
    total = 0
    for section, sides in _SIDES.items():
        for item, at in _items(sections.listed[section]):
            width = prod(1 + len(item.get(side) or ()) for side in sides)
            total += width
            if width > MAX_WIDTH or total > MAX_TOTAL_WIDTH:
                what = "this" if width > MAX_WIDTH else "all up to this one"
                most = MAX_WIDTH if width > MAX_WIDTH else MAX_TOTAL_WIDTH
                message = f"{what} names more than {most} pairs of entries"
                help_ = "name groups and tags instead of their members"
                findings.append(finding("too-large", at, message, help_))
                return False
    return True


def _items(lists: list[Items]) -> Iterator[tuple[Map, Place]]:
    for each in lists:
        for index, item in enumerate(each):
            if isinstance(item, Map):
                yield item, each.at(index)


class _Builder:
    """Rules and tests against the names that devices and hosts have."""

    def __init__(self, sections: Sections, findings: list[Finding]) -> None:
        self.documents = sections.documents
        self.devices = sections.keyed["devices"]
        self.hosts = sections.keyed["hosts"]
        self.keyed = sections.keyed
        self.findings = findings
        self.names = Near([*self.devices, *self.hosts])
        self.autogroups = Near(_AUTOGROUPS)

    def add(self, code: str, at: Place, message: str, help_: str = "") -> None:
        self.findings.append(finding(code, at, message, help_))

    def acl(self, item: Map, at: Place) -> Iterator[Rule]:
        """One rule for each port set that the destinations open."""
        if item.get("action", "accept") != "accept":
            message = f'action="{shown(str(item["action"]))}" is not supported'
            help_ = "rules only allow: take the rule out, or write `accept`"
            self.add("bad-action", item.at("action"), message, help_)
        src = self.selectors(item, "src", grants=False)
        protocol = self.protocol(item)
        by_ports: dict[Ports, list[Selector]] = {}
        for index, text in _texts(item, "dst"):
            where = item.at("dst", index)
            split = self.destination(text, where)
            if split is None:
                continue
            ports = self.ports(where, parse_acl, protocol, split[1])
            selector = self.selector(split[0], where, "dst", grants=False)
            if selector is not None and ports is not None:
                by_ports.setdefault(ports, []).append(selector)
        rule = self.rule(item, at, "acls")
        for ports, dst in by_ports.items():
            yield replace(rule, src=src, dst=tuple(dst), ports=ports)

    def grant(self, item: Map, at: Place) -> Iterator[Rule]:
        src = self.selectors(item, "src", grants=True)
        dst = self.selectors(item, "dst", grants=True)
        opened = [
            self.ports(item.at("ip", index), parse_ip, text)
            for index, text in _texts(item, "ip")
        ]
        entries = item.get("ip", Items(at.file, 0))
        if not isinstance(entries, Items):
            pass  # the schema has said so
        elif entries:
            comma = explain_comma(entries, self.documents[at.file].lines)
            self.findings.extend([comma] if comma else [])
        elif "app" not in item and not any(
            ports_behind(text) for _, text in _texts(item, "dst")
        ):
            message = "ip and app can not both be empty"
            help_ = 'say what is opened: `ip: ["tcp:443"]`; `ip: ["*"]` is everything'
            self.add("empty-grant", at, message, help_)
        ports = Ports.of(each for some in opened if some for each in some.ranges)
        yield replace(self.rule(item, at, "grants"), src=src, dst=dst, ports=ports)

    def rule(self, item: Map, at: Place, section: Literal["acls", "grants"]) -> Rule:
        return Rule(
            (),
            (),
            Ports(()),
            at,
            section,
            name=str(item.get("name", "")),
            description=self.comment_above(at),
            disabled=item.get("disabled") is True,
            expires=read_deadline(item, self.findings),
        )

    def test(self, item: Map, at: Place) -> Iterator[Test]:
        """The test, unless something of it can't be parsed."""
        text = item.get("src")
        src = None
        if isinstance(text, str):
            src = self.selector(text, item.at("src"), "src", grants=False)
        accept, deny = self.targets(item, "accept"), self.targets(item, "deny")
        if not item.get("accept") and not item.get("deny"):
            message = "the test has neither `accept` nor `deny`"
            self.add("bad-test", at, message, 'write `accept: ["db-1:5432"]`')
        number = None
        protocol = self.protocol(item)
        if protocol is not None:
            number = protocol_number(protocol)
            if number not in WITH_PORTS:
                message = f"a test can't ask for `{shown(protocol)}`"
                help_ = "tcp, udp or sctp, or leave `proto` out"
                self.add("bad-test", item.at("proto"), message, help_)
        if src is not None:
            yield Test(src, accept, deny, at, number)

    def targets(self, item: Map, key: str) -> tuple[Target, ...]:
        found = []
        for index, text in _texts(item, key):
            at = item.at(key, index)
            split = self.destination(text, at, _ONE_PORT)
            if split is None:
                continue
            head, port = split
            if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
                message = f"`{shown(text)}` does not end with exactly one port"
                self.add("bad-test", at, message, "one target for each port")
                continue
            selector = self.selector(head, at, "dst", grants=False)
            if selector is None:
                continue
            if self.is_range(selector) or selector.kind is Kind.ANY:
                message = f"`{shown(text)}` is a whole range"
                self.add("bad-test", at, message, "name one device or address")
                continue
            found.append(Target(selector, int(port), text, at))
        return tuple(found)

    def is_range(self, selector: Selector) -> bool:
        """Whether it was written as a CIDR; also /32 is one (POLICY.md §8)."""
        if selector.kind is Kind.HOST:
            return "/" in str(self.hosts[selector.value][selector.value])
        return selector.kind is Kind.PREFIX and "/" in selector.value

    def selectors(self, item: Map, side: Side, *, grants: bool) -> tuple[Selector, ...]:
        found = [
            self.selector(text, item.at(side, index), side, grants=grants)
            for index, text in _texts(item, side)
        ]
        return tuple(each for each in found if each is not None)

    def selector(
        self, text: str, at: Place, side: Side, *, grants: bool
    ) -> Selector | None:
        """The selector, or None and a finding."""
        text = text.strip()
        wrong_side = _WRONG_SIDE.get((side, text))
        if wrong_side:
            self.add("autogroup-not-here", at, wrong_side)
            return None
        why = _LATER.get(text) or next(
            (why for start, why in _LATER_PREFIXES.items() if text.startswith(start)),
            None,
        )
        if why:
            message = f"`{shown(text)}` is not enforced by this version: {why}"
            self.add("not-yet", at, message, "take it out of the rule")
            return None
        ports = ports_behind(text) if grants or side == "src" else None
        if ports:
            self.too_many_ports(text, ports, at, side)
            return None
        try:
            selector = parse_selector(text, devices=self.devices, hosts=self.hosts)
        except SelectorError as error:
            self.add(error.code, at, shown(str(error)), self.meant(error.code, text))
            return None
        prefix = selector.prefix
        if grants and side == "dst" and prefix is not None and prefix.prefixlen == 0:
            self.add(
                "whole-internet",
                at,
                f'dst "{text}": to allow all IP addresses, use "*" or '
                '"autogroup:internet"',
            )
        return replace(selector, place=at)

    def too_many_ports(
        self, text: str, parts: tuple[str, str], at: Place, side: Side
    ) -> None:
        """Ports stand in a grant's `ip` and behind an acl's dst, nowhere else."""
        head, ports = map(shown, parts)
        head = re.sub(r"\[(.*)\]", r"\1", head)
        where = "a grant's dst" if side == "dst" else "src"
        message = f"`{shown(text)}`: there are no ports in {where}"
        help_ = f'write `{side}: ["{head}"]`'
        if side == "dst":
            help_ += f' and `ip: ["{ports}"]`'
        self.add("bad-destination", at, message, help_)

    def meant(self, code: str, text: str) -> str:
        if code == "unknown-autogroup":
            return self.autogroups.meant(text)
        kinds = (self.keyed[each] for each in ("groups", "tagOwners", "users"))
        return (
            meant_kind(text, *kinds)
            or self.names.meant(text)
            or (
                "a name is a device, or an alias in `hosts`; users have an `@`, groups "
                "begin with `group:`, tags with `tag:`"
            )
        )

    def destination(
        self, text: str, at: Place, comma: str = _MANY_PORTS
    ) -> tuple[str, str] | None:
        """Selector text and port text of an acl's dst or a test's target."""
        try:
            head, ports = split_destination(text)
        except SelectorError as error:
            help_ = 'write a selector, a colon and ports, such as "tag:db:5432"'
            if text.strip().replace("-", "").isdigit():
                help_ = f"a comma ends an item: {comma}"
            self.add(error.code, at, shown(str(error)), help_)
            return None
        if head in ("autogroup", "tag", "group"):
            message = f"`{shown(text)}` has no ports behind the selector"
            self.add("bad-destination", at, message, f'write "{shown(text)}:*" or so')
            return None
        return head, ports

    def protocol(self, item: Map) -> str | None:
        """The text of `proto`, if it is a protocol."""
        text = item.get("proto")
        if not isinstance(text, str):
            return None
        try:
            protocol_number(text)
        except PortError as error:
            help_ = "a name such as tcp, udp, icmp, or a number up to 255"
            self.add("bad-port", item.at("proto"), shown(str(error)), help_)
            return None
        return str(text)

    def ports(
        self, at: Place, parse: Callable[..., Ports], *texts: Any
    ) -> Ports | None:
        try:
            return parse(*texts)
        except PortError as error:
            help_ = (meant_ports(texts[-1]) if parse is parse_ip else "") or (
                "`*`, 443, 80-443; in a grant also tcp:443 and icmp:*"
            )
            self.add("bad-port", at, shown(str(error)), help_)
            return None

    def comment_above(self, at: Place) -> str:
        """The comment lines directly above a rule, as one line of text."""
        document = self.documents[at.file]
        if not document.file.endswith((".yaml", ".yml")):
            return ""
        lines, index = document.lines, at.line - 2
        while index >= 0 and lines[index].strip() == "-":
            index -= 1
        comment: list[str] = []
        while index >= 0 and lines[index].lstrip().startswith("#"):
            comment.append(lines[index].strip().lstrip("#").strip())
            index -= 1
        return " ".join(filter(None, reversed(comment)))


def _texts(item: Map, key: str) -> Iterator[tuple[int, str]]:
    items = item.get(key)
    if isinstance(items, Items):
        for index, each in enumerate(items):
            if isinstance(each, str):
                yield index, each
