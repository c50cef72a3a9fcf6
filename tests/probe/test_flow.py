"""Open flows: they live while nothing is in the way, and their end is noticed."""

from __future__ import annotations

import pytest

from tailgit.errors import TailgitError
from tailgit.lab import Lab
from tailgit.probe import Flow, Probe
from tests.lab.small import A4, B4, B6
from tests.probe.recording import Recording

pytestmark = pytest.mark.live

RULES = """
table inet flows {{
  chain incoming {{ type filter hook prerouting priority 0
    {protocol} dport 7000 drop
  }}
}}
"""


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_one_flow_dies_and_the_others_live_on(lab: Lab, protocol: str) -> None:
    """A drop rule ends the open flow that it names, within its tick, and no other."""
    with (
        Flow.open(lab, Probe("node-a", "node-b", "tcp", B4, 7000)) as tcp,
        Flow.open(lab, Probe("node-a", "node-b", "udp", B6, 7000)) as udp,
    ):
        flows = {"tcp": tcp, "udp": udp}
        for flow in flows.values():
            assert flow.wait(lambda state: state.echoed >= 5, 5).alive(0.5)
        rules = RULES.format(protocol=protocol).encode()
        assert lab.run("node-b", ["nft", "-f", "-"], input=rules).returncode == 0
        dead = flows.pop(protocol).wait(lambda state: state.silence > 1, 5)
        assert not dead.alive()
        assert dead.longest_gap >= dead.silence > 1
        (other,) = flows.values()
        assert other.state().alive(0.5)
        delete = ["nft", "delete", "table", "inet", "flows"]
        assert lab.run("node-b", delete).returncode == 0
        healed = {"tcp": tcp, "udp": udp}[protocol].wait(lambda s: s.alive(0.5), 10)
        assert healed.alive()


def test_a_reset_session_has_ended(lab: Lab) -> None:
    """A TCP session that was cut says so; it is not merely silent."""
    recording = Recording(lab)
    with Flow.open(recording, Probe("node-a", "node-b", "tcp", B4, 7001)) as flow:
        assert flow.wait(lambda state: state.echoed >= 2, 5).alive()
        recording.spawned[0].kill()
        state = flow.wait(lambda state: bool(state.ended), 5)
        assert state.ended
        assert not state.alive()


def test_a_flow_that_cannot_be_opened_says_why(lab: Lab) -> None:
    """Nobody at that address: an error, not a flow that is silent from the start."""
    with (
        pytest.raises(TailgitError, match="node-b can't listen there"),
        Flow.open(lab, Probe("node-a", "node-b", "tcp", A4, 7002)),
    ):
        pass
