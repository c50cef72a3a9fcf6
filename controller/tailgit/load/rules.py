"""Rules: `acls` and `grants` parsed, selectors and ports each with their place.

The syntax is Tailscale's (POLICY.md §3 and §4), and so are the sentences: who searches
for one finds others who had it. An acl becomes one rule for each port set that its
destinations open, a grant always one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from tailgit.load.apps import read_apps
from tailgit.load.deadlines import read_deadline
from tailgit.load.located import Items, Map
from tailgit.load.ports import (
    explain_comma,
    has_protocol,
    meant_ports,
    ports_behind,
    split_ports,
)
from tailgit.load.remarks import comment_above
from tailgit.load.selectors import Selectors, texts
from tailgit.load.unite import Document
from tailgit.model.findings import Place
from tailgit.model.policy import Rule
from tailgit.model.ports import PortError, Ports, parse_acl, parse_ip
from tailgit.model.selectors import Kind, Selector
from tailgit.model.text import shown

_MANY_PORTS = 'quote the whole, "tag:db:22,80"'
_PORTS = "`*`, 443, 80-443; in a grant also tcp:443 and icmp:*"


class Rules:
    """Builds rules from what the documents say."""

    def __init__(self, selectors: Selectors, documents: dict[str, Document]) -> None:
        self.selectors = selectors
        self.findings = selectors.findings
        self.add = selectors.add
        self.documents = documents

    def acl(self, item: Map, at: Place) -> Iterator[Rule]:
        """One rule for each port set that the destinations open."""
        if item.get("action", "accept") != "accept":
            message = f'action="{shown(str(item["action"]))}" is not supported'
            help_ = "rules only allow: take the rule out, or write `accept`"
            self.add("bad-action", item.at("action"), message, help_)
        src = self.selectors.listed(item, "src", "src")
        protocol = has_protocol(item, self.findings)
        by_ports: dict[Ports, list[Selector]] = {}
        for index, text in texts(item, "dst"):
            opened = self.destination(text, item.at("dst", index), protocol)
            if opened is not None:
                by_ports.setdefault(opened[1], []).append(opened[0])
        rule = self.rule(item, at, "acls")
        for ports, dst in by_ports.items():
            yield replace(rule, src=src, dst=tuple(dst), ports=ports)

    def destination(
        self, text: str, at: Place, protocol: str | None
    ) -> tuple[Selector, Ports] | None:
        """What one dst of an acl names, and what it opens there."""
        split = split_ports(text, at, _MANY_PORTS, self.findings)
        if split is None:
            return None
        try:
            ports = parse_acl(protocol, split[1])
        except PortError as error:
            message, help_ = shown(str(error)), _PORTS
            if message.startswith("port range"):
                message = f'dst="{shown(text.strip())}": {message}'
            if split[0] in ("autogroup", "tag", "group", "ipset"):
                help_ = f'the ports are missing: write "{shown(text.strip())}:*" or so'
            self.add("bad-port", at, message, help_)
            return None
        selector = self.selectors.read(split[0], at, "dst", ports=True)
        return (selector, ports) if selector is not None else None

    def grant(self, item: Map, at: Place) -> Rule:
        src = self.selectors.listed(item, "src", "src")
        dst = self.selectors.listed(item, "dst", "dst")
        for selector in dst:
            self.not_everything(selector, at)
        opened = [
            self.opened(text, item.at("ip", index)) for index, text in texts(item, "ip")
        ]
        entries = item.get("ip", Items(at.file, 0))
        if not isinstance(entries, Items):
            pass  # the schema has said so
        elif entries:
            comma = explain_comma(entries, self.documents[at.file].lines)
            self.findings.extend([comma] if comma else [])
        elif not item.get("app") and not any(
            ports_behind(text) for _, text in texts(item, "dst")
        ):
            message = "ip and app can not both be empty"
            help_ = 'say what is opened: `ip: ["tcp:443"]`; `ip: ["*"]` is everything'
            self.add("empty-grant", at, message, help_)
        apps = read_apps(item, self.findings)
        internet = next((each for each in dst if each.kind is Kind.INTERNET), None)
        if item.get("app") and internet is not None:
            message = "cannot use app grants with autogroup:internet"
            help_ = "name the devices that have the application"
            self.add("bad-app", internet.place or at, message, help_)
        return replace(
            self.rule(item, at, "grants"),
            src=src,
            dst=dst,
            ports=Ports.of(each for some in opened if some for each in some.ranges),
            via=self.via(item),
            app=apps,
        )

    def not_everything(self, selector: Selector, at: Place) -> None:
        """0.0.0.0/0 looks like "everywhere" and is every address of one family."""
        if selector.prefix is not None and selector.prefix.prefixlen == 0:
            self.add(
                "whole-internet",
                selector.place or at,
                f'dst "{selector.value}": to allow all IP addresses, use "*" or '
                '"autogroup:internet"',
                '`"*"` is every device and subnet of the tailnet, '
                "`autogroup:internet` what exit nodes lead to",
            )

    def opened(self, text: str, at: Place) -> Ports | None:
        """What one `ip` entry of a grant opens."""
        try:
            return parse_ip(text)
        except PortError as error:
            help_ = meant_ports(text) or _PORTS
            self.add("bad-port", at, shown(str(error)), help_)
            return None

    def via(self, item: Map) -> tuple[str, ...]:
        found = []
        for index, text in texts(item, "via"):
            tag = text.strip()
            if tag.startswith("tag:"):
                found.append(tag)
                self.selectors.tag(tag, item.at("via", index))
                continue
            help_ = f"give the router a tag, not `{shown(tag)}`"
            self.add("bad-via", item.at("via", index), "via can only be a tag", help_)
        return tuple(found)

    def rule(self, item: Map, at: Place, section: Literal["acls", "grants"]) -> Rule:
        return Rule(
            (),
            (),
            Ports(()),
            at,
            section,
            name=str(item.get("name", "")),
            description=comment_above(self.documents[at.file], at),
            disabled=item.get("disabled") is True,
            expires=read_deadline(item, self.findings),
            posture=self.selectors.postures(item),
        )
