"""A clock that was ahead, and WireGuard's memory of it (docs/clocks.md).

A handshake's first message carries the sender's time, encrypted, and a peer takes only
a later one than it ever took from that key. So whoever began one handshake a day ahead
can begin no other for a day, however right the clock is by then. Tried here with two
WireGuard interfaces; the message from the wrong clock is made by the test.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.initiation import RESPONSE, initiation
from tests.node.nodes import wait

pytestmark = pytest.mark.live

DAY = 86400
PATIENCE = 12.0
"""Seconds for a handshake to begin: WireGuard tries again after 5 and after 10."""

_BUILD = """
set -e
mount -t tmpfs -o mode=0755 none /run
ip link set lo up
: >/run/built
exec sleep 3600
"""

_UP = """
set -e
ip link add wg0 type wireguard 2>/dev/null ||
    setsid wireguard-go wg0 </dev/null >/dev/null 2>&1
until wg show wg0 >/dev/null 2>&1; do sleep 0.05; done
wg set wg0 private-key /dev/stdin listen-port 51820
ip address add "$1/32" dev wg0
ip link set wg0 up
ip route add "$2/32" dev wg0
"""

_SEND = """
import base64, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 51820))
sock.settimeout(2)
sock.sendto(base64.b64decode(sys.argv[3]), (sys.argv[2], 51820))
try:
    print(base64.b64encode(sock.recv(2000)).decode())
except TimeoutError:
    print()
"""


def public_of(private: str) -> str:
    done = subprocess.check_output(["wg", "pubkey"], input=private.encode())
    return done.decode().strip()


class End:
    """One of the two: a network of its own, an address outside, one in the tunnel."""

    def __init__(self, outside: str, inside: str) -> None:
        self.outside, self.inside = outside, inside
        self.private = subprocess.check_output(["wg", "genkey"]).decode().strip()
        # Even a killed pytest leaves no namespace behind.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net"]
        self._first = subprocess.Popen(
            [
                *(*command, "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", _BUILD),
            ],
            stdin=subprocess.DEVNULL,
        )
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        wait(lambda: children.read_text().strip() != "")
        self.pid = int(children.read_text().split()[0])
        wait(Path(f"/proc/{self.pid}/root/run/built").exists)

    def close(self) -> None:
        self._first.kill()
        self._first.wait()

    @property
    def public(self) -> str:
        return public_of(self.private)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid"]
        done = subprocess.run(
            [*enter, "--", *command],
            input=stdin.encode(),
            capture_output=True,
            timeout=30,
        )
        assert not check or done.returncode == 0, (command, done.stderr)
        return done.stdout.decode()

    def up(self, other: End) -> None:
        """The real interface, with the clock that this computer has."""
        words = ("up", self.inside, other.inside)
        self.run("sh", "-c", _UP, *words, stdin=self.private)
        self.add(other)

    def add(self, other: End) -> None:
        self.run(
            *("wg", "set", "wg0", "peer", other.public),
            *("allowed-ips", f"{other.inside}/32"),
            *("endpoint", f"{other.outside}:51820"),
        )

    def remove(self, public: str) -> None:
        self.run("wg", "set", "wg0", "peer", public, "remove")

    def restart(self, other: End) -> None:
        """The interface made anew, as by a reboot."""
        self.run("ip", "link", "delete", "wg0")
        wait(lambda: "wg0" not in self.run("ip", "link", "show"))
        self.run("rm", "-f", "/run/wireguard/wg0.sock")
        self.up(other)

    def new_key(self) -> None:
        self.private = subprocess.check_output(["wg", "genkey"]).decode().strip()
        self.run("wg", "set", "wg0", "private-key", "/dev/stdin", stdin=self.private)

    def begins_by_hand(self, other: End, epoch: float) -> bool:
        """Whether `other` answers a handshake that this end begins at `epoch`."""
        message = base64.b64encode(initiation(self.private, other.public, epoch))
        said = self.run(
            *(sys.executable, "-I", "-c", _SEND, self.outside, other.outside),
            message.decode(),
        )
        return base64.b64decode(said)[:1] == bytes([RESPONSE])

    def shook_hands(self) -> bool:
        """Whether the interface has completed a handshake with anybody."""
        lines = self.run("wg", "show", "wg0", "latest-handshakes").splitlines()
        return any(line.split()[1] != "0" for line in lines)

    def reaches(self, other: End, seconds: float = PATIENCE) -> bool:
        """Whether a ping gets through in that time: this end begins the handshake."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            said = self.run("ping", "-c", "1", "-W", "1", other.inside, check=False)
            if " 1 received" in said:
                return True
        return False


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    """alpha and beta; beta's interface is up and knows alpha, alpha's is not."""
    alpha, beta = End("192.0.2.1", "100.64.0.1"), End("192.0.2.2", "100.64.0.2")
    try:
        cable = ["name", "eth0", "netns", str(alpha.pid), "type", "veth"]
        cable += ["peer", "name", "eth0", "netns", str(beta.pid)]
        subprocess.run(["ip", "link", "add", *cable], check=True)
        for end in (alpha, beta):
            end.run("ip", "address", "add", f"{end.outside}/24", "dev", "eth0")
            end.run("ip", "link", "set", "eth0", "up")
        beta.up(alpha)
        yield alpha, beta
    finally:
        alpha.close()
        beta.close()


@pytest.fixture
def was_ahead(ends: tuple[End, End]) -> tuple[End, End]:
    """alpha began one handshake a day ahead; then its clock was put right."""
    alpha, beta = ends
    assert alpha.begins_by_hand(beta, time.time() + DAY)
    alpha.up(beta)
    return alpha, beta


def test_the_message_is_a_handshake(ends: tuple[End, End]) -> None:
    """beta answers it at the right time, and then at a later one, but at none before:
    it is the time that decides, not the message."""
    alpha, beta = ends
    now = time.time()
    assert alpha.begins_by_hand(beta, now)
    assert not alpha.begins_by_hand(beta, now - 1)
    assert alpha.begins_by_hand(beta, now + 1)
    assert alpha.begins_by_hand(beta, now + DAY)
    assert not alpha.begins_by_hand(beta, now + 60)


def test_a_right_clock_needs_no_mending(ends: tuple[End, End]) -> None:
    """What the other tests see is the day ahead: after a handshake of now, alpha's
    real interface begins one at once."""
    alpha, beta = ends
    assert alpha.begins_by_hand(beta, time.time())
    alpha.up(beta)
    assert alpha.reaches(beta)


def test_who_was_ahead_begins_no_handshake(was_ahead: tuple[End, End]) -> None:
    """alpha tries and beta does not answer; as soon as beta begins one, packets flow
    both ways."""
    alpha, beta = was_ahead
    assert not alpha.reaches(beta)
    assert not alpha.shook_hands()
    sent = alpha.run("wg", "show", "wg0", "transfer").split()
    assert int(sent[2]) >= 2 * 148  # alpha did try
    assert beta.reaches(alpha)
    assert alpha.reaches(beta, 3)


def test_the_peer_taken_out_and_added_again_mends_it(
    was_ahead: tuple[End, End],
) -> None:
    """beta forgets the time with the peer."""
    alpha, beta = was_ahead
    assert not alpha.reaches(beta, 7)
    beta.remove(alpha.public)
    beta.add(alpha)
    assert alpha.reaches(beta)


def test_the_same_peer_set_again_mends_nothing(was_ahead: tuple[End, End]) -> None:
    """`wg set` and `wg syncconf` of a peer that is there leave the time where it is,
    so neither another apply of the same helps nor a reload."""
    alpha, beta = was_ahead
    beta.add(alpha)
    beta.run(
        *("sh", "-c", "wg showconf wg0 | wg syncconf wg0 /dev/stdin"),
    )
    assert not alpha.reaches(beta, 7)


def test_a_restart_of_the_peer_mends_it(was_ahead: tuple[End, End]) -> None:
    """beta has the time in memory only."""
    alpha, beta = was_ahead
    assert not alpha.reaches(beta, 7)
    beta.restart(alpha)
    assert alpha.reaches(beta)


def test_a_new_key_mends_it(was_ahead: tuple[End, End]) -> None:
    """The time belongs to the key: with another one alpha begins at once."""
    alpha, beta = was_ahead
    assert not alpha.reaches(beta, 7)
    beta.remove(alpha.public)
    alpha.new_key()
    beta.add(alpha)
    assert alpha.reaches(beta)
