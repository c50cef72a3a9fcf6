"""Slips with ports: those that YAML takes apart, and those in the wrong place.

What `[tcp:22,80]` or `dst: [tag:db:5432]` in a grant is meant to say is clear to its
author; what it says is something else, mostly more. So each is refused with both ways
of writing it.
"""

from __future__ import annotations

import re

from tailgit.load.located import Items, Quoted
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.ports import NAMES

_WITH_PORT = re.compile(r"([A-Za-z0-9-]+):[0-9]+(-[0-9]+)?")
_PORT = re.compile(r"[0-9]+(-[0-9]+)?")
_PORTS_BEHIND = re.compile(
    r"(?P<head>(?:(?:tag|group|autogroup):)?[^:]+|\[.*\](?:/[0-9]+)?)"
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


def ports_behind(text: str) -> tuple[str, str] | None:
    """Selector and ports, if a selector that takes no ports has some."""
    match = _PORTS_BEHIND.fullmatch(text.strip())
    if match is None or match["head"] in ("autogroup", "group", "tag"):
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
