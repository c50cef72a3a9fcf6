"""Revocations, rotations and rollbacks as plans: who is switched when, who is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tailgit.compile import Bundle
from tailgit.errors import NodeError, Unreachable
from tailgit.model.tailnet import Delivery
from tailgit.plan.difference import difference
from tailgit.plan.make import make
from tailgit.plan.observed import Observed, Peer
from tailgit.plan.order import Pace
from tailgit.plan.plan import Desired, History, Lineage, Order, Plan
from tailgit.plan.returned import returned
from tailgit.plan.row import State
from tailgit.plan.trust import keys_of, trusting
from tests.plan.small import COMMIT, OLD, device, running, tailnet

NODES = ("db-1", "db-2", "web-1")
STOLEN = "the stolen key"


def bundle_of(node: str, key: str, peers: Mapping[str, str], extra: str = "") -> Bundle:
    """A bundle for a node with such a key and such peers (name -> key)."""
    sections = "".join(
        f"[Peer]\n# {name}\nPublicKey = {its}\nAllowedIPs = {name}\n"
        for name, its in peers.items()
    )
    files = [
        ("firewall.nft", f"table\n{extra}".encode()),
        ("wireguard.conf", f"[Interface]\n{sections}".encode()),
    ]
    return Bundle.of(
        node,
        files,
        tailnet="acme",
        domain="acme.internal",
        interface="tg-acme",
        public_keys=[key],
    )


def mesh(keys: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, Bundle]:
    return {
        node: bundle_of(
            node,
            keys[node],
            {name: key for name, key in keys.items() if name != node},
            extra.get(node, ""),
        )
        for node in NODES
    }


def planned(
    old: Mapping[str, Bundle], new: Mapping[str, Bundle], order: Order
) -> tuple[Plan, dict[str, Observed | NodeError]]:
    """The plan that brings all nodes from the old bundles to the new ones."""
    devices = tailnet(*(device(node) for node in NODES))
    seen: dict[str, Observed | NodeError] = {n: running(old[n]) for n in NODES}
    history = History(
        lineage={OLD: Lineage.ANCESTOR}, before={OLD: old}, declared={OLD: devices}
    )
    wanted = Desired(devices, new, {}, {})
    return make(wanted, seen, COMMIT, history, order, 1_800_000_000), seen


KEYS = {node: f"key of {node}" for node in NODES}
NEW = {**KEYS, "db-1": "key of db-1 (next)"}


def test_the_ends_of_a_rotation_are_switched_together() -> None:
    """No canary and no waves; who has the new key comes after those who know it."""
    made, _ = planned(mesh(KEYS, {}), mesh(NEW, {}), Order())
    (wave,) = made.waves
    assert (wave.kind, wave.nodes) == ("keys", ("db-2", "web-1", "db-1"))
    own = next(row for row in made.rows if row.node == "db-1").difference
    assert own is not None
    assert own.own_key
    other = next(row for row in made.rows if row.node == "db-2").difference
    assert other is not None
    assert (other.peers_rekeyed, other.peers_changed) == (("db-1",), ())


def test_what_changes_besides_a_key_goes_in_its_own_order() -> None:
    """Canary and waves protect everything else, before the keys."""
    new = mesh(NEW, {"web-1": "another rule\n"})
    made, _ = planned(mesh(KEYS, {}), new, Order())
    assert [wave.kind for wave in made.waves] == ["wave", "keys"]
    assert made.waves[0].nodes == ("web-1",)


@pytest.mark.parametrize("gone", [b"100.64.0.1", b"100.64.0.2", b"100.64.0.3"])
def test_an_element_that_leaves_a_set_is_only_a_loss(gone: bytes) -> None:
    """The first and the last one share their lines with the braces."""
    addresses = [b"100.64.0.1", b"100.64.0.2", b"100.64.0.3"]

    def holding(elements: list[bytes]) -> Bundle:
        text = b",\n\t\t\t".join(elements)
        table = b"\tset s1 {\n\t\telements = { %s }\n\t}\n" % text
        files = [("firewall.nft", table), ("wireguard.conf", b"")]
        words = {"tailnet": "a", "domain": "a", "interface": "tg-a"}
        return Bundle.of("db-1", files, public_keys=["k"], **words)

    what = difference(holding(addresses), holding([a for a in addresses if a != gone]))
    assert (what.takes, what.gives) == (True, False)


REVOKE = Order(pace=Pace(at_once=True), only_losses=True, allow={"cut-off": "stolen"})


def with_laptop(extra: Mapping[str, str]) -> dict[str, Bundle]:
    return {
        node: bundle_of(
            node,
            KEYS[node],
            {"laptop": STOLEN, **{n: k for n, k in KEYS.items() if n != node}},
            extra.get(node, ""),
        )
        for node in NODES
    }


def test_a_revocation_keeps_back_who_would_gain_something() -> None:
    """The others let go at once; the reason stands beside who was kept back."""
    new = mesh(KEYS, {"web-1": "another rule\n"})
    made, _ = planned(with_laptop({}), new, REVOKE)
    assert made.refusals == ()
    assert [wave.nodes for wave in made.waves] == [("db-1", "db-2")]
    row = next(row for row in made.rows if row.node == "web-1")
    assert row.state is State.LEFT_OUT
    assert "it would gain something, too; nothing is taken from it" in row.notes


def test_a_revocation_that_is_more_than_that_everywhere_is_refused() -> None:
    """Nothing is left that only loses something."""
    new = mesh(KEYS, dict.fromkeys(NODES, "another rule\n"))
    made, _ = planned(with_laptop({}), new, REVOKE)
    (said,) = made.refusals
    assert "db-1, db-2, web-1: would gain something, too" in said


def test_who_trusts_a_revoked_key() -> None:
    """Who runs it, who starts with it at the next boot, who can't be asked; not who
    has let go."""
    old, new = with_laptop({}), mesh(KEYS, {})
    made, seen = planned(old, new, REVOKE)
    ways = dict.fromkeys(NODES, Delivery.SSH)
    who = trusting(made, new, ways, seen, [old], {STOLEN})
    assert [each.node for each in who] == list(NODES)
    clean = running(new["db-1"])
    peer = Peer(STOLEN, "(none)", 0, 0, 0)
    later: dict[str, Observed | NodeError] = {
        "db-1": clean,
        "db-2": replace(running(new["db-2"]), peers=(peer,)),
        "web-1": Unreachable("web-1", "no answer"),
    }
    who = trusting(made, new, ways, later, [old], {STOLEN})
    assert [each.node for each in who] == ["db-2", "web-1"]
    assert all(each.again for each in who)
    # Who runs it has it, whatever it should have had.
    who = trusting(made, new, ways, later, [new], {STOLEN})
    assert [each.node for each in who] == ["db-2"]


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (Delivery.FILE, "tailgit render web-1"),
        (Delivery.WG_QUICK, "tailgit render web-1 --wg-quick"),
        (Delivery.PULL, "wait for its next turn"),
    ],
)
def test_who_is_not_reached_over_ssh_is_named_with_the_way(
    way: Delivery, said: str
) -> None:
    """Nobody can see what such a device has, so it stays in the list."""
    old, new = with_laptop({}), mesh(KEYS, {})
    made, seen = planned(old, new, REVOKE)
    gone = {name: one for name, one in seen.items() if name == "nobody"}
    ways = {**dict.fromkeys(NODES, Delivery.SSH), "web-1": way}
    last = trusting(made, new, ways, gone, [old], {STOLEN})[-1]
    assert (last.node, last.again) == ("web-1", False)
    assert said in last.todo


def test_a_waiting_commit_hides_nobody_who_trusts_a_revoked_key() -> None:
    """The branch has taken the laptop from db-1 already, and db-1 was never reached
    with that: it has the key all the same."""
    old, new = with_laptop({}), mesh(KEYS, {})
    head = {**with_laptop({}), "db-1": new["db-1"]}
    made, seen = planned(old, new, REVOKE)
    ways = dict.fromkeys(NODES, Delivery.SSH)
    for node in NODES[1:]:
        seen[node] = running(new[node])
    peer = Peer(STOLEN, "(none)", 0, 0, 0)
    states: tuple[Observed | NodeError, ...] = (
        Unreachable("db-1", "no answer"),
        replace(running(new["db-1"]), peers=(peer,)),
        running(old["db-1"]),
    )
    for state in states:
        seen["db-1"] = state
        who = trusting(made, new, ways, seen, [head, old], {STOLEN})
        assert [each.node for each in who] == ["db-1"]
    seen["db-1"] = running(new["db-1"])
    assert trusting(made, new, ways, seen, [head, old], {STOLEN}) == ()


def test_the_keys_of_a_revoked_device_are_those_that_it_ever_had() -> None:
    """A person's device that the branch removed, and a key before a rotation; never
    one that another device has by now."""
    phone = replace(device("phone"), owner="ana@acme.com", public_key="new")
    other = device("db-1")
    head = tailnet(phone, other)
    older = tailnet(
        replace(phone, public_key="old"),
        replace(phone, name="tablet", public_key="lost"),
        replace(phone, name="slate", public_key=other.public_key),
    )
    assert keys_of({"phone"}, "", head, [older]) == {"new", "old"}
    assert keys_of({"phone"}, "ana@acme.com", head, [older]) == {"new", "old", "lost"}


def test_what_a_rollback_gives_back() -> None:
    """Peers that come back, by name with the nodes that take them; filter lines; and
    nodes of which nobody knows what they have."""
    old, new = mesh(KEYS, {}), with_laptop({"db-1": "an old rule\n"})
    made, _ = planned(old, new, Order("rollback"))
    what = returned(made)
    assert what.peers == {"laptop": NODES}
    assert what.filters == {"db-1": 1}
    assert what.unknown == ()
    assert not returned(planned(new, old, Order("rollback"))[0])
    strange = {node: bundle_of(node, KEYS[node], {}) for node in NODES}
    devices = tailnet(*(device(node) for node in NODES))
    seen: dict[str, Observed | NodeError] = {n: running(strange[n]) for n in NODES}
    history = History(lineage={OLD: Lineage.ANCESTOR}, declared={OLD: devices})
    wanted = Desired(devices, old, {}, {})
    made = make(wanted, seen, COMMIT, history, Order("rollback"), 1_800_000_000)
    assert returned(made).unknown == NODES
