"""What `check` finds beyond the single cases of tests/invalid."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tailgit.check import check
from tailgit.check.routes import check_routes
from tailgit.load import load
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import AutoApprovers
from tailgit.model.tailnet import Device, Route, Tailnet
from tests.load.files import ACME, HEAD, write

HERE = Place("a.yaml")
HOST_CA = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"
)


def findings_of(folder: Path, text: str) -> tuple[Finding, ...]:
    tailnet = load(write(folder, {"tailnet.yaml": HEAD, "a.yaml": text})).tailnet
    assert tailnet is not None
    return check(tailnet)


def test_a_valid_tailnet_has_no_findings(tmp_path: Path) -> None:
    """Nothing is said when nothing is wrong."""
    head = f'{HEAD}  hostCA: ["{HOST_CA}"]\n'
    tailnet = load(write(tmp_path, {**ACME, "tailnet.yaml": head})).tailnet
    assert tailnet is not None
    assert check(tailnet) == ()


def test_users_are_free_without_a_users_section(tmp_path: Path) -> None:
    """Any e-mail address is a user then."""
    text = "grants: [{src: [eve@else.org], dst: ['*'], ip: ['*']}]\n"
    assert findings_of(tmp_path, text) == ()
    strict = text + "users: {ana@acme.com: {}}\n"
    assert [f.code for f in findings_of(tmp_path, strict)] == ["unknown-user"]


def test_a_free_address_is_offered_and_free(tmp_path: Path) -> None:
    """The help of a clash can be copied: the address is in the range and nobody's."""
    head = HEAD.replace("100.64.0.0/10", "10.9.0.0/28")
    devices = "".join(f"  d{i}: {{owner: ana@acme.com}}\n" for i in range(9))
    text = f"grants: []\ndevices:\n{devices}"
    tailnet = load(write(tmp_path, {"tailnet.yaml": head, "a.yaml": text})).tailnet
    assert tailnet is not None
    clashes = [f for f in check(tailnet) if f.code == "address-clash"]
    assert clashes
    taken = {device.ipv4 for device in tailnet.devices.values()}
    for finding in clashes:
        offered = ip_address(finding.help.split("`")[1].removeprefix("ipv4: "))
        assert offered in tailnet.ipv4
        assert offered not in taken
        assert offered not in (tailnet.ipv4[0], tailnet.ipv4[-1])


def test_equal_host_and_device_are_both_named(tmp_path: Path) -> None:
    """The finding stands at the alias and points at the device."""
    text = "grants: []\nhosts: {pc: 10.0.0.1}\ndevices: {pc: {owner: ana@acme.com}}\n"
    (finding,) = findings_of(tmp_path, text)
    assert (finding.place.line, finding.see) == (2, (Place("a.yaml", 3, 11),))


@given(
    st.lists(st.tuples(st.integers(0, 63), st.integers(0, 6)), min_size=1, max_size=12)
)
def test_route_overlap_is_found_as_pairs_say(routes: list[tuple[int, int]]) -> None:
    """The sweep over sorted prefixes finds what comparing all pairs finds."""
    prefixes = [
        ip_network(f"10.0.0.{base >> (6 - bits) << (6 - bits)}/{26 + bits}")
        for base, bits in routes
    ]
    devices = {
        f"d{index}": Device(
            name=f"d{index}",
            ipv4=ip_address("100.64.0.9"),
            ipv6=ip_address("fd00::9"),
            listen_port=1,
            place=HERE,
            routes=(Route(prefix, Place("a.yaml", index + 1)),),
        )
        for index, prefix in enumerate(prefixes)
    }
    tailnet = Tailnet(
        name="acme",
        domain="acme.internal",
        ipv4=ip_network("100.64.0.0/10"),
        ipv6=ip_network("fd00::/48"),
        place=HERE,
        devices=devices,
        auto_approvers=AutoApprovers(),
    )
    found = {
        frozenset((f.place.line, f.see[0].line))
        for f in check_routes(tailnet)
        if f.code == "route-overlap"
    }
    pairs = {
        frozenset((i + 1, j + 1))
        for i, one in enumerate(prefixes)
        for j, other in enumerate(prefixes)
        if i < j and one.overlaps(other)
    }
    assert bool(found) == bool(pairs)
    assert found <= pairs
    # Every device that is in a pair has a finding, as the one or the other.
    assert {line for pair in found for line in pair} == {
        n for pair in pairs for n in pair
    }


def test_five_thousand_devices_are_checked_soon(tmp_path: Path) -> None:
    """Nothing compares every device with every other."""
    devices = "".join(f"  d{i}: {{owner: u{i % 90}@acme.com}}\n" for i in range(5000))
    text = f"grants: []\ndevices:\n{devices}"
    tailnet = load(write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})).tailnet
    assert tailnet is not None
    start = time.process_time()
    check(tailnet)
    assert time.process_time() - start < 3


def test_thousands_of_clashes_end_soon(tmp_path: Path) -> None:
    """Each is said; a free address is looked for a hundred times, not for all."""
    devices = "".join(
        f"  d{i}: {{owner: ana@acme.com, ipv4: 100.64.0.9}}\n" for i in range(8000)
    )
    text = f"grants: []\ndevices:\n{devices}"
    tailnet = load(write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})).tailnet
    assert tailnet is not None
    start = time.process_time()
    assert len(check(tailnet)) == 7999
    assert time.process_time() - start < 3


def test_a_router_may_be_logged_in_to_where_it_routes(tmp_path: Path) -> None:
    """Nobody else uses the address, and it does not use its own route."""
    text = (
        "grants: []\ndevices:\n  gw: {owner: ana@acme.com, routes: [10.20.0.0/16], "
        "ssh: {host: 10.20.0.1}}\nautoApprovers: {routes: {10.20.0.0/16: "
        "[ana@acme.com]}}\n"
    )
    assert findings_of(tmp_path, text) == ()
    other = text + "groups: {}\n"
    other = other.replace(
        "devices:\n",
        "devices:\n  pc: {owner: ana@acme.com, endpoints: ['10.20.0.7:51820']}\n",
    )
    (finding,) = (each for each in findings_of(tmp_path, other) if each.is_error)
    assert finding.code == "route-over-endpoint"
    assert "10.20.0.7" in finding.message
