"""probe: whether a node gets through to another, and that it looks nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.node.nodes import NAME, Node, wait
from tests.node.parcel import FILES, PEER

pytestmark = pytest.mark.live

# A peer in a network of its own behind a cable, with real WireGuard on both ends.
FAR = r"""
ip link add under0 type veth peer name under1
ip address add 192.0.2.1/24 dev under0
ip link set under0 up
unshare --net sh -c 'echo $$ >/run/far.pid; exec sleep 3600' \
    </dev/null >/dev/null 2>&1 &
until [ -s /run/far.pid ]; do sleep 0.1; done
pid=$(cat /run/far.pid)
sleep 0.2
ip link set under1 netns "$pid"
cat >/run/far.sh <<'END'
ip link set lo up
ip address add 192.0.2.2/24 dev under1
ip link set under1 up
ip link add tg-far type wireguard 2>/dev/null || wireguard-go tg-far >/dev/null 2>&1
wg genkey >/run/far.key
wg set tg-far private-key /run/far.key listen-port 51821 \
    peer "$1" allowed-ips 100.64.1.1/32,fd5c:91aa:7be0::1/128
ip address add 100.64.7.9/32 dev tg-far
ip address add fd5c:91aa:7be0::1234/128 dev tg-far nodad
ip link set tg-far up
ip route add 100.64.1.1/32 dev tg-far
ip route add fd5c:91aa:7be0::1/128 dev tg-far
END
nsenter --target "$pid" --net sh /run/far.sh "$1" </dev/null >/dev/null 2>&1
wg pubkey </run/far.key
"""

# Accepts for as long as it lives; a banner is all that it ever says.
LISTEN = """
use IO::Socket::IP; $| = 1;
my $s = IO::Socket::IP->new(LocalHost => $ARGV[0], LocalPort => $ARGV[1],
                            Listen => 5, ReuseAddr => 1) or die;
print "ready\\n"; my @kept;
while (my $c = $s->accept) { print $c $ARGV[2] if $ARGV[2]; push @kept, $c }
"""


@dataclass
class Pair:
    """A node and, in a network of its own, the one peer that it has."""

    node: Node
    listeners: list[subprocess.Popen[bytes]]

    def far(self, *command: str) -> list[str]:
        pid = self.node.read("/run/far.pid").strip()
        return self.node.enter("nsenter", "--target", pid, "--net", *command)

    def listen(self, address: str, port: int, banner: str = "") -> None:
        command = self.far("perl", "-e", LISTEN, address, str(port), banner)
        listener = subprocess.Popen(
            command, stdout=subprocess.PIPE, start_new_session=True
        )
        self.listeners.append(listener)
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"ready\n"

    def probe(self, address: str, port: int) -> str:
        answer = self.node.request("probe", NAME, address, str(port))
        assert answer["result"] == "ok", answer.fields
        return answer["verdict"]


@pytest.fixture
def pair(node: Node) -> Iterator[Pair]:
    done = node.run("sh", "-c", FAR, "far", node.public)
    public = done.stdout.decode().strip()
    wireguard = FILES["wireguard.conf"].replace(PEER, public)
    wireguard = wireguard.replace("203.0.113.10:51820", "192.0.2.2:51821")
    node.apply(node.parcel(files=dict(FILES, **{"wireguard.conf": wireguard})))
    made = Pair(node, [])
    yield made
    for listener in made.listeners:
        os.killpg(listener.pid, signal.SIGKILL)
        listener.wait()
        assert listener.stdout is not None
        listener.stdout.close()


@pytest.mark.parametrize("address", ["100.64.7.9", "fd5c:91aa:7be0::1234"])
def test_open_refused_and_silent_are_told_apart(pair: Pair, address: str) -> None:
    """A listener, a port without one, and one behind a rule that drops."""
    pair.listen(address, 7001)
    pair.listen(address, 7002, "220 hello\n")
    pair.listen(address, 7003)
    chain = "chain i { type filter hook input priority 0; tcp dport 7003 drop; }"
    drop = f"table inet far {{ {chain}; }}"
    subprocess.run(pair.far("nft", drop), check=True)
    assert pair.probe(address, 7009) == "refused"
    assert pair.probe(address, 7002) == "open"
    for port, verdict in ((7001, "open"), (7003, "silent")):
        started = time.monotonic()
        assert pair.probe(address, port) == verdict
        assert time.monotonic() - started < 8


def test_a_peer_that_is_away_is_silent(pair: Pair) -> None:
    """No handshake, no answer: within some seconds that is the verdict."""
    subprocess.run(pair.far("ip", "link", "set", "under1", "down"), check=True)
    started = time.monotonic()
    assert pair.probe("100.64.7.9", 22) == "silent"
    assert time.monotonic() - started < 8


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "192.0.2.2", "100.64.7.8", "::1", "100.64.1.1", "1.2.3.4", "9.9.9"],
)
def test_it_looks_nowhere_else(pair: Pair, address: str) -> None:
    """Only what the running generation's AllowedIPs cover is asked."""
    assert pair.node.request("probe", NAME, address, "22").error == "bad-request"


def test_a_route_to_everything_is_no_way_to_the_neighbours(node: Node) -> None:
    """Covered is not enough: it must be reached through the tunnel."""
    wireguard = FILES["wireguard.conf"].replace("100.64.7.9/32", "0.0.0.0/0")
    node.apply(node.parcel(files=dict(FILES, **{"wireguard.conf": wireguard})))
    for address in ("127.0.0.1", "100.64.1.1"):
        assert node.request("probe", NAME, address, "22").error == "bad-request"


def test_nothing_is_probed_where_nothing_runs(node: Node) -> None:
    """Without a generation there is no peer to ask."""
    assert node.request("probe", NAME, "100.64.7.9", "22").error == "bad-request"


def test_it_trusts_and_writes_nothing(pair: Pair) -> None:
    """No known host is written, no file of ours changes, and no key is offered."""
    pair.listen("100.64.7.9", 7002, "SSH-2.0-OpenSSH_9.2\r\n")
    before = pair.node.fingerprint()
    assert pair.probe("100.64.7.9", 7002) == "open"
    assert pair.node.fingerprint() == before
    wait(lambda: b"ssh -F" not in pair.node.run("ps", "-ef").stdout)
