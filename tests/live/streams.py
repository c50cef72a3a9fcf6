"""A stream of numbered messages between two nodes, and when its echoes came back.

The monotonic clock is one for all nodes of a lab, so what a test does and what a
stream saw stand on one line of time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.live.network import Network

_SERVER = """
import socket, sys, threading
proto, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
def serve(one):
    try:
        while data := one.recv(4096):
            one.sendall(data)
    except OSError:
        pass
if proto == "udp":
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(4096)
        try:
            sock.sendto(data, peer)
        except OSError:
            pass
listener = socket.create_server((address, port))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

_CLIENT = """
import json, select, socket, sys, time
proto, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if proto == "udp":
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
else:
    sock = socket.create_connection((address, port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.setblocking(False)
came, lost, told, due = [], "", False, time.monotonic()
while True:
    wait = max(0, due - time.monotonic())
    ready, _, _ = select.select([sock, sys.stdin], [], [], wait)
    if sys.stdin in ready:
        break
    if sock in ready:
        try:
            got = sock.recv(65536)
            if proto == "tcp" and not got:
                lost = lost or "closed"
                break
            came.append(time.monotonic())
        except ConnectionRefusedError:
            pass
        except OSError as error:
            lost = lost or str(error)
            break
        if not told:
            told = True
            print("ready", flush=True)
    if time.monotonic() >= due:
        due = time.monotonic() + 0.01
        try:
            sock.send(b"x\\n")
        except BlockingIOError:
            pass
        except OSError as error:
            if proto == "tcp":
                lost = lost or str(error)
                break
print(json.dumps({"came": came, "lost": lost}), flush=True)
"""


@dataclass
class Stream:
    """What came back so far; filled when the stream ends."""

    came: list[float]
    lost: str = ""

    def longest_gap(self, since: float) -> float:
        """Seconds of the longest silence after `since`, up to the last echo."""
        times = [at for at in self.came if at >= since]
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def after(self, moment: float) -> int:
        """How many echoes came after a moment."""
        return sum(at > moment for at in self.came)


@contextmanager
def stream(
    network: Network, proto: str, src: str, dst: str, port: int
) -> Iterator[Stream]:
    """A running stream from `src` to `dst`; what it saw is there after the block."""
    address = str(network.tailnet.devices[dst].ipv4)
    words: list[str] = [proto, address, str(port)]
    python = [network.lab.python, "-I", "-c"]
    found = Stream([])
    with network.lab.spawn(dst, [*python, _SERVER, *words]) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        with network.lab.spawn(src, [*python, _CLIENT, *words]) as client:
            try:
                assert client.stdout is not None
                assert client.stdout.readline() == b"ready\n"
                yield found
                time.sleep(1.0)
                said: dict[str, Any] = json.loads(client.communicate(timeout=20)[0])
                found.came, found.lost = said["came"], said["lost"]
            finally:
                client.kill()
                server.kill()
