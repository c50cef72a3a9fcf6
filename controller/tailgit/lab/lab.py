"""A running lab: make it, find it, run things in it, take it down.

    with Lab.up(topology_of(tailnet)) as lab:
        lab.run("db-1", ["ip", "address"])
        lab.run(CONTROLLER, ["ssh", "root@db-1", "true"])

A lab that was not told to `stay` ends with the process that made it, however that
ends; `supervisor` says how. A command enters a machine by nsenter(1) into all its
namespaces and dies with the nsenter that started it, so a `Popen` may be killed like
any other. A `Lab` is an executor for `tailgit.probe`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tailgit.errors import LabError
from tailgit.lab import contact
from tailgit.lab import topology as paper
from tailgit.lab.furnish import HOME, KNOWN_HOSTS, SCRATCH
from tailgit.lab.requirements import ADMIN_PATH, require_root, require_tools
from tailgit.lab.supervisor import KEEP
from tailgit.lab.topology import CONTROLLER, HOST_KEY, ROUTER, Machine, Topology

_SCRIPT_LIMIT = 30.0

Progress = Callable[[str], None]


class Command(subprocess.Popen[bytes]):
    """A command in a machine; a signal goes to it, not to the nsenter before it.

    Else it would be left to the host's PID 1 to reap, and the PID namespace that it
    is in can't end before that is done.
    """

    def send_signal(self, number: int) -> None:
        if self.poll() is not None:
            return
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        for pid in children.split() or [str(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), number)


@dataclass(slots=True)
class Lab:
    """A handle on a running lab; `machines` is NAME -> (addresses, PID 1)."""

    name: str
    machines: dict[str, tuple[tuple[str, ...], int]]
    roles: dict[str, paper.Role]
    repo: str | None = None
    python: str = sys.executable
    _alive: int | None = field(default=None, repr=False)

    @staticmethod
    def up(
        topology: Topology,
        *,
        repo: Path | None = None,
        visible: Iterable[Path] = (),
        progress: Progress = lambda _: None,
    ) -> Lab:
        """Build a lab; `LabError` if it can't be, and then nothing of it is left.

        Paths in `visible` (and `repo`) are seen in every machine, also below /tmp and
        /run, which the nodes have to themselves.
        """
        require_root()
        require_tools()
        shown = str(repo.resolve()) if repo else None
        paths = _visible([*([repo] if repo else []), *visible])
        about = {"name": topology.name, "repo": shown, "visible": paths}
        lab = Lab(topology.name, {}, {}, shown, _alive=contact.start(about))
        try:
            lab._build(topology, progress)
        except BaseException:
            lab.down()
            raise
        return lab

    @staticmethod
    def open(name: str) -> Lab:
        """The lab that runs under this name; `LabError` if there is none."""
        require_root()
        answer = contact.ask(name, {"verb": "describe"})
        lab = Lab(name, {}, {}, answer["about"]["repo"])
        lab._remember(answer)
        return lab

    def stay(self) -> None:
        """Let the lab outlive this process."""
        if self._alive is not None:
            os.write(self._alive, KEEP)
            os.close(self._alive)
            self._alive = None

    def down(self) -> None:
        """End the lab and wait until all its processes are gone."""
        contact.end(self.name)
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The devices, in order of their names."""
        return tuple(sorted(n for n, role in self.roles.items() if role == "node"))

    def addresses(self, machine: str) -> tuple[str, ...]:
        """The underlay addresses of a machine."""
        self.pid(machine)
        return self.machines[machine][0]

    def pid(self, machine: str) -> int:
        """The machine's PID 1, as this host counts; `LabError` if there is none."""
        if machine not in self.machines:
            names = ", ".join(sorted(set(self.machines) - {ROUTER}))
            raise LabError(
                f"lab {self.name} has no machine {machine}", f"it has {names}"
            )
        return self.machines[machine][1]

    def command(self, machine: str, argv: Sequence[str]) -> list[str]:
        """The command line, for root of this host, that runs `argv` in a machine."""
        enter = ["nsenter", f"--target={self.pid(machine)}"]
        enter += ["--mount", "--net", "--pid", "--uts", "--ipc"]
        here = Path.cwd()
        if machine == CONTROLLER and not here.is_relative_to("/run"):
            enter.append(f"--wdns={here}")
        # Whoever kills the nsenter means the command.
        return [*enter, "--", "setpriv", "--pdeathsig", "KILL", *argv]

    def environment(self, machine: str) -> dict[str, str]:
        """What a command in a machine starts with: none of the caller's settings,
        except that the controller finds the caller's Python."""
        settings = {"PATH": ADMIN_PATH, "LANG": "C.UTF-8", "USER": "root"}
        settings |= {k: os.environ[k] for k in ("TERM", "SUDO_UID") if k in os.environ}
        if machine != CONTROLLER:
            return {**settings, "HOME": "/root"}
        return {
            **settings,
            "PATH": f"{Path(sys.executable).parent}:{ADMIN_PATH}",
            "PYTHONPATH": contact.package_root(),
            "HOME": str(HOME),
            "TMPDIR": str(SCRATCH),
        }

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; `subprocess.TimeoutExpired` kills it."""
        with self.spawn(machine, argv, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def spawn(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stderr: int | IO[bytes] | None = subprocess.DEVNULL,
    ) -> Command:
        """Start a command with pipes to its stdin and from its stdout."""
        return Command(
            self.command(machine, argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=self.environment(machine),
        )

    def fingerprint(self, node: str) -> str:
        """The `SHA256:…` of a node's SSH host key, as its owner would read it there."""
        done = self.run(node, ["ssh-keygen", "-l", "-f", HOST_KEY])
        if done.returncode != 0:
            raise LabError(
                f"{node} has no SSH host key: {done.stderr.decode().strip()}"
            )
        return done.stdout.decode().split()[1]

    def add_lan(
        self,
        router: str,
        name: str,
        *,
        v4: IPv4Interface | None = None,
        v6: IPv6Interface | None = None,
        mtu: int = 1500,
    ) -> None:
        """Put a further host on a segment of its own behind the node `router`.

        `v4` and `v6` are the host's; the router gets the first address of each net
        and is the host's default route. Whether it forwards is not the lab's business.
        """
        lans = sum(role == "host" for role in self.roles.values())
        link = f"lan{lans}"
        self._make([Machine(name, "host")], {})
        links = [[router, link, name, "eth0"]]
        contact.ask(self.name, {"verb": "links", "links": links})
        scripts = {
            router: "set -eu\n" + paper.lan_router_script(link, v4, v6, mtu),
            name: paper.lan_host_script(v4, v6, mtu),
        }
        self._scripts(scripts)

    def _build(self, topology: Topology, progress: Progress) -> None:
        progress(f"lab {topology.name}: {len(topology.nodes)} nodes")
        names = {
            name: str(node.addresses[0])
            for node in topology.nodes
            for name in (node.name, *node.aliases)
        }
        self._make(topology.machines, names)
        links = [[ROUTER, ln, m.name, "eth0"] for ln, m in topology.on_router]
        contact.ask(self.name, {"verb": "links", "links": links})
        self._scripts({ROUTER: paper.router_script(topology)})
        progress("addresses, host keys, sshd")
        said = self._scripts(
            {m.name: paper.machine_script(m) for _, m in topology.on_router}
        )
        self._know_hosts(topology, said)

    def _make(self, machines: Iterable[Machine], names: Mapping[str, str]) -> None:
        specs = [
            {
                "name": machine.name,
                "role": machine.role,
                "hostname": machine.hostname,
                "addresses": [str(address) for address in machine.addresses],
                "names": dict(names),
                "sshd_config": paper.sshd_config(machine) if machine.ssh_ports else "",
            }
            for machine in machines
        ]
        self._remember(contact.ask(self.name, {"verb": "machines", "specs": specs}))

    def _remember(self, answer: dict[str, Any]) -> None:
        for record in answer["machines"]:
            name = record["name"]
            self.machines[name] = (tuple(record["addresses"]), record["pid"])
            self.roles[name] = record["role"]

    def _scripts(self, scripts: Mapping[str, str]) -> dict[str, str]:
        """Run a shell script in each machine, all at once; what each printed."""
        started = {
            machine: self.spawn(machine, ["sh"], stderr=subprocess.PIPE)
            for machine in scripts
        }
        deadline = time.monotonic() + _SCRIPT_LIMIT + len(scripts)
        said = {}
        for machine, process in started.items():
            try:
                out, err = process.communicate(
                    scripts[machine].encode(), max(0.1, deadline - time.monotonic())
                )
            except subprocess.TimeoutExpired:
                raise LabError(f"{machine} takes too long to be set up") from None
            if process.returncode != 0:
                raise LabError(f"{machine} could not be set up: {err.decode().strip()}")
            said[machine] = out.decode()
        return said

    def _know_hosts(self, topology: Topology, keys: Mapping[str, str]) -> None:
        lines = [
            f"{_known_as(name, port)} {' '.join(keys[node.name].split()[:2])}"
            for node in topology.nodes
            for name in (node.name, *node.aliases, *map(str, node.addresses))
            for port in node.ssh_ports
        ]
        text = "\n".join(lines) + "\n"
        done = self.run(CONTROLLER, ["tee", str(KNOWN_HOSTS)], input=text.encode())
        if done.returncode != 0:
            raise LabError(f"{KNOWN_HOSTS} could not be written")


def _known_as(name: str, port: int) -> str:
    return name if port == 22 else f"[{name}]:{port}"


def _visible(paths: Iterable[Path]) -> list[str]:
    ours = [Path(sys.prefix), Path(sys.base_prefix), Path(contact.package_root())]
    return sorted({str(path.resolve()) for path in [*ours, *paths]})
