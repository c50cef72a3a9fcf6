"""The machine's peer, which judges nothing it sends, and the count of what arrives.

A namespace with a WireGuard interface and no systemd. It sends datagrams to a port
that the machine's policy allows and to one that it denies, 500 a second each; a
listener in the machine's network says when which of them arrived. The allowed ones
prove that the tunnel worked while the others did not pass.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.node.nodes import wait
from tests.node.parcel import FILES, PEER
from tests.systemd.listener import Listener
from tests.systemd.machine import ADDRESS, Machine

PEER_ADDRESS = "192.0.2.2"
INNER, PEER_INNER = "100.64.1.1", "100.64.7.9"
ALLOWED, DENIED = 60, 5999
"""UDP ports in the table of `tests/node/parcel.py`."""

_BUILD = """
set -e
mount -t tmpfs -o mode=0755 none /run
ip link set lo up
: >/run/built
exec sleep 3600
"""

_TUNNEL = """
set -e
ip link add wg0 type wireguard 2>/dev/null ||
    setsid wireguard-go wg0 </dev/null >/dev/null 2>&1
until wg show wg0 >/dev/null 2>&1; do sleep 0.05; done
wg set wg0 private-key /dev/stdin listen-port 51820
ip address add 100.64.7.9/32 dev wg0
ip link set wg0 mtu 1420 up
ip route add 100.64.1.1/32 dev wg0
"""

_SEND = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print('ready', flush=True)
while True:
    for port in sys.argv[2:]:
        try:
            sock.sendto(b'x', (sys.argv[1], int(port)))
        except OSError:
            pass
    time.sleep(0.002)
"""

_LISTEN = """
import json, select, socket, sys, time
seen = {}
for port in sys.argv[1:]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(('0.0.0.0', int(port)))
    seen[sock] = []
print('ready', flush=True)
while True:
    readable = select.select([*seen, sys.stdin], [], [])[0]
    if sys.stdin in readable:
        break
    for sock in readable:
        sock.recv(100)
        seen[sock].append(time.monotonic())
print(json.dumps({sock.getsockname()[1]: times for sock, times in seen.items()}))
"""


@dataclass(frozen=True, slots=True)
class Arrived:
    """When datagrams reached the machine's sockets, in seconds of the same clock."""

    allowed: list[float]
    denied: list[float]

    @property
    def leak(self) -> float:
        """Milliseconds from the first denied datagram to the last."""
        return round((self.denied[-1] - self.denied[0]) * 1000, 1) if self.denied else 0


class Flood:
    """Counts what arrives from now on, in the network that the machine has now."""

    def __init__(self, machine: Machine) -> None:
        self._listener = Listener(machine, _LISTEN, str(ALLOWED), str(DENIED))

    def stop(self) -> Arrived:
        seen = self._listener.stop()
        return Arrived(seen[str(ALLOWED)], seen[str(DENIED)])


class Peer:
    """A network namespace with the peer's tunnel in it."""

    def __init__(self) -> None:
        # Even a killed pytest leaves no namespace behind.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare"]
        command += ["--mount", "--net", "--pid", "--fork", "--kill-child"]
        self._first = subprocess.Popen(
            [*command, "--mount-proc", "sh", "-c", _BUILD], stdin=subprocess.DEVNULL
        )
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        wait(lambda: children.read_text().strip() != "")
        self.pid = int(children.read_text().split()[0])
        wait(Path(f"/proc/{self.pid}/root/run/built").exists)
        self._private = subprocess.check_output(["wg", "genkey"])
        public = subprocess.check_output(["wg", "pubkey"], input=self._private)
        self.public = public.decode().strip()
        self.run("sh", "-c", _TUNNEL, stdin=self._private)

    def close(self) -> None:
        self._first.kill()
        self._first.wait()

    def enter(self, *command: str) -> list[str]:
        namespaces = ["--mount", "--net", "--pid"]
        return ["nsenter", "--target", str(self.pid), *namespaces, "--", *command]

    def run(self, *command: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            self.enter(*command), input=stdin, capture_output=True, timeout=60
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.decode()

    def know(self, public: str) -> None:
        """Have the machine as a WireGuard peer."""
        self.run(
            *("wg", "set", "wg0", "peer", public, "allowed-ips", f"{INNER}/32"),
            *("endpoint", f"{ADDRESS}:51820"),
        )

    def cable(self, machine: Machine) -> None:
        """Connect the two, as before the machine is switched on."""
        # The old cable goes with its machine, but not while something listens there.
        self.run("sh", "-c", "! ip link show eth0 2>/dev/null || ip link delete eth0")
        ends = ["name", "eth0", "netns", str(machine.pid), "type", "veth"]
        ends += ["peer", "name", "eth0", "netns", str(self.pid)]
        subprocess.run(["ip", "link", "add", *ends], check=True)
        plug = "ip address add {}/24 dev eth0 && ip link set eth0 up"
        self.run("sh", "-c", plug.format(PEER_ADDRESS))
        enter = ["nsenter", f"--net=/proc/{machine.pid}/ns/net", "sh", "-c"]
        subprocess.run([*enter, plug.format(ADDRESS)], check=True)

    def files(self) -> dict[str, str]:
        """A node's bundle in which this peer stands in the place of the made-up one."""
        text = FILES["wireguard.conf"].replace(PEER, self.public)
        text = text.replace("203.0.113.10", PEER_ADDRESS)
        text = text.replace("PersistentKeepalive = 25", "PersistentKeepalive = 1")
        return {**FILES, "wireguard.conf": text}

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Datagrams to the allowed and the denied port while the block runs."""
        ports = [str(ALLOWED), str(DENIED)]
        # Without a PID namespace nsenter does not fork, so what is killed is Python.
        network = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        with subprocess.Popen(
            [*network, sys.executable, "-I", "-c", _SEND, INNER, *ports],
            stdout=subprocess.PIPE,
        ) as sender:
            assert sender.stdout is not None
            assert sender.stdout.readline() == b"ready\n"
            try:
                yield
            finally:
                sender.kill()

    def arrived(
        self, machine: Machine, action: Callable[[], object], *, seconds: float = 2
    ) -> Arrived:
        """What arrives from before `action` until some time after it."""
        flood = Flood(machine)
        with self.sending():
            time.sleep(0.3)
            action()
            time.sleep(seconds)
        return flood.stop()
