"""The strict reader of `wireguard.conf`."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.oracle.generate import public_key
from tests.oracle.wgsim import BadConfig, parse

GOOD = f"""[Interface]
ListenPort = 20001
FwMark = 0x7467

[Peer]
# gw
PublicKey = {public_key("gw")}
Endpoint = [2001:db8::1]:51820
AllowedIPs = 100.64.0.2/32, 10.20.0.0/16
PersistentKeepalive = 25

[Peer]
# db
PublicKey = {public_key("db")}
AllowedIPs = 10.20.3.4/32
"""


def test_routes_by_longest_prefix() -> None:
    """A packet goes to the peer with the most specific prefix, or to none."""
    config = parse(GOOD)
    found = [
        config.route(ip_address(a)) for a in ("10.20.0.1", "10.20.3.4", "10.2.0.1")
    ]
    assert [peer and peer.name for peer in found] == ["gw", "db", None]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FwMark = 0x7467\n", ""),
        ("ListenPort = 20001", "ListenPort = 0"),
        ("[Interface]\n", "[Interface]\nPrivateKey = aaaa\n"),
        ("# gw\n", "# gw\n# again\n"),
        ("Endpoint = [2001:db8::1]:51820", "Endpoint = 2001:db8::1:51820"),
        ("100.64.0.2/32", "100.64.0.2"),
        ("100.64.0.2/32", "100.64.0.2/24"),
        ("10.20.3.4/32", "10.20.0.0/16"),
        (public_key("db"), public_key("gw")),
        (public_key("db"), public_key("db")[1:]),
        ("AllowedIPs = 10.20.3.4/32\n", "AllowedIPs = 10.20.3.4/32"),
        ("AllowedIPs = 10.20.3.4/32\n", ""),
        ("[Interface]", "[Peer]"),
    ],
)
def test_refuses_other_forms(old: str, new: str) -> None:
    """A missing, repeated, unknown or malformed line is an error."""
    assert old in GOOD
    with pytest.raises(BadConfig):
        parse(GOOD.replace(old, new))
