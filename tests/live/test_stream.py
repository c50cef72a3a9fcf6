"""An open TCP connection while applies change other peers: it never notices."""

from __future__ import annotations

import pytest

from tailgit.probe.flow import Flow
from tailgit.probe.probes import Probe
from tests.live.test_apply import commit, tailgit

pytestmark = pytest.mark.live

APPLIES = 4


def test_a_stream_outlives_applies_that_change_other_peers(network):
    """alpha and beta keep talking while gamma comes and goes as a peer of both;
    benchmarks/stream.py measures the gaps."""
    alpha, beta = (network.tailnet.devices[name] for name in ("alpha", "beta"))
    probe = Probe("alpha", "beta", "tcp", beta.ipv4, 8080, alpha.ipv4)
    with Flow.open(network.lab, probe, interval=0.02) as flow:
        assert flow.wait(lambda s: s.echoed > 10, 10).alive()
        for _ in range(APPLIES // 2):
            commit(network, "sed -i '/tcp:22\"/d' policy.yaml")
            assert "applied" in tailgit(network, "apply", "--yes")[0]
            commit(network, "git show HEAD~1:policy.yaml >policy.yaml")
            assert "applied" in tailgit(network, "apply", "--yes")[0]
        state = flow.wait(lambda s: s.silence < 0.2, 5)
        assert state.ended == ""
        assert state.alive()
        assert state.longest_gap < 5, "one lost segment costs 0.2 s, not this"
