"""Selectors: how a policy names people, machines and addresses.

The syntax is Tailscale's (POLICY.md §2) plus device names. A selector parses to a
value that prints as it is written (`str(parse(text)) == text.strip()` for canonical
texts) and knows nothing of a tailnet; `access` gives it a meaning.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network

from tailgit.model.addresses import Network
from tailgit.model.findings import Place


class Kind(StrEnum):
    """What sort of thing a selector names."""

    ANY = "*"
    USER = "user"
    GROUP = "group"
    TAG = "tag"
    DEVICE = "device"
    HOST = "host"
    PREFIX = "prefix"
    MEMBER = "autogroup:member"
    TAGGED = "autogroup:tagged"
    SELF = "autogroup:self"
    ROLE = "autogroup:ROLE"
    DOMAIN = "user:*@DOMAIN"
    SHARED = "autogroup:shared"
    INTERNET = "autogroup:internet"
    DANGER_ALL = "autogroup:danger-all"
    IPSET = "ipset"


IDENTITY = frozenset(
    {
        *(Kind.USER, Kind.GROUP, Kind.TAG, Kind.DEVICE, Kind.MEMBER, Kind.TAGGED),
        *(Kind.ROLE, Kind.DOMAIN),
    }
)
"""Kinds that stand for devices by both their addresses, never for their routes."""


class SelectorError(ValueError):
    """The text is no selector; `code` is the finding it becomes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Selector:
    """One selector; `value` is its canonical text, `prefix` set for addresses only.

    `place` is where it stands, for messages; it makes no two selectors different.
    """

    kind: Kind
    value: str
    prefix: Network | None = None
    place: Place | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.value


ROLES = ("owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor")
"""Roles of users with an autogroup of their own; every direct user is a member."""

AUTOGROUPS: Mapping[str, Kind] = {
    **{
        kind.value: kind
        for kind in (
            *(Kind.MEMBER, Kind.TAGGED, Kind.SELF, Kind.INTERNET),
            *(Kind.DANGER_ALL, Kind.SHARED),
        )
    },
    **{f"autogroup:{role}": Kind.ROLE for role in ROLES},
}
_BY_PREFIX = {"group": Kind.GROUP, "tag": Kind.TAG, "ipset": Kind.IPSET}
ANYBODY_AT = "user:*@"
"""Begins a selector for every user with one e-mail domain."""


def parse_selector(
    text: str,
    *,
    devices: Container[str],
    hosts: Container[str],
    place: Place | None = None,
) -> Selector:
    """The selector that `text` writes; surrounding blanks don't count.

    A bare name is a device if there is one of that name, else a host alias
    (DESIGN §2 makes it an error to have both). References to users, groups, tags
    are not resolved here: that a group exists is `check`'s business.
    """
    text = text.strip()
    prefix = parse_address(text)
    if prefix is not None:
        return Selector(Kind.PREFIX, text, prefix, place=place)
    if text == "*":
        return Selector(Kind.ANY, text, place=place)
    if text.startswith("user:"):
        domain = text.removeprefix(ANYBODY_AT)
        if domain == text or not domain or "@" in domain:
            raise SelectorError("bad-domain", f"`{text}` is not user:*@DOMAIN")
        return Selector(Kind.DOMAIN, text, place=place)
    start, colon, _ = text.partition(":")
    if colon and start in _BY_PREFIX:
        return Selector(_BY_PREFIX[start], text, place=place)
    if colon and start == "autogroup":
        if text in AUTOGROUPS:
            return Selector(AUTOGROUPS[text], text, place=place)
        raise SelectorError("unknown-autogroup", f"no autogroup `{text}`")
    if "@" in text:
        return Selector(Kind.USER, text, place=place)
    if text in devices:
        return Selector(Kind.DEVICE, text, place=place)
    if text in hosts:
        return Selector(Kind.HOST, text, place=place)
    raise SelectorError("unknown-name", f"no device or host `{text}`")


_LENGTH = re.compile("0|[1-9][0-9]{0,2}")


def parse_address(text: str) -> Network | None:
    """An address or CIDR as a network; host bits are allowed, as in Tailscale's.

    None for one with a zone, `fe80::1%eth0`: it means something on one machine only,
    and anything may stand behind the sign.
    """
    if "%" in text or not (text[:1].isalnum() or text[:1] == ":"):
        return None
    if text[0] > "f" or not ("." in text or ":" in text):
        return None  # spares the names of people and machines a vain attempt
    _, slash, length = text.partition("/")
    if slash and not _LENGTH.fullmatch(length):
        return None  # a netmask, or 08
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def split_destination(text: str) -> tuple[str, str]:
    """An acl's dst or a test's target at its last colon: `[v6]:22`, `tag:x:22`.

    Brackets may stand around IPv6 only: `[fd00::1]:443`, `[fd00::1]/64:443`.
    """
    head, colon, ports = text.strip().rpartition(":")
    if not colon:
        raise SelectorError("bad-destination", f"`{text}` has no port")
    if head.startswith("["):
        inner, bracket, rest = head[1:].partition("]")
        if not bracket or ":" not in inner or (rest and not rest.startswith("/")):
            raise SelectorError(
                "bad-destination", f"`{text}`: brackets go around an IPv6 address"
            )
        head = inner + rest
    return head, ports
