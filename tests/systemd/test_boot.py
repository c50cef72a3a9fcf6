"""enroll under a real systemd, and what a reboot of it starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.node.nodes import wait
from tests.node.parcel import INTERFACE, Signer
from tests.systemd.conftest import Pair
from tests.systemd.machine import NAME, Machine, why_not
from tests.systemd.order import Order, always_filtered
from tests.systemd.peer import Flood

pytestmark = pytest.mark.live

UNIT = f"tailgit@{NAME}.service"
PARTS = ("filter", "peers", "addresses", "routes", "names", "guard")


def runs(machine: Machine) -> bool:
    seen = machine.observe()
    return seen["interface"] == "up" and all(seen[part] == "ok" for part in PARTS)


def test_systemd_has_nothing_to_say_about_the_unit(pair: Pair) -> None:
    """enroll leaves an enabled unit that systemd's own check takes without a word."""
    machine = pair.machine
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    done = subprocess.run(
        machine.enter("systemd-analyze", "verify", UNIT), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wait(lambda: machine.property(UNIT, "ActiveState") == "active")


def test_enrolled_and_empty_it_boots_in_order(tmp_path: Path, signer: Signer) -> None:
    """A node that nothing was applied to reboots without a failed unit."""
    if reason := why_not():
        pytest.skip(reason)
    machine = Machine(tmp_path / "machine", signer)
    try:
        machine.power_on()
        machine.wait_until_up()
        machine.enroll()
        machine.reboot()
        machine.wait_until_up()
        assert machine.property(UNIT, "Result") == "success"
        assert machine.observe()["interface"] == "absent"
    finally:
        machine.close()


@pytest.mark.parametrize("how", ["reboot", "power cut"])
def test_a_reboot_starts_what_was_confirmed(pair: Pair, how: str) -> None:
    """The confirmed generation runs after it and what was pending is given up; a peer
    that floods all the while gets no denied datagram through, and the interface is
    never up without the table, on the way down either."""
    machine, peer = pair.machine, pair.peer
    machine.wait_active(UNIT)
    number = machine.stage(pair.parcel(height=2))
    answer = machine.activate(number)
    assert answer["result"] == "ok", answer.fields
    down = Order(machine)
    floods: list[Flood] = []
    orders: list[Order] = []

    def listen(started: Machine) -> None:
        floods.append(Flood(started))
        orders.append(Order(started))

    with peer.sending():
        listen(machine)
        if how == "reboot":
            machine.reboot(peer.cable, listen)
        else:
            machine.cut_power()
            machine.power_on(peer.cable, listen)
        machine.wait_until_up()
        machine.wait_active(UNIT)
        wait(lambda: runs(machine), 20)
        wait(lambda: machine.sh("wg show all latest-handshakes").split()[-1] != "0")
        machine.sh("sleep 1")
        arrived = [flood.stop() for flood in floods]
    before, after = arrived
    assert before.allowed
    assert after.allowed
    assert before.denied == after.denied == []
    assert (machine.number("current"), machine.number("pending")) == ("1", "none")
    assert machine.number("rolledback") == "2"
    going, coming = down.heard(), orders[-1].heard()
    print(how, going, coming)
    if how == "reboot":
        assert going[0] == "down"
    assert always_filtered(going, running=True), going
    assert always_filtered(coming), coming
    assert coming[-1] == "up"
    assert INTERFACE in machine.sh("ip -br link")
