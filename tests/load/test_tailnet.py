"""From files to a `Tailnet`: unions, defaults, derived values, rules and tests."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path

import pytest

from tailgit.check import check, examine
from tailgit.load import Loaded, load
from tailgit.model.addresses import ipv4_of, ipv6_of, listen_port_of
from tailgit.model.findings import Place
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Delivery, Device, Endpoint, Ssh, Tailnet
from tests.load.files import ACME, HEAD, write


def loaded(folder: Path, files: dict[str, str | bytes]) -> Tailnet:
    result = load(write(folder, files))
    assert result.tailnet is not None, result.findings
    return result.tailnet


def device(folder: Path, text: str, head: str = HEAD) -> Device:
    """The device `d` of a tailnet whose only device file has this text."""
    rest = "grants: []\ntagOwners: {tag:x: []}\n"
    files: dict[str, str | bytes] = {"tailnet.yaml": head, "d.yaml": rest + text}
    return loaded(folder, files).devices["d"]


def test_a_tailnet_is_the_union_of_its_files(tmp_path: Path) -> None:
    """Sections of all files come together, and a valid tailnet has no findings."""
    result = load(write(tmp_path, dict(ACME)))
    tailnet = result.tailnet
    assert tailnet is not None
    assert result.findings == ()
    assert [each.code for each in check(tailnet)] == ["no-host-key"]  # not enrolled
    assert (tailnet.name, tailnet.domain) == ("acme", "acme.internal")
    assert tailnet.ipv4 == IPv4Network("100.64.0.0/10")
    assert list(tailnet.devices) == ["ana-laptop", "db-1", "gw"]
    assert list(tailnet.users) == ["ana@acme.com", "ben@acme.com"]
    assert tailnet.users["ana@acme.com"].role == "admin"
    assert tailnet.groups["group:data-team"].members == ("ana@acme.com",)
    assert tailnet.tag_owners["tag:db"].owners == ("group:data-team",)
    assert tailnet.auto_approvers.routes == (
        (ip_network("10.20.0.0/16"), ("tag:router",)),
    )
    assert tailnet.devices["gw"].routes[0].place == Place(
        "devices/servers.yaml", 11, 14
    )


def test_file_names_and_order_mean_nothing(tmp_path: Path) -> None:
    """The same sections in other files give the same tailnet, places aside."""
    one = loaded(tmp_path / "a", dict(ACME))
    names = {name: f"z/{index}.yml" for index, name in enumerate(sorted(ACME))}
    other = {names[n]: text for n, text in ACME.items() if n != "tailnet.yaml"}
    two = loaded(tmp_path / "b", {"tailnet.yaml": HEAD, **other})
    for name, first in one.devices.items():
        second = two.devices[name]
        assert replace(second, place=first.place, routes=first.routes) == first
    assert [(r.src, r.dst, r.ports) for r in one.rules] == [
        (r.src, r.dst, r.ports) for r in two.rules
    ]
    assert list(one.users) == list(two.users)


def test_addresses_and_ports_follow_from_names(tmp_path: Path) -> None:
    """Without pins and endpoints everything is derived from tailnet and device."""
    got = device(tmp_path, "devices: {d: {tags: [tag:x]}}\n")
    pool = IPv4Network("100.64.0.0/10")
    assert got.ipv4 == ipv4_of("acme", "d", pool)
    assert got.ipv6 == ipv6_of("acme", "d", ip_network("fd5c:91aa:7be0::/48"))  # type: ignore[arg-type]
    assert got.listen_port == listen_port_of("acme", "d")
    assert (got.delivery, got.ssh, got.public_key) == (Delivery.FILE, None, None)


def test_a_rename_keeps_the_addresses(tmp_path: Path) -> None:
    """The oldest name in `formerly` is the one that is hashed."""
    old = device(tmp_path / "a", "devices: {d: {tags: [tag:x]}}\n")
    tailnet = loaded(
        tmp_path / "b",
        {
            "tailnet.yaml": HEAD,
            "d.yaml": "grants: []\ntagOwners: {tag:x: []}\n"
            "devices: {new: {tags: [tag:x], formerly: [d, between]}}\n",
        },
    )
    new = tailnet.devices["new"]
    assert (new.ipv4, new.ipv6, new.listen_port) == (
        old.ipv4,
        old.ipv6,
        old.listen_port,
    )


def test_pins_win(tmp_path: Path) -> None:
    """`ipv4:` and `ipv6:` replace the derived addresses."""
    text = (
        'devices: {d: {tags: [tag:x], ipv4: 100.90.0.7, ipv6: "fd5c:91aa:7be0:1::2"}}\n'
    )
    got = device(tmp_path, text)
    assert [str(a) for a in got.addresses] == ["100.90.0.7", "fd5c:91aa:7be0:1::2"]


def test_first_endpoint_gives_port_and_host(tmp_path: Path) -> None:
    """An endpoint is where people reach the device, by WireGuard and by SSH."""
    text = 'devices: {d: {tags: [tag:x], endpoints: ["203.0.113.1:4500"]}}\n'
    got = device(tmp_path, text)
    assert got.endpoints == (Endpoint(IPv4Address("203.0.113.1"), 4500),)
    assert got.listen_port == 4500
    assert got.ssh == Ssh("203.0.113.1")
    assert got.delivery is Delivery.SSH


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", Ssh("203.0.113.1", 22, "ops")),
        ("ssh: {port: 2222}", Ssh("203.0.113.1", 2222, "tailgit")),
        ("ssh: {host: d.acme.com}", Ssh("d.acme.com", 22, "tailgit")),
    ],
)
def test_own_field_wins_whole(tmp_path: Path, own: str, expected: Ssh) -> None:
    """`deviceDefaults` gives whole fields, it does not mix into a device's own."""
    text = (
        "deviceDefaults: {ssh: {user: ops}}\n"
        f'devices: {{d: {{tags: [tag:x], endpoints: ["203.0.113.1:1"], {own}}}}}\n'
    )
    assert device(tmp_path, text).ssh == expected


def test_defaults_hold_in_their_file_only(tmp_path: Path) -> None:
    """Another file's devices know nothing of them."""
    files: dict[str, str | bytes] = {
        "tailnet.yaml": HEAD,
        "a.yaml": "grants: []\ndeviceDefaults: {delivery: pull}\n"
        "devices: {a: {owner: ana@acme.com}}\n",
        "b.yaml": "devices: {b: {owner: ana@acme.com}}\n",
    }
    devices = loaded(tmp_path, files).devices
    assert (devices["a"].delivery, devices["b"].delivery) == (
        Delivery.PULL,
        Delivery.FILE,
    )


def test_an_acl_is_a_rule_for_each_port_set(tmp_path: Path) -> None:
    """Destinations with equal ports share a rule, however the ports are written."""
    rules = [r for r in loaded(tmp_path, dict(ACME)).rules if r.section == "acls"]
    assert [([str(s) for s in rule.dst], rule.ports) for rule in rules] == [
        (["tag:db", "10.20.0.9"], Ports.of([(6, 22, 22), (6, 80, 80)])),
        (["gw"], Ports.of([(6, 0, 65535)])),
    ]
    assert {rule.place for rule in rules} == {Place("acls/data.yaml", 8, 5)}


def test_a_comment_above_a_rule_describes_it(tmp_path: Path) -> None:
    """Only lines directly above count; a blank line ends the comment."""
    text = (
        "grants:\n"
        "  # Not this one.\n"
        "\n"
        "  # The first,\n"
        "  #   in two lines.\n"
        "  - {src: ['*'], dst: ['*'], ip: ['1']}\n"
        "  - {src: ['*'], dst: ['*'], ip: ['2']}\n"
        "  # The third.\n"
        "  -\n"
        "    src: ['*']\n"
        "    dst: ['*']\n"
        "    ip: ['3']\n"
    )
    tailnet = loaded(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})
    assert [rule.description for rule in tailnet.rules] == [
        "The first, in two lines.",
        "",
        "The third.",
    ]


def test_selectors_know_their_kind_and_place(tmp_path: Path) -> None:
    """A device's name beats nothing: an alias of that name would be an error."""
    text = (
        "hosts: {nas: 10.0.0.5/24}\n"
        "devices: {pc: {owner: ana@acme.com}}\n"
        "grants: [{src: [pc, nas, ana@acme.com, ' * '], dst: ['fd00::1'], ip: ['*']}]\n"
    )
    tailnet = loaded(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})
    (rule,) = tailnet.rules
    assert [s.kind for s in rule.src] == [Kind.DEVICE, Kind.HOST, Kind.USER, Kind.ANY]
    assert [s.place and s.place.column for s in rule.src] == [17, 21, 26, 40]
    assert tailnet.hosts["nas"].prefix == ip_network("10.0.0.0/24")


def test_disabled_is_kept(tmp_path: Path) -> None:
    """Users, devices and rules can be switched off."""
    text = (
        "users: {ana@acme.com: {disabled: true}}\n"
        "devices: {pc: {owner: ana@acme.com, disabled: true}}\n"
        "grants: [{src: ['*'], dst: ['*'], ip: ['*'], disabled: true}]\n"
    )
    tailnet = loaded(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})
    assert tailnet.users["ana@acme.com"].disabled
    assert tailnet.devices["pc"].disabled
    assert tailnet.rules[0].disabled


def test_json_files_are_part_of_it(tmp_path: Path) -> None:
    """JSON has the same sections, and places too."""
    text = '{"grants": [{"src": ["*"],\n  "dst": ["tag:x"], "ip": ["tcp:22"]}],'
    text += ' "tagOwners": {"tag:x": []}}'
    tailnet = loaded(tmp_path, {"tailnet.yaml": HEAD, "a.json": text})
    assert tailnet.rules[0].dst[0].place == Place("a.json", 2, 11)


def test_reserved_fields_leave_a_tailnet_only_where_they_are_harmless(
    tmp_path: Path,
) -> None:
    """`site` is a warning, `expires` would leave access behind and is an error."""
    harmless = "grants: []\ndevices: {pc: {owner: ana@acme.com, site: x}}\n"
    result = load(write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": harmless}))
    assert [finding.code for finding in result.findings] == ["not-used"]
    assert result.tailnet is not None
    write(tmp_path, {"a.yaml": harmless.replace("site", "expires")})
    assert load(tmp_path).tailnet is None


def test_findings_of_load_and_check_come_at_once(tmp_path: Path) -> None:
    """A file with a bad value does not hide what is wrong elsewhere."""
    result = load(
        write(
            tmp_path,
            {
                "tailnet.yaml": HEAD,
                "a.yaml": "grants: [{src: [group:x], dst: ['*'], ip: [ssh]}]\n",
            },
        )
    )
    assert (result.tailnet, result.partial is not None) == (None, True)
    codes = [finding.code for finding in examine(result)]
    assert codes == ["unknown-group", "bad-port"]


def test_a_place_with_an_error_gets_no_second_one(tmp_path: Path) -> None:
    """One mistake is said once, though both load and check stumble over it."""
    files: dict[str, str | bytes] = {
        "tailnet.yaml": HEAD,
        "a.yaml": "grants: []\ndevices: {DB_1: {}, db-2: {}}\n",
    }
    result = load(write(tmp_path, files))
    codes = [finding.code for finding in examine(result)]
    assert codes == ["bad-value", "owner-or-tags"]


def test_an_unreadable_file_keeps_check_from_guessing(tmp_path: Path) -> None:
    """Names that the unreadable file may define are not called unknown."""
    files: dict[str, str | bytes] = {
        "tailnet.yaml": HEAD,
        "a.yaml": "grants: [{src: [group:x], dst: ['*'], ip: ['*']}]\n",
        "b.yaml": "groups: {group:x: [@ana]}\n",
    }
    result = load(write(tmp_path, files))
    assert [finding.code for finding in examine(result)] == ["yaml-quotes"]


@pytest.mark.parametrize(
    ("requires", "met"),
    [
        ("tailgit >=0.1", True),
        ("tailgit >=0.0.9, <2", True),
        ("tailgit >0.1", False),
        ("tailgit ==0.1.0", True),
        ("tailgit <0.1", False),
    ],
)
def test_requires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requires: str, met: bool
) -> None:
    """The tailnet says which versions may read it."""
    monkeypatch.setattr("tailgit.__version__", "0.1.0")
    head = HEAD + f'  requires: "{requires}"\n'
    result: Loaded = load(write(tmp_path, {"tailnet.yaml": head}))
    assert (result.tailnet is not None) == met
