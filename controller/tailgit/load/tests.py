"""The section `tests`: examples of the rules, each with one source and exact targets.

Tailscale has one sentence for everything that is wrong with a test, "test(s) failed",
whether it does not hold or asks for nothing. So what is wrong here has the code
`bad-test`, and who is not there `test-of-nobody`, also where a rule would say
`unknown-name` to the same text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tailgit.load.located import Map
from tailgit.load.ports import has_protocol, split_ports
from tailgit.load.postures import plain_attributes
from tailgit.load.selectors import Selectors, texts
from tailgit.load.unite import Sections
from tailgit.model.codes import ABSENCES, finding
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import Attribute, Target, Test
from tailgit.model.ports import WITH_PORTS, protocol_number
from tailgit.model.selectors import Kind, Selector
from tailgit.model.text import shown

_ONE_PORT = 'write one target for each port, "db-1:22", "db-1:80"'
_WIDE = frozenset({Kind.ANY, Kind.INTERNET, Kind.IPSET})


class Examples:
    """Builds tests, and gives each finding about one the code of a test."""

    def __init__(
        self, sections: Sections, findings: list[Finding], code: str = "bad-test"
    ) -> None:
        self.said: list[Finding] = []
        self.selectors = Selectors(sections, self.said)
        self.hosts = sections.keyed["hosts"]
        self.findings = findings
        self.code = code

    def add(self, at: Place, message: str, help_: str) -> None:
        self.said.append(finding(self.code, at, message, help_))

    def hand_over(self) -> None:
        """Moves what was said about one example to all findings."""
        for each in self.said:
            code = "test-of-nobody" if each.code in ABSENCES else self.code
            mine = each if each.code == "not-yet" else replace(each, code=code)
            self.findings.append(mine)
        self.said.clear()

    def test(self, item: Map, at: Place) -> Iterator[Test]:
        """The test, unless something of it can't be parsed."""
        src = self.source(item)
        accept, deny = self.targets(item, "accept"), self.targets(item, "deny")
        if not item.get("accept") and not item.get("deny"):
            message = "the test has neither `accept` nor `deny`"
            self.add(at, message, 'write `accept: ["db-1:5432"]`')
        number = None
        protocol = has_protocol(item, self.said)
        if protocol is not None:
            number = protocol_number(protocol)
            if number not in WITH_PORTS:
                message = f"a test can't ask for `{shown(protocol)}`"
                help_ = "tcp, udp or sctp, or leave `proto` out"
                self.add(item.at("proto"), message, help_)
        self.hand_over()
        if src is not None:
            yield Test(src, accept, deny, at, number, attributes(item))

    def source(self, item: Map) -> Selector | None:
        text = item.get("src")
        if not isinstance(text, str):
            return None
        if text.strip():
            return self.selectors.read(text, item.at("src"), "src")
        self.add(item.at("src"), "the test has no source", "write `src: group:data`")
        return None

    def targets(self, item: Map, key: str) -> tuple[Target, ...]:
        found = (
            self.target(text, item.at(key, index)) for index, text in texts(item, key)
        )
        return tuple(each for each in found if each is not None)

    def target(self, text: str, at: Place) -> Target | None:
        split = split_ports(text, at, _ONE_PORT, self.said)
        if split is None:
            return None
        head, port = split
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            message = f"`{shown(text)}` does not end with exactly one port"
            self.add(at, message, "one target for each port")
            return None
        selector = self.selectors.read(head, at, "dst", ports=True)
        if selector is None:
            return None
        if selector.kind in _WIDE or self.is_range(selector):
            message = f"`{shown(text)}` is a whole range"
            self.add(at, message, "name one device or address")
            return None
        return Target(selector, int(port), str(text), at)

    def is_range(self, selector: Selector) -> bool:
        """Whether it was written as a CIDR; also /32 is one (POLICY.md §8)."""
        if selector.kind is Kind.HOST:
            return "/" in str(self.hosts[selector.value][selector.value])
        return selector.kind is Kind.PREFIX and "/" in selector.value


def attributes(item: Map) -> tuple[tuple[str, Attribute], ...]:
    """What the source of an example is taken to have, by name."""
    section = item.get("srcPostureAttrs")
    return plain_attributes(section) if isinstance(section, Map) else ()
