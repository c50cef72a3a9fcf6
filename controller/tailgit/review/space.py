"""The address space cut into parts within which no prefix of either side ends.

Prefixes nest or lie apart, so one pass in order of address with a stack does it, also
for a policy that lists a country. Parts that lie in the same prefixes are one: what
holds for one address of such a *region* holds for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import TypeVar

from tailgit.model.addresses import Network

Span = tuple[int, int]
"""First and last address, as numbers."""


@dataclass(frozen=True, slots=True)
class Region:
    """Addresses of one family that lie in the same prefixes."""

    version: int
    spans: tuple[Span, ...]

    def prefixes(self) -> tuple[Network, ...]:
        found: list[Network] = []
        for first, last in self.spans:
            if self.version == 4:
                four = IPv4Address(first), IPv4Address(last)
                found.extend(summarize_address_range(*four))
            else:
                six = IPv6Address(first), IPv6Address(last)
                found.extend(summarize_address_range(*six))
        return tuple(found)


Mark = TypeVar("Mark")


def cut(
    marked: Mapping[Network, set[Mark]], version: int
) -> Mapping[frozenset[Mark], Region]:
    """Regions of one family by the marks of all prefixes that they lie in.

    What lies in no prefix at all is left out.
    """
    prefixes = [each for each in marked if each.version == version]
    prefixes.sort(key=lambda each: (int(each.network_address), each.prefixlen))
    spans: dict[frozenset[Mark], list[Span]] = defaultdict(list)
    open_: list[tuple[int, frozenset[Mark]]] = []
    at = 0

    def close(before: int) -> None:
        """Write down the parts that end before an address."""
        nonlocal at
        while open_ and open_[-1][0] < before:
            end, marks = open_.pop()
            if at <= end:
                spans[marks].append((at, end))
                at = end + 1

    for prefix in prefixes:
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
        close(first)
        around = open_[-1][1] if open_ else frozenset()
        if around and at < first:
            spans[around].append((at, first - 1))
        at = first
        open_.append((last, around | marked[prefix]))
    close(1 << 129)
    return {
        marks: Region(version, tuple(_joined(parts))) for marks, parts in spans.items()
    }


def _joined(spans: list[Span]) -> list[Span]:
    found: list[Span] = []
    for first, last in spans:
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found
