"""The compiled files against the naive judge: `firewall.nft` and `wireguard.conf`.

The texts are read by interpreters that know nothing of the compiler (`nftsim`,
`wgsim`). `TAILGIT_ORACLE_EXAMPLES` makes the run longer here too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tailgit.model.tailnet import Tailnet
from tests.oracle import wgsim
from tests.oracle.generate import over_tailnets as over_all
from tests.oracle.generate import without_exits
from tests.oracle.naive import Judge
from tests.oracle.nftsim import Firewall
from tests.oracle.nftsim import Packet as Seen
from tests.oracle.packets import Packet, inbound, outbound
from tests.oracle.words import DEADLINES

EXAMPLES = int(os.environ.get("TAILGIT_ORACLE_EXAMPLES", "100")) // 3


def over_tailnets(examples: int, ask: Callable[[Tailnet], None]) -> None:
    """Tailnets without exit nodes: nothing puts those on nodes yet."""
    over_all(examples, lambda tailnet: ask(without_exits(tailnet)))


def _bundles(tailnet: Tailnet) -> dict[str, dict[str, str]]:
    """The files of every node that gets any, by node and name."""
    from tailgit.compile import compile_tailnet

    return {
        node: {name: data.decode() for name, data in bundle.files}
        for node, bundle in compile_tailnet(tailnet).items()
    }


def _arriving(tailnet: Tailnet, p: Packet) -> Seen:
    return Seen(p.src, p.dst, p.protocol, p.port, iif=tailnet.interface)


def _leaving(tailnet: Tailnet, p: Packet, iif: str = "") -> Seen:
    return Seen(p.src, p.dst, p.protocol, p.port, iif=iif, oif=tailnet.interface)


def test_every_keyed_device_gets_files() -> None:
    """A bundle exists for exactly the devices that count and have a key."""

    def ask(tailnet: Tailnet) -> None:
        devices = Judge(tailnet).devices
        keyed = {name for name, device in devices.items() if device.public_key}
        assert set(_bundles(tailnet)) == keyed

    over_tailnets(EXAMPLES, ask)


def test_firewall_lets_in_what_the_judge_allows() -> None:
    """A new flow's packet from the tunnel passes prerouting exactly if it may."""
    seen: Counter[bool] = Counter()

    def ask(tailnet: Tailnet) -> None:
        judge = Judge(tailnet)
        for node, files in _bundles(tailnet).items():
            firewall = Firewall.of(files["firewall.nft"])
            for p in inbound(judge, node):
                right = judge.allows(node, p.src, p.dst, p.protocol, p.port)
                seen[right] += 1
                found = firewall.judge("prerouting", _arriving(tailnet, p))
                assert (found == "accept") == right, f"{node} lets in {p}: {found}"

    over_tailnets(EXAMPLES, ask)
    assert min(seen[True], seen[False]) > 1000


def test_firewall_lets_out_what_the_judge_allows() -> None:
    """A new flow's packet passes postrouting towards the tunnel exactly if it may;
    what nobody has is stopped by the filter or has no peer to go to."""
    seen: Counter[bool] = Counter()

    def ask(tailnet: Tailnet) -> None:
        judge = Judge(tailnet)
        for node, files in _bundles(tailnet).items():
            firewall = Firewall.of(files["firewall.nft"])
            peers = wgsim.parse(files["wireguard.conf"])
            for p in outbound(judge, node):
                if any(p.dst in route for route in judge.approved(node)):
                    continue  # of two routers of a prefix none sends it to the other
                right = judge.may_send(node, p.src, p.dst, p.protocol, p.port)
                seen[right] += 1
                verdict = firewall.judge("postrouting", _leaving(tailnet, p))
                found = verdict == "accept"
                if not judge.belongs_to_another(node, p.dst):
                    found = found and peers.route(p.dst) is not None
                assert found == right, f"{node} lets out {p}: {verdict}"

    over_tailnets(EXAMPLES, ask)
    assert min(seen[True], seen[False]) > 1000


def test_wireguard_has_the_peers_of_the_judge() -> None:
    """Peers, by name and key, and their AllowedIPs are the judge's, but that a router
    is not handed another one's copy of its own prefix."""

    def ask(tailnet: Tailnet) -> None:
        judge = Judge(tailnet)
        for node, files in _bundles(tailnet).items():
            found = wgsim.parse(files["wireguard.conf"]).peers
            # What the node advertises itself, approved or not, is a co-router's.
            mine = {route.prefix for route in tailnet.devices[node].routes}
            right = {name: ips - mine for name, ips in judge.peers(node).items()}
            assert {p.name: p.allowed_ips - mine for p in found} == right
            kept = set(judge.approved(node))
            assert all(kept.isdisjoint(p.allowed_ips) for p in found)
            for peer in found:
                assert peer.public_key == tailnet.devices[peer.name].public_key

    over_tailnets(EXAMPLES, ask)


def test_replies_pass_while_their_flow_is_allowed() -> None:
    """A reply passes, either way, exactly if a new packet of its flow would: a revoked
    flow is cut in both directions. A related ICMP error passes; being established
    gains a packet of the original direction nothing."""
    seen: Counter[bool] = Counter()

    def ask(tailnet: Tailnet) -> None:
        judge = Judge(tailnet)
        for node, files in _bundles(tailnet).items():
            firewall = Firewall.of(files["firewall.nft"])
            for p in list(inbound(judge, node))[::10]:
                new = _arriving(tailnet, p)
                right = judge.allows(node, p.src, p.dst, p.protocol, p.port)
                seen[right] += 1
                error = new.protocol in (1, 58)
                for state, passes in (("related", error), ("established", False)):
                    known = replace(new, state=state)
                    verdict = firewall.judge("prerouting", known)
                    assert (verdict == "accept") == (passes or right)
                if not (
                    p.dst in judge.devices[node].addresses
                    or any(p.dst in route for route in judge.approved(node))
                ):
                    continue  # nobody answers from there
                back = _reply(new, oif=tailnet.interface)
                stray = replace(back, state="new", direction="original")
                anew = firewall.judge("postrouting", stray) == "accept"
                verdict = firewall.judge("postrouting", back)
                assert (verdict == "accept") == (right or anew), f"{node}: {back}"
            for p in list(outbound(judge, node))[::10]:
                if not judge.belongs_to_another(node, p.dst) or any(
                    p.dst in route for route in judge.approved(node)
                ):
                    continue
                right = judge.may_send(node, p.src, p.dst, p.protocol, p.port)
                back = _reply(_leaving(tailnet, p), iif=tailnet.interface)
                stray = replace(back, state="new", direction="original")
                anew = firewall.judge("prerouting", stray) == "accept"
                verdict = firewall.judge("prerouting", back)
                assert (verdict == "accept") == (right or anew), f"{node}: {back}"

    over_tailnets(EXAMPLES // 2, ask)
    assert min(seen[True], seen[False]) > 100


def test_firewall_ends_what_is_over() -> None:
    """At each deadline and a second before it, a packet that a peer can bring passes
    exactly if the judge of that time lets it; and exactly the peers and routes that
    are gone then are on the node's list of deadlines."""
    seen: Counter[bool] = Counter()

    def ask(tailnet: Tailnet) -> None:
        bundles = _bundles(tailnet)
        always = Judge(tailnet)
        for at in (DEADLINES[0] - 1, *DEADLINES):
            judge = Judge(tailnet, at)
            for node in judge.devices.keys() & bundles.keys():
                files = bundles[node]
                firewall = Firewall.of(files["firewall.nft"])
                for p in list(inbound(judge, node))[::5]:
                    if not judge.belongs_to_another(node, p.src):
                        continue
                    right = judge.allows(node, p.src, p.dst, p.protocol, p.port)
                    seen[right] += 1
                    arriving = replace(_arriving(tailnet, p), time=at)
                    found = firewall.judge("prerouting", arriving)
                    assert (found == "accept") == right, f"{node} at {at}: {p}"
                over = _over(files.get("deadlines", ""), at)
                keys = {
                    tailnet.devices[name].public_key: name
                    for name in always.peers(node)
                }
                gone = always.peers(node).keys() - judge.peers(node).keys()
                assert {keys[key] for key, *route in over if not route} == gone

    over_tailnets(EXAMPLES, ask)
    assert min(seen[True], seen[False]) > 500


def _over(deadlines: str, at: int) -> list[list[str]]:
    """The entries of a list of deadlines that are over at a time."""
    lines = [line.split() for line in deadlines.splitlines()]
    assert lines == sorted(lines, key=lambda line: int(line[0]))
    return [rest for end, _, *rest in lines if int(end) <= at]


def _reply(packet: Seen, *, iif: str = "", oif: str = "") -> Seen:
    return replace(
        packet,
        src=packet.dst,
        dst=packet.src,
        port=packet.sport,
        sport=packet.port,
        iif=iif,
        oif=oif,
        state="established",
        direction="reply",
    )


def test_nothing_goes_through_a_node_from_peer_to_peer() -> None:
    """The forward hook drops what comes from the tunnel and would go back into it,
    lets only approved sources into it, and leaves other traffic alone."""

    def ask(tailnet: Tailnet) -> None:
        judge = Judge(tailnet)
        stranger = ip_address("198.51.100.77")
        for node, files in _bundles(tailnet).items():
            firewall = Firewall.of(files["firewall.nft"])
            routes = judge.approved(node)
            for p in list(outbound(judge, node))[::40]:
                hairpin = _leaving(tailnet, p, iif=tailnet.interface)
                assert firewall.judge("forward", hairpin) == "drop"
                own = any(p.src in route for route in routes)
                passed = firewall.judge("forward", _leaving(tailnet, p, iif="lan0"))
                assert (passed == "accept") == own
                if p.src.version == 4:
                    other = Seen(stranger, p.dst, p.protocol, p.port, 1, "lan0", "wan0")
                    assert firewall.judge("forward", other) == "accept"

    over_tailnets(EXAMPLES // 2, ask)


def test_own_addresses_are_not_reached_around_the_tunnel() -> None:
    """A packet for one of the node's addresses that arrives through any other
    interface than the tunnel and `lo` is dropped; other destinations are not ours."""

    def ask(tailnet: Tailnet) -> None:
        judge = Judge(tailnet)
        for node, files in _bundles(tailnet).items():
            firewall = Firewall.of(files["firewall.nft"])
            for own in judge.devices[node].addresses:
                beside = ip_address(int(own) + 4096)
                for iif, dst, right in (
                    ("eth0", own, "drop"),
                    ("lo", own, "accept"),
                    ("eth0", beside, "accept"),
                ):
                    p = Seen(type(own)(int(own) + 99), dst, 6, 22, iif=iif)
                    assert firewall.judge("prerouting", p) == right

    over_tailnets(EXAMPLES // 2, ask)


@pytest.mark.skipif(not shutil.which("nft"), reason="no nft here")
def test_nft_takes_every_generated_firewall() -> None:
    """`nft -c` accepts the same texts that the interpreter read."""
    texts: set[str] = set()

    def ask(tailnet: Tailnet) -> None:
        texts.update(files["firewall.nft"] for files in _bundles(tailnet).values())

    over_tailnets(EXAMPLES, ask)
    longest = sorted(texts, key=lambda text: (-len(text), text))[:40]
    script = 'for text in "$@"; do printf %s "$text" | nft -c -f - || exit 1; done'
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", script, "sh", *longest],
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(longest) > 10
