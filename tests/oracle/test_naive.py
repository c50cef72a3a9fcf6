"""The naive judge on cases whose answer stands in POLICY.md, worked out by hand."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from tests.oracle.naive import allows, may_send, peers
from tests.oracle.sketch import CASES, TCP, sketch, where


@pytest.mark.parametrize(
    ("rules", "src", "dst", "node", "protocol", "port", "right"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_receiver(
    rules: list[str],
    src: str,
    dst: str,
    node: str,
    protocol: int,
    port: int,
    right: bool,
) -> None:
    """A new flow's packet passes at the node exactly where the policy says so."""
    ends = ip_address(where(src)), ip_address(where(dst))
    assert allows(sketch(*rules), node, *ends, protocol, port) == right


@pytest.mark.parametrize(
    ("src", "dst", "node", "right"),
    [
        ("lap", "db", "lap", True),
        ("lap", "db", "pad", False),
        ("10.20.0.1", "db", "gw", True),
        ("10.30.0.1", "db", "gw", False),
        ("lap", "10.20.0.1", "lap", True),
        ("lap", "10.30.0.1", "lap", False),
        ("lap", "lap", "lap", False),
        ("lap", "old", "lap", False),
        ("lap", "192.0.2.1", "lap", False),
    ],
)
def test_sender(src: str, dst: str, node: str, right: bool) -> None:
    """With everything open, what may leave is what has one's own source and a
    destination that another device has."""
    ends = ip_address(where(src)), ip_address(where(dst))
    assert may_send(sketch("* > * on *"), node, *ends, TCP, 22) == right


def test_peers_see_each_other() -> None:
    """Whoever may reach or be reached is a peer; a route comes with a rule for it or
    from it, whole; nobody without a key is one."""
    own = frozenset({ip_network("100.64.0.2"), ip_network("fd00:64::2")})
    lan = ip_network("10.20.0.0/16")
    tailnet = sketch("lap > disk on 22", "gw > tag:db on 22", "tv > lap on 22")
    assert peers(tailnet, "lap") == {"gw": own | {lan}}
    assert peers(tailnet, "db") == {"gw": own}
    assert set(peers(tailnet, "gw")) == {"lap", "db"}
    assert peers(tailnet, "tv") == {}
    assert peers(sketch("disk > db on 22"), "db") == {"gw": own | {lan}}
    assert peers(sketch("gw > pad on 22", "tv > pad on 22"), "pad") == {"gw": own}
