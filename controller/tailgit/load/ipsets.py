"""IP sets: named sets of addresses, resolved to the prefixes that are left.

    ipset:office: [add 10.20.0.0/16, remove 10.20.9.0/24, add ipset:lab]

The entries are applied in order, so the last one that covers an address decides about
it. That is what is computed, from the last entry to the first, on ranges of integers:
each entry takes what no later one has, which costs the same however they overlap.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv6Address,
    summarize_address_range,
)
from itertools import islice

from tailgit.load.located import Items, Map
from tailgit.load.unite import Sections
from tailgit.model.addresses import INTERNET, Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.near import Near
from tailgit.model.policy import IpSet
from tailgit.model.selectors import parse_address
from tailgit.model.text import shown

MAX_RANGES = 200_000
"""Ranges that all ipsets of a tailnet come to, nested ones counted where they are."""

Range = tuple[int, int]
_V6 = 1 << 128
"""IPv6 lies behind all of IPv4 on one line of numbers."""
_INTERNET = "autogroup:internet"


class _Covered:
    """Disjoint ranges, sorted; grows by what it does not hold yet."""

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.lasts: list[int] = []

    def take(self, first: int, last: int) -> list[Range]:
        """Covers a range, and gives the parts of it that were not covered."""
        low = bisect_left(self.lasts, first)
        high = bisect_right(self.firsts, last)
        gaps, at = [], first
        for index in range(low, high):
            if at < self.firsts[index]:
                gaps.append((at, self.firsts[index] - 1))
            at = self.lasts[index] + 1
        if at <= last:
            gaps.append((at, last))
        if low < high:
            first = min(first, self.firsts[low])
            last = max(last, self.lasts[high - 1])
        self.firsts[low:high] = [first]
        self.lasts[low:high] = [last]
        return gaps


def build_ipsets(sections: Sections, findings: list[Finding]) -> dict[str, IpSet]:
    """Every ipset that can be resolved, by name."""
    builder = _Builder(sections, findings)
    found, left = {}, MAX_RANGES
    for name, section in sorted(sections.keyed["ipsets"].items()):
        ranges = builder.ranges(name)
        if ranges is None:
            continue
        prefixes = tuple(islice(_prefixes(ranges), left + 1))
        left -= len(prefixes)
        if left < 0:
            builder.too_many(section.key(name))
            break
        mentions = tuple(sorted(builder.mentions[name]))
        found[name] = IpSet(name, prefixes, section.key(name), mentions)
    return found


class _Builder:
    def __init__(self, sections: Sections, findings: list[Finding]) -> None:
        self.sections = sections.keyed["ipsets"]
        self.hosts = sections.keyed["hosts"]
        self.findings = findings
        self.done: dict[str, list[Range] | None] = {}
        self.open: list[str] = []  # the sets that led to this one
        self.mentions: dict[str, set[str]] = {name: set() for name in self.sections}
        self.left = MAX_RANGES
        self.near = Near([*self.sections, *(f"host:{name}" for name in self.hosts)])

    def add(self, code: str, at: Place, message: str, help_: str) -> None:
        self.findings.append(finding(code, at, message, help_))

    def ranges(self, name: str) -> list[Range] | None:
        """Sorted disjoint ranges; None if the set, or one in it, has errors."""
        if name in self.done:
            return self.done[name]
        items = self.sections[name][name]
        self.open.append(name)
        found = self.resolve(items) if isinstance(items, Items) else None
        self.open.pop()
        self.done[name] = found
        return found

    def resolve(self, items: Items) -> list[Range] | None:
        entries = [
            self.entry(text, items.at(index))
            for index, text in enumerate(items)
            if isinstance(text, str)
        ]
        self.said_or_not(items)
        found = [each for each in entries if each is not None]
        self.left -= sum(len(ranges) for _, ranges in found)
        if self.left < 0:
            self.too_many(items.at())
        if self.left < 0 or len(found) < len(entries):
            return None
        if all(adds for adds, _ in found):
            return list(_merged(each for _, ranges in found for each in ranges))
        covered, kept = _Covered(), list[Range]()
        for adds, ranges in reversed(found):
            for first, last in ranges:
                gaps = covered.take(first, last)
                if adds:
                    kept.extend(gaps)
        return list(_merged(kept))

    def too_many(self, at: Place) -> None:
        message = f"the ipsets come to more than {MAX_RANGES} ranges"
        self.add("too-large", at, message, "name wider prefixes, or nest fewer sets")

    def said_or_not(self, items: Items) -> None:
        """`add` may be left out only where nothing is removed."""
        words = [text.split() for text in items if isinstance(text, str)]
        if not any(each[:1] == ["remove"] for each in words):
            return
        for index, text in enumerate(items):
            if isinstance(text, str) and len(text.split()) == 1:
                at, word = items.at(index), shown(text.strip())
                message = f"`{word}` says neither add nor remove, and others do"
                self.add("bad-ipset", at, message, f"write `add {word}`")

    def entry(self, text: str, at: Place) -> tuple[bool, list[Range]] | None:
        """Whether it adds, and the ranges; None and a finding if it can't be read."""
        match text.split():
            case [target]:
                verb = "add"
            case ["add" | "remove" as verb, target]:
                pass
            case _:
                message = f"`{shown(text)}` is no entry of an ipset"
                help_ = "write `add 10.20.0.0/16` or `remove ipset:lab`"
                self.add("bad-ipset", at, message, help_)
                return None
        ranges = self.target(target, at)
        return (verb == "add", ranges) if ranges is not None else None

    def target(self, text: str, at: Place) -> list[Range] | None:
        if text.startswith("ipset:"):
            return self.nested(text, at)
        if text == _INTERNET:
            return [_range(prefix) for prefix in INTERNET]
        prefix = parse_address(text)
        if prefix is None:
            return self.host(text, at)
        return [_range(prefix)]

    def nested(self, name: str, at: Place) -> list[Range] | None:
        if name in self.open:
            way = " -> ".join(map(shown, [*self.open[self.open.index(name) :], name]))
            message = f"`{shown(name)}` is in itself: {way}"
            self.add("bad-ipset", at, message, "take one of the sets out of the circle")
            return None
        if name not in self.sections:
            message = f"no ipset `{shown(name)}`"
            help_ = self.near.meant(name) or "define it in `ipsets`"
            self.add("unknown-ipset", at, message, help_)
            return None
        if len(self.open) > 100:
            message = "ipsets are nested deeper than 100 levels"
            self.add("bad-ipset", at, message, "name the addresses themselves")
            return None
        self.mentions[self.open[-1]].add(name)
        return self.ranges(name)

    def host(self, text: str, at: Place) -> list[Range] | None:
        name = text.removeprefix("host:")
        holder: Map | None = self.hosts.get(name)
        value = holder[name] if holder is not None else None
        if isinstance(value, str):
            self.mentions[self.open[-1]].add(name)
            prefix = parse_address(value)
            return [_range(prefix)] if prefix is not None else None
        message = f"`{shown(text)}` is no address, host or ipset"
        help_ = self.near.meant(text) or (
            "an ipset holds addresses: users, groups and tags stand in rules"
        )
        self.add("bad-ipset", at, message, help_)
        return None


def _range(prefix: Network) -> Range:
    base = _V6 if prefix.version == 6 else 0
    return (
        base + int(prefix.network_address),
        base + int(prefix.broadcast_address),
    )


def _merged(ranges: Iterable[Range]) -> Iterator[Range]:
    """What overlaps or touches joined."""
    here: Range | None = None
    for first, last in sorted(ranges):
        if here is not None and first <= here[1] + 1 and first != _V6:
            here = here[0], max(here[1], last)
            continue
        if here is not None:
            yield here
        here = first, last
    if here is not None:
        yield here


def _prefixes(ranges: Iterable[Range]) -> Iterator[Network]:
    for first, last in ranges:
        if first >= _V6:
            ends = IPv6Address(first - _V6), IPv6Address(last - _V6)
            yield from summarize_address_range(*ends)
        else:
            yield from summarize_address_range(IPv4Address(first), IPv4Address(last))
