"""A small tailnet in a lab, and ways to spoil a node's filter on purpose.

A packet test that shows a denial also takes the denying rule out and sees the packet
pass: only then was it that rule.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tailgit.lab import Lab, topology_of
from tailgit.lab.populate import populate
from tailgit.load import load
from tailgit.model.tailnet import Tailnet
from tailgit.probe.probes import Outcome, Probe, Result, listening

NAME = "small"
TABLE = "inet tailgit_small"
STATE = f"/var/lib/tailgit/{NAME}"

FILES = {
    "tailnet.yaml": """\
tailnet:
  format: 1
  name: small
  domain: small.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
""",
    "devices.yaml": """\
devices:
  alpha: {tags: [tag:a], endpoints: ["203.0.113.1:51820"]}
  beta: {tags: [tag:b], endpoints: ["203.0.113.2:51820"]}
  gamma:
    tags: [tag:router]
    endpoints: ["203.0.113.3:51820"]
    routes: [10.20.0.0/16, fd00:20::/64]
""",
    "policy.yaml": """\
tagOwners: {tag:a: [], tag:b: [], tag:router: []}
autoApprovers:
  routes: {10.20.0.0/16: [tag:router], fd00:20::/64: [tag:router]}
grants:
  - {src: [alpha], dst: [beta], ip: ["tcp:8080"]}
  - {src: [alpha], dst: [gamma], ip: ["tcp:22"]}
  - {src: ["10.20.0.0/16", "fd00:20::/64"], dst: [beta], ip: ["tcp:9000"]}
  - {src: [alpha], dst: ["10.20.0.9", "fd00:20::9"], ip: ["tcp:631"]}
tests:
  - {src: alpha, proto: tcp, accept: ["beta:8080"], deny: ["beta:22"]}
""",
}


@dataclass(frozen=True, slots=True)
class Network:
    """A lab whose nodes run the confirmed configuration of `tailnet`."""

    lab: Lab
    tailnet: Tailnet
    repo: Path
    """The lab's clone, as the controller sees it."""

    def sh(self, machine: str, script: str, *, timeout: float = 60) -> str:
        """A shell script on a machine; it must succeed. Returns what it prints."""
        done = self.lab.run(machine, ["sh", "-euc", script], timeout=timeout)
        assert done.returncode == 0, f"{machine}: {done.stderr.decode()}"
        return done.stdout.decode()

    def firewall(self, node: str) -> str:
        """The compiled table of the node's confirmed generation."""
        return self.sh(
            node, f"cat {STATE}/generations/$(cat {STATE}/current)/firewall.nft"
        )

    @contextmanager
    def spoiled(self, node: str, *changes: tuple[str, str]) -> Iterator[None]:
        """The node's table with text replaced, for as long as the block runs.

        The script's own kernel lock is held meanwhile, so that the guard does not
        mend what is spoiled on purpose.
        """
        right = self.firewall(node)
        wrong = right
        for old, new in changes:
            assert old in wrong, f"{node}'s table has no `{old}`"
            wrong = wrong.replace(old, new)
        for name, text in (("right", right), ("wrong", wrong)):
            self.lab.run(node, ["tee", f"/tmp/{name}.nft"], input=text.encode())
        script = "nft -f /tmp/wrong.nft && echo ready && cat; nft -f /tmp/right.nft"
        argv = ["flock", f"/run/tailgit/{NAME}/lock", "sh", "-c", script]
        with self.lab.spawn(node, argv, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == b"ready\n", process.communicate()[1]
            try:
                yield
            finally:
                process.stdin.close()
                process.wait(10)

    def probe(self, *probes: Probe, limit: float = 1.5) -> tuple[Outcome, ...]:
        """Send all probes at once, each to a listener that was proven alive."""
        with listening(self.lab, probes) as listeners:
            return tuple(listeners.send(probes, limit=limit))

    def passes(self, *probes: Probe) -> bool:
        """Whether all of the probes pass; they must not differ."""
        outcomes = self.probe(*probes, limit=6.0)
        results = {outcome.result for outcome in outcomes}
        assert Result.ERROR not in results, outcomes
        assert len(results) == 1, outcomes
        return results == {Result.PASSED}


def small_network(folder: Path, say: Callable[[str], None]) -> Network:
    """Build the lab, enroll its machines and apply; the caller takes the lab down."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "Go"]):
        subprocess.run(["git", "-C", str(folder), *identity, *words], check=True)
    tailnet = load(folder).tailnet
    assert tailnet is not None
    name = f"{NAME}-{os.getpid()}"  # another run may be under way on this machine
    lab = Lab.up(topology_of(tailnet, name), repo=folder, progress=say)
    try:
        clone = populate(lab, folder, say)
    except BaseException:
        lab.down()
        raise
    return Network(lab, tailnet, clone)
