"""The part of a probe that runs on a machine: listen, send, or keep a flow going.

Standard library only, and sent there as text: it must not import tailgit. Requests
and answers are one line of JSON each, on standard input and output; the end of input
ends the program. An endpoint is [PROTOCOL, ADDRESS, PORT].

    listen  {"listen": [ENDPOINT, …]}     -> {"failed": [[ENDPOINT, REASON], …]}
            {"check": true}               -> {"dead": [[ENDPOINT, REASON], …],
                                              "seen": [NONCE, …]}
    send    {"probes": [PROBE, …], "limit": SECONDS} -> {"outcomes": [[RESULT, DETAIL]]}
    flow    {"open": PROBE, "interval": SECONDS}     -> {} or {"failed": REASON}
            {"ask": true} -> {"sent", "echoed", "silence", "gap", "ended", "recent"}

PROBE is {"protocol", "address", "port", "source", "nonce"}. A listener echoes every
line or datagram. `seen` are the nonces that arrived, also those whose echo was lost.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import json
import os
import socket
import sys
import time
from typing import Any

_REFUSED = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EACCES,  # how IPv6 says "administratively prohibited"
}
_RECVERR = {socket.AF_INET: (0, 11), socket.AF_INET6: (41, 25)}  # not in `socket`
_CHECK_LIMIT = 2.0


async def main(role: str) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    handlers = {"listen": Listen, "send": Send, "flow": FlowClient}
    handler: Any = handlers[role]()
    while line := await reader.readline():
        try:
            answer = await handler.handle(json.loads(line))
        except Exception as error:  # the other side can only know by an answer
            answer = {"fault": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


class Listen:
    """Echo servers, and the proof that they are alive."""

    def __init__(self) -> None:
        self.endpoints: list[list[Any]] = []
        self.seen: set[str] = set()
        self.held: list[object] = []  # servers that nobody holds are collected

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        if "listen" in request:
            return {"failed": await self.listen(request["listen"])}
        return {"dead": await self.check(), "seen": sorted(self.seen)}

    async def listen(self, endpoints: list[list[Any]]) -> list[Any]:
        failed = []
        for endpoint in endpoints:
            try:
                await self._open(*endpoint)
                self.endpoints.append(endpoint)
            except OSError as error:
                failed.append([endpoint, _why(error)])
        return failed

    async def _open(self, protocol: str, address: str, port: int) -> None:
        if protocol == "tcp":
            server = await asyncio.start_server(
                self._serve, address, port, reuse_address=True, backlog=1024
            )
            self.held.append(server)
        else:
            loop = asyncio.get_running_loop()
            held = await loop.create_datagram_endpoint(
                lambda: _Echo(self.seen), (address, port)
            )
            self.held.append(held)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while line := await reader.readline():
                _note(self.seen, line)
                writer.write(line)
                await writer.drain()
        except OSError:
            pass  # a client that is cut off is what this is for
        finally:
            writer.close()

    async def check(self) -> list[Any]:
        """Which endpoints do not answer a probe from this very machine."""
        probes = [
            {"protocol": p, "address": a, "port": n, "nonce": os.urandom(16).hex()}
            for p, a, n in self.endpoints
        ]
        outcomes = await asyncio.gather(*(probe(each, _CHECK_LIMIT) for each in probes))
        self.seen -= {str(each["nonce"]) for each in probes}
        return [
            [endpoint, f"{result} {detail}".strip()]
            for endpoint, (result, detail) in zip(self.endpoints, outcomes, strict=True)
            if result != "passed"
        ]


class Send:
    """Probes, all at once."""

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        probes = (probe(each, request["limit"]) for each in request["probes"])
        return {"outcomes": await asyncio.gather(*probes)}


class FlowClient:
    """One connection, kept busy; knows when it last was answered."""

    def __init__(self) -> None:
        self.sent = self.echoed = 0
        self.opened = self.last = self.gap = 0.0
        self.ended = ""
        self.recent: collections.deque[float] = collections.deque(maxlen=20)
        self.tasks: list[asyncio.Task[None]] = []

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        if "open" in request:
            return await self.open(request["open"], request["interval"])
        now = time.monotonic()
        return {
            "sent": self.sent,
            "echoed": self.echoed,
            "silence": now - self.last,
            "gap": max(self.gap, now - self.last),
            "ended": self.ended,
            "recent": [now - at for at in self.recent],
        }

    async def open(self, target: dict[str, Any], interval: float) -> dict[str, Any]:
        self.last = time.monotonic()
        try:
            run = await (self._tcp if target["protocol"] == "tcp" else self._udp)(
                target, interval
            )
        except OSError as error:
            return {"failed": _why(error)}
        self.tasks += [asyncio.create_task(each) for each in run]
        return {}

    async def _tcp(self, target: dict[str, Any], interval: float) -> tuple[Any, ...]:
        reader, writer = await asyncio.wait_for(_connect(target), 5)

        async def write() -> None:
            while not self.ended:
                self.sent += 1
                writer.write(b"flow %d\n" % self.sent)
                await asyncio.sleep(interval)

        async def read() -> None:
            try:
                while await reader.readline():
                    self.note()
                self.ended = self.ended or "closed by the other end"
            except OSError as error:
                self.ended = _why(error)

        return write(), read()

    async def _udp(self, target: dict[str, Any], interval: float) -> tuple[Any, ...]:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Notify(self), sock=_udp_socket(target)
        )

        async def write() -> None:
            while True:
                self.sent += 1
                transport.sendto(b"flow %d\n" % self.sent)
                await asyncio.sleep(interval)

        return (write(),)

    def note(self) -> None:
        """An echo came."""
        now = time.monotonic()
        self.gap = max(self.gap, now - self.last)
        self.last = now
        self.echoed += 1
        self.recent.append(now)


async def probe(target: dict[str, Any], limit: float) -> tuple[str, str]:
    """(result, detail) of one probe; takes `limit` seconds if nothing comes back."""
    kinds = {"tcp": _tcp, "udp": _udp, "icmp": _ping}
    try:
        return await kinds[target["protocol"]](target, limit)
    except TimeoutError:
        return "blocked", "no answer"
    except OSError as error:
        if error.errno in _REFUSED:
            return "refused", _why(error)
        if error.errno == errno.EPERM:
            return "blocked", "dropped by the sender's own filter"
        return "error", _why(error)


async def _tcp(target: dict[str, Any], limit: float) -> tuple[str, str]:
    reader, writer = await asyncio.wait_for(_connect(target), limit)
    try:
        writer.write(target["nonce"].encode() + b"\n")
        line = await asyncio.wait_for(reader.readline(), limit)
    except TimeoutError:
        line = b""
    finally:
        writer.close()
    if line.decode(errors="replace").strip() == target["nonce"]:
        return "passed", ""
    # Packets got through in both directions, so this is not a drop.
    return "error", "connected, but to something that is not our listener"


async def _connect(
    target: dict[str, Any],
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    source = target.get("source")
    return await asyncio.open_connection(
        target["address"], target["port"], local_addr=(source, 0) if source else None
    )


async def _udp(target: dict[str, Any], limit: float) -> tuple[str, str]:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Answer(target["nonce"], answered), sock=_udp_socket(target)
    )
    try:
        deadline = loop.time() + limit
        while (left := deadline - loop.time()) > 0:
            transport.sendto(target["nonce"].encode())
            await asyncio.wait([answered], timeout=min(0.3, left))
            if answered.done():
                answered.result()
                return "passed", ""
        return "blocked", "no answer"
    finally:
        transport.close()


def _udp_socket(target: dict[str, Any]) -> socket.socket:
    """Connected, and told of every ICMP error: by default Linux hides most of them."""
    family = socket.AF_INET6 if ":" in target["address"] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(*_RECVERR[family], 1)
        if target.get("source"):
            sock.bind((target["source"], 0))
        sock.connect((target["address"], target["port"]))
    except OSError:
        sock.close()
        raise
    return sock


async def _ping(target: dict[str, Any], limit: float) -> tuple[str, str]:
    source = ["-I", target["source"]] if target.get("source") else []
    process = await asyncio.create_subprocess_exec(
        *("ping", "-n", "-c", "1", "-W", str(max(1, round(limit)))),
        *source,
        target["address"],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
    )
    said = (await process.communicate())[0].decode(errors="replace")
    if process.returncode == 0:
        return "passed", ""
    lines = [line for line in said.splitlines() if line]
    for line in lines:
        if "nreachable" in line or "rohibited" in line or "iltered" in line:
            return "refused", line
        if "not permitted" in line:
            return "blocked", "dropped by the sender's own filter"
    if process.returncode == 1:
        return "blocked", "no answer"
    return "error", lines[-1] if lines else f"ping ended with {process.returncode}"


class _Answer(asyncio.DatagramProtocol):
    """Waits for one nonce, or an error."""

    def __init__(self, nonce: str, answered: asyncio.Future[None]) -> None:
        self.nonce, self.answered = nonce.encode(), answered

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        if data == self.nonce and not self.answered.done():
            self.answered.set_result(None)

    def error_received(self, exc: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc)


class _Echo(asyncio.DatagramProtocol):
    """Sends every datagram back to where it came from."""

    def __init__(self, seen: set[str]) -> None:
        self.seen = seen

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        _note(self.seen, data)
        self.transport.sendto(data, addr)


class _Notify(asyncio.DatagramProtocol):
    """Tells a flow of every echo; errors pass, since a flow may heal."""

    def __init__(self, flow: FlowClient) -> None:
        self.flow = flow

    def datagram_received(self, _data: bytes, _addr: Any) -> None:
        self.flow.note()


def _note(seen: set[str], data: bytes) -> None:
    text = data.decode(errors="replace").strip()
    if len(text) == 32:  # a nonce; the lines of flows are shorter
        seen.add(text)


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
