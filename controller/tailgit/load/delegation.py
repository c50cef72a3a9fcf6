"""One entry of `delegations`, parsed: what the files of a folder may define."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network

from tailgit.load.globs import fits
from tailgit.load.located import Map, texts_of
from tailgit.model.addresses import Network
from tailgit.model.findings import Place

GLOBS = (
    *("devices", "tags", "owners", "dst", "users", "groups", "hosts", "ipsets"),
    *("postures", "records"),
)
POWERS = (
    *("ipv4", "ipv6", "formerly", "exitNode", "relay", "relaySlot", "mailbox"),
    *("gateway", "useExitNode", "attributes"),
)
"""Fields of a device with an effect on others; see the module's beginning."""
USER_POWERS = ("role", "forge")
"""The same for users: rules may name a role, and reviews a name at the forge."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """One entry of `delegations`, parsed."""

    folder: str
    place: Place
    sections: frozenset[str]
    globs: Mapping[str, tuple[str, ...]]
    routes: tuple[Network, ...]
    fields: frozenset[str]

    def allows(self, what: str, text: str) -> bool:
        """Whether one of the patterns for `what` matches the text."""
        return any(fits(glob.split("*"), text) for glob in self.globs[what])

    def carries(self, text: str) -> bool | None:
        """Whether a prefix lies in the delegated subnets; None if it is no prefix."""
        try:
            prefix = ip_network(text, strict=False)
        except ValueError:
            return None
        return any(
            prefix.version == wide.version
            and prefix.prefixlen >= wide.prefixlen
            and prefix.network_address in wide
            for wide in self.routes
        )


def read_delegation(folder: str, about: Map, section: Map) -> Delegation:
    """The entry as a value; what is wrong with it the schema has said."""
    prefixes = []
    for text in texts(about.get("routes")):
        with suppress(ValueError):  # the loader says so where it reads the field
            prefixes.append(ip_network(text))
    return Delegation(
        folder,
        section.key(folder),
        frozenset(texts(about.get("sections"))),
        {name: tuple(texts(about.get(name))) for name in GLOBS},
        tuple(prefixes),
        frozenset(texts(about.get("fields"))),
    )


def texts(value: object) -> Iterator[str]:
    """One text, or each of a list."""
    if isinstance(value, str):
        yield value
    for _, each in texts_of(value):
        yield each
