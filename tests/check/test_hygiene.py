"""Names, lists, endpoints, keys and tests that are valid and hardly meant."""

from __future__ import annotations

import base64
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from tailgit.check import Surroundings, check, examine
from tailgit.check.keys import is_weak
from tailgit.check.lookalikes import skeleton
from tailgit.check.ranges import Outer
from tailgit.load import load
from tailgit.model.findings import Finding
from tests.load.files import HEAD, write

DEVICES = """\
tagOwners: {tag:db: [], tag:router: []}
devices:
  ana-pc: {owner: ana@acme.com}
  db-1: {tags: [tag:db]}
"""


NOTHING = Surroundings()


def said(
    folder: Path, *files: str, around: Surroundings = NOTHING
) -> tuple[Finding, ...]:
    named = {f"{number}.yaml": text for number, text in enumerate(files)}
    return examine(load(write(folder, {"tailnet.yaml": HEAD, **named})), around)


def lines(findings: tuple[Finding, ...], code: str) -> list[int]:
    return [each.place.line for each in findings if each.code == code]


# Once there is no error


@pytest.mark.parametrize(
    "error",
    [
        "grants: [{src: ['tag:dbb'], dst: ['*'], ip: ['*']}]\n",  # of check
        "grants: [{src: ['tag:db'], dst: ['*'], ip: [ssh]}]\n",  # of load
    ],
)
def test_hygiene_waits_for_errors(tmp_path: Path, error: str) -> None:
    """A misspelt tag would make another one unused, and only one line is wrong."""
    tags = "tagOwners: {tag:db: []}\n"
    assert [each.is_error for each in said(tmp_path / "wrong", tags, error)] == [True]
    right = said(tmp_path / "right", tags, "grants: []\n")
    assert [each.code for each in right] == ["unused-tag"]


# Mentions


@pytest.mark.parametrize(
    ("mention", "unused"),
    [
        ("grants: [{src: ['X'], dst: ['*'], ip: ['22']}]", False),
        ("grants: [{src: ['*'], dst: ['X'], ip: ['22'], disabled: true}]", False),
        ("acls: [{action: accept, src: ['*'], dst: ['X:22']}]", False),
        ("grants: []\ntests: [{src: db-1, deny: ['X:22']}]", False),
        ("grants: []\nautoApprovers: {routes: {10.0.0.0/8: ['X']}}", False),
        ("grants: []\nautoApprovers: {exitNode: ['X']}", False),
        ("grants: []\nhosts: {}", True),
    ],
)
@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("tag:x", "tagOwners: {tag:x: ['tag:x']}"),
        ("group:x", "groups: {group:x: [ana@acme.com]}"),
        ("printer", "hosts: {printer: 10.0.0.9}"),
    ],
)
def test_what_mentions_a_name(
    tmp_path: Path, name: str, definition: str, mention: str, unused: bool
) -> None:
    """Rules that are off count, too; a tag that owns itself does not."""
    if name == "printer" and "autoApprovers" in mention:
        return  # an alias approves nothing
    findings = said(tmp_path, DEVICES, definition, mention.replace("X", name))
    found = [each for each in findings if each.code.startswith("unused-")]
    mine = [each for each in found if name in each.message]
    assert bool(mine) is unused


def test_owners_of_tags_are_mentioned(tmp_path: Path) -> None:
    """A group that owns a tag is used, and a tag that owns another one."""
    text = (
        "groups: {group:x: [ana@acme.com]}\n"
        "tagOwners: {tag:a: [group:x], tag:b: [tag:a]}\n"
        "devices: {b: {tags: [tag:b]}}\ngrants: []\n"
    )
    assert said(tmp_path, text) == ()


def test_files_of_several_tailnets_may_say_more(tmp_path: Path) -> None:
    """What comes from outside of the folder is used by the others."""
    people = (
        "users: {ana@acme.com: {}, kim@acme.com: {}}\n"
        "groups: {group:x: [ana@acme.com]}\nhosts: {printer: 10.0.0.9}\n"
        "tagOwners: {tag:x: []}\n"
    )
    head = HEAD + "include: [../people.yaml]\n"
    devices = "grants: []\ndevices: {pc: {owner: ana@acme.com}}\n"
    files = {"people.yaml": people, "a/tailnet.yaml": head, "a/d.yaml": devices}
    folder = write(tmp_path / "two", {**files, "b/tailnet.yaml": HEAD})
    (folder / ".git").mkdir()
    assert examine(load(folder / "a")) == ()
    own = said(tmp_path / "own", people, devices)
    assert [each.code for each in own] == [
        "user-without-devices",
        "unused-group",
        "unused-host",
        "unused-tag",
    ]


def test_many_people_without_devices_are_one_finding(tmp_path: Path) -> None:
    """Up to twenty of a file are named one by one; beyond, the first and how many."""
    users = "users:\n" + "".join(f"  u{n:02}@acme.com: {{}}\n" for n in range(21))
    devices = "grants: []\ndevices: {pc: {owner: ana@acme.com}}\n"
    ana = "users: {ana@acme.com: {}, kim@acme.com: {}}\n"
    found = said(tmp_path / "many", users, ana, devices)
    assert [(each.place.file, each.place.line) for each in found] == [
        ("0.yaml", 2),
        ("1.yaml", 1),
    ]
    assert found[0].message == (
        "21 users of this file have no device: `u00@acme.com`, `u01@acme.com`, "
        "`u02@acme.com`, `u03@acme.com`, `u04@acme.com` and 16 more"
    )
    few = users.replace("  u20@acme.com: {}\n", "")
    assert len(said(tmp_path / "few", few, devices, ana)) == 21
    assert said(tmp_path / "none", users) == ()


# Look-alikes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("db-1", "db-l"),
        ("db-1", "db1"),
        ("web-10", "web-1o"),
        ("web-10", "web-lo"),
        ("ana.lima@acme.com", "analima@acme.com"),
        ("Ana@acme.com", "ana@acme.com"),
        ("tag:AI", "tag:al"),
        ("group:data", "group:d\u0430t\u0430"),
        ("group:ops", "group:\u03bfps"),
        ("group:caf\u00e9", "group:cafe"),
        ("group:\uff4f\uff50\uff53", "group:ops"),
        ("rack1i", "rack1l"),
    ],
)
def test_names_that_look_alike(tmp_path: Path, one: str, other: str) -> None:
    """The later one is named, with the place of the first."""
    (finding,) = pair(tmp_path, one, other)
    assert (finding.place.line, finding.see[0].line) == (3, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("db-1", "db-2"),
        ("db-1", "db-11"),
        ("web-1", "web-10"),
        ("node-1-1", "node-11"),
        ("rack1-11", "rack11-1"),
        ("ip-10-0-0-11", "ip-10-0-01-1"),
        ("rack-i", "rack-l"),
        ("az-i-2", "az-l-2"),
        ("ana@acme.com", "ana@acme.org"),
        ("tag:web", "tag:wep"),
    ],
)
def test_names_that_are_different_enough(tmp_path: Path, one: str, other: str) -> None:
    """Numbering, also by letters, is everyday in a fleet."""
    assert pair(tmp_path, one, other) == []


def pair(folder: Path, one: str, other: str) -> list[Finding]:
    """What is said about two names, as the kind of thing that they are."""
    section, value = "devices", "{owner: o@acme.com}"
    if "@" in one:
        section, value = "users", "{disabled: true}"
    elif one.startswith(("tag:", "group:")):
        section, value = ("tagOwners" if one[0] == "t" else "groups"), "[]"
    text = f"{section}:\n  '{one}': {value}\n  '{other}': {value}\n"
    tailnet = load(
        write(folder, {"tailnet.yaml": HEAD, "a.yaml": text + "grants: []\n"})
    )
    assert tailnet.tailnet is not None, tailnet.findings
    return [each for each in check(tailnet.tailnet) if each.code == "look-alike"]


def test_devices_and_aliases_are_one_kind(tmp_path: Path) -> None:
    """Both are bare names in a rule."""
    text = DEVICES + "grants: []\nhosts: {db-l: 10.0.0.9}\n"
    assert lines(said(tmp_path, text), "look-alike") == [6]


def test_the_odd_character_is_named(tmp_path: Path) -> None:
    """Nobody sees it, so its name in Unicode says where to look."""
    (finding,) = pair(tmp_path, "group:data", "group:d\u0430ta")
    assert finding.message.endswith("`\u0430` is CYRILLIC SMALL LETTER A")


def test_fleets_have_skeletons_of_their_own() -> None:
    """Ten thousand numbered machines, and no two of them are one to the eye."""
    names = {
        f"{site}-r{rack}-{unit}"
        for site in ("fra", "nyc", "sgp")
        for rack in range(1, 41)
        for unit in range(1, 85)
    }
    assert len({skeleton(name) for name in names}) == len(names)


# Lists


@pytest.mark.parametrize(
    "text",
    [
        "groups: {group:x: [a@x.org, b@x.org, TWICE]}".replace("TWICE", "a@x.org"),
        "tagOwners: {tag:db: [a@x.org, a@x.org], tag:router: []}",
        "autoApprovers: {routes: {10.0.0.0/8: [tag:db, tag:db]}}",
        "autoApprovers: {exitNode: [tag:db, tag:db]}",
        "grants: [{src: [tag:db, tag:db], dst: [tag:router], ip: ['22']}]",
        "grants: [{src: [tag:db], dst: [10.0.0.1, 10.0.0.1/32], ip: ['22']}]",
        "acls: [{action: accept, src: [tag:db, tag:db], dst: ['db-1:1', 'db-1:2']}]",
        "acls: [{action: accept, src: [tag:db], dst: ['db-1:1,2', 'db-1:1-2']}]",
        "tests: [{src: ana-pc, deny: ['db-1:1', 'db-1:2', 'db-1:1']}]",
    ],
)
def test_an_entry_twice(tmp_path: Path, text: str) -> None:
    """Once for the list, at the second one, with the place of the first."""
    devices = DEVICES
    if text.startswith("tagOwners"):
        devices = devices.replace("tagOwners: {tag:db: [], tag:router: []}\n", "")
    policy = "" if text.startswith(("acls", "grants")) else "grants: []\n"
    found = said(tmp_path, devices + policy, text + "\n")
    (finding,) = (each for each in found if each.code == "said-twice")
    (before,) = finding.see
    assert before.file == finding.place.file
    assert before.column < finding.place.column


def test_an_alias_beside_its_address_is_no_repetition(tmp_path: Path) -> None:
    """Tomorrow the alias means another address. `accept` and `deny` are two lists."""
    text = (
        DEVICES + "hosts: {printer: 10.0.0.9}\n"
        "grants: [{src: [tag:db], dst: [printer, 10.0.0.9], ip: ['22']}]\n"
        "tests: [{src: ana-pc, deny: ['db-1:1'], accept: ['db-1:1']}]\n"
    )
    assert lines(said(tmp_path, text), "said-twice") == []


@pytest.mark.parametrize(
    ("one", "other", "twice"),
    [
        ("deny: ['db-1:1', 'db-1:2']", "deny: ['db-1:2']", True),
        ("deny: ['db-1:1']", "deny: ['db-1:1']", True),
        ("deny: ['db-1:1']", "deny: ['db-1:1', 'db-1:2']", False),
        ("deny: ['db-1:1']", "proto: tcp, deny: ['db-1:1']", False),
        ("deny: ['db-1:1']", "accept: ['db-1:1']", False),
    ],
)
def test_a_test_twice(tmp_path: Path, one: str, other: str, twice: bool) -> None:
    """Same source and protocol, and nothing that the earlier does not ask for."""
    tests = "".join(f"  - {{src: ana-pc, {each}}}\n" for each in (one, other))
    found = said(tmp_path, DEVICES, f"grants: []\ntests:\n{tests}")
    assert lines(found, "said-twice") == ([4] if twice else [])


# Tests that can't fail


def test_what_no_packet_reaches_can_not_fail(tmp_path: Path) -> None:
    """Addresses that nobody has or carries, and no others."""
    text = (
        "tagOwners: {tag:db: [], tag:router: []}\nhosts: {gone: 10.9.0.1}\n"
        "autoApprovers: {routes: {10.20.0.0/16: [tag:router]}}\n"
        "devices:\n  db-1: {tags: [tag:db], ipv4: 100.64.0.9}\n"
        "  gw: {tags: [tag:router], routes: [10.20.0.0/16]}\n"
        "grants: [{src: ['*'], dst: ['*'], ip: ['*']}]\n"
        "tests:\n"
        "  - {src: gw, deny: ['gone:1', '10.8.0.1:1', '100.64.0.8:1', "
        "'[fd5c:91aa:7be0::8]:1']}\n"
        "  - {src: gw, deny: ['db-1:1', '100.64.0.9:1', '10.20.9.9:1', 'gw:1']}\n"
    )
    files = {"tailnet.yaml": HEAD, "a.yaml": text}
    tailnet = load(write(tmp_path, files)).tailnet
    assert tailnet is not None
    called = {each.place for each in check(tailnet) if each.code == "test-cannot-fail"}
    nowhere, somewhere = tailnet.tests
    assert called == {target.place for target in nowhere.deny}
    assert len(called) == len(somewhere.deny) == 4


@pytest.mark.parametrize(
    "carried",
    [
        "gw: {tags: [tag:router], routes: [10.8.0.0/16]}",  # not approved
        "gw: {tags: [tag:router], exitNode: true}",
        "gw: {tags: [tag:router], routes: [10.8.0.0/16], disabled: true}",
    ],
)
def test_what_a_device_offers_to_carry_can_fail(tmp_path: Path, carried: str) -> None:
    """Whether a route is approved is part of the policy."""
    tests = "tests: [{src: db-1, deny: ['10.8.0.1:1']}]\n"
    text = f"{DEVICES}  {carried}\ngrants: []\n{tests}"
    assert lines(said(tmp_path, text), "test-cannot-fail") == []


# Endpoints and ranges


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("10.1.2.3:1", "private-endpoint"),
        ("172.31.0.1:1", "private-endpoint"),
        ("172.32.0.1:1", ""),
        ("192.168.1.1:1", "private-endpoint"),
        ("169.254.1.1:1", "private-endpoint"),
        ("[fd00::1]:1", "private-endpoint"),
        ("100.64.0.1:1", "endpoint-in-tailnet"),
        ("[fd5c:91aa:7be0::1]:1", "endpoint-in-tailnet"),
        ("203.0.113.9:1", ""),
        ("[2001:db8::9]:1", ""),
        ("9.9.9.9:1", ""),
    ],
)
def test_endpoints(tmp_path: Path, endpoint: str, code: str) -> None:
    """One word about each, and none about addresses that examples use."""
    text = (
        f"{DEVICES}  x: {{tags: [tag:router], endpoints: ['{endpoint}']}}\ngrants: []\n"
    )
    found = {"private-endpoint", "endpoint-in-tailnet"}
    codes = [each.code for each in said(tmp_path, text) if each.code in found]
    assert codes == ([code] if code else [])


def test_an_endpoint_behind_a_providers_nat(tmp_path: Path) -> None:
    """100.64.0.0/10 is private too, where the tailnet has another range."""
    head = HEAD.replace("100.64.0.0/10", "10.9.0.0/16")
    device = "  x: {tags: [tag:router], endpoints: ['100.64.0.1:1']}\n"
    text = f"{DEVICES}{device}grants: []\n"
    tailnet = load(write(tmp_path, {"tailnet.yaml": head, "a.yaml": text})).tailnet
    assert tailnet is not None
    (finding,) = (each for each in check(tailnet) if each.code == "private-endpoint")
    assert "RFC 6598" in finding.message


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("100.64.0.0/16", ["tailnet.yaml"]),
        ("64.0.0.0/2", ["tailnet.yaml"]),
        ("fd5c:91aa:7be0:5::/64", ["tailnet.yaml"]),
        ("10.20.5.0/24", ["0.yaml"]),
        ("10.0.0.0/8", ["0.yaml"]),
        ("10.21.0.0/16", []),
        ("0.0.0.0/0", []),
        ("::/0", []),
        ("0.0.0.0/1", []),
        ("100.64.0.9/32", []),
        ("100.64.0.10/32", ["tailnet.yaml"]),
    ],
)
def test_ranges_that_this_machine_routes(
    tmp_path: Path, route: str, found: list[str]
) -> None:
    """Not default routes, in halves neither, nor the tailnet's own host routes."""
    text = (
        "tagOwners: {tag:router: []}\ngrants: []\n"
        "devices:\n"
        "  gw: {tags: [tag:router], routes: [10.20.0.0/16], ipv4: 100.64.0.9}\n"
        "autoApprovers: {routes: {10.20.0.0/16: [tag:router]}}\n"
    )
    around = Surroundings(routes=(ip_network(route),))
    findings = said(tmp_path, text, around=around)
    assert [
        each.place.file for each in findings if each.code == "range-in-use"
    ] == found
    assert lines(said(tmp_path, text), "range-in-use") == []


def test_the_outermost_prefix_that_overlaps() -> None:
    """Looking up by bisection finds what comparing with each finds."""
    prefixes = [
        *(ip_network(f"10.{n}.0.0/{16 + n % 9}") for n in range(0, 200, 8)),
        *(ip_network(f"10.{n}.2.0/{23 + n % 3}") for n in range(0, 200, 12)),
    ]
    outer = Outer(prefixes)
    for n in range(210):
        for length in (8, 13, 16, 24, 32):
            asked = ip_network(f"10.{n}.0.0/{length}", strict=False)
            expected = any(asked.overlaps(each) for each in prefixes)
            assert (outer.overlapping(asked) is not None) is expected


# Keys


def test_weak_keys_are_those_that_give_nothing() -> None:
    """An independent X25519 agrees on zero with each of them, and with no other."""
    prime = 2**255 - 19
    low = [
        *(0, 1, prime - 1, prime, prime + 1),
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    ]
    weak = [*low, *(number | 1 << 255 for number in low)]
    others = [
        2,
        9,
        prime - 2,
        prime + 2,
        2**255 - 1,
        *(number + 1 for number in low[5:]),
    ]
    for number in (*weak, *others):
        data = number.to_bytes(32, "little")
        try:
            X25519PrivateKey.generate().exchange(
                X25519PublicKey.from_public_bytes(data)
            )
            gives_nothing = False
        except ValueError:
            gives_nothing = True
        assert is_weak(base64.b64encode(data).decode()) is gives_nothing, number
        assert gives_nothing is (number in weak)
    assert not is_weak("no key")


@pytest.mark.parametrize("field", ["publicKey", "nextPublicKey", "relayPublicKey"])
def test_every_key_of_a_device_is_looked_at(tmp_path: Path, field: str) -> None:
    """Also one that is only staged."""
    key = base64.b64encode((2**255 - 20).to_bytes(32, "little")).decode()
    text = f"{DEVICES}  x: {{tags: [tag:router], {field}: '{key}'}}\ngrants: []\n"
    (finding,) = (each for each in said(tmp_path, text) if each.is_error)
    assert (finding.code, finding.place.line) == ("weak-public-key", 5)
    assert f"`{field}`" in finding.message
