"""Another service empties the firewall: how long may a denied packet pass?

Debian's nftables.service flushes the whole ruleset when it is stopped, restarted or
reloaded. docs/node-protocol.md says what is promised: with the monitor some
milliseconds, by the look once a second at the latest.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from tests.node.nodes import wait
from tests.node.parcel import Signer
from tests.systemd.conftest import Pair, made
from tests.systemd.test_boot import UNIT, runs

pytestmark = pytest.mark.live

INTERVAL = 1.0
"""Seconds between the guard's looks."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Iterator[Pair]:
    """One for all of them: each leaves it as it was."""
    with made(tmp_path_factory.mktemp("firewalls") / "machine", signer) as pair:
        pair.machine.wait_active(UNIT)
        yield pair


FLUSHES = {
    "systemctl restart nftables": "systemctl start nftables",
    "systemctl reload nftables": "systemctl start nftables",
    "systemctl stop nftables": "systemctl start nftables",
    "systemctl start nftables": "systemctl stop nftables",
    "nft flush ruleset": "true",
    "nft delete table inet tailgit_acme": "true",
}
"""What is measured, and what must have been done before for it to do something."""

ROUNDS = 3


def test_nothing_denied_arrives_while_the_filter_is_there(pair: Pair) -> None:
    """The measuring works only if nothing arrives without a flush."""
    arrived = pair.peer.arrived(pair.machine, lambda: None, seconds=1)
    assert len(arrived.allowed) > 100
    assert arrived.denied == []


@pytest.mark.parametrize("command", list(FLUSHES))
def test_a_flush_leaks_no_longer_than_the_interval(
    pair: Pair, command: str, record_property: pytest.RecordProperty
) -> None:
    """The table is back before the interval is over, and the network goes on."""
    leaks = []
    for _ in range(ROUNDS):
        pair.machine.sh(FLUSHES[command])
        wait(lambda: runs(pair.machine))
        arrived = pair.peer.arrived(
            pair.machine, lambda: pair.machine.sh(command), seconds=1.7
        )
        leaks.append(arrived.leak)
        assert arrived.denied, "it emptied nothing"
        assert arrived.leak < (INTERVAL + 0.5) * 1000, leaks
        assert arrived.allowed[-1] - arrived.allowed[0] > 1.5
    record_property(f"{command}: milliseconds", str(leaks))
    print(f"{command}: denied datagrams passed for {leaks} ms")
    wait(lambda: runs(pair.machine))


def test_without_the_guard_it_would_leak_for_ever(pair: Pair) -> None:
    """The same with the guard held up: denied datagrams keep arriving."""
    pair.machine.run("systemctl", "kill", "--signal=STOP", UNIT)
    try:
        arrived = pair.peer.arrived(
            pair.machine, lambda: pair.machine.sh("nft flush ruleset"), seconds=3
        )
    finally:
        pair.machine.run("systemctl", "kill", "--signal=CONT", UNIT)
    assert arrived.leak > (INTERVAL + 0.5) * 1000
    wait(lambda: runs(pair.machine))


def test_a_guard_that_is_killed_comes_back_and_closes_the_leak(
    pair: Pair, record_property: pytest.RecordProperty
) -> None:
    """Killed with -9 and the ruleset flushed at once: systemd starts it a second later
    and it loads the table. Interface and WireGuard's process were never touched."""
    machine = pair.machine
    guard = machine.property(UNIT, "MainPID")
    tunnel = machine.property("wireguard-tg-acme", "MainPID")
    index = machine.sh("cat /sys/class/net/tg-acme/ifindex")
    restarts = int(machine.property(UNIT, "NRestarts"))

    def kill() -> None:
        machine.sh(f"kill -9 {guard}; nft flush ruleset")
        wait(lambda: machine.property(UNIT, "MainPID") not in ("0", guard))
        machine.wait_active(UNIT)

    arrived = pair.peer.arrived(machine, kill, seconds=2.5)
    record_property("killed guard and flush: milliseconds", str(arrived.leak))
    print(f"killed guard and flush: denied datagrams passed for {arrived.leak} ms")
    assert 0 < arrived.leak < 3000
    assert int(machine.property(UNIT, "NRestarts")) == restarts + 1
    assert machine.property("wireguard-tg-acme", "MainPID") == tunnel
    assert machine.sh("cat /sys/class/net/tg-acme/ifindex") == index
    wait(lambda: runs(machine))


@pytest.mark.skipif(
    shutil.which("firewall-cmd") is None, reason="firewalld is not installed here"
)
def test_firewalld_reloads_beside_it(pair: Pair) -> None:
    """Its start, its reload and its stop let no denied datagram pass for longer."""
    machine = pair.machine
    for command in (
        "systemctl start firewalld",
        "firewall-cmd --reload",
        "systemctl stop firewalld",
    ):
        started = time.monotonic()
        arrived = pair.peer.arrived(machine, lambda c=command: machine.sh(c))
        took = time.monotonic() - started
        print(f"{command}: {arrived.leak} ms, {took:.1f} s")
        assert arrived.leak < (INTERVAL + 0.5) * 1000
        wait(lambda: runs(machine))
