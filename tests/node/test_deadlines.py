"""What ends on the node, by its own clock; and what a wrong clock may open: nothing."""

from __future__ import annotations

import datetime
import time

import pytest

from tests.node.nodes import NAME, SELF, STATE, Node, wait
from tests.node.parcel import FILES, INTERFACE, PEER, ROUTER, WIREGUARD, Parcel

pytestmark = pytest.mark.live

GUEST = "B" * 42 + "A="
GUESTS = "100.64.3.3/32"
SUBNET = "10.20.0.0/16"
TIMED = "meta time < {until} ip saddr 100.64.3.3 jump allow_x"
PARTS = ("filter", "peers", "addresses", "routes", "names")


def files(until: int) -> dict[str, str]:
    """A guest who is a peer until then, a subnet that is routed until then, and a rule
    that says so itself."""
    wireguard = WIREGUARD.replace("1234/128\n", f"1234/128, {SUBNET}\n")
    wireguard += f"\n[Peer]\n# guest\nPublicKey = {GUEST}\nAllowedIPs = {GUESTS}\n"
    firewall = FILES["firewall.nft"].replace(
        "    counter drop\n  }\n",
        f"    {TIMED.format(until=until)}\n    counter drop\n  }}\n"
        "  chain allow_x {\n    meta l4proto { icmp, icmpv6 } accept\n  }\n",
        1,
    )
    interface = ROUTER + (
        f"route replace {GUESTS} dev {INTERFACE}\n"
        f"route replace {SUBNET} dev {INTERFACE} metric 4096\n"
    )
    deadlines = f"{until} peer {GUEST}\n{until} route {PEER} {SUBNET}\n"
    changed = {"wireguard.conf": wireguard, "firewall.nft": firewall}
    return {**FILES, **changed, "interface": interface, "deadlines": deadlines}


def at(epoch: float) -> str:
    moment = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def timed(node: Node, until: float, signed: float | None = None, **more: int) -> Parcel:
    """Signed a minute ago, unless a time is given."""
    signed = time.time() - 60 if signed is None else signed
    return node.parcel(files=files(int(until)), at=at(signed), **more)


def shown(node: Node) -> tuple[bool, bool, bool, bool, bool]:
    """Whether the guest is a peer and routed, the subnet allowed and routed, and the
    rule that ends loaded."""
    allowed = node.sh(f"wg show {INTERFACE} allowed-ips")
    routes = node.sh(f"ip route show dev {INTERFACE}")
    return (
        GUEST in allowed,
        "100.64.3.3" in routes,
        SUBNET in allowed,
        SUBNET in routes,
        "meta time" in node.table(),
    )


ALL, NONE = (True,) * 5, (False,) * 5


def is_ok(node: Node) -> None:
    seen = node.observe()
    assert [seen[part] for part in PARTS] == ["ok"] * len(PARTS), seen.fields


def test_peers_and_routes_end_without_any_request(node: Node) -> None:
    """The guard takes them out within a second or two of the deadline, and the rest
    stays as it is."""
    until = int(time.time()) + 6
    node.apply(timed(node, until))
    assert shown(node) == ALL
    is_ok(node)
    wait(lambda: shown(node)[:4] == NONE[:4], 15)
    assert until <= time.time() < until + 4
    assert PEER in node.sh(f"wg show {INTERFACE} allowed-ips")
    wait(lambda: "guard\t1\tended" in node.read(f"{STATE}/audit.log"))
    is_ok(node)
    assert node.observe()["interface"] == "up"


def test_what_is_over_is_never_loaded(node: Node) -> None:
    """Neither `activate` nor `boot` brings a peer back whose time is over."""
    node.apply(timed(node, time.time() - 10))
    assert shown(node)[:4] == NONE[:4]
    is_ok(node)
    node.reboot()
    node.run(SELF, "boot", NAME)
    assert shown(node)[:4] == NONE[:4]
    is_ok(node)


def test_a_deadline_between_activate_and_confirm_is_no_drift(node: Node) -> None:
    """`confirm` takes out what ended since, and judges the rest."""
    until = int(time.time()) + 4
    node.stage(timed(node, until))
    assert node.activate(1)["result"] == "ok"
    node.sh(f"kill -9 {node.guards()[0]}")
    assert shown(node) == ALL
    time.sleep(max(0.0, until - time.time()) + 0.1)
    answer = node.confirm(1)
    assert answer["result"] == "ok", answer.fields
    assert shown(node)[:4] == NONE[:4]


def test_a_clock_that_is_behind_opens_nothing(node: Node) -> None:
    """A parcel signed in what the node takes for the future: its clock is wrong, so
    everything that ever ends counts as over, the filter's rules too."""
    now = time.time()
    parcel = timed(node, now + 90_000, now + 86_400)
    node.apply(parcel)
    assert shown(node) == NONE
    is_ok(node)
    seen = node.observe()
    assert seen["clock"] == "behind"
    assert abs(int(seen["clockHigh"]) - now) < 10
    assert PEER in node.sh(f"wg show {INTERFACE} allowed-ips")


def test_it_comes_back_when_the_clock_comes_right(node: Node) -> None:
    """The guard sees it, loads the whole again and writes it down; and the other way
    round, when the clock is set back."""
    now = int(time.time())
    node.apply(timed(node, now + 90_000, now))
    assert shown(node) == ALL
    node.write(f"{STATE}/clock", f"{now + 86_400}\n")
    wait(lambda: shown(node) == NONE)
    is_ok(node)
    assert node.observe()["clock"] == "behind"
    node.path(f"{STATE}/clock").unlink()
    wait(lambda: shown(node) == ALL)
    is_ok(node)
    assert node.observe()["clock"] == "ok"
    log = node.read(f"{STATE}/audit.log")
    assert "guard\t1\tclock-behind" in log
    assert "guard\t1\tclock-ok" in log


def test_a_boot_with_a_wrong_clock_loads_nothing_that_ends(node: Node) -> None:
    """A machine without a clock of its own starts with the past."""
    now = int(time.time())
    node.apply(timed(node, now + 90_000, now))
    node.write(f"{STATE}/clock", f"{now + 86_400}\n")
    node.reboot()
    node.run(SELF, "boot", NAME)
    assert shown(node) == NONE
    is_ok(node)


def test_some_minutes_are_no_wrong_clock(node: Node) -> None:
    """A controller's clock is not the node's: a little difference ends nothing."""
    now = time.time()
    node.apply(timed(node, now + 9_000, now + 120))
    assert shown(node) == ALL
    assert node.observe()["clock"] == "ok"


def test_what_was_staged_last_bounds_the_clock(node: Node) -> None:
    """A clock that once ran ahead is forgotten with the next parcel."""
    now = time.time()
    node.apply(timed(node, now + 9_000, now))
    node.write(f"{STATE}/clock", f"{int(now) + 86_400}\n")
    node.apply(timed(node, now + 9_001, now, height=8))
    assert shown(node) == ALL
    assert node.observe()["clock"] == "ok"


def test_the_guard_notes_the_time_when_it_ends(node: Node) -> None:
    """So a boot with a wrong clock knows what time it must be at least."""
    node.apply(node.parcel())
    wait(lambda: len(node.guards()) == 1)
    node.sh(f"kill {node.guards()[0]}")
    wait(lambda: node.path(f"{STATE}/clock").exists())
    assert abs(int(node.read(f"{STATE}/clock")) - time.time()) < 5
    assert abs(int(node.observe()["clockHigh"]) - time.time()) < 5
