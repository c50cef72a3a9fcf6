"""Ports in rules and tests: read, and the slips with them explained.

What `[tcp:22,80]` or `dst: [tag:db:5432]` in a grant is meant to say is clear to its
author; what it says is something else, mostly more. So each is refused with both ways
of writing it.
"""

from __future__ import annotations

import re

from tailgit.load.located import Items, Map, Quoted
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.ports import NAMES, PortError, protocol_number
from tailgit.model.selectors import SelectorError, split_destination
from tailgit.model.text import shown

_WITH_PORT = re.compile(r"([A-Za-z0-9-]+):[0-9]+(-[0-9]+)?")
_PORT = re.compile(r"[0-9]+(-[0-9]+)?")
_PORTS_BEHIND = re.compile(
    r"(?P<head>(?:(?:tag|group|autogroup|ipset):)?[^:]+|\[.*\](?:/[0-9]+)?)"
    r":(?P<ports>\*|[0-9]+(?:[-,][0-9]+)*)"
)


def explain_comma(ports: Items, lines: list[str]) -> Finding | None:
    """`[tcp:22,80]` is `tcp:22` and 80 on *every* protocol: more than it looks.

    In quotes, or on a line of its own, an entry is what it is; JSON has only quotes.
    """
    at = ports.at()
    if lines[at.line - 1][at.column - 1 : at.column] != "[":
        return None
    before: re.Match[str] | None = None
    for index, entry in enumerate(ports):
        if not isinstance(entry, str) or isinstance(entry, Quoted):
            continue
        if before and _PORT.fullmatch(entry):
            with_protocol = f"{before.group(1)}:{entry}"
            return finding(
                "yaml-quotes",
                ports.at(index),
                f"`{entry}` is an entry of its own, because a comma ends "
                f"`{before.group()}`: it would be open on every protocol",
                f'write `["{before.group()}", "{with_protocol}"]`, or, if every '
                f'protocol is meant, `["{before.group()}", "{entry}"]`',
            )
        before = _WITH_PORT.fullmatch(entry) or before
    return None


def split_ports(
    text: str, at: Place, comma: str, findings: list[Finding]
) -> tuple[str, str] | None:
    """Selector text and port text of an acl's dst or a test's target."""
    try:
        return split_destination(text)
    except SelectorError as error:
        help_ = 'write a selector, a colon and ports, such as "tag:db:5432"'
        if text.strip().replace("-", "").isdigit():
            help_ = f"a comma ends an item: {comma}"
        findings.append(finding(error.code, at, shown(str(error)), help_))
        return None


def has_protocol(item: Map, findings: list[Finding]) -> str | None:
    """The text of `proto`, if it is a protocol."""
    text = item.get("proto")
    if not isinstance(text, str):
        return None
    try:
        protocol_number(text)
    except PortError as error:
        help_ = "a name such as tcp, udp, icmp, or a number up to 255"
        at = item.at("proto")
        findings.append(finding("bad-port", at, shown(str(error)), help_))
        return None
    return str(text)


def ports_behind(text: str) -> tuple[str, str] | None:
    """Selector and ports, if a selector that takes no ports has some."""
    match = _PORTS_BEHIND.fullmatch(text.strip())
    if match is None or match["head"] in ("autogroup", "group", "tag", "ipset"):
        return None
    return match["head"], match["ports"]


def meant_ports(text: str) -> str:
    """What `tcp` and `443/tcp` most likely mean in a grant."""
    number, slash, protocol = text.partition("/")
    if slash and number.isdigit() and protocol.isalpha():
        return f'write "{protocol}:{number}"'
    if text.isascii() and text.isalpha():
        known = text.lower() in NAMES.values()
        return f'write "{text}:*"' if known else "ports are numbers, not names"
    return ""
