"""What the command line hands to a check: the time and this machine's routes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tailgit.check import Surroundings
from tailgit.cli import run, tailnet
from tailgit.cli.surroundings import local_routes, moment, surroundings
from tailgit.errors import Exit, UsageError

HEAD4 = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT"
)


def ipv4(interface: str, to: str, mask: str, flags: str = "0001") -> str:
    """A line as a little-endian kernel writes it; `to` and `mask` are dotted."""

    def swapped(dotted: str) -> str:
        return "".join(f"{int(part):02X}" for part in reversed(dotted.split(".")))

    return (
        f"{interface}\t{swapped(to)}\t00000000\t{flags}\t0\t0\t0\t{swapped(mask)}\t0"
        "\t0\t0"
    )


def ipv6(interface: str, to: str, length: int, flags: str = "00000001") -> str:
    zero = "0" * 32
    return (
        f"{to:0<32} {length:02x} {zero} 00 {zero} 00000100 00000001 00000000 "
        f"{flags} {interface:>8}"
    )


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.byteorder", "little")
    lines4 = [
        HEAD4,
        ipv4("eth0", "0.0.0.0", "0.0.0.0", "0003"),
        ipv4("eth0", "10.20.0.0", "255.255.0.0"),
        ipv4("eth0", "10.20.0.0", "255.255.0.0", "0003"),
        ipv4("eth0", "169.254.0.0", "255.255.0.0"),
        ipv4("lo", "10.99.0.0", "255.255.0.0"),
        ipv4("tg-acme", "100.64.0.9", "255.255.255.255"),
        ipv4("tgr-acme", "100.64.0.9", "255.255.255.255"),
        ipv4("tgx0", "172.17.0.0", "255.255.0.0"),
        ipv4("*", "10.66.0.0", "255.255.0.0", "0201"),
        ipv4("eth0", "10.67.0.0", "255.255.0.0", "0000"),
        "half a line",
    ]
    lines6 = [
        ipv6("eth0", "fd00000000000000", 64),
        ipv6("eth0", "fe80", 64),
        ipv6("eth0", "ff00", 8),
        ipv6("eth0", "", 0, "00000003"),
        ipv6("lo", "0" * 31 + "1", 128, "80200001"),
        ipv6("eth0", "fd000000000000000000000000000002", 128, "80200001"),
    ]
    (tmp_path / "route").write_text("\n".join(lines4))
    (tmp_path / "ipv6_route").write_text("\n".join(lines6))
    return tmp_path


def test_routes_that_lead_somewhere(proc: Path) -> None:
    """No default route, loopback, link-local, multicast, rejected, our own or twice."""
    assert [str(each) for each in local_routes(proc)] == [
        "10.20.0.0/16",
        "172.17.0.0/16",
        "fd00::/64",
    ]


def test_no_tables_are_no_routes(tmp_path: Path) -> None:
    """Another system, or a kernel without IPv6."""
    assert local_routes(tmp_path) == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-31", 1801440000),
        ("2027-02-01T01:00:00+01:00", 1801440000),
        ("2027-02-01T00:00:00Z", 1801440000),
    ],
)
def test_at_is_a_day_or_a_time(text: str, seconds: int) -> None:
    """A day means its end in UTC, as in `expires`."""
    assert moment(text) == seconds
    assert surroundings(text) == Surroundings(seconds)


def test_at_that_is_no_time() -> None:
    """The error shows how to write one."""
    with pytest.raises(UsageError, match="2027-02-30") as raised:
        moment("2027-02-30")
    assert "2027-01-31" in raised.value.help


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Surroundings]:
    """What `examine` is given, call by call."""
    import tailgit.check

    given: list[Surroundings] = []
    examine = tailgit.check.examine

    def noting(loaded, around):
        given.append(around)
        return examine(loaded, around)

    monkeypatch.setattr(tailgit.check, "examine", noting)
    return given


def test_check_hands_in_time_and_routes(
    acme: Path, handed: list[Surroundings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--at sets the time, --no-local leaves the routes out."""
    routes = local_routes()
    monkeypatch.setattr("tailgit.cli.surroundings.local_routes", lambda: routes)
    run(["check", str(acme)])
    run(["check", str(acme), "--at", "2027-01-31", "--no-local"])
    assert handed[0].routes == routes
    assert abs((handed[0].now or 0) - time.time()) < 60
    assert handed[1] == Surroundings(1801440000, ())


def test_other_commands_hand_in_the_time_alone(
    acme: Path, handed: list[Surroundings]
) -> None:
    """Whether an address is free here matters to none of them."""
    tailnet.valid(acme)
    assert run(["explain", "ana-laptop", "db-1:5432", "--repo", str(acme)]) == Exit.DONE
    assert [each.routes for each in handed] == [(), ()]
    assert all(abs((each.now or 0) - time.time()) < 60 for each in handed)
