"""Probes over a plain underlay: each result seen, and none believed without proof."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tailgit.lab import CONTROLLER, Lab
from tailgit.probe import Outcome, Probe, Result, listening, send
from tailgit.probe.probes import Protocol
from tests.lab.small import A4, B4, B6
from tests.probe.recording import Recording

pytestmark = pytest.mark.live

RULES = b"""
table inet probed {
  chain incoming {
    type filter hook prerouting priority 0
    iif lo accept
    meta l4proto { tcp, udp } th dport 5001 drop
    tcp dport 5002 reject with tcp reset
    udp dport 5002 reject
    meta l4proto { tcp, udp } th dport 5003 reject with icmpx type admin-prohibited
    ip saddr 203.0.113.10 icmp type echo-request drop
    ip6 saddr 2001:db8:1::10 icmpv6 type echo-request reject
  }
  chain outgoing {
    type filter hook output priority 0
    oif != lo udp sport 5004 drop
  }
}
"""


@pytest.fixture(scope="module", autouse=True)
def rules(lab: Lab) -> Iterator[None]:
    done = lab.run("node-b", ["nft", "-f", "-"], input=RULES)
    assert done.returncode == 0, done.stderr.decode()
    yield
    lab.run("node-b", ["nft", "delete", "table", "inet", "probed"])


@pytest.fixture(scope="module")
def results(lab: Lab) -> dict[tuple[str, int, int], Outcome]:
    """(protocol, IP version, port) -> what became of it, all sent at once."""
    protocols: tuple[Protocol, ...] = ("tcp", "udp")
    probes = [
        Probe("node-a", "node-b", protocol, address, port)
        for protocol in protocols
        for address in (B4, B6)
        for port in (5000, 5001, 5002, 5003, 5004)
    ]
    probes += [Probe("node-a", "node-b", "icmp", address) for address in (B4, B6)]
    return {
        (o.probe.protocol, o.probe.address.version, o.probe.port): o
        for o in send(lab, probes)
    }


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("port", "result"),
    [
        (5000, Result.PASSED),
        (5001, Result.BLOCKED),
        (5002, Result.REFUSED),
        (5003, Result.REFUSED),
    ],
)
def test_pass_drop_and_reject_are_told_apart(
    results: dict[tuple[str, int, int], Outcome],
    protocol: str,
    version: int,
    port: int,
    result: Result,
) -> None:
    """No rule, drop, RST or port unreachable, administratively prohibited."""
    assert results[protocol, version, port].result is result


@pytest.mark.parametrize("version", [4, 6])
def test_one_way_is_noticed(
    results: dict[tuple[str, int, int], Outcome], version: int
) -> None:
    """A datagram that arrives and whose answer is dropped is blocked, yet arrived."""
    outcome = results["udp", version, 5004]
    assert (outcome.result, outcome.arrived) == (Result.BLOCKED, True)
    assert outcome.reached
    dropped = results["udp", version, 5001]
    assert (dropped.arrived, dropped.reached) == (False, False)


def test_ping_passes_is_dropped_and_is_refused(
    lab: Lab, results: dict[tuple[str, int, int], Outcome]
) -> None:
    """One echo request each: answered, dropped (IPv4), rejected (IPv6)."""
    assert results["icmp", 4, 0].result is Result.BLOCKED
    assert results["icmp", 6, 0].result is Result.REFUSED
    outcomes = send(lab, [Probe(CONTROLLER, "node-b", "icmp", a) for a in (B4, B6)])
    assert [o.result for o in outcomes] == [Result.PASSED, Result.PASSED]


def test_a_taken_port_is_no_verdict(lab: Lab) -> None:
    """Where something else listens nothing is proven, whatever answers."""
    (outcome,) = send(lab, [Probe("node-a", "node-b", "tcp", B4, 22)])
    assert outcome.result is Result.ERROR
    assert outcome.detail == "node-b can't listen there: Address already in use"


def test_an_address_that_the_destination_lacks_is_no_verdict(lab: Lab) -> None:
    """ "Nothing came back" is not "blocked" if there was nobody to send it back."""
    (outcome,) = send(lab, [Probe("node-a", "node-b", "udp", A4, 5000)])
    assert outcome.result is Result.ERROR
    assert "Cannot assign requested address" in outcome.detail


def test_an_unknown_machine_is_no_verdict(lab: Lab) -> None:
    """A machine that the lab does not have is an error at either end."""
    probe = Probe("node-a", "node-b", "tcp", B4, 5001)
    lost = send(lab, [replace(probe, src="ghost"), replace(probe, dst="ghost")])
    assert [o.result for o in lost] == [Result.ERROR, Result.ERROR]
    assert all("no machine ghost" in o.detail for o in lost)


def test_a_dead_listener_is_noticed(lab: Lab) -> None:
    """A listener that dies makes an error of what would have looked blocked."""
    probes = [Probe("node-a", "node-b", "tcp", B4, port) for port in (5000, 5001)]
    recording = Recording(lab)
    with listening(recording, probes) as listeners:
        (listener,) = recording.spawned
        before = listeners.send(probes)
        assert [o.result for o in before] == [Result.PASSED, Result.BLOCKED]
        listener.kill()
        after = listeners.send(probes)
    assert [o.result for o in after] == [Result.ERROR, Result.ERROR]
    assert all("no listener" in o.detail for o in after)


def test_a_deaf_listener_is_noticed(lab: Lab) -> None:
    """A listener that its own machine can't reach either proves nothing."""
    rule = b"insert rule inet probed incoming iif lo tcp dport 5005 drop\n"
    lab.run("node-b", ["nft", "-f", "-"], input=rule)
    probe = Probe("node-a", "node-b", "tcp", B4, 5005)
    with listening(lab, [probe]) as listeners:
        drop = b"insert rule inet probed incoming tcp dport 5005 drop\n"
        lab.run("node-b", ["nft", "-f", "-"], input=drop)
        (outcome,) = listeners.send([probe])
    assert outcome.result is Result.ERROR
    assert "does not answer there: blocked" in outcome.detail


def test_two_hundred_probes_take_seconds(lab: Lab) -> None:
    """All probes go at once: many blocked ones take as long as one."""
    protocols: tuple[Protocol, ...] = ("tcp", "udp")
    ports = [5001, *range(6000, 6049)]
    probes = [
        Probe("node-a", "node-b", protocol, address, port)
        for protocol in protocols
        for address in (B4, B6)
        for port in ports
    ]
    started = time.monotonic()
    outcomes = send(lab, probes)
    assert time.monotonic() - started < 8
    assert sum(o.result is Result.PASSED for o in outcomes) == 4 * 49
    assert sum(o.result is Result.BLOCKED for o in outcomes) == 4
