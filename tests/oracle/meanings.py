"""Two meanings that the naive judge needs: a posture's condition, the internet."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, ip_network, summarize_address_range

from tailgit.model.addresses import Network
from tailgit.model.policy import Attribute, Condition

_PUBLIC = (
    ("0.0.0.0", "9.255.255.255"),
    ("11.0.0.0", "100.63.255.255"),
    ("100.128.0.0", "169.253.255.255"),
    ("169.255.0.0", "172.15.255.255"),
    ("172.32.0.0", "192.167.255.255"),
    ("192.169.0.0", "255.255.255.255"),
)
INTERNET: tuple[Network, ...] = (
    *(
        network
        for first, last in _PUBLIC
        for network in summarize_address_range(IPv4Address(first), IPv4Address(last))
    ),
    ip_network("2000::/3"),
)
"""What autogroup:internet is, copied from POLICY.md §2."""


def holds(condition: Condition, attributes: Mapping[str, Attribute]) -> bool:
    """One condition; what can't be compared does not hold."""
    name, sign, wanted = condition.attribute, condition.operator, condition.values
    if sign == "NOT SET":
        return name not in attributes
    if name not in attributes:
        return False
    found = attributes[name]
    if sign == "IS SET":
        return True
    if any(type(each) is not type(found) for each in wanted) and sign != "IN":
        return False
    same = any(found == each and type(found) is type(each) for each in wanted)
    if sign in ("==", "IN"):
        return same
    if sign in ("!=", "NOT IN"):
        return not same
    numbers = [_version(each) for each in (found, wanted[0])]
    if None in numbers:
        return False
    one, other = (number or [] for number in numbers)
    width = max(len(one), len(other))
    one, other = (n + [0] * (width - len(n)) for n in (one, other))
    return {"<": one < other, "<=": one <= other, ">": one > other}.get(
        sign, one >= other
    )


def _version(value: Attribute) -> list[int] | None:
    if isinstance(value, bool):
        return None
    parts = str(value).split(".")
    return [int(p) for p in parts] if all(p.isdigit() for p in parts) else None
