"""IP sets: what is left after every entry, and the circles and slips in them."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.load.ipsets import MAX_RANGES
from tailgit.model.addresses import INTERNET
from tests.load.policies import errors, sentences, tailnet_of


def policy(*entries: str, more: str = "") -> str:
    listed = ", ".join(f'"{each}"' for each in entries)
    return f"grants: []\nipsets: {{ipset:a: [{listed}]{more}}}\n"


def prefixes(*entries: str, more: str = "") -> list[str]:
    found = tailnet_of(policy(*entries, more=more)).ipsets["ipset:a"].prefixes
    return [str(each) for each in found]


def test_entries_are_applied_in_order() -> None:
    """What is removed and then added again is in; neighbours become one prefix."""
    assert prefixes("10.0.0.0/25", "10.0.0.128/25") == ["10.0.0.0/24"]
    assert prefixes("add 10.0.0.0/30", "remove 10.0.0.1") == [
        *("10.0.0.0/32", "10.0.0.2/31"),
    ]
    again = "add 10.0.0.0/30", "remove 10.0.0.0/30", "add 10.0.0.1"
    assert prefixes(*again) == ["10.0.0.1/32"]
    assert prefixes("remove 10.0.0.0/8", "add 10.0.0.1") == ["10.0.0.1/32"]
    assert prefixes("add 10.0.0.1", "remove 0.0.0.0/0") == []
    assert prefixes() == []


def test_the_families_never_meet() -> None:
    """The last IPv4 address has no neighbour; ::/0 removes nothing of it."""
    assert prefixes("::/128", "255.255.255.255") == ["255.255.255.255/32", "::/128"]
    assert prefixes("add 10.0.0.1", "add fd00::1", "remove ::/0") == ["10.0.0.1/32"]


def test_targets_of_every_kind() -> None:
    """Aliases with and without `host:`, other ipsets, the internet."""
    assert prefixes("host:srv", "lan") == ["10.1.0.1/32", "10.2.0.0/16"]
    more = ", ipset:b: [ipset:c, 10.9.0.1], ipset:c: [10.9.0.0]"
    assert prefixes("add ipset:b", "remove 10.9.0.1", more=more) == ["10.9.0.0/32"]
    assert prefixes("autogroup:internet") == [str(each) for each in INTERNET]
    without = prefixes("add autogroup:internet", "remove 0.0.0.0/1")
    assert "2000::/3" in without
    assert "10.0.0.0/8" not in without


def test_mentions_are_kept() -> None:
    """Who looks for unused aliases must know that an ipset uses them."""
    found = tailnet_of(policy("host:srv", "ipset:b", more=", ipset:b: []")).ipsets
    assert found["ipset:a"].mentions == ("ipset:b", "srv")


def test_rules_name_them() -> None:
    """As source and destination, also with ports behind."""
    text = policy("10.0.0.0/8").replace("grants: []\n", "")
    tailnet = tailnet_of(
        text
        + "grants: [{src: [ipset:a], dst: [ipset:a], ip: ['22']}]\n"
        + "acls: [{action: accept, src: [ipset:a], dst: ['ipset:a:22']}]\n"
    )
    for rule in tailnet.rules:
        assert [str(each) for each in (*rule.src, *rule.dst)] == ["ipset:a"] * 2


SETS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 15), st.integers(27, 32)), max_size=12
)


@given(SETS)
def test_as_address_for_address(entries: list[tuple[bool, int, int]]) -> None:
    """The prefixes hold just the addresses that the entries leave one by one."""
    lines, left = [], set[IPv4Address]()
    for adds, low, length in entries:
        network = ip_network(f"10.0.0.{low * 2}/{length}", strict=False)
        assert network.version == 4
        lines.append(f"{'add' if adds else 'remove'} {network}")
        left = left | set(network) if adds else left - set(network)
    found = [ip_network(each) for each in prefixes(*lines)]
    held = [address for network in found for address in network]
    assert sorted(map(int, held)) == sorted(map(int, left))
    assert all(not a.overlaps(b) for a in found for b in found if a is not b)


@pytest.mark.parametrize(
    ("entries", "code", "message"),
    [
        (["add ipset:a"], "bad-ipset", "`ipset:a` is in itself: ipset:a -> ipset:a"),
        (["group:dev"], "bad-ipset", "`group:dev` is no address, host or ipset"),
        (["tag:db"], "bad-ipset", "`tag:db` is no address, host or ipset"),
        (["ana@acme.com"], "bad-ipset", "`ana@acme.com` is no address, host or ipset"),
        (["*"], "bad-ipset", "`*` is no address, host or ipset"),
        (["add"], "bad-ipset", "`add` is no address, host or ipset"),
        (["add 10.0.0.1 10.0.0.2"], "bad-ipset", None),
        (["drop 10.0.0.1"], "bad-ipset", "`drop 10.0.0.1` is no entry of an ipset"),
        (["ADD 10.0.0.1"], "bad-ipset", "`ADD 10.0.0.1` is no entry of an ipset"),
        (["10.0.0.0/33"], "bad-ipset", "`10.0.0.0/33` is no address, host or ipset"),
        (["ipset:x"], "unknown-ipset", "no ipset `ipset:x`"),
        (
            ["10.0.0.0/8", "remove 10.0.0.1"],
            "bad-ipset",
            "`10.0.0.0/8` says neither add nor remove, and others do",
        ),
    ],
)
def test_mistakes_are_explained(
    entries: list[str], code: str, message: str | None
) -> None:
    """One sentence at the entry, and the set is left out."""
    ((found, said),) = sentences(policy(*entries))
    assert (found, said) == (code, message or said)


def test_a_circle_is_shown_whole() -> None:
    """Where it closes, with the way round."""
    more = ", ipset:b: [ipset:c], ipset:c: [ipset:a]"
    (found,) = errors(policy("ipset:b", more=more))
    way = "ipset:a -> ipset:b -> ipset:c -> ipset:a"
    assert found.message == f"`ipset:a` is in itself: {way}"


def test_a_rule_can_not_name_one_that_is_not_there() -> None:
    """With the nearest name, as for groups."""
    rule = "grants: [{src: ['ipset:office'], dst: [srv], ip: ['22']}]\n"
    (found,) = errors(rule + "ipsets: {ipset:offices: []}\n")
    assert (found.code, found.help) == (
        "unknown-ipset",
        "did you mean `ipset:offices`?",
    )


def test_many_entries_take_little_time() -> None:
    """Adding and removing in turns costs no more than the entries do."""
    turns = [
        f"{'add' if n % 2 else 'remove'} {ip_address(10 << 24 | n * 7919 % (1 << 24))}"
        for n in range(20_000)
    ]
    start = process_time()
    assert len(prefixes(*turns)) > 5000
    assert process_time() - start < 5


def test_nested_sets_do_not_multiply() -> None:
    """Sets that name each other grow by doubling; a limit ends it."""
    big = ", ".join(f"10.{n >> 7}.{n & 127}.1" for n in range(2000))
    names = ["ipset:x0", *(f"ipset:x{n}" for n in range(1, 400))]
    sets = [f"{names[0]}: [{big}]"]
    sets += [f"{name}: [{names[0]}]" for name in names[1:]]
    found = errors(f"grants: []\nipsets: {{{', '.join(sets)}}}\n")
    assert {each.code for each in found} == {"too-large"}
    assert str(MAX_RANGES) in found[0].message
