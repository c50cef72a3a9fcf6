"""The demo: from an empty git repository to packets, and through a change of policy.

    make demo [JSON=FILE]

Builds the tailnet of examples/acme on this machine, each device a machine of its own
with its own network and sshd, and does with it what its owner would do: enroll,
commit, plan, apply. What the policy promises is then tried with packets, before and
after a change, also on connections that are open while access is taken away. Exit 0
only if every expectation is met. Nothing outside its namespaces and one temporary
folder is touched, and nothing is left.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from tailgit.errors import TailgitError
from tailgit.lab import CONTROLLER, Lab, topology_of
from tailgit.lab.furnish import ADMIN_KEY, HOME
from tailgit.load import load
from tailgit.model.tailnet import Tailnet
from tailgit.probe.flow import Flow
from tailgit.probe.probes import Probe, Protocol, Result
from tailgit.probe.verify import Verdict, expectations, verify

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "acme"
PATIENCE = 10.0

# What the second commit changes: Ana leaves the data team, Ben joins it, and the
# website no longer sends metrics to the database.
CHANGES = (
    (
        "people.yaml",
        "group:data-team: [ana@acme.com]",
        "group:data-team: [ben@acme.com]",
    ),
    ("policy.yaml", 'ip: ["tcp:5432", "udp:8125"]', 'ip: ["tcp:5432"]'),
    (
        "policy.yaml",
        '{src: ana@acme.com, proto: tcp, accept: ["db-1:5432"]}',
        '{src: ana@acme.com, proto: tcp, deny: ["db-1:5432"]}',
    ),
    (
        "policy.yaml",
        '{src: ben@acme.com, proto: tcp, deny: ["db-1:5432", "ana-desk:22"]}',
        '{src: ben@acme.com, proto: tcp, accept: ["db-1:5432"], deny: ["ana-desk:22"]}',
    ),
    (
        "policy.yaml",
        'proto: udp, accept: ["db-1:8125"], deny: ["db-1:5432"]',
        'proto: udp, deny: ["db-1:8125", "db-1:5432"]',
    ),
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that must hold, and whether it did."""

    stage: str
    what: str
    met: bool
    seen: str = ""


class Way(NamedTuple):
    """A flow as a packet sees it."""

    src: str
    dst: str
    protocol: str
    port: int
    family: int


class Demo:
    """A lab, a repository, and what was expected of them so far."""

    def __init__(self, lab: Lab, repo: Path) -> None:
        self.lab = lab
        self.repo = repo
        self.met: list[Expectation] = []

    def expect(self, stage: str, what: str, met: bool, seen: str = "") -> None:
        self.met.append(Expectation(stage, what, met, seen))
        if not met:
            say(f"  NOT MET: {what}: {seen}")

    def tailgit(self, *words: str, shown: Sequence[str] | None = None) -> str:
        """Run a command on the controller, as its owner would type it there."""
        say(f"\n$ tailgit {' '.join(shown if shown is not None else words)}")
        argv = [self.lab.python, "-m", "tailgit", *words]
        done = self.lab.run(CONTROLLER, argv, timeout=300)
        out = done.stdout.decode()
        say(out.rstrip())
        if done.returncode != 0:
            raise TailgitError(
                f"tailgit {words[0]} exited {done.returncode}: "
                f"{done.stderr.decode().strip()}"
            )
        return out

    def git(self, *words: str, quiet: bool = False) -> None:
        if not quiet:
            say(f"\n$ git {' '.join(_quoted(word) for word in words)}")
        identity = ["-c", "user.name=Ana Lima", "-c", "user.email=ana@acme.com"]
        identity += ["-c", "commit.gpgsign=false"]
        subprocess.run(
            ["git", *identity, *words],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.repo,
        )

    def tailnet(self) -> Tailnet:
        loaded = load(self.repo, "HEAD")
        if loaded.tailnet is None:
            raise TailgitError(f"the example is not valid: {loaded.findings}")
        return loaded.tailnet

    def make_key(self) -> None:
        """The owner's SSH key: it logs in as the controller, and it signs."""
        say("\n$ ssh-keygen -t ed25519 -f ~/.ssh/id_ed25519")
        make = f'mkdir -p -m 700 {HOME}/.ssh; exec ssh-keygen -q -t ed25519 -N "" -f'
        done = self.lab.run(CONTROLLER, ["sh", "-c", f"{make} {HOME}/.ssh/id_ed25519"])
        if done.returncode != 0:
            raise TailgitError(f"no key: {done.stderr.decode().strip()}")

    def enroll(self) -> None:
        self.make_key()
        for node in self.lab.nodes:
            host = self.lab.addresses(node)[0]
            words = ["device", "enroll", node, "--login", f"root@{host}"]
            secret = ["--identity", str(ADMIN_KEY), "--yes"]
            secret += ["--controller-key", f"{HOME}/.ssh/id_ed25519.pub"]
            secret += ["--host-key", self.lab.fingerprint(node)]
            self.tailgit(*words, *secret, shown=words)

    def prove(self, stage: str) -> None:
        """Every entry of the policy's tests, as packets in both address families."""
        verdicts = verify(self.lab, expectations(self.tailnet()))
        passed, stopped = _judged(verdicts)
        for verdict in verdicts:
            notes = "; ".join(verdict.notes)
            self.expect(stage, str(verdict.expectation), verdict.met is True, notes)
        say(f"\npackets {stage} the change, by IPv4 and IPv6 alike:")
        for line in _table(passed, stopped):
            say(f"  {line}")
        say(f"  {len(passed)} flows passed, {len(stopped)} were stopped")
        for name, flows in (("passed", passed), ("stopped", stopped)):
            self.expect(stage, f"at least 12 flows {name}", len(flows) >= 12)

    def change(self) -> None:
        for name, old, new in CHANGES:
            file = self.repo / name
            text = file.read_text()
            if text.count(old) != 1:
                raise TailgitError(f"{name} does not hold `{old}` once")
            file.write_text(text.replace(old, new))

    def apply(self) -> None:
        self.tailgit("plan")
        self.tailgit("apply", "--yes")

    @contextmanager
    def flows(self) -> Iterator[tuple[list[Flow], list[Flow]]]:
        """Open connections: those that the change ends, and those it must not."""
        with ExitStack() as stack:

            def opened(src: str, dst: str, protocol: Protocol, port: int) -> Flow:
                address = self.tailnet().devices[dst].ipv4
                probe = Probe(src, dst, protocol, address, port)
                flow = stack.enter_context(Flow.open(self.lab, probe))
                state = flow.wait(lambda s: s.alive(), PATIENCE)
                self.expect("open", f"{probe} is open", state.alive())
                return flow

            ends = [opened("ana-desk", "db-1", "tcp", 5432)]
            ends.append(opened("web-1", "db-1", "udp", 8125))
            stays = [opened("ben-desk", "db-1", "tcp", 22)]
            stays.append(opened("ana-desk", "web-1", "tcp", 443))
            yield ends, stays

    def judge_flows(self, ends: list[Flow], stays: list[Flow]) -> None:
        say("\nconnections that were open when access changed:")
        for flow in ends:
            state = flow.wait(lambda s: not s.alive(1.5), PATIENCE)
            seen = f"silent for {state.silence:.1f} s"
            met = not state.alive(1.5)
            self.expect("revoked", f"{flow.probe} is dead", met, seen)
            say(f"  {flow.probe}: {'dead' if met else 'still ALIVE'}")
        for flow in stays:
            state = flow.state()
            seen = f"longest gap {state.longest_gap:.1f} s"
            met = state.alive(1.5) and state.longest_gap < 3
            self.expect("kept", f"{flow.probe} goes on", met, seen)
            say(f"  {flow.probe}: {'goes on' if met else 'BROKEN, ' + seen}")


def main() -> int:
    parser = argparse.ArgumentParser(description="The demo of tailgit.")
    parser.add_argument("--json", type=Path, help="write the result as data, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailgit-demo-") as folder:
        repo = Path(folder) / "acme"
        repo.mkdir()
        for file in sorted(EXAMPLE.glob("*.yaml")):
            (repo / file.name).write_bytes(file.read_bytes())
        home = Path.cwd()
        try:
            demo = run(repo)
        finally:
            os.chdir(home)
    met = sum(each.met for each in demo.met)
    if options.json:
        document = {
            "format_version": 1,
            "expectations": len(demo.met),
            "met": met,
            "checked": [asdict(each) for each in demo.met],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    say(f"\ndemo: {met} of {len(demo.met)} expectations met")
    return 0 if demo.met and met == len(demo.met) else 1


def run(repo: Path) -> Demo:
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    tailnet = load(repo).tailnet
    if tailnet is None:
        raise TailgitError("examples/acme is not valid")
    name = f"demo-{os.getpid()}"
    os.chdir(repo)  # where the commands below are typed
    say(f"{len(tailnet.devices)} machines on this computer, a small Internet between")
    with Lab.up(topology_of(tailnet, name), repo=repo) as lab:
        demo = Demo(lab, repo)
        demo.git("add", "-A", quiet=True)
        demo.git("commit", "-m", "Start", quiet=True)
        demo.enroll()
        demo.git("commit", "-am", "Enroll the machines")
        demo.apply()
        demo.prove("before")
        with demo.flows() as (ends, stays):
            demo.change()
            demo.git("commit", "-am", "Ben takes over the data")
            demo.apply()
            demo.judge_flows(ends, stays)
        demo.prove("after")
        again = demo.tailgit("apply", "--yes")
        idle = f"{len(tailnet.devices)} unchanged."
        demo.expect("again", "a second apply changes nothing", idle in again, again)
    return demo


def _judged(verdicts: Sequence[Verdict]) -> tuple[set[Way], set[Way]]:
    """The flows that packets took, and those that they could not take."""
    passed: set[Way] = set()
    stopped: set[Way] = set()
    for verdict in verdicts:
        for outcome in verdict.outcomes:
            probe = outcome.probe
            way = Way(
                probe.src, probe.dst, probe.protocol, probe.port, probe.address.version
            )
            if verdict.expectation.accept and outcome.result is Result.PASSED:
                passed.add(way)
            elif not verdict.expectation.accept and not outcome.reached:
                stopped.add(way)
    return passed, stopped


def _table(passed: set[Way], stopped: set[Way]) -> Iterator[str]:
    """A line for each pair of machines: what passed, what was stopped."""
    for src, dst in sorted({(way.src, way.dst) for way in passed | stopped}):
        line = f"{src:8} -> {dst:8}"
        for word, ways in (("passes", passed), ("stopped", stopped)):
            ports: dict[str, set[int]] = {}
            for way in ways:
                if (way.src, way.dst) == (src, dst):
                    ports.setdefault(way.protocol, set()).add(way.port)
            listed = (
                f"{protocol} {','.join(map(str, sorted(ports[protocol])))}"
                for protocol in sorted(ports)
            )
            if ports:
                line += f"  {word} {' '.join(listed)}"
        yield line


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TailgitError as problem:
        print(f"demo: {problem.message}\n{problem.help}", file=sys.stderr)
        sys.exit(problem.exit)
