"""What ends at a time, in packets: by the filter at once, by the guard soon after."""

from __future__ import annotations

import time

import pytest

from tests.node.nodes import wait
from tests.node.parcel import INTERFACE
from tests.systemd.conftest import Pair, stamp
from tests.systemd.peer import Flood
from tests.systemd.test_boot import UNIT, runs

pytestmark = pytest.mark.live

RULE = "    ip saddr @src1 meta l4proto"


def timed(pair: Pair, until: int) -> dict[str, str]:
    """The bundle in which the peer, and the rule that lets it in, end then."""
    files = pair.peer.files()
    table = files["firewall.nft"]
    assert table.count(RULE) == 1
    table = table.replace(RULE, f"    meta time < {until} {RULE.strip()}")
    deadlines = f"{until} peer {pair.peer.public}\n"
    return {**files, "firewall.nft": table, "deadlines": deadlines}


def is_peer(pair: Pair) -> bool:
    return pair.peer.public in pair.machine.sh(f"wg show {INTERFACE} peers")


@pytest.mark.parametrize("guard", ["guarded", "held up"])
def test_packets_end_with_the_deadline(pair: Pair, guard: str) -> None:
    """The last packet passes before the deadline, also without any guard; with it the
    peer is gone from WireGuard within two seconds more."""
    machine = pair.machine
    machine.wait_active(UNIT)
    until = int(time.time()) + 10
    pair.apply(pair.parcel(height=2, files=timed(pair, until)))
    if guard == "held up":
        machine.run("systemctl", "kill", "--signal=STOP", UNIT)
    try:
        flood = Flood(machine)
        with pair.peer.sending():
            time.sleep(max(0, until - time.time() - 1))
            assert is_peer(pair)
            if guard == "guarded":
                wait(lambda: not is_peer(pair), 5)
                gone = time.time() - until
                print(f"the peer was taken out {gone:.2f} s after its deadline")
                assert gone < 2
            time.sleep(max(0, until + 2 - time.time()))
            arrived = flood.stop()
            clocks = time.time() - time.monotonic()
    finally:
        machine.run("systemctl", "kill", "--signal=CONT", UNIT)
    last = arrived.allowed[-1] + clocks - until
    print(f"the last packet arrived {last * 1000:.0f} ms after the deadline")
    assert -0.5 < last < 0.05
    wait(lambda: not is_peer(pair) and runs(machine))


def test_with_a_clock_that_is_behind_no_timed_rule_lets_in(pair: Pair) -> None:
    """Signed in what the node takes for tomorrow: nothing that ends is open, although
    its time, by the node's clock, is two days away."""
    machine = pair.machine
    machine.wait_active(UNIT)
    tomorrow = time.time() + 86_400
    files = timed(pair, int(tomorrow) + 86_400)
    pair.apply(pair.parcel(height=2, files=files, at=stamp(tomorrow)))
    assert machine.observe()["clock"] == "behind"
    assert not is_peer(pair)
    assert pair.peer.arrived(machine, lambda: None).allowed == []
