"""A TCP stream between two nodes over 20 applies that change other peers.

    scripts/as-root bench .venv/bin/python benchmarks/stream.py

In a lab of three nodes two of them keep a connection with fifty messages a second, each
echoed, while the third comes and goes as a peer of one of them. The same stream runs as
long without applies. Three rounds, one beside the other: what counts is that no
connection is lost, and how much longer the longest gap is.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tailgit.lab import CONTROLLER
from tailgit.probe.flow import Flow, FlowState
from tailgit.probe.probes import Probe
from tests.live.network import Network, small_network

APPLIES = 20
ROUNDS = 3
MOST = 1.0
"""Seconds that the longest gap may be longer than without applies."""


def apply(network: Network, number: int) -> None:
    """Commit that gamma is, or is not, a peer of alpha; bring it to the nodes."""
    lines, out = "/tcp:22\\|tcp:631/", "s/^  - /  #- /"
    words = out if number % 2 == 0 else "s/^  #- /  - /"
    hide = f"sed -i '{lines}{words}' policy.yaml"
    identity = "-c user.name=Bench -c user.email=bench@example.com"
    network.sh(
        CONTROLLER, f"cd {network.repo}; {hide}; git {identity} commit -qam Toggle"
    )
    argv = [network.lab.python, "-m", "tailgit", "apply", "--yes"]
    done = network.lab.run(
        CONTROLLER, [*argv, "--repo", str(network.repo)], timeout=120
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())


def stream(network: Network, applies: int, seconds: float) -> tuple[FlowState, float]:
    """The flow after `applies`, or after `seconds` without any; and how long it was."""
    alpha, beta = (network.tailnet.devices[name] for name in ("alpha", "beta"))
    probe = Probe("alpha", "beta", "tcp", beta.ipv4, 8080, alpha.ipv4)
    with Flow.open(network.lab, probe, interval=0.02) as flow:
        flow.wait(lambda state: state.echoed > 10, 10)
        started = time.monotonic()
        for number in range(applies):
            apply(network, number)
        took = time.monotonic() - started
        time.sleep(max(0.0, seconds - took))
        return flow.wait(lambda state: state.silence < 0.2, 5), took


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tailgit-bench-") as folder:
        network = small_network(Path(folder), lambda _: None)
        try:
            longer = []
            for round_ in range(1, ROUNDS + 1):
                busy, took = stream(network, APPLIES, 0.0)
                calm, _ = stream(network, 0, took)
                ended = busy.ended or calm.ended
                longer.append(busy.longest_gap - calm.longest_gap)
                gaps = (round(each.longest_gap * 1000) for each in (busy, calm))
                said = (
                    "round {}: {} applies in {:.0f} s, longest gap {} ms; without {} ms"
                )
                print(said.format(round_, APPLIES, took, *gaps), ended, flush=True)
                if ended:
                    return 1
        finally:
            network.lab.down()
    middle = statistics.median(longer)
    print(f"median: {middle * 1000:+.0f} ms against the same stream without applies")
    return 0 if middle <= MOST else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        sys.exit(f"too slow: {error}")
