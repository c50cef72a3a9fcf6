"""Pushing to machines with the real script, and how much of the cost is theirs.

    python benchmarks/push_real.py [NODES]

Each node is a machine in namespaces of its own (its own /etc, /run, network, sshd,
WireGuard and nftables), enrolled by `tailgit device enroll`. Two hundred are too heavy
for one computer that plays all of them, so it is 8 unless said otherwise. Timed are
whole commands, from start to exit: the first apply, a plan that finds nothing to do, an
apply of a changed rule. Nothing is bounded here: both sides share the processors, and
what the nodes cost is what benchmarks/push.py leaves out. Needs root.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "controller"))

from tailgit.deploy.hostkey import fingerprint
from tests.deploy.machine import Machine
from tests.deploy.sshd import make_key, public

HERE = Path(__file__).resolve().parents[1]
_TAILNET = """tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
  controller: {outside: true}
tagOwners: {tag:web: []}
"""
_RULES = 'grants:\n  - {{src: [tag:web], dst: [tag:web], ip: ["tcp:{port}"]}}\n'

_INSTALL = """
cat >/etc/machine/timed <<'END'
#!/bin/sh
/usr/local/lib/tailgit/tailgit-node serve
code=$?
times >>/tmp/times
exit $code
END
chmod 755 /etc/machine/timed
home=$(getent passwd tailgit | cut -d: -f6)
sed -i 's#command="[^"]*"#command="/etc/machine/timed"#' "$home/.ssh/authorized_keys"
"""
"""The forced command as it is, but what it took of the processor is written down."""

_TIMES = re.compile(r"(\d+)m([\d.]+)s (\d+)m([\d.]+)s")


class Fleet:
    """Enrolled machines and the repository that declares them."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.repo = folder, folder / "repo"
        self.repo.mkdir()
        self.machines: dict[str, Machine] = {}
        for name in ("controller", "signer"):
            make_key(folder / name)
        for number in range(count):
            self.machines[f"web-{number}"] = Machine(folder / f"m{number}")
        devices = "".join(
            f'  {name}:\n    tags: [tag:web]\n    endpoints: ["203.0.113.{n}:51820"]\n'
            f"    ssh: {{host: 127.0.0.1, port: {machine.port}}}\n"
            for n, (name, machine) in enumerate(self.machines.items(), 1)
        )
        (self.repo / "tailnet.yaml").write_text(_TAILNET)
        (self.repo / "devices.yaml").write_text(f"devices:\n{devices}")
        self.git("init", "-q")
        self.commit(443)
        for name, machine in self.machines.items():
            self.tailgit(
                *(
                    "device",
                    "enroll",
                    name,
                    "--login",
                    f"root@127.0.0.1:{machine.port}",
                ),
                *("--identity", str(machine.admin), "--host-key"),
                fingerprint(public(machine.host)).split()[1],
                *("--controller-key", str(folder / "controller.pub")),
                *("--signer-key", str(folder / "signer.pub")),
            )
            machine.run("sh", "-c", _INSTALL)
        self.commit(443)

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=b", "-c", "user.email=b@b.example"]
        subprocess.run(["git", "-C", str(self.repo), *who, *words], check=True)

    def commit(self, port: int) -> None:
        (self.repo / "rules.yaml").write_text(_RULES.format(port=port))
        self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", f"port {port}")

    def tailgit(self, *words: str) -> None:
        command = [sys.executable, "-m", "tailgit", *words, "--repo", str(self.repo)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")

    def apply(self) -> None:
        keys = [str(self.folder / "controller"), "--signing-key"]
        keys += [str(self.folder / "signer")]
        self.tailgit("apply", "--yes", "--identity", *keys)

    def plan(self) -> None:
        controller = str(self.folder / "controller")
        self.tailgit("plan", "--detailed-exitcode", "--identity", controller)

    def script(self) -> float:
        """CPU of the script and all that it ran, on all machines so far."""
        total = 0.0
        for machine in self.machines.values():
            log = machine.root / "tmp/times"
            lines = log.read_text().splitlines() if log.exists() else []
            for line in lines[1::2]:  # the first of two is the wrapper's own
                found = _TIMES.fullmatch(line)
                assert found, line
                total += 60 * (int(found[1]) + int(found[3]))
                total += float(found[2]) + float(found[4])
        return total

    def close(self) -> None:
        for machine in self.machines.values():
            machine.close()


def children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    if os.geteuid() != 0:
        print("needs root: each node is a machine of its own", file=sys.stderr)
        return 1
    os.environ["PYTHONPATH"] = str(HERE / "controller")
    os.environ.pop("SSH_AUTH_SOCK", None)
    with tempfile.TemporaryDirectory() as name:
        os.environ["HOME"] = name
        fleet = Fleet(Path(name), count)
        try:
            report(fleet, "first apply", fleet.apply)
            report(fleet, "nothing to do", fleet.plan)
            fleet.commit(8443)
            report(fleet, "a changed rule", fleet.apply)
        finally:
            fleet.close()
    return 0


def report(fleet: Fleet, what: str, work: Callable[[], None]) -> None:
    """Time one command, its own CPU and that of the script on the nodes."""
    script, client, start = fleet.script(), children(), time.monotonic()
    work()
    took, count = time.monotonic() - start, len(fleet.machines)
    client, script = children() - client, fleet.script() - script
    share = script / (script + client)
    print(
        f"{what:15} {count / took:6.2f} nodes/s, CPU a host: "
        f"{client / count * 1e3:5.0f} ms here, "
        f"{script / count * 1e3:5.0f} ms of the script ({share:.0%})"
    )


if __name__ == "__main__":
    sys.exit(main())
