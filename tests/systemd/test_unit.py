"""`systemctl restart` and `systemctl stop` of a tailnet."""

from __future__ import annotations

import pytest

from tests.node.nodes import wait
from tests.node.parcel import INTERFACE
from tests.systemd.conftest import Pair
from tests.systemd.test_boot import UNIT, runs

pytestmark = pytest.mark.live

TUNNEL = f"wireguard-{INTERFACE}.service"


def test_a_restart_of_the_unit_brings_the_network_back(pair: Pair) -> None:
    """What was confirmed runs again in seconds and no denied datagram got through,
    although the interface was gone in between and is another."""
    machine = pair.machine
    machine.wait_active(UNIT)
    before = machine.property(TUNNEL, "MainPID")

    def restart() -> None:
        machine.run("systemctl", "restart", UNIT)
        wait(lambda: runs(machine), 20)

    arrived = pair.peer.arrived(machine, restart, seconds=3)
    gaps = [
        later - sooner
        for sooner, later in zip(arrived.allowed, arrived.allowed[1:], strict=False)
    ]
    print(f"restart of the unit: nothing passed for {max(gaps):.1f} s")
    assert arrived.denied == []
    assert arrived.allowed[-1] - arrived.allowed[0] > max(gaps) + 1
    assert machine.property(UNIT, "NRestarts") == "0"
    assert machine.property(TUNNEL, "MainPID") not in ("0", before)


def test_stopped_nothing_of_it_is_left(pair: Pair) -> None:
    """Interface, table, names, timer and wireguard-go go; the keys stay, and `start`
    has it all again."""
    machine = pair.machine
    machine.wait_active(UNIT)
    machine.run("systemctl", "stop", UNIT)
    assert INTERFACE not in machine.sh("ip -br link")
    assert machine.sh("nft list tables").strip() == ""
    assert "tailgit" not in machine.sh("cat /etc/hosts")
    assert machine.property(UNIT, "ActiveState") == "inactive"
    wait(lambda: machine.property(TUNNEL, "LoadState") == "not-found")
    machine.run("systemctl", "start", UNIT)
    wait(lambda: runs(machine))


def test_stopped_while_something_is_pending_it_is_given_up(pair: Pair) -> None:
    """What nobody confirmed does not come back with a start."""
    machine = pair.machine
    machine.wait_active(UNIT)
    number = machine.stage(pair.parcel(height=2))
    assert machine.activate(number)["result"] == "ok"
    machine.run("systemctl", "restart", UNIT)
    wait(lambda: runs(machine))
    assert machine.observe()["live"] == "1"
    assert machine.number("rolledback") == number
