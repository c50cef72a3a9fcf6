"""The text of an nftables rule set as tables, chains and sets of words and values.

The part of nft's language that a filter of ours may use, in tables of family inet;
everything else is `Unknown`. What the words of a rule do is `nftsim`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Literal

Verdict = Literal["accept", "drop"]
Value = int | str
Test = Callable[[Value], bool]

PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "icmpv6": 58,
    "sctp": 132,
}
ICMP_TYPES = {"echo-reply": 0, "destination-unreachable": 3, "echo-request": 8}
ICMPV6_TYPES = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
}
NUMBERS: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "inet_service": (0xFFFF, {}),
    "inet_proto": (0xFF, PROTOCOLS),
    "icmp_type": (0xFF, ICMP_TYPES),
    "icmpv6_type": (0xFF, ICMPV6_TYPES),
    "mark": (0xFFFFFFFF, {}),
    "nf_proto": (0, {"ipv4": 4, "ipv6": 6}),
}
"""Types of numbers: the largest one and the names for some."""

WORDS = {
    "ct_state": ("new", "established", "related", "untracked", "invalid"),
    "ct_dir": ("original", "reply"),
}
SET_TYPES = ("ipv4_addr", "ipv6_addr", "inet_service", "inet_proto", "ifname", "mark")
PRIORITIES = {
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
}
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
UNREADABLE = "unreadable"
"""The port of a protocol that has none: whatever its header has in that place."""


class Unknown(ValueError):
    """The text says something that is not known here, or not in this way."""


@dataclass
class Chain:
    """Rules as lists of words; a base chain has a hook."""

    rules: list[list[str]] = field(default_factory=list)
    kind: str = ""
    hook: str = ""
    priority: int = 0
    policy: Verdict = "accept"


@dataclass(frozen=True)
class Element:
    """One element of a set, or of a map with the verdict it leads to."""

    tests: tuple[Test, ...]
    verdict: tuple[str, ...] = ()

    def holds(self, values: tuple[Value, ...]) -> bool:
        """Unreadable ports come last: they matter only if all the rest agrees."""
        pairs = zip(self.tests, values, strict=True)
        ordered = sorted(pairs, key=lambda pair: pair[1] == UNREADABLE)
        return all(test(value) for test, value in ordered)


@dataclass
class Named:
    """A set or verdict map: its key's types and its elements."""

    types: tuple[str, ...] = ()
    elements: list[Element] = field(default_factory=list)


@dataclass
class Table:
    """One table: chains, sets and verdict maps by name."""

    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Named] = field(default_factory=dict)
    maps: dict[str, Named] = field(default_factory=dict)


def parse(text: str) -> dict[str, Table]:
    """The tables that the text leaves behind when it is loaded into nothing."""
    tables: dict[str, Table] = {}
    words = Words(text)
    while (word := words.next_statement()) is not None:
        if word not in ("table", "delete"):
            raise Unknown(f"statement {word}")
        if word == "delete":
            words.expect("table")
        words.expect("inet")
        name = words.take()
        if word == "table":
            _table(words, tables.setdefault(name, Table()))
        elif tables.pop(name, None) is None:
            raise Unknown(f"deletes table {name}, which isn't there")
    if words.peek() is not None:
        raise Unknown("more closing braces than opening ones")
    return tables


class Words:
    """The words of a rule set, one after the other; newlines and `;` are words."""

    _WORD = re.compile(r'"[^"\n]*"|[{};,()|\n]|[!=]=|[^\s{};,()|"]+|[^\S\n]+|.')

    def __init__(self, text: str) -> None:
        found = self._WORD.findall(text)
        self._words = [word for word in found if word == "\n" or word.strip()]
        self._at = 0
        for word in self._words:
            if word == '"' or word[0] in "#$\\`":
                raise Unknown(f"text at {word}")

    def peek(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def take(self) -> str:
        word = self.peek()
        if word is None:
            raise Unknown("the text ends inside something")
        self._at += 1
        return word

    def expect(self, wanted: str) -> None:
        if (word := self.take()) != wanted:
            raise Unknown(f"{word!r} where {wanted!r} should be")

    def next_statement(self) -> str | None:
        """The first word of the next statement; None at the end of text or block."""
        while self.peek() in ("\n", ";"):
            self._at += 1
        return None if self.peek() in (None, "}") else self.take()

    def rest_of_statement(self) -> list[str]:
        """Up to the newline or `;` that ends it; braces may hold newlines."""
        words: list[str] = []
        depth = 0
        while (word := self.peek()) is not None:
            if depth == 0 and word in ("\n", ";", "}"):
                break
            depth += {"{": 1, "}": -1}.get(word, 0)
            if word != "\n":
                words.append(word)
            self._at += 1
        if depth:
            raise Unknown("a brace is not closed")
        return words

    def block(self) -> Iterator[str]:
        """The first words of the statements between `{` and `}`."""
        self.expect("{")
        while (word := self.next_statement()) is not None:
            yield word
        self.expect("}")


def _table(words: Words, table: Table) -> None:
    for word in words.block():
        if word == "chain":
            name = words.take()
            if name in table.chains:
                raise Unknown(f"chain {name} twice")
            table.chains[name] = _chain(words)
        elif word in ("set", "map"):
            name = words.take()
            if name in table.sets or name in table.maps:
                raise Unknown(f"set {name} twice")
            into = table.maps if word == "map" else table.sets
            into[name] = _named(words, verdicts=word == "map")
        elif word == "comment":
            words.rest_of_statement()
        else:
            raise Unknown(f"{word} in a table")


def _chain(words: Words) -> Chain:
    chain = Chain()
    for word in words.block():
        rest = words.rest_of_statement()
        if word == "type":
            _hook(chain, rest)
        elif word == "policy":
            if rest not in (["accept"], ["drop"]):
                raise Unknown(f"policy {' '.join(rest)}")
            chain.policy = "drop" if rest == ["drop"] else "accept"
        elif word != "comment" or len(rest) != 1:
            chain.rules.append([word, *rest])
    return chain


def _hook(chain: Chain, words: list[str]) -> None:
    """`type filter hook prerouting priority dstnat - 10`."""
    match words:
        case [("filter" | "nat" | "route") as kind, "hook", hook, "priority", base]:
            offset = "+0"
        case [
            ("filter" | "nat" | "route") as kind,
            "hook",
            hook,
            "priority",
            base,
            ("+" | "-") as sign,
            number,
        ]:
            offset = sign + number
        case _:
            raise Unknown(f"type {' '.join(words)}")
    if hook not in HOOKS or not re.fullmatch(r"[+-]\d+", offset):
        raise Unknown(f"type {' '.join(words)}")
    if base not in PRIORITIES and not re.fullmatch(r"-?\d+", base):
        raise Unknown(f"priority {base}")
    if {"dstnat": "prerouting", "srcnat": "postrouting"}.get(base, hook) != hook:
        raise Unknown(f"priority {base} at {hook}")
    chain.kind, chain.hook = kind, hook
    chain.priority = PRIORITIES.get(base, 0) + int(offset)
    if base not in PRIORITIES:
        chain.priority += int(base)


def _named(words: Words, *, verdicts: bool) -> Named:
    named = Named()
    interval = False
    for word in words.block():
        rest = words.rest_of_statement()
        if word == "type":
            if verdicts and rest[-2:] != [":", "verdict"]:
                raise Unknown("a map of anything but verdicts")
            key = rest[:-2] if verdicts else rest
            named.types = tuple(type_ for (type_,) in _split(key, "."))
            if odd := [t for t in named.types if t not in SET_TYPES]:
                raise Unknown(f"type {odd[0]}")
        elif word == "flags":
            if odd := [w for w in rest if w not in (",", "interval", "constant")]:
                raise Unknown(f"flag {odd[0]}")
            interval = "interval" in rest
        elif word == "elements":
            if rest[:2] != ["=", "{"] or rest[-1] != "}" or not named.types:
                raise Unknown("elements before a type or without braces")
            inner = rest[2:-1]
            if not interval and _has_interval(inner, named.types):
                raise Unknown("an interval in a set without `flags interval`")
            named.elements = elements(inner, named.types, verdicts=verdicts)
        elif word not in ("auto-merge", "comment"):
            raise Unknown(f"{word} in a set")
    return named


def _has_interval(words: list[str], types: tuple[str, ...]) -> bool:
    dashes = "ifname" not in types and any("-" in w and w[0].isdigit() for w in words)
    return dashes or any("/" in word for word in words)


def elements(
    words: list[str], types: tuple[str, ...], *, verdicts: bool = False
) -> list[Element]:
    """What stands between the braces of a set with keys of these types."""
    found = []
    for element in _split(words, ","):
        if not element:
            continue  # nft allows a comma behind the last element
        verdict: list[str] = []
        if verdicts:
            if ":" not in element:
                raise Unknown(f"{' '.join(element)} leads to no verdict")
            colon = element.index(":")
            element, verdict = element[:colon], element[colon + 1 :]
        parts = _split(element, ".")
        if len(parts) != len(types) or any(len(part) != 1 for part in parts):
            raise Unknown(f"{' '.join(element)} as {' . '.join(types)}")
        tests = [constant(p[0], kind) for p, kind in zip(parts, types, strict=True)]
        found.append(Element(tuple(tests), tuple(verdict)))
    return found


def _split(words: list[str], by: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == by:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def constant(text: str, kind: str) -> Test:
    """Whether a value is the constant, prefix or range that `text` writes."""
    if kind in WORDS:
        if text not in WORDS[kind]:
            raise Unknown(f"{kind} {text}")
        return lambda value: value == text
    if kind == "ifname":
        name = text.strip('"')
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", name):
            raise Unknown(f"interface {text}")
        return lambda value: value == name
    low, high = _addresses(text, kind) if "addr" in kind else _numbers(text, kind)

    def inside(value: Value) -> bool:
        if value == UNREADABLE:
            if (low, high) == (0, 0xFFFF):
                return True
            raise Unknown(f"port {text} of a protocol that has no ports")
        return isinstance(value, int) and low <= value <= high

    return inside


def _numbers(text: str, kind: str) -> tuple[int, int]:
    top, names = NUMBERS[kind]
    if text in names:
        return names[text], names[text]
    first, dash, last = text.partition("-")
    ends = [first, last] if dash else [first, first]
    if not all(re.fullmatch(r"0|[1-9]\d*|0x[0-9a-f]+", end) for end in ends):
        raise Unknown(f"{kind} {text}")
    low, high = (int(end, 0) for end in ends)
    if not low <= high <= top:
        raise Unknown(f"{kind} {text}")
    return low, high


def _addresses(text: str, kind: str) -> tuple[int, int]:
    version = 4 if kind == "ipv4_addr" else 6
    try:
        if "/" in text:
            network = ip_network(text)
            low, high = network.network_address, network.broadcast_address
        else:
            first, _, last = text.partition("-")
            low, high = ip_address(first), ip_address(last or first)
    except ValueError as error:
        raise Unknown(f"{kind} {text}") from error
    if {low.version, high.version} != {version} or int(low) > int(high):
        raise Unknown(f"{kind} {text}")
    return int(low), int(high)
