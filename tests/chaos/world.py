"""Two nodes and a controller in a lab, a repository that toggles between two states.

Every case makes a commit whose state is the other one, so what is old and what is new
is always known: `fingerprint` says which of both a node's kernel is in, from what
`nft`, `wg` and `ip` print, and never from what the node says of itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tailgit.lab import CONTROLLER, Lab, topology_of
from tailgit.lab.furnish import HOME
from tailgit.lab.populate import populate
from tailgit.load import load

NAME = "chaos"
SELF = "/usr/local/lib/tailgit/tailgit-node"
STATE = f"/var/lib/tailgit/{NAME}"
RUN = f"/run/tailgit/{NAME}"
DRIVER = Path(__file__).with_name("driver.py")
OUTPUT = "/run/tailgit-lab/output"
SENT = "/run/tailgit-lab/sent"
CONNECT = 4

FILES = {
    "tailnet.yaml": f"""\
tailnet:
  format: 1
  name: {NAME}
  domain: {NAME}.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
  controller: {{outside: true}}
""",
    "devices.yaml": """\
devices:
  alpha: {tags: [tag:a], endpoints: ["203.0.113.1:51820"]}
  beta:
    tags: [tag:b]
    endpoints: ["203.0.113.2:51820"]
    routes: [10.20.0.0/16]
tagOwners: {tag:a: [], tag:b: []}
autoApprovers: {routes: {10.20.0.0/16: [tag:b]}}
""",
}

STATES = {
    "one": 'grants: [{src: [alpha], dst: [beta], ip: ["tcp:8080"]}]\n',
    "two": """\
grants:
  - {src: [beta], dst: [alpha], ip: ["tcp:9090", "udp:53"]}
  - {src: [alpha], dst: ["10.20.0.9"], ip: ["tcp:631"]}
""",
}

_FINGERPRINT = f"""
    nft -s -t list table inet tailgit_{NAME} 2>&1
    nft -s list table inet tailgit_{NAME} 2>&1 | tr -s ' ,\\t{{}}' '\\n' | sort
    wg show tg-{NAME} allowed-ips 2>&1 | sort
    for each in public-key listen-port fwmark; do wg show tg-{NAME} $each 2>&1; done
    sysctl -n net.ipv4.ip_forward net.ipv4.conf.tg-{NAME}.rp_filter 2>&1
    ip -o -4 route show dev tg-{NAME} 2>&1 | sort
    ip -o -6 route show dev tg-{NAME} 2>&1 | grep -v fe80 | sort
    ip -o addr show dev tg-{NAME} scope global 2>&1 | awk '{{ print $3, $4 }}' | sort
    ip -o link show dev tg-{NAME} 2>&1 | grep -o '[<,]UP[,>]\\|mtu [0-9]*'
    sed -n '/tailgit {NAME}: begin/,/tailgit {NAME}: end/p' /etc/hosts
"""

_SMALL_DISK = f"""
    cp -a {STATE} /run/state
    mount -t tmpfs -o size=4m,mode=755 none {STATE}
    cp -a /run/state/. {STATE}/
    rm -r /run/state
"""

_REBOOT = f"""
    for each in /proc/[0-9]*; do
        [ "$each" != "/proc/$$" ] || continue
        case $(tr '\\0' ' ' <"$each/cmdline" 2>/dev/null) in
        *tailgit-node*|wireguard-go*) kill -9 "${{each#/proc/}}" 2>/dev/null ;;
        esac
    done
    for each in /proc/[0-9]*; do
        [ "$each" != "/proc/$$" ] || continue
        case $(tr '\\0' ' ' <"$each/cmdline" 2>/dev/null) in
        'sshd: tailgit'*) kill -9 "${{each#/proc/}}" 2>/dev/null ;;
        esac
    done
    nft delete table inet tailgit_{NAME} 2>/dev/null
    ip link delete tg-{NAME} 2>/dev/null
    rm -rf /run/tailgit /run/wireguard
    {SELF} boot {NAME}
"""


class Place(NamedTuple):
    """One boundary of an apply: which request, and before, during or after it."""

    node: str
    verb: str
    moment: str

    def __str__(self) -> str:
        return "-".join(self)


PLACES = tuple(
    Place(node, verb, moment)
    for verb in ("observe", "stage", "activate", "confirm")
    for node in ("alpha", "beta")
    for moment in ("before", "during", "after")
)
"""All boundaries of an apply to both nodes; a test holds the list to the real ones."""


@dataclass
class Ended:
    """How a command ended: status (negative: by a signal), what it printed, what it
    says became of each node, and which boundaries it came to."""

    status: int
    text: str
    places: list[Place] = field(default_factory=list)

    @property
    def outcomes(self) -> dict[str, dict[str, str]]:
        """By node, from the JSON document in the output; {} where there is none."""
        _, begin, rest = f"\n{self.text}".partition("\n{\n")
        if not begin:
            return {}
        document, _ = json.JSONDecoder().raw_decode("{" + rest)
        return {each["node"]: each for each in document.get("outcomes", ())}


Reaction = Callable[[Place], str]
"""What happens at a boundary: does it, and says `go`, `die`, `cut` or `half`."""


@dataclass
class World:
    lab: Lab
    repo: Path
    known: dict[str, dict[str, str]] = field(default_factory=dict)
    """STATE -> NODE -> fingerprint, from applies that nothing disturbed."""
    state: str = "one"
    seconds: float = 0.0
    """How long an apply takes that nothing disturbs."""
    _applying: subprocess.Popen[bytes] | None = None

    @staticmethod
    def build(folder: Path) -> World:
        for name, text in {**FILES, "policy.yaml": STATES["one"]}.items():
            (folder / name).write_text(text)
        who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        for words in (
            ["init", "-q", "-b", "main"],
            ["add", "-A"],
            ["commit", "-qm", "Go"],
        ):
            subprocess.run(["git", "-C", str(folder), *who, *words], check=True)
        tailnet = load(folder).tailnet
        assert tailnet is not None
        lab = Lab.up(
            topology_of(tailnet, f"{NAME}-{os.getpid()}"),
            repo=folder,
            visible=[DRIVER.parent],
        )
        try:
            world = World(lab, populate(lab, folder, lambda _: None))
            # Who cut himself off finds that out sooner; it is 15 s otherwise.
            config = f"echo ConnectTimeout {CONNECT} >>{HOME}/.ssh/config"
            world.sh(CONTROLLER, config)
            for node in world.nodes:
                world.sh(node, _SMALL_DISK)
            for _ in range(2):
                world.known[world.state] = world.fingerprints()
                world.toggle()
                ended = world.apply()
                assert ended.status == 0, ended.text
            assert world.known["one"] != world.known["two"]
            world.toggle()
            begun = time.monotonic()
            assert world.apply_and(60, lambda: None).status == 0
            world.seconds = time.monotonic() - begun
            world.toggle()
            assert world.apply().status == 0
            assert world.fingerprints() == world.known["one"]
        except BaseException:
            lab.down()
            raise
        return world

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.lab.nodes

    def sh(self, machine: str, script: str, *, check: bool = True) -> str:
        done = self.lab.run(machine, ["sh", "-uc", script], timeout=90)
        if check:
            assert done.returncode == 0, f"{machine}: {script}: {done.stderr.decode()}"
        return done.stdout.decode()

    def toggle(self) -> None:
        """Commit the other state."""
        self.state = "two" if self.state == "one" else "one"
        self.lab.run(
            CONTROLLER,
            ["tee", str(self.repo / "policy.yaml")],
            input=STATES[self.state].encode(),
        )
        self.sh(CONTROLLER, f"cd {self.repo} && git commit -qam 'Toggle'")

    def apply(
        self, reaction: Reaction = lambda _: "go", *more: str, confirm: int = 15
    ) -> Ended:
        """`tailgit apply --yes`; `reaction` decides at every boundary."""
        words = ["apply", "--yes", "--repo", str(self.repo)]
        words += ["--confirm-timeout", str(confirm), "--format", "json", *more]
        argv = [self.lab.python, str(DRIVER), OUTPUT, SENT, *words]
        places = []
        with self.lab.spawn(CONTROLLER, argv) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for line in process.stdout:
                places.append(Place(*line.decode().split()))
                told = reaction(places[-1])
                try:
                    process.stdin.write(f"{told}\n".encode())
                    process.stdin.flush()
                except BrokenPipeError:
                    break
            status = process.wait(180)
        return Ended(status, self.sh(CONTROLLER, f"cat {OUTPUT}"), places)

    def apply_and(self, seconds: float, act: Callable[[], None]) -> Ended:
        """`tailgit apply --yes`, undisturbed until `act` is called after `seconds`.

        `act` may kill the controller by `kill_controller`.
        """
        words = ["apply", "--yes", "--repo", str(self.repo), "--format", "json"]
        words += ["--confirm-timeout", "15"]
        argv = [self.lab.python, "-m", "tailgit", *words]
        with self.lab.spawn(CONTROLLER, argv, stderr=subprocess.STDOUT) as process:
            self._applying = process
            try:
                out, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                act()
                out, _ = process.communicate(timeout=180)
        return Ended(process.returncode, out.decode(errors="replace"))

    def kill_controller(self) -> bool:
        assert self._applying is not None
        self._applying.kill()
        return True

    def fingerprints(self) -> dict[str, str]:
        return {node: self.fingerprint(node) for node in self.nodes}

    def fingerprint(self, node: str) -> str:
        return self.sh(node, _FINGERPRINT, check=False)

    def states_now(self) -> dict[str, str]:
        """Which state each node's kernel is in; `neither` for a mixture."""
        now = self.fingerprints()
        return {
            node: next(
                (s for s, known in self.known.items() if known[node] == print_),
                f"neither: {print_}",
            )
            for node, print_ in now.items()
        }

    def settled(self, seconds: float = 40.0, *, written: bool = True) -> dict[str, str]:
        """The same, once every node is whole and (if it can be `written`) nothing is
        pending on it."""
        deadline = time.monotonic() + seconds
        while True:
            states = self.states_now()
            pending = [
                node
                for node in self.nodes
                if written
                and self.sh(node, f"[ ! -f {STATE}/pending ] || echo y").strip()
            ]
            whole = all(state in STATES for state in states.values())
            if (whole and not pending) or time.monotonic() > deadline:
                assert not pending, f"still pending: {pending}"
                return states
            time.sleep(0.5)

    def reboot(self, node: str) -> bool:
        """Everything of the kernel and of /run is gone, then the start-up runs."""
        self.sh(node, _REBOOT)
        return True

    def older_parcel(self, node: str) -> bytes:
        """What an apply sent to a node that others followed; the driver keeps it."""
        done = self.lab.run(CONTROLLER, ["cat", f"{SENT}/{node}.older"])
        assert done.returncode == 0
        return done.stdout

    def login(self, node: str, command: str, stdin: bytes = b"") -> str:
        """A request by hand, with the controller's own key and plain ssh."""
        address = self.lab.addresses(node)[0]
        argv = ["ssh", "-o", "BatchMode=yes", "-i", str(HOME / ".ssh/id_ed25519")]
        argv += ["-o", "ConnectTimeout=5", f"tailgit@{address}", command]
        done = self.lab.run(CONTROLLER, argv, input=stdin, timeout=60)
        return done.stdout.decode(errors="replace") + done.stderr.decode()
