"""Peers as they are loaded: none at all, keepalives, and hands that are shaken."""

from __future__ import annotations

import pytest

from tests.node.nodes import NAME, Node
from tests.node.parcel import FILES, INTERFACE, PEER, ROUTER, WIREGUARD

pytestmark = pytest.mark.live

QUIET = WIREGUARD.replace("PersistentKeepalive = 25\n", "")


def alive(node: Node) -> str:
    """What is loaded as the peer's keepalive."""
    (line,) = node.sh(f"wg show {INTERFACE} persistent-keepalive").splitlines()
    return line.split()[1]


def test_a_node_without_any_peer_is_well(node: Node) -> None:
    """So is who leaves the tailnet: no peer, no route, its own addresses."""
    node.apply(node.parcel(height=1))
    own = "".join(
        f"{line}\n" for line in ROUTER.splitlines() if not line.startswith("route")
    )
    alone = {
        **FILES,
        "wireguard.conf": WIREGUARD.split("\n[Peer]", 1)[0],
        "interface": own,
    }
    node.apply(node.parcel(height=2, files=alone))
    seen = node.observe()
    assert (seen["peers"], seen["routes"]) == ("ok", "ok")
    assert node.sh(f"wg show {INTERFACE} peers") == ""
    assert "100.64.7.9" not in node.sh(f"ip route show dev {INTERFACE}")


def test_a_keepalive_that_was_set_by_hand_is_mended(node: Node) -> None:
    """`wg syncconf` leaves one alone that the file does not mention."""
    node.apply(node.parcel(height=1, files={**FILES, "wireguard.conf": QUIET}))
    assert alive(node) == "off"
    node.sh(f"wg set {INTERFACE} peer {PEER} persistent-keepalive 7")
    assert node.observe()["peers"] == "differs"
    node.apply(node.parcel(height=2, files={**FILES, "wireguard.conf": QUIET}))
    assert (alive(node), node.observe()["peers"]) == ("off", "ok")


@pytest.mark.parametrize(("text", "left"), [(QUIET, "off"), (WIREGUARD, "25")])
def test_who_changes_its_key_shakes_hands_at_once(
    node: Node, text: str, left: str
) -> None:
    """Without a packet to send: by itself WireGuard would wait for one. Afterwards the
    keepalive is what the file says."""
    files = {**FILES, "wireguard.conf": text}
    node.apply(node.parcel(height=1, files=files))
    watched = "nft list counter inet watch begun | grep -o 'packets [0-9]*'"
    node.sh(
        "nft 'table inet watch { counter begun { };"
        "chain out { type filter hook output priority 0;"
        "udp dport 51820 udp length 156 counter name begun; }; }'"
    )
    node.sh("ip route replace default dev lo")
    before = int(node.sh(watched).split()[1])
    spare = node.request("key", NAME)["publicKey"]
    parcel = node.parcel(height=2, files=files)
    parcel.public_keys = [spare]
    node.apply(parcel)
    node.sh("sleep 0.5")
    assert int(node.sh(watched).split()[1]) > before
    assert (alive(node), node.observe()["peers"]) == (left, "ok")
