"""Who can't reach whom, against pairs that are judged one by one; and relay slots."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from tailgit.access.relation import Relation
from tailgit.check.paths import check_paths
from tailgit.load import load
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tests.check.devices import found, key
from tests.load.files import HEAD, write

ALL = "grants: [{src: ['*'], dst: ['*'], ip: ['*']}]\n"
RELAY = '  relay: {owner: ana@acme.com, relay: true, endpoints: ["203.0.113.1:9"]}\n'


def device(name: str, number: int, *more: str) -> str:
    fields = ", ".join(("owner: ana@acme.com", f"publicKey: {key(number)}", *more))
    return f"  {name}: {{{fields}}}\n"


PUBLIC = 'endpoints: ["203.0.113.3:9"]'
TWO = device("a", 9) + device("b", 10)


def test_two_behind_nat_have_no_path(tmp_path: Path) -> None:
    """It is said once, at one of the two, and says what to do."""
    (said,) = found(tmp_path, TWO, "no-path", rest=ALL)
    assert said.message == (
        "`a` can't reach `b`, though the policy lets them talk: neither side has an "
        "endpoint"
    )
    assert said.place.line == 3
    assert said.help == "add an endpoint to one side; a forwarded UDP port will do"


def test_what_makes_a_path(tmp_path: Path) -> None:
    """An endpoint at one side, a common site, a relay, no rule, off."""
    ways = {
        "endpoint": TWO.replace("com, p", 'com, endpoints: ["203.0.113.2:9"], p', 1),
        "site": TWO.replace("com, p", "com, site: fra, p"),
        "relay": TWO + RELAY,
        "off": TWO.replace("com, p", "com, disabled: true, p", 1),
    }
    for way, devices in ways.items():
        assert found(tmp_path, devices, "no-path", rest=ALL) == [], way
    assert found(tmp_path, TWO, "no-path") == []


def test_what_makes_none(tmp_path: Path) -> None:
    """Two sites, a relay that is off, devices that await their keys."""
    ways = {
        "sites": TWO.replace("com, p", "com, site: fra, p", 1).replace(
            f"{key(10)}", f"{key(10)}, site: ams"
        ),
        "off": TWO + RELAY.replace("true", "true, disabled: true"),
        "keys": TWO.replace(f", publicKey: {key(10)}", "") + device("c", 3, PUBLIC),
    }
    for way, devices in ways.items():
        assert len(found(tmp_path, devices, "no-path", rest=ALL)) == 1, way


def test_a_phone_needs_a_gateway(tmp_path: Path) -> None:
    """A relay is no help to it; with a gateway it reaches whoever the gateway does."""
    phone = device("phone", 11, "delivery: wg-quick")
    (said,) = found(tmp_path, TWO + RELAY + phone, "no-path", rest=ALL)
    assert said.message.startswith("`phone` can't reach `a` and `b`")
    assert "name a `gateway`" in said.help
    through = phone.replace("wg-quick", "wg-quick, gateway: relay")
    assert found(tmp_path, TWO + RELAY + through, "no-path", rest=ALL) == []
    # Without a relay both kinds of help are needed.
    (first, _) = found(tmp_path, TWO + phone, "no-path", rest=ALL)
    assert "name a `gateway`" in first.help


def test_one_server_and_many_laptops_are_one_finding(tmp_path: Path) -> None:
    """It is told where most paths are missing: there one line mends them all."""
    rest = "tagOwners: {tag:db: []}\ngrants: [{src: [autogroup:member], dst: [tag:db], "
    rest += "ip: ['tcp:22']}]\n"
    server = device("z", 9).replace("owner: ana@acme.com", "tags: [tag:db]")
    laptops = "".join(device(f"d{i}", 20 + i) for i in range(40))
    (said,) = found(tmp_path, laptops + server, "no-path", rest=rest)
    assert said.message.startswith(
        "`z` can't reach 40 devices that the policy lets it talk with "
        "(`d0`, `d1`, `d10`, …)"
    )


def test_the_own_devices_of_a_person_want_a_path_too(tmp_path: Path) -> None:
    """`autogroup:self` joins devices of one person, and of no other."""
    rest = "grants: [{src: [autogroup:member], dst: ['autogroup:self'], ip: ['*']}]\n"
    other = device("c", 11).replace("ana@", "ben@")
    (said,) = found(tmp_path, TWO + other, "no-path", rest=rest)
    assert said.message.startswith("`a` can't reach `b`,")


def test_a_subnet_is_reached_through_its_router(tmp_path: Path) -> None:
    """Who may reach an address behind a router needs a path to the router."""
    rest = (
        "autoApprovers: {routes: {10.20.0.0/16: [ana@acme.com]}}\n"
        "grants: [{src: [a], dst: [10.20.0.9], ip: ['tcp:22']}]\n"
    )
    assert found(tmp_path, TWO, "no-path", rest=rest) == []
    router = device("b", 10, "routes: [10.20.0.0/16]")
    (said,) = found(tmp_path, device("a", 9) + router, "no-path", rest=rest)
    assert said.message.startswith("`a` can't reach `b`,")


@given(st.data())
def test_paths_are_those_that_pairs_say(data: st.DataObject) -> None:
    """Bit sets find what asking every pair of peers of the relation finds."""
    lines = [
        _any_device(data, number) for number in range(data.draw(st.integers(2, 9)))
    ]
    sides = st.sampled_from(
        ["'*'", "tag:a", "tag:b", "autogroup:member", "d0", "d1", "10.0.0.0/8"]
    )
    rules = "".join(
        f"  - {{src: [{data.draw(sides)}], dst: [{data.draw(sides)}], ip: ['*']}}\n"
        for _ in range(data.draw(st.integers(0, 3)))
    )
    if data.draw(st.booleans()):
        rules += "  - {src: [autogroup:member], dst: ['autogroup:self'], ip: ['*']}\n"
    text = "tagOwners: {tag:a: [], tag:b: []}\n"
    text += f"grants:{rules and chr(10)}{rules or ' []' + chr(10)}"
    text += "autoApprovers: {routes: {10.0.0.0/8: [tag:a]}}\n"
    text += f"devices:\n{''.join(lines)}"
    with TemporaryDirectory() as folder:
        files = {"tailnet.yaml": HEAD, "a.yaml": text}
        loaded = load(write(Path(folder), files))
    tailnet = loaded.tailnet
    assert tailnet is not None, loaded.findings
    expected = _missing(tailnet)
    said = [each for each in check_paths(tailnet) if each.code == "no-path"]
    at = {tailnet.devices[name].place: name for name in expected}
    told = {at[each.place] for each in said}
    assert len(told) == len(said)
    for each in said:
        others = expected[at[each.place]]
        for name in sorted(others)[:3]:
            assert f"`{name}`" in each.message
        assert len(others) <= 3 or f"{len(others)} devices" in each.message
    # Every pair is told at one of its ends at least.
    assert all(
        name in told or other in told
        for name, others in expected.items()
        for other in others
    )


def _any_device(data: st.DataObject, number: int) -> str:
    who = data.draw(
        st.sampled_from(
            ["owner: ana@x.org", "owner: ben@x.org", "tags: [tag:a]", "tags: [tag:b]"]
        )
    )
    fields = [who]
    for field, times in (
        (f"publicKey: {key(number + 9)}", 4),
        (f'endpoints: ["203.0.113.{number + 1}:9"]', 1),
        (f"site: {data.draw(st.sampled_from('xy'))}", 1),
        ("delivery: wg-quick", 1),
        ("disabled: true", 1),
        (f"routes: [10.{number}.0.0/16]", 1),
    ):
        if data.draw(st.integers(0, 5)) < times:
            fields.append(field)
    if data.draw(st.integers(0, 9)) == 0:
        fields.append("relay: true")
    return f"  d{number}: {{{', '.join(fields)}}}\n"


def _missing(tailnet: Tailnet) -> dict[str, set[str]]:
    """By name: the peers without a path, every pair judged for itself."""
    relation = Relation.of(tailnet)
    relay = any(each.relay and each.endpoints for each in relation.devices)
    public = any(each.endpoints for each in relation.devices)
    missing: dict[str, set[str]] = defaultdict(set)
    for one in relation.devices:
        for number in relation.peer_numbers(relation.view(one.name)):
            name = relation.devices[number].name
            keys = one.public_key and tailnet.devices[name].public_key
            if name == one.name or not (public or keys):
                continue
            if not _have_path(one, tailnet.devices[name], relay=relay):
                missing[one.name].add(name)
    return missing


def _have_path(one: Device, other: Device, *, relay: bool) -> bool:
    if one.endpoints or other.endpoints:
        return True
    if one.site is not None and one.site == other.site:
        return True
    return relay and Delivery.WG_QUICK not in (one.delivery, other.delivery)


def test_missing_slots_are_one_finding(tmp_path: Path) -> None:
    """Who may need the relay and has no slot is counted; the others are left out."""
    lacking = "".join(device(f"d{i}", 20 + i) for i in range(5))
    others = (
        device("slot", 9, "relaySlot: 0")
        + device("public", 10, 'endpoints: ["203.0.113.2:9"]')
        + device("phone", 11, "delivery: wg-quick")
        + device("pad", 12, "gateway: relay")
        + device("spare", 13, "disabled: true")
    )
    (said,) = found(tmp_path, lacking + others + RELAY, "slot-missing")
    assert said.message.startswith("5 devices (`d0`, `d1`, `d2`, …) have neither")
    assert "`tailgit pin`" in said.help
    (said,) = found(tmp_path, device("d0", 20) + others + RELAY, "slot-missing")
    assert said.message.startswith("`d0` has neither endpoint nor `relaySlot`")
    assert found(tmp_path, others + RELAY, "slot-missing") == []


def test_without_a_relay_nobody_needs_a_slot(tmp_path: Path) -> None:
    """Also one that is switched off is none."""
    assert found(tmp_path, TWO, "slot-missing") == []
    off = RELAY.replace("true", "true, disabled: true")
    assert found(tmp_path, TWO + off, "slot-missing") == []


def test_thousands_behind_nat_are_judged_soon(tmp_path: Path) -> None:
    """Each with a rule of its own beside one for all: few words about many pairs."""
    count = 2000
    rules = "".join(
        f"  - {{src: [d{i}], dst: [tag:db], ip: ['tcp:22']}}\n" for i in range(count)
    )
    text = (
        "tagOwners: {tag:db: []}\ngrants:\n"
        f"  - {{src: ['*'], dst: ['*'], ip: ['udp:53']}}\n{rules}devices:\n"
        + "".join(device(f"d{i}", 20 + i) for i in range(count))
    )
    tailnet = load(write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text})).tailnet
    assert tailnet is not None
    start = time.process_time()
    said = list(check_paths(tailnet))
    assert time.process_time() - start < 3
    assert len(said) == count - 1
    assert all(len(each.message) < 200 for each in said)
