"""What a check may know besides the repository: the time, and this machine's routes.

Routes come from the kernel's tables in `/proc/net`, so that nothing has to be run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

from tailgit.errors import UsageError

if TYPE_CHECKING:
    from tailgit.check import Surroundings
    from tailgit.model.addresses import Network

    _Parse = Callable[[list[str]], tuple[str, Network, int]]

_PROC = Path("/proc/net")
_UP = 0x0001
# Answers that are no way to anywhere: rejected, anycast, an address of this machine.
_NO_WAY = 0x0200 | 0x00100000 | 0x80000000
_OWN_INTERFACES = ("tg-", "tgr-")


def surroundings(at: str | None = None, *, local: bool = False) -> Surroundings:
    """The present, or the moment `at`; with `local`, the routes of this machine."""
    from tailgit.check import Surroundings

    now = int(time.time()) if at is None else moment(at)
    return Surroundings(now, local_routes() if local else ())


def moment(text: str) -> int:
    """Epoch seconds of `--at`: a day means its end in UTC, as in `expires`."""
    from tailgit.model.deadline import DeadlineError, parse_deadline

    try:
        return parse_deadline(text)
    except DeadlineError as error:
        raise UsageError(
            f"--at: {error}", "for example 2027-01-31, or 2027-01-31T18:00:00+01:00"
        ) from None


def local_routes(proc: Path = _PROC) -> tuple[Network, ...]:
    """The prefixes that this machine routes somewhere, sorted; none where unknown.

    Without the default route, loopback, link-local, multicast and our own interfaces.
    """
    found: set[Network] = set()
    for name, parse in (("route", _ipv4), ("ipv6_route", _ipv6)):
        try:
            lines = (proc / name).read_text().splitlines()
        except OSError:
            continue  # another system, or a kernel without the family
        for line in lines:
            found.update(_kept(parse, line.split()))
    return tuple(
        sorted(found, key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    )


def _kept(parse: _Parse, fields: list[str]) -> Iterator[Network]:
    try:
        interface, prefix, flags = parse(fields)
    except (ValueError, IndexError):
        return  # the heading, or a line that a newer kernel writes otherwise
    usable = flags & _UP and not flags & _NO_WAY
    special = prefix.is_loopback or prefix.is_link_local or prefix.is_multicast
    ours = interface == "lo" or interface.startswith(_OWN_INTERFACES)
    if usable and prefix.prefixlen and not special and not ours:
        yield prefix


def _ipv4(fields: list[str]) -> tuple[str, Network, int]:
    address, mask = (_native(fields[index]) for index in (1, 7))
    return fields[0], IPv4Network(f"{address}/{mask}"), int(fields[3], 16)


def _native(text: str) -> IPv4Address:
    """The kernel prints the four bytes as one number of this machine's byte order."""
    return IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))


def _ipv6(fields: list[str]) -> tuple[str, Network, int]:
    address = IPv6Address(bytes.fromhex(fields[0]))
    prefix = IPv6Network((address, int(fields[1], 16)))
    return fields[9], prefix, int(fields[8], 16)
