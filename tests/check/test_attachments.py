"""Gateways, exit nodes, the controller's device: names that must be somebody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.check import check
from tailgit.load import load
from tests.check.devices import found, key
from tests.load.files import HEAD, write

CODES = ("unknown-device", "not-a-gateway", "not-an-exit-node", "route-not-approved")
GATEWAY = '  gw: {owner: ana@acme.com, endpoints: ["203.0.113.10:51820"]}\n'
PHONE = "  phone: {owner: ana@acme.com, delivery: wg-quick, gateway: gw}\n"


def test_a_gateway_that_is_reached_is_one(tmp_path: Path) -> None:
    """An endpoint and a delivery that filters are all that it takes."""
    assert found(tmp_path, GATEWAY + PHONE, *CODES) == []


@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        (GATEWAY.replace('51820"]', '51820"], disabled: true'), "it is disabled"),
        (GATEWAY.replace("ana@", "off@"), "its owner is disabled"),
        (GATEWAY.replace('51820"]', '51820"], gateway: phone'), "a gateway itself"),
        ("  gw: {owner: ana@acme.com}\n", "it has no endpoint"),
        (GATEWAY.replace('51820"]', '51820"], delivery: wg-quick'), "nothing on it"),
    ],
)
def test_why_a_gateway_is_none(tmp_path: Path, gateway: str, why: str) -> None:
    """Each reason is said at `gateway:` of the device, and points at the other one."""
    rest = "grants: []\nusers: {ana@acme.com: {}, off@acme.com: {disabled: true}}\n"
    said = found(tmp_path, gateway + PHONE, "not-a-gateway", rest=rest)
    (at_phone,) = (each for each in said if each.place.line == 5)
    assert why in at_phone.message
    assert at_phone.see[0].line == 4


def test_one_gateway_in_the_defaults_is_one_finding(tmp_path: Path) -> None:
    """A mistake of one line is said once, however many devices it is for."""
    rest = "grants: []\ndeviceDefaults: {gateway: gone}\n"
    phones = "".join(f"  p{i}: {{owner: ana@acme.com}}\n" for i in range(20))
    (said,) = found(tmp_path, phones, *CODES, rest=rest)
    assert (said.code, said.place.line) == ("unknown-device", 2)


def test_an_exit_node_of_a_disabled_owner_is_none(tmp_path: Path) -> None:
    """Who is off carries nothing, and is not asked to be approved either."""
    rest = "grants: []\nusers: {ana@acme.com: {}, off@acme.com: {disabled: true}}\n"
    devices = (
        "  out: {owner: off@acme.com, exitNode: true}\n"
        "  pc: {owner: ana@acme.com, useExitNode: out}\n"
    )
    (said,) = found(tmp_path, devices, *CODES, rest=rest)
    assert said.code == "not-an-exit-node"
    assert "its owner is disabled" in said.message


@pytest.mark.parametrize(
    ("who", "approver", "approved"),
    [
        ("tags: [tag:gw]", "tag:gw", True),
        ("tags: [tag:gw]", "autogroup:member", False),
        ("owner: ana@acme.com", "tag:gw", False),
        ("owner: ana@acme.com", "ana@acme.com", True),
        ("owner: ana@acme.com", "group:ops", True),
        ("owner: ben@acme.com", "group:ops", False),
        ("owner: ben@acme.com", "autogroup:member", True),
    ],
)
def test_who_may_be_an_exit_node(
    tmp_path: Path, who: str, approver: str, approved: bool
) -> None:
    """Approvers match as they do for routes; who is not approved is warned."""
    rest = (
        "grants: []\ntagOwners: {tag:gw: []}\ngroups: {group:ops: [ana@acme.com]}\n"
        f"autoApprovers: {{exitNode: ['{approver}']}}\n"
    )
    said = found(tmp_path, f"  out: {{{who}, exitNode: true}}\n", *CODES, rest=rest)
    assert [each.code for each in said] == ([] if approved else ["route-not-approved"])
    if not approved:
        own = who.split(": ")[1].strip("[]")
        assert said[0].help == f"add `{own}` to `autoApprovers.exitNode`"


def test_whose_an_exit_node_is_must_be_known_first(tmp_path: Path) -> None:
    """Who has neither owner nor tags is told that, and nothing about approval."""
    codes = (*CODES, "owner-or-tags")
    (said,) = found(tmp_path, "  out: {exitNode: true}\n", *codes)
    assert said.code == "owner-or-tags"


def test_approvers_of_exit_nodes_are_names_like_others(tmp_path: Path) -> None:
    """A misspelt one is found where it stands, as for routes."""
    rest = (
        "grants: []\ntagOwners: {tag:router: []}\nautoApprovers:\n"
        "  exitNode: [tag:router, tag:ruter, gw, 10.0.0.0/8, group:x]\n"
    )
    codes = ("unknown-tag", "unknown-name", "bad-value", "unknown-group")
    said = found(tmp_path, GATEWAY, *codes, rest=rest)
    assert [(each.code, each.place.column) for each in said] == [
        ("unknown-tag", 26),
        ("unknown-name", 37),
        ("bad-value", 41),
        ("unknown-group", 53),
    ]
    assert "did you mean `tag:router`?" in said[0].help


def test_the_controller_is_a_device(tmp_path: Path) -> None:
    """The name is looked up, and a near one is offered with its place."""
    head = HEAD + "  controller: {device: nyc-gv}\n"
    text = f"grants: []\ndevices:\n{GATEWAY}".replace("gw", "nyc-gw")
    for name, codes in (("nyc-gv", ["unknown-device"]), ("nyc-gw", [])):
        files = {"tailnet.yaml": head.replace("nyc-gv", name), "a.yaml": text}
        tailnet = load(write(tmp_path, files)).tailnet
        assert tailnet is not None
        said = [each for each in check(tailnet) if each.code in CODES]
        assert [each.code for each in said] == codes
        for each in said:
            assert each.help == "did you mean `nyc-gw`?"
            assert (each.place.file, each.see[0].line) == ("tailnet.yaml", 3)


def test_a_key_is_one_devices_and_for_one_purpose(tmp_path: Path) -> None:
    """Every pair of equal keys is said, whatever fields they stand in."""
    fields = ("publicKey", "nextPublicKey", "relayPublicKey")
    for one in fields:
        for other in fields:
            devices = (
                f"  a: {{owner: ana@acme.com, {one}: {key(9)}}}\n"
                f"  b: {{owner: ana@acme.com, {other}: {key(9)}}}\n"
            )
            (said,) = found(tmp_path, devices, "duplicate-public-key")
            assert (said.place.line, said.see[0].line) == (4, 3), (one, other)
    keys = ", ".join(f"{field}: {key(n)}" for n, field in enumerate(fields, 9))
    assert (
        found(tmp_path, f"  a: {{owner: x@y.org, {keys}}}\n", "duplicate-public-key")
        == []
    )


def test_a_slot_is_kept_for_a_disabled_device(tmp_path: Path) -> None:
    """It comes back with its ports, so nobody else may have them meanwhile."""
    devices = (
        "  a: {owner: ana@acme.com, relaySlot: 0, disabled: true}\n"
        "  b: {owner: ana@acme.com, relaySlot: 0}\n"
        "  c: {owner: ana@acme.com, relaySlot: 1}\n"
    )
    (said,) = found(tmp_path, devices, "slot-clash")
    assert (said.place.line, said.see[0].line) == (4, 3)


def test_exit_nodes_are_approved_as_the_engine_approves(tmp_path: Path) -> None:
    """A role or a domain among the approvers counts, too: no false alarm."""
    text = (
        "users: {ana@acme.com: {role: admin}}\ngrants: []\n"
        "devices: {vps: {owner: ana@acme.com, exitNode: true}}\n"
        "autoApprovers: {exitNode: [%s]}\n"
    )
    for who, approved in (
        ("autogroup:admin", True),
        ('"user:*@acme.com"', True),
        ("autogroup:auditor", False),
    ):
        write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text % who})
        tailnet = load(tmp_path).tailnet
        assert tailnet is not None, who
        codes = [each.code for each in check(tailnet)]
        assert ("route-not-approved" in codes) != approved, who
