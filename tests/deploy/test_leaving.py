"""Devices that leave the tailnet: who does, and what they are left with."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tailgit.compile import Bundle, compile_tailnet
from tailgit.deploy.survey import farewell, leaving_of
from tailgit.model.tailnet import Device, Tailnet, User
from tests.compile.acme import acme
from tests.compile.judges import judge_nft
from tests.oracle.nftsim import Firewall, Packet
from tests.plan.small import PLACE


@pytest.fixture(scope="module")
def base() -> Tailnet:
    """The example tailnet, with people, routers and rules."""
    return acme()


@pytest.fixture(scope="module")
def before(base: Tailnet) -> dict[str, Bundle]:
    return dict(compile_tailnet(base))


def with_devices(tailnet: Tailnet, *devices: Device, without: str = "") -> Tailnet:
    """The tailnet with these devices, new or changed."""
    kept = {n: d for n, d in tailnet.devices.items() if n != without}
    kept |= {each.name: each for each in devices}
    return replace(tailnet, devices=dict(sorted(kept.items())))


def router(tailnet: Tailnet) -> Device:
    return next(each for each in tailnet.devices.values() if each.routes)


def test_a_device_that_is_gone_leaves(base: Tailnet, before: dict[str, Bundle]) -> None:
    """It is known from the base, with the way to log in to it."""
    one = router(base)
    head = with_devices(base, without=one.name)
    assert leaving_of(base, head, before) == {one.name: one}


def test_a_device_that_is_disabled_leaves(
    base: Tailnet, before: dict[str, Bundle]
) -> None:
    """It keeps its place in the repository, and nothing else."""
    one = router(base)
    head = with_devices(base, replace(one, disabled=True))
    assert set(leaving_of(base, head, before)) == {one.name}


def test_the_devices_of_a_person_who_is_disabled_leave(
    base: Tailnet, before: dict[str, Bundle]
) -> None:
    """Nobody else lets them in any more; they are told so."""
    owned = {d.name: d for d in base.devices.values() if d.owner is not None}
    login = next(iter(owned.values())).owner or ""
    users = {**base.users, login: replace(base.users[login], disabled=True)}
    found = leaving_of(base, replace(base, users=users), before)
    assert found == {n: d for n, d in owned.items() if d.owner == login}


def test_a_device_with_a_new_name_stays(
    base: Tailnet, before: dict[str, Bundle]
) -> None:
    """By `formerly`, or by its key: taking its tunnel down would cut off the new name.

    A disabled one with the same key is no new name.
    """
    one = router(base)
    for new in (
        replace(one, name="other", formerly=(one.name,)),
        replace(one, name="other"),
    ):
        head = with_devices(base, new, without=one.name)
        assert leaving_of(base, head, before) == {}
        off = with_devices(base, replace(new, disabled=True), without=one.name)
        assert set(leaving_of(base, off, before)) == {one.name}


def test_who_never_got_a_bundle_does_not_leave(
    base: Tailnet, before: dict[str, Bundle]
) -> None:
    """There is nothing to take away from it; without a base from nobody."""
    one = router(base)
    head = with_devices(base, without=one.name)
    less = {name: each for name, each in before.items() if name != one.name}
    assert leaving_of(base, head, less) == {}
    assert leaving_of(base, head, None) == {}
    assert leaving_of(None, head, before) == {}


def test_nobody_leaves_where_nothing_changed(
    base: Tailnet, before: dict[str, Bundle]
) -> None:
    """Devices that await their key or were disabled before are not news."""
    odd = with_devices(
        base,
        replace(router(base), name="x", disabled=True),
        replace(router(base), name="y", public_key=None),
    )
    assert leaving_of(odd, odd, dict(compile_tailnet(odd))) == {}
    assert leaving_of(base, base, before) == {}


def files(made: Bundle) -> dict[str, str]:
    return {name: data.decode() for name, data in made.files}


def test_a_farewell_has_no_peers_no_routes_and_no_names(base: Tailnet) -> None:
    """Its own addresses are all that is left; a router forwards nothing any more."""
    for device in base.devices.values():
        made = farewell(base, device)
        text = files(made)
        assert made.peers == 0
        assert "deadlines" not in text
        assert "route" not in text["interface"]
        assert "ip_forward" not in text["sysctl"]
        assert "masquerade" not in text["firewall.nft"]
        assert {line.split()[0] for line in text["hosts"].splitlines()} == {
            str(address) for address in device.addresses
        }


@pytest.mark.parametrize("protocol", [6, 17, 1, 58])
def test_a_farewell_lets_nothing_in_or_out(base: Tailnet, protocol: int) -> None:
    """Judged by the interpreter that knows nothing of the compiler."""
    one, other = router(base), next(iter(base.devices.values()))
    assert one.name != other.name
    firewall = Firewall.of(files(farewell(base, one))["firewall.nft"])
    behind = ip_address(one.routes[0].prefix.network_address + 5)
    tunnel = base.interface
    for mine, theirs in zip(one.addresses, other.addresses, strict=True):
        arriving = Packet(theirs, mine, protocol, 22, iif=tunnel)
        assert firewall.judge("prerouting", arriving) == "drop"
        leaving = Packet(mine, theirs, protocol, 22, oif=tunnel)
        assert firewall.judge("postrouting", leaving) == "drop"
        if theirs.version != behind.version:
            continue
        through = Packet(theirs, behind, protocol, 22, iif=tunnel)
        assert firewall.judge("prerouting", through) == "drop"
        back = Packet(behind, theirs, protocol, 22, iif="eth0", oif=tunnel)
        assert firewall.judge("postrouting", back) == "drop"
        assert firewall.judge("forward", back) == "drop"
    outside = Packet(ip_address("192.0.2.1"), ip_address("192.0.2.2"), protocol, 22)
    assert firewall.judge("prerouting", replace(outside, iif="eth0")) == "accept"


def test_a_farewell_is_what_nft_takes(base: Tailnet) -> None:
    """The grammar and the kernel's own reader."""
    judge_nft(dict(farewell(base, router(base)).files)["firewall.nft"])


def test_a_farewell_is_the_same_each_time(base: Tailnet) -> None:
    """Said once, it is recognised; whatever else changes in the tailnet."""
    one = router(base)
    first = farewell(base, one)
    more = with_devices(
        replace(base, rules=(), users={"new@acme.com": User("new@acme.com", PLACE)}),
        replace(one, name="new", public_key="a" * 43 + "="),
        without=one.name,
    )
    for again in (
        farewell(base, one),
        farewell(more, one),
        farewell(base, replace(one, disabled=True)),
    ):
        assert again.tar() == first.tar()
        assert again.digest == first.digest
