"""The process that a lab lives and dies with.

A lab must leave nothing behind, whoever is killed and when. So nothing of it has a
name outside: no entry in /run/netns, no file, no bridge. It is one process that is
PID 1 of its own PID namespace, in a mount namespace of its own; when it ends, for
whatever reason, the kernel kills every process of the lab, and network namespaces,
links, mounts and tmpfs go with the last of them. Each machine is a nested PID
namespace, whose PID 1 reaps.

PID 1 itself only waits: for its *worker*, which makes machines on request, and, until
the lab is told to stay, for the pipe to the process that started it. End of file on
that pipe means the starter is gone, at whatever point it was: PID 1 ends.

A running lab is found by the abstract socket `tailgit-lab/NAME`, which is bound
before anything else is done and vanishes with the last process that holds it; it is
also what makes two labs of one name impossible. PID 1 calls listen(), so a client's
SO_PEERCRED is the PID of PID 1, in the client's own numbering. A request and an
answer are one line of JSON each.

    {"verb": "describe"}                     -> {"machines": [RECORD, …], "about": …}
    {"verb": "machines", "specs": [SPEC, …]} -> {"machines": [RECORD, …]}
    {"verb": "links", "links": [[A, NAME-AT-A, B, NAME-AT-B], …]} -> {}

RECORD is {"name", "role", "addresses", "pid"}; `pid` is the machine's PID 1 as the
host counts. An answer may instead be {"error": SENTENCE, "help": SENTENCE}.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tailgit.errors import LabError
from tailgit.lab import furnish, system
from tailgit.lab.requirements import ADMIN_PATH

KEEP = b"k"
"""What the starter writes when the lab is to outlive it."""

_ALL = (
    system.NEW_MOUNT | system.NEW_NET | system.NEW_PID | system.NEW_UTS | system.NEW_IPC
)
_COMMAND_LIMIT = 30.0
_REQUEST_LIMIT = 10.0


def main(arguments: list[str]) -> None:
    """Become a lab: ABOUT (JSON), the bound socket's and the pipe's descriptor.

    Returns in the first process once PID 1 listens; exits 1 with a sentence on
    stderr if it can't.
    """
    about, listener, alive = json.loads(arguments[0]), *map(int, arguments[1:])
    system.unshare(_ALL & ~system.NEW_UTS)
    ready, write_ready = os.pipe()
    if os.fork() == 0:
        os.close(ready)
        _as_process_one(about, socket.socket(fileno=listener), alive, write_ready)
    os.close(write_ready)
    os._exit(0 if os.read(ready, 1) else 1)


def _as_process_one(
    about: dict[str, Any], listener: socket.socket, alive: int, ready: int
) -> NoReturn:
    try:
        furnish.found_lab(about["visible"])
        _make_admin_key()
        listener.listen(16)
        os.write(ready, b"r")
        os.close(ready)
        _detach()
        worker = os.fork()
        if worker == 0:
            os.close(alive)
            _Worker(about, listener).serve()
        _end_with(worker)
        waiting = select.poll()
        waiting.register(alive, select.POLLIN)
        waiting.poll()
        if os.read(alive, 1) == KEEP:
            while True:
                signal.pause()
    except (OSError, LabError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr, flush=True)
    os._exit(1)


@dataclass(slots=True)
class _Record:
    """A machine that runs: its spec, and its PID 1 as we and as the host count."""

    spec: dict[str, Any]
    pid: int
    host_pid: int

    def public(self) -> dict[str, Any]:
        shown = {key: self.spec[key] for key in ("name", "role", "addresses")}
        return {**shown, "pid": self.host_pid}


@dataclass(slots=True)
class _Worker:
    """Makes machines and links, one request at a time."""

    about: dict[str, Any]
    listener: socket.socket
    machines: dict[str, _Record] = field(default_factory=dict)

    def serve(self) -> NoReturn:
        while True:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(_REQUEST_LIMIT)
                try:
                    self._answer(connection)
                except (OSError, ValueError):
                    continue  # the client is gone or not one of ours

    def _answer(self, connection: socket.socket) -> None:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", credentials)[1] != 0:
            return  # an abstract socket has no file mode: anybody may connect
        with connection.makefile("rwb") as stream:
            request = json.loads(stream.readline())
            verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
                "describe": self._describe,
                "machines": self._make_machines,
                "links": self._make_links,
            }
            try:
                answer = verbs[request["verb"]](request)
            except LabError as error:
                answer = {"error": error.message, "help": error.help}
            except (OSError, subprocess.SubprocessError) as error:
                answer = {"error": str(error), "help": ""}
            stream.write(json.dumps(answer).encode() + b"\n")

    def _describe(self, _: dict[str, Any]) -> dict[str, Any]:
        records = [record.public() for record in self.machines.values()]
        return {"about": self.about, "machines": records}

    def _make_machines(self, request: dict[str, Any]) -> dict[str, Any]:
        for spec in request["specs"]:
            if spec["name"] in self.machines:
                raise LabError(f"there is already a machine {spec['name']}")
        started = [(spec, *_start(self.about, spec)) for spec in request["specs"]]
        fresh = {
            spec["name"]: _Record(spec, pid, _first_word(spec["name"], pipe))
            for spec, pid, pipe in started
        }
        self.machines.update(fresh)
        return {"machines": [record.public() for record in fresh.values()]}

    def _make_links(self, request: dict[str, Any]) -> dict[str, Any]:
        lines = [
            f"link add {a_name} netns {self._pid(a)} type veth "
            f"peer name {b_name} netns {self._pid(b)}"
            for a, a_name, b, b_name in request["links"]
        ]
        done = subprocess.run(
            ["ip", "-batch", "-"],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            timeout=_COMMAND_LIMIT,
            env={"PATH": ADMIN_PATH},
        )
        if done.returncode != 0:
            raise LabError(f"ip: {done.stderr.strip()}")
        return {}

    def _pid(self, name: str) -> int:
        if name not in self.machines:
            raise LabError(f"there is no machine {name}")
        return self.machines[name].pid


def _start(about: dict[str, Any], spec: dict[str, Any]) -> tuple[int, int]:
    """A new machine's PID 1 as we count, and the pipe on which it says it is ready."""
    pipe, write = os.pipe()
    pids, write_pid = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            system.unshare(_ALL)
            child = os.fork()
            if child == 0:
                _as_machine(about, spec, write)
            os.write(write_pid, str(child).encode())
        except OSError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.close(write_pid)
    os.waitpid(between, 0)
    with os.fdopen(pids) as lines:
        return int(lines.read() or 0), pipe


def _first_word(name: str, pipe: int) -> int:
    """The host's number for a new machine's PID 1; it comes once all is mounted."""
    with os.fdopen(pipe) as lines:
        said = lines.read()
    if not said.isdigit():
        raise LabError(f"{name} could not be set up: {said or 'it ended'}")
    return int(said)


def _as_machine(about: dict[str, Any], spec: dict[str, Any], ready: int) -> NoReturn:
    """PID 1 of a machine: furnish it, then reap for ever."""
    try:
        # /proc still is the host's here, and `self` there is a number of the host.
        host_pid = Path("/proc/self").readlink().name
        os.setsid()
        os.closerange(3, ready)
        os.closerange(ready + 1, 1024)
        match spec["role"]:
            case "router":
                furnish.router(spec["hostname"])
            case "controller":
                furnish.controller(spec["hostname"], spec["names"])
            case _:
                furnish.node(
                    spec["hostname"], about["visible"], spec.get("sshd_config", "")
                )
        os.chdir("/")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        os.write(ready, host_pid.encode())
        os.close(ready)
        while True:
            signal.sigwait({signal.SIGCHLD})
            _reap()
    except Exception as error:  # the process ends here: whatever it is, say it
        os.write(ready, f"{type(error).__name__}: {error}".encode())
    os._exit(1)


def _end_with(worker: int) -> None:
    """Reap from now on, and end if it is the worker: a lab that can't be asked."""

    def reap(*_: object) -> None:
        if worker in _reap():
            os._exit(1)

    signal.signal(signal.SIGCHLD, reap)
    reap()


def _reap() -> set[int]:
    """Collect every child that has ended."""
    ended: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.add(pid)


def _make_admin_key() -> None:
    """The key that stands in for how an owner reached a fresh server."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(furnish.ADMIN_KEY)],
        check=True,
        capture_output=True,
        timeout=_COMMAND_LIMIT,
        env={"PATH": ADMIN_PATH},
    )


def _detach() -> None:
    """Hold no terminal and no pipe of the starter."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(null)


if __name__ == "__main__":
    main(sys.argv[1:])
