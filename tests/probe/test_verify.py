"""From `tests:` to expectations to verdicts."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from tailgit.lab import Lab
from tailgit.model.findings import Place
from tailgit.model.policy import Target, Test
from tailgit.model.selectors import parse_selector
from tailgit.model.tailnet import Device, Group, Tailnet, User
from tailgit.probe import Outcome, Probe, Result
from tailgit.probe.report import as_json, as_text
from tailgit.probe.verify import Verdict, expectations, verify
from tests.lab.small import A4, A6, B4, B6

PLACE = Place("acls.yaml", 7, 3)


def device(name: str, v4: object, v6: object, **more: object) -> Device:
    return Device(
        name, IPv4Address(str(v4)), IPv6Address(str(v6)), 51820, PLACE, **more
    )  # type: ignore[arg-type]


DEVICES = {
    d.name: d
    for d in (
        device("ana-pc", "100.64.0.1", "fd00::1", owner="ana@x.org"),
        device("ana-tv", "100.64.0.2", "fd00::2", owner="ana@x.org"),
        device("db-1", "100.64.0.3", "fd00::3", tags=("tag:db",)),
        device("db-2", "100.64.0.4", "fd00::4", tags=("tag:db",)),
        device("off", "100.64.0.5", "fd00::5", tags=("tag:db",), disabled=True),
    )
}


def example(
    src: str,
    accept: str = "",
    deny: str = "",
    protocol: int | None = None,
) -> Test:
    def targets(text: str) -> tuple[Target, ...]:
        if not text:
            return ()
        head, _, port = text.rpartition(":")
        selector = parse_selector(head, devices=DEVICES, hosts=())
        return (Target(selector, int(port), text, PLACE),)

    source = parse_selector(src, devices=DEVICES, hosts=())
    return Test(source, targets(accept), targets(deny), PLACE, protocol)


def tailnet(*tests: Test, devices: dict[str, Device] | None = None) -> Tailnet:
    return Tailnet(
        "acme",
        "acme.internal",
        IPv4Network("100.64.0.0/10"),
        IPv6Network("fd00::/48"),
        PLACE,
        users={"ana@x.org": User("ana@x.org", PLACE)},
        groups={"group:g": Group("group:g", ("ana@x.org",), PLACE)},
        devices=DEVICES if devices is None else devices,
        tests=tests,
    )


def shape(found: Tailnet) -> list[tuple[str, str, bool, list[str]]]:
    return [
        (e.src, e.family, e.accept, [f"{p.dst} {p.protocol}" for p in e.probes])
        for e in expectations(found)
    ]


def test_every_source_and_family_is_an_expectation() -> None:
    """A group's devices each try every target of the family, by TCP and UDP."""
    everywhere = ["db-1 tcp", "db-1 udp", "db-2 tcp", "db-2 udp"]
    assert shape(tailnet(example("group:g", accept="tag:db:5432"))) == [
        ("ana-pc", "IPv4", True, everywhere),
        ("ana-pc", "IPv6", True, everywhere),
        ("ana-tv", "IPv4", True, everywhere),
        ("ana-tv", "IPv6", True, everywhere),
    ]


def test_a_protocol_narrows_and_an_address_has_one_family() -> None:
    """`proto: tcp` sends no UDP; an IPv4 source or target sends no IPv6."""
    assert shape(tailnet(example("ana-pc", deny="100.64.0.3:22", protocol=6))) == [
        ("ana-pc", "IPv4", False, ["db-1 tcp"])
    ]
    assert shape(tailnet(example("fd00::1", deny="db-1:22", protocol=17))) == [
        ("ana-pc", "IPv6", False, ["db-1 udp"])
    ]


def test_self_means_the_other_devices_of_the_owner() -> None:
    """`autogroup:self` is the owner's devices, and nobody probes itself."""
    found = shape(tailnet(example("ana-pc", accept="autogroup:self:22", protocol=6)))
    assert found == [
        ("ana-pc", "IPv4", True, ["ana-tv tcp"]),
        ("ana-pc", "IPv6", True, ["ana-tv tcp"]),
    ]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (example("ana-pc", deny="10.0.0.1:80"), "no other device is behind `10.0.0.1`"),
        (example("ana-pc", deny="ana-pc:80"), "no other device is behind `ana-pc`"),
        (example("off", deny="db-1:80"), "no device is behind `off`"),
        (
            example("ana-pc", deny="db-1:80", protocol=132),
            "sctp can't be probed yet, only tcp and udp",
        ),
    ],
)
def test_what_cannot_be_probed_is_said(test: Test, reason: str) -> None:
    """A target without one packet to send stays in the list, with the reason."""
    (expectation,) = expectations(tailnet(test))
    assert (expectation.probes, expectation.reason) == ((), reason)


@pytest.fixture(scope="module")
def verdicts(lab: Lab) -> tuple[Verdict, ...]:
    """Two nodes whose "tailnet" is the plain underlay, with one port closed."""
    rules = b"""table inet v { chain c { type filter hook prerouting priority 0
        iif != lo tcp dport 5432 drop
        iif != lo udp dport 53 drop
    }
    }
    """
    assert lab.run("node-b", ["nft", "-f", "-"], input=rules).returncode == 0
    devices = {
        "node-a": device("node-a", A4, A6, owner="ana@x.org"),
        "node-b": device("node-b", B4, B6, tags=("tag:db",)),
        "ghost": device("ghost", "192.0.2.77", "2001:db8::77", tags=("tag:ghost",)),
    }
    tests = (
        example("group:g", accept="tag:db:80", protocol=6),
        example("group:g", accept="tag:db:53"),  # TCP passes: one suffices
        example("group:g", deny="tag:db:5432", protocol=6),
        example("group:g", deny="tag:db:5432"),  # UDP passes: not denied
        example("group:g", accept="tag:db:5432", protocol=6),
        example("group:g", deny="tag:ghost:1", protocol=6),
    )
    found = expectations(tailnet(*tests, devices=devices))
    return verify(lab, found)


@pytest.mark.live
def test_verdicts_are_what_the_packets_did(verdicts: tuple[Verdict, ...]) -> None:
    """Accept needs one protocol, deny needs silence of all, and proof of a listener."""
    met = [(v.expectation.accept, v.met) for v in verdicts]
    assert met == [
        *[(True, True)] * 4,
        *[(False, True)] * 2,
        *[(False, False)] * 2,
        *[(True, False)] * 2,
        *[(False, False)] * 2,
    ]
    assert verdicts[6].notes == ("node-a -> node-b:5432 udp IPv4: passed",)
    assert "no machine ghost" in verdicts[10].notes[0]


@pytest.mark.live
def test_reports_count_and_explain(verdicts: tuple[Verdict, ...]) -> None:
    """Text ends with the count and names each fault; JSON says the same as data."""
    lines = as_text(verdicts).splitlines()
    assert lines[0] == "ok    node-a reaches tag:db:80 IPv4  acls.yaml:7:3"
    assert "FAIL  node-a must not reach tag:db:5432 IPv4  acls.yaml:7:3" in lines
    assert lines[-1] == "6 of 12 expectations met"
    document = json.loads(as_json(verdicts))
    assert (document["met"], document["failed"]) == (6, 6)
    assert document["verdicts"][6]["probes"][1]["result"] == "passed"


def test_a_report_escapes_what_a_node_said() -> None:
    """Text from elsewhere can't steer the terminal."""
    (expectation,) = expectations(tailnet(example("ana-pc", deny="10.0.0.1:80")))
    probe = Probe("a", "b", "tcp", IPv4Address("10.0.0.1"), 80)
    outcome = Outcome(probe, Result.ERROR, "\x1b[2J")
    verdict = Verdict(expectation, False, (outcome,), (str(outcome),))
    assert "\x1b" not in as_text([verdict])
    assert as_text([verdict]).endswith("0 of 1 expectations met")
