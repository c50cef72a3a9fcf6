"""A small tailnet in a lab, and ways to spoil a node's filter on purpose.

A packet test that shows a denial also takes the denying rule out and sees the packet
pass: only then was it that rule.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
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

SENDS_ANYTHING = ("\tchain to_peers {\n", "\tchain to_peers {\n\t\taccept\n")
"""A node that does not judge what it sends: an attacker's, or one without a filter."""

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
  - {src: [alpha], dst: [beta], ip: ["udp:8125"], name: feed}
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
            node,
            f"cat {STATE}/generations/$(cut -d' ' -f1 {STATE}/current)/firewall.nft",
        )

    @contextmanager
    def spoiled(self, node: str, *changes: tuple[str, str]) -> Iterator[None]:
        """The node's table with text replaced, for as long as the block runs.

        The guard is stopped meanwhile: it would mend what is spoiled on purpose.
        """
        right = self.firewall(node)
        wrong = right
        for old, new in changes:
            assert old in wrong, f"{node}'s table has no `{old}`"
            wrong = wrong.replace(old, new)
        self._signal_guard(node, "STOP")
        try:
            self._load(node, wrong)
            yield
        finally:
            self._load(node, right)
            self._signal_guard(node, "CONT")

    def _load(self, node: str, table: str) -> None:
        done = self.lab.run(node, ["nft", "-f", "-"], input=table.encode())
        assert done.returncode == 0, done.stderr.decode()

    def _signal_guard(self, node: str, name: str) -> None:
        script = f"""
            found=
            for each in /proc/[0-9]*; do
                case $(tr '\\0' ' ' <"$each/cmdline" 2>/dev/null) in
                *"tailgit-node guard {NAME} ")
                    # A child of its loop may have ended meanwhile.
                    ! kill -{name} "${{each#/proc/}}" || found=y ;;
                esac
            done
            [ -n "$found" ]
        """
        self.sh(node, script)

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


def small_network(
    folder: Path,
    say: Callable[[str], None],
    files: Mapping[str, str] = FILES,
    called: str = NAME,
) -> Network:
    """Build the lab, enroll its machines and apply; the caller takes the lab down."""
    for name, text in files.items():
        (folder / name).write_text(text)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "Go"]):
        subprocess.run(["git", "-C", str(folder), *identity, *words], check=True)
    tailnet = load(folder).tailnet
    assert tailnet is not None
    name = f"{called}-{os.getpid()}"  # another run may be under way on this machine
    lab = Lab.up(topology_of(tailnet, name), repo=folder, progress=say)
    try:
        clone = populate(lab, folder, say)
    except BaseException:
        lab.down()
        raise
    return Network(lab, tailnet, clone)
