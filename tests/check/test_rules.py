"""Rules that do too much or nothing: when one counts as dead, empty, for everybody."""

from __future__ import annotations

import random
import time
from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.access import Relation
from tailgit.check import check
from tailgit.check.rules import check_rules
from tailgit.load import load
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import Rule
from tailgit.model.ports import Ports
from tailgit.model.selectors import Selector, parse_selector
from tailgit.model.tailnet import Device, Group, Host, Tailnet
from tests.load.files import HEAD, write

ONE_POSTURE = "srcPosture: ['posture:a']"
TWO_POSTURES = "srcPosture: ['posture:a', 'posture:b']"
ONE_APP = "app: {acme.com/cap/sql: [{role: read}]}"

WORLD = """\
ipsets: {ipset:office: [10.20.0.0/16]}
postures: {posture:a: [custom:a IS SET], posture:b: [custom:b IS SET]}
groups: {group:a: [ana@acme.com], group:b: [ana@acme.com], group:empty: []}
tagOwners: {tag:db: ['group:a', 'group:b', 'group:empty'], tag:web: [], tag:cache: []}
hosts: {printer: 10.20.0.9}
devices:
  ana-pc: {owner: ana@acme.com}
  ana-phone: {owner: ana@acme.com}
  kim-pc: {owner: kim@acme.com, disabled: true}
  db-1: {tags: [tag:db]}
  web-1: {tags: [tag:web]}
  cache-1: {tags: [tag:cache], disabled: true}
"""


def said(folder: Path, rules: str, code: str) -> list[Finding]:
    files = {"tailnet.yaml": HEAD, "a.yaml": WORLD, "p.yaml": rules}
    tailnet = load(write(folder, files)).tailnet
    assert tailnet is not None
    return [each for each in check(tailnet) if each.code == code]


def grant(text: str) -> str:
    """A grant from `src -> dst ip`, with what else it says behind a `|`."""
    rule, _, more = text.partition("|")
    src, _, rest = rule.partition(" -> ")
    dst, _, ip = rest.strip().rpartition(" ")
    quoted = [", ".join(f"'{each}'" for each in side.split(",")) for side in (src, dst)]
    ports = ", ".join(f"'{each}'" for each in ip.split(","))
    return (
        f"  - {{src: [{quoted[0]}], dst: [{quoted[1]}], ip: [{ports}]"
        f"{', ' + more.strip() if more else ''}}}\n"
    )


def dead_lines(folder: Path, *rules: str) -> dict[int, int]:
    """Which rule (from 1) is dead, and by which."""
    found = said(folder, "grants:\n" + "".join(map(grant, rules)), "dead-rule")
    return {each.place.line - 1: each.see[0].line - 1 for each in found}


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("group:a -> tag:db tcp:22", "group:a -> tag:db tcp:22,tcp:80"),
        ("group:a -> tag:db tcp:22", "group:a,tag:web -> tag:web,tag:db tcp:20-30"),
        ("group:a -> tag:db tcp:22", "group:a -> tag:db *"),
        ("group:a -> tag:db tcp:22", "* -> tag:db tcp:22"),
        ("group:a -> tag:db tcp:22", "group:a -> * tcp:22"),
        ("group:a -> tag:db tcp:22", "autogroup:member -> autogroup:tagged tcp:22"),
        ("ana@acme.com -> tag:db tcp:22", "autogroup:member -> tag:db tcp:22"),
        ("tag:web -> tag:db tcp:22", "autogroup:tagged -> tag:db tcp:22"),
        ("tag:web -> 10.1.2.3 tcp:22", "tag:web -> 10.1.0.0/16 tcp:22"),
        ("tag:web -> printer tcp:22", "tag:web -> 10.20.0.9 22"),
        ("tag:web -> 10.20.0.9/32 tcp:22", "tag:web -> printer 22"),
        ("100.64.0.7 -> tag:db tcp:22", "* -> tag:db tcp:22"),
        ("db-1 -> web-1 tcp:22", "* -> web-1 tcp:22"),
        ("group:a -> autogroup:self tcp:22", "autogroup:member -> autogroup:self *"),
        ("group:a -> autogroup:self tcp:22", "group:a -> group:a tcp:22"),
        ("group:a -> autogroup:self tcp:22", "group:a -> autogroup:member tcp:22"),
        ("ana@acme.com -> autogroup:self 22", "ana@acme.com -> ana@acme.com *"),
        ("ana@acme.com -> ana@acme.com 22", "ana@acme.com -> autogroup:self *"),
        ("ana@acme.com -> ana@acme.com 22", "autogroup:member -> autogroup:self 22"),
        ("tag:web -> tag:db 22 | expires: 2030-01-01", "tag:web -> tag:db 22"),
        (
            "tag:web -> tag:db 22 | expires: 2030-01-01",
            "tag:web -> tag:db 22 | expires: 2030-01-02",
        ),
        (f"tag:web -> tag:db 22 | {ONE_POSTURE}", "tag:web -> tag:db 22"),
        (
            f"tag:web -> tag:db 22 | {ONE_POSTURE}",
            f"tag:web -> tag:db 20-30 | {TWO_POSTURES}",
        ),
        ("autogroup:admin -> tag:db 22", "autogroup:member -> tag:db 22"),
        ("user:*@acme.com -> tag:db 22", "autogroup:member -> tag:db 22"),
        (
            "tag:web -> 10.1.2.3 22 | via: ['tag:db']",
            "tag:web -> 10.1.0.0/16 22 | via: ['tag:db']",
        ),
        ("tag:web -> tag:db 22", f"tag:web -> tag:db 22 | {ONE_APP}"),
    ],
)
def test_what_lies_in_another_rule_is_dead(
    tmp_path: Path, inner: str, outer: str
) -> None:
    """Wherever it stands, and the finding names the rule that says it too."""
    assert dead_lines(tmp_path / "1", inner, outer) == {1: 2}
    assert dead_lines(tmp_path / "2", outer, inner) == {2: 1}


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("group:a -> tag:db 22", "group:b -> tag:db 22"),
        ("ana@acme.com -> tag:db 22", "group:a -> tag:db 22"),
        ("ana-pc -> tag:db 22", "ana@acme.com -> tag:db 22"),
        ("db-1 -> tag:web 22", "tag:db -> tag:web 22"),
        ("db-1 -> tag:web 22", "autogroup:tagged -> tag:web 22"),
        ("group:a -> tag:db tcp:22-30", "group:a -> tag:db tcp:22-29"),
        ("group:a -> tag:db 22", "group:a -> tag:db tcp:22"),
        ("group:a,group:b -> tag:db 22", "group:a -> tag:db 22"),
        ("group:a -> tag:db,tag:web 22", "group:a -> tag:db 22"),
        ("* -> tag:db 22", "autogroup:member,autogroup:tagged -> tag:db 22"),
        ("10.20.0.9 -> tag:db 22", "* -> tag:db 22"),
        ("tag:web -> 10.0.0.0/8 22", "tag:web -> 10.0.0.0/9,10.128.0.0/9 22"),
        ("tag:web -> fd00::1 22", "tag:web -> 0.0.0.0/1 22"),
        ("group:a -> group:a 22", "group:a -> autogroup:self 22"),
        ("group:a,group:b -> autogroup:self 22", "group:a,group:b -> group:b 22"),
        ("group:a -> ana@acme.com 22", "group:a -> autogroup:self 22"),
        ("ana@acme.com,kim@acme.com -> ana@acme.com 22",
         "ana@acme.com,kim@acme.com -> autogroup:self 22"),
        ("tag:web -> tag:db 22", f"tag:web -> tag:db * | {ONE_POSTURE}"),
        (
            f"tag:web -> tag:db 22 | {TWO_POSTURES}",
            f"tag:web -> tag:db * | {ONE_POSTURE}",
        ),
        ("tag:web -> 10.1.2.3 22 | via: ['tag:db']", "tag:web -> 10.1.0.0/16 22"),
        ("tag:web -> 10.1.2.3 22", "tag:web -> 10.1.0.0/16 22 | via: ['tag:db']"),
        (f"tag:web -> tag:db 22 | {ONE_APP}", "tag:web -> tag:db 22"),
        ("autogroup:danger-all -> tag:db 22", "* -> tag:db 22"),
        ("ipset:office -> tag:db 22", "* -> tag:db 22"),
        ("tag:web -> tag:db 22", "tag:web -> tag:db * | disabled: true"),
        ("tag:web -> tag:db 22 | disabled: true", "tag:web -> tag:db *"),
        ("tag:web -> tag:db 22", "tag:web -> tag:db * | expires: 2030-01-01"),
        (
            "tag:web -> tag:db 22 | expires: 2030-01-02",
            "tag:web -> tag:db * | expires: 2030-01-01",
        ),
    ],
)  # fmt: skip
def test_what_may_differ_tomorrow_is_not_dead(
    tmp_path: Path, inner: str, outer: str
) -> None:
    """Equal members, an owner, a tag: all of that is edited without a look here."""
    assert 1 not in dead_lines(tmp_path, inner, outer)


def test_everybodys_own_devices_in_an_acl(tmp_path: Path) -> None:
    """There `*` may stand before autogroup:self, and means those who have a self."""
    text = (
        "acls: [{action: accept, src: ['*'], dst: ['autogroup:self:22']}]\n"
        "grants: [{src: ['autogroup:member'], dst: ['autogroup:self'], ip: ['22']}]\n"
    )
    (finding,) = said(tmp_path, text, "dead-rule")
    assert (finding.place.line, finding.see[0].line) == (2, 1)


def test_of_two_equal_rules_the_later_is_dead(tmp_path: Path) -> None:
    """Never both: taking out what is named must change nothing."""
    rule = "tag:web -> tag:db,tag:web 22,443"
    turned = "tag:web -> tag:web,tag:db 443,22"
    assert dead_lines(tmp_path / "a", rule, turned, rule) == {2: 1, 3: 1}
    one = "ana@acme.com -> ana@acme.com 22"
    own = "ana@acme.com -> autogroup:self 22"
    assert dead_lines(tmp_path / "b", one, own) == {2: 1}
    assert dead_lines(tmp_path / "c", own, one) == {2: 1}


def test_the_widest_rule_is_named(tmp_path: Path) -> None:
    """Not one that is dead itself and will be taken out in the same change."""
    chain = "tag:web -> tag:db 22", "tag:web -> tag:db 20-30", "tag:web -> tag:db *"
    assert dead_lines(tmp_path, *chain) == {1: 3, 2: 3}


def test_an_acl_is_dead_only_as_a_whole(tmp_path: Path) -> None:
    """Its destinations with different ports are one entry, with one finding."""
    acl = "acls: [{action: accept, src: [tag:web], dst: ['tag:db:22', 'tag:web:80']}]\n"
    part = "grants: [{src: [tag:web], dst: [tag:db], ip: ['22']}]\n"
    both = part.replace("[tag:db]", "[tag:db, tag:web]").replace("'22'", "'*'")
    (grant,) = said(tmp_path / "part", acl + part, "dead-rule")
    assert (grant.place.line, grant.see[0].line) == (2, 1)
    (finding,) = said(tmp_path / "both", acl + both, "dead-rule")
    assert (finding.place.line, finding.see[0].line) == (1, 2)


def test_beside_a_rule_for_everything_no_other_is_called_dead(tmp_path: Path) -> None:
    """One finding says it, not one for each line."""
    rules = "* -> * *", "tag:web -> tag:db 22"
    assert dead_lines(tmp_path, *rules) == {}


def test_each_field_of_a_rule_is_thought_of() -> None:
    """Whoever gives rules a new field must say here that `check.within` knows it."""
    considered = {"src", "dst", "ports", "expires", "disabled"}
    considered |= {"posture", "via", "app"}
    means_nothing = {"place", "section", "name", "description", "origin"}
    assert {each.name for each in fields(Rule)} <= considered | means_nothing


@pytest.mark.parametrize(
    ("rule", "wide"),
    [
        ("* -> * *", True),
        ("* -> * 1-65535", True),
        ("* -> * tcp:*,udp:*", True),
        ("autogroup:member,autogroup:tagged -> * *", True),
        ("100.64.0.0/10 -> 0.0.0.0/1,64.0.0.0/2 *", True),
        ("* -> autogroup:member,autogroup:tagged *", True),
        ("* -> * tcp:*", False),
        ("* -> * 1-1024", False),
        ("autogroup:member -> * *", False),
        ("* -> tag:db *", False),
        ("100.64.0.0/10 -> fd5c:91aa:7be0::/48 *", False),
        ("* -> * * | disabled: true", False),
    ],
)
def test_what_lets_everybody_reach_everything(
    tmp_path: Path, rule: str, wide: bool
) -> None:
    """All devices to all devices on TCP and UDP, in one family at least."""
    assert bool(said(tmp_path, "grants:\n" + grant(rule), "allow-all")) is wide


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("group:empty -> * 22", "`src`: `group:empty` has no members"),
        ("kim@acme.com -> * 22", "`src`: every device of `kim@acme.com` is switched"),
        ("eve@acme.com -> * 22", "`src`: `eve@acme.com` has no device"),
        ("* -> tag:cache 22", "`dst`: every device with `tag:cache` is switched off"),
        ("kim-pc -> * 22", "`src`: `kim-pc` is switched off, or its owner is"),
        (
            "group:empty,eve@acme.com -> tag:cache 22",
            "`src`: `group:empty` has no members, `eve@acme.com` has no device; `dst`:",
        ),
        ("10.9.9.9 -> printer 22", ""),
        ("group:empty,tag:db -> tag:cache,tag:web 22", ""),
        ("group:empty -> * 22 | disabled: true", ""),
        ("autogroup:member -> autogroup:self 22", ""),
    ],
)
def test_rules_for_nobody(tmp_path: Path, rule: str, why: str) -> None:
    """The finding says which side is nobody, and why."""
    found = said(tmp_path, "grants:\n" + grant(rule), "empty-rule")
    assert bool(found) is bool(why)
    assert why in "".join(each.message for each in found)


def test_an_empty_list_is_nobody(tmp_path: Path) -> None:
    """As Tailscale takes it: valid, and no rule. It is not called dead as well."""
    nobody = "  - {src: [], dst: ['*'], ip: ['*']}\n"
    text = "grants:\n" + nobody + grant("* -> tag:db *")
    (finding,) = said(tmp_path, text, "empty-rule")
    assert "`src`: the list is empty" in finding.message
    assert said(tmp_path, text, "dead-rule") == []


def test_rules_before_the_first_device(tmp_path: Path) -> None:
    """Nothing is empty yet."""
    text = "tagOwners: {tag:db: []}\ngrants:\n" + grant("ana@acme.com -> tag:db 22")
    tailnet = load(write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})).tailnet
    assert tailnet is not None
    assert check(tailnet) == ()


# What is said about dead rules, against the relation

PEOPLE = ["ana@x.org", "ben@x.org"]
NAMES = [
    *("*", *PEOPLE, "group:a", "group:b", "tag:t", "tag:u", "d0", "d1"),
    *("autogroup:member", "autogroup:tagged", "alias", "100.64.0.0/16"),
    *("100.64.0.1", "fd00::/64", "10.0.0.0/8", "10.1.0.0/16"),
]
HOSTS = {"alias": Host("alias", ip_network("100.64.0.1"), Place("h"))}
OPENED = [((6, 22, 22),), ((6, 20, 30),), ((6, 1, 65535), (17, 1, 9)), ((17, 5, 5),)]


def selectors(texts: list[str]) -> tuple[Selector, ...]:
    devices = [f"d{number}" for number in range(6)]
    return tuple(parse_selector(each, devices=devices, hosts=HOSTS) for each in texts)


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    made = []
    for line in range(draw(st.integers(2, 6))):
        to_self = draw(st.integers(0, 3)) == 0
        people = [*PEOPLE, "group:a", "group:b", "autogroup:member"]
        src = draw(
            st.lists(
                st.sampled_from(people if to_self else NAMES), min_size=1, max_size=2
            )
        )
        dst = draw(st.lists(st.sampled_from(NAMES), max_size=2))
        dst += ["autogroup:self"] if to_self or not dst else []
        if not to_self and "autogroup:self" in dst:
            src = [draw(st.sampled_from(people))]
        ports = Ports.of(draw(st.sampled_from(OPENED)))
        made.append(Rule(selectors(src), selectors(dst), ports, Place("p", line + 1)))
    return tuple(made)


def world(seed: int, given: tuple[Rule, ...]) -> Tailnet:
    """A tailnet with these rules and whatever devices and members there are."""
    chance = random.Random(seed)
    devices = {}
    for number in range(6):
        tagged = chance.random() < 0.5
        devices[f"d{number}"] = Device(
            name=f"d{number}",
            ipv4=IPv4Address(f"100.{64 + chance.randrange(2)}.0.{number + 1}"),
            ipv6=IPv6Address(f"fd00::{chance.randrange(2)}:0:0:{number + 1}"),
            listen_port=1,
            place=Place("d"),
            owner=None if tagged else chance.choice(PEOPLE),
            tags=tuple(chance.sample(["tag:t", "tag:u"], chance.choice([1, 2])))
            if tagged
            else (),
        )
    groups = {
        name: Group(
            name, tuple(each for each in PEOPLE if chance.random() < 0.5), Place("g")
        )
        for name in ("group:a", "group:b")
    }
    return Tailnet(
        name="x",
        domain="x.org",
        ipv4=ip_network("100.64.0.0/10"),
        ipv6=ip_network("fd00::/48"),
        place=Place("t"),
        groups=groups,
        hosts=HOSTS,
        devices=devices,
        rules=given,
    )


def access(tailnet: Tailnet) -> list[object]:
    relation = Relation.of(tailnet)
    return [
        relation.ports_in(node.name, src, dst)
        for node in relation.devices
        for dst in node.addresses
        for other in relation.devices
        for src in other.addresses
        if other is not node
    ]


@given(rules(), st.integers(0, 10**6))
def test_a_dead_rule_changes_nothing_in_any_world(
    given: tuple[Rule, ...], seed: int
) -> None:
    """Without all the dead ones access is the same, whoever joins, whatever comes."""
    dead = {
        each.place
        for each in check_rules(world(seed, given))
        if each.code == "dead-rule"
    }
    left = tuple(rule for rule in given if rule.place not in dead)
    for other in range(seed, seed + (4 if dead else 0)):
        assert access(world(other, left)) == access(world(other, given))


# How long it takes


def many(rules: list[Rule]) -> float:
    tailnet = world(1, tuple(rules))
    start = time.process_time()
    list(check_rules(tailnet))
    return time.process_time() - start


def rule(line: int, src: list[str], dst: list[str], port: int) -> Rule:
    ports = Ports.of([(6, port, port)])
    return Rule(selectors(src), selectors(dst), ports, Place("p", line))


def test_two_thousand_rules_take_no_time() -> None:
    """As teams write them: many sources, tags and addresses."""
    assert (
        many(
            [
                rule(
                    n,
                    [f"tag:team-{n % 200}", f"u{n % 50}@x.org"],
                    [f"10.{n % 250}.{n % 7}.0/24"],
                    n + 1,
                )
                for n in range(2000)
            ]
        )
        < 1
    )


@pytest.mark.parametrize(
    "src", [["*"], [f"10.0.{n}.0/24" for n in range(200)]], ids=["star", "prefixes"]
)
def test_hostile_rules_end(src: list[str]) -> None:
    """The same two ends thousands of times, each with another port."""
    like = rule(1, src, ["tag:t"], 1)
    rules = [
        replace(like, ports=Ports.of([(6, n, n)]), place=Place("p", n))
        for n in range(1, 5001)
    ]
    assert many(rules) < 6
