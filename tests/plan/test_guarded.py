"""Plans that are stopped, and those that are let pass: counted and refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tailgit.compile import compile_tailnet
from tailgit.errors import NodeError, NodeRefused, Unreachable
from tailgit.guard.guard import GUARDS, Guard
from tailgit.model.policy import Rule
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Controller, Delivery, Device, Ssh, Tailnet
from tailgit.plan.make import make
from tailgit.plan.observed import Observed, Suspension
from tailgit.plan.plan import Desired, History, Lineage, Order, Plan
from tailgit.plan.row import State, Switch
from tests.guard.test_lockout import BEHIND, TO_LAN, net
from tests.plan.small import (
    ANCESTOR,
    COMMIT,
    NEW,
    NOW,
    OLD,
    PLACE,
    bundle,
    device,
    fresh,
    key_of,
    planned,
    running,
    tailnet,
)

ONE, TWO = "filter one\n", "filter two\n"


def fleet(count: int) -> list[Device]:
    return [device(f"n{number:04}") for number in range(count)]


def peers(*names: str) -> str:
    return "".join(f"[Peer]\n# {n}\nPublicKey = {key_of(n)}\n" for n in names)


def change(
    old: list[Device],
    new: list[Device],
    *,
    losing: int = 0,
    order: Order | None = None,
    seen: dict[str, Observed | NodeError] | None = None,
    applied: str = OLD,
) -> Plan:
    """A plan from one list of devices to another; the first `losing` lose a rule."""
    before = {d.name: bundle(d.name, firewall_nft=f"a\n{ONE}") for d in old}
    after = {
        d.name: bundle(d.name, firewall_nft="a\n" if i < losing else f"a\n{ONE}{TWO}")
        for i, d in enumerate(new)
        if not d.disabled
    }
    history = History(
        applied=applied,
        lineage={OLD: Lineage.ANCESTOR},
        before={OLD: before},
        declared={OLD: tailnet(*old)},
    )
    answers: dict[str, Observed | NodeError] = {
        d.name: running(before[d.name]) for d in new if d.name in before
    }
    answers |= {d.name: fresh(d.name) for d in new if d.name not in before}
    answers |= seen or {}
    return planned(tailnet(*new), after, answers, history, order or Order())


def guard_of(plan: Plan, name: str) -> Guard:
    (found,) = (guard for guard in plan.guards if guard.name == name)
    return found


def stops(plan: Plan) -> list[str]:
    return [guard.name for guard in plan.guards if guard.stops]


def test_every_plan_asks_every_guard_once() -> None:
    """None is forgotten and none is counted twice; the names are the handles."""
    devices = fleet(2)
    assert sorted(g.name for g in change(devices, devices).guards) == sorted(GUARDS)


@pytest.mark.parametrize(
    ("total", "limit"), [(1, 5), (5, 5), (9, 5), (25, 15), (2000, 1000)]
)
def test_nodes_that_lose_something_are_counted(total: int, limit: int) -> None:
    """Not those that only gain: a new rule for everybody is an everyday change."""
    devices = fleet(total)
    for losing in {0, min(limit, total), min(limit + 1, total)}:
        made = change(devices, devices, losing=losing)
        guard = guard_of(made, "nodes-losing")
        assert (len(guard.devices), guard.total, guard.limit) == (losing, total, limit)
        assert bool(made.refusals) is (losing > limit)


def test_laptops_that_get_files_do_not_widen_the_limit() -> None:
    """The share is that of nodes that are written to over SSH."""
    laptops = [replace(device(f"l{i}"), delivery=Delivery.FILE) for i in range(1000)]
    devices = fleet(20)
    made = change([*devices, *laptops], [*devices, *laptops], losing=20)
    assert guard_of(made, "nodes-losing").total == 20
    assert stops(made) == ["nodes-losing"]


def test_a_guard_stops_the_plan_and_its_reason_lets_it_pass() -> None:
    """That one alone: another that stops goes on stopping."""
    old = fleet(6)
    moved = replace(old[2], ipv4=IPv4Address("100.64.9.2"))
    also = replace(old[3], ipv4=IPv4Address("100.64.9.3"))
    new = [moved, also, *old[4:]]
    made = change(old, new)
    assert stops(made) == ["devices-removed", "addresses-changed"]
    assert made.refusals[0] == (
        "devices that are gone or disabled: 2 of 6 (limit 1): n0000, n0001; if that is "
        'right, --allow devices-removed="REASON" lets it pass once'
    )
    once = change(old, new, order=Order(allow={"devices-removed": "site closed"}))
    assert stops(once) == ["addresses-changed"]
    assert guard_of(once, "devices-removed").reason == "site closed"
    both = {"devices-removed": "site closed", "addresses-changed": "renumbered"}
    assert change(old, new, order=Order(allow=both)).refusals == ()


def test_a_reason_does_not_outlive_its_plan() -> None:
    """It is kept in the plan that it was given to, and nowhere else."""
    old = fleet(6)
    allow = {"devices-removed": "site closed"}
    assert change(old, old[2:], order=Order(allow=allow)).refusals == ()
    assert change(old, old[2:]).refusals


def test_a_node_that_lost_its_record_is_not_a_new_one() -> None:
    """The fleet's record says that it got something, and it has nothing."""
    devices = fleet(3)
    seen: dict[str, Observed | NodeError] = {"n0001": fresh("n0001")}
    made = change(devices, devices, seen=seen)
    assert stops(made) == ["missing-record"]
    assert "n0001: 1111111 was applied to it, and it has nothing" in made.refusals[0]
    order = Order(allow={"missing-record": "new disk"})
    passed = change(devices, devices, seen=seen, order=order)
    assert passed.refusals == ()
    assert passed.rows[1].state is State.FIRST


def test_without_a_fleets_record_nothing_can_be_missing() -> None:
    """A node's own word is all there is then: it may be new, so it is a first."""
    devices = fleet(3)
    seen: dict[str, Observed | NodeError] = {"n0001": fresh("n0001")}
    made = change(devices, devices, seen=seen, applied="")
    assert made.refusals == ()
    assert made.rows[1].state is State.FIRST


def test_a_new_device_is_missing_nothing() -> None:
    """It was not there when the fleet's record was written."""
    made = change(fleet(2), fleet(3))
    assert made.refusals == ()
    assert made.rows[2].state is State.FIRST


def test_a_damaged_record_is_refused_and_never_a_first_run() -> None:
    """Let pass, the node is brought the new generation as a change."""
    devices = fleet(2)
    bad = replace(running(bundle("n0000", hosts="x\n")), record=None, damaged=True)
    made = change(devices, devices, seen={"n0000": bad})
    assert made.rows[0].state is State.REFUSED
    assert made.rows[0].notes == ("the record of what was applied to it can't be read",)
    assert stops(made) == ["damaged-record"]
    order = Order(allow={"damaged-record": "fsck done"})
    passed = change(devices, devices, seen={"n0000": bad}, order=order)
    assert (passed.rows[0].state, passed.rows[0].switch) == (
        State.CHANGE,
        Switch.UNKNOWN,
    )
    assert passed.refusals == ()
    # And with --only it is left alone while the others go on.
    others = replace(order, only=frozenset({"n0001"}))
    left = change(devices, devices, seen={"n0000": bad}, order=others)
    assert left.rows[0].state is State.LEFT_OUT
    assert left.refusals == ()


def test_a_base_that_can_not_be_compiled_is_no_base_without_losses() -> None:
    """Nothing could be counted, and a plan must not pass for that."""
    node = device("n0000")
    wanted = {"n0000": bundle("n0000", firewall_nft=ONE)}
    seen = {"n0000": running(bundle("n0000", firewall_nft=TWO))}
    blind = History(lineage={OLD: Lineage.ANCESTOR})
    made = planned(tailnet(node), wanted, seen, blind)
    assert stops(made) == ["unknown-base"]
    assert "this tailgit can't compile 1111111" in made.refusals[0]
    order = Order(allow={"unknown-base": "format changed"})
    assert planned(tailnet(node), wanted, seen, blind, order).refusals == ()
    # Where nothing is written there is nothing to lose.
    in_sync = {"n0000": running(wanted["n0000"])}
    assert planned(tailnet(node), wanted, in_sync, blind).refusals == ()


def test_the_base_is_the_fleets_record() -> None:
    """Not what a single node says that it has."""
    devices = fleet(2)
    made = change(devices, devices)
    assert made.base == OLD


def test_half_an_apply_is_measured_against_what_the_rest_has() -> None:
    """The canary has the new commit already; against that nothing would be lost."""
    old = fleet(6)
    after = {d.name: bundle(d.name, firewall_nft=ONE) for d in old[3:]}
    seen: dict[str, Observed | NodeError] = {
        name: running(bundle(name, firewall_nft=TWO)) for name in after
    }
    seen["n0003"] = running(after["n0003"], NEW, 7)
    everything = {d.name: bundle(d.name, firewall_nft=TWO) for d in old}
    history = History(
        lineage={OLD: Lineage.ANCESTOR, NEW: Lineage.ANCESTOR},
        before={OLD: everything, NEW: after},
        declared={OLD: tailnet(*old), NEW: tailnet(*old[3:])},
    )
    made = planned(tailnet(*old[3:]), after, seen, history)
    assert made.base == OLD
    assert stops(made) == ["devices-removed"]
    done: dict[str, Observed | NodeError] = {
        name: running(each, NEW, 7) for name, each in after.items()
    }
    done["n0005"] = running(after["n0005"])
    assert planned(tailnet(*old[3:]), after, done, history).base == NEW


def test_a_node_that_would_be_lost_stops_the_plan() -> None:
    """It is reached through the tunnel and no rule lets the controller in."""
    node = replace(device("n0000"), ssh=Ssh("n0000", host_key="k"))
    wanted = {"n0000": bundle("n0000", hosts="x\n")}
    old = {"n0000": running(bundle("n0000", hosts="y\n"))}
    made = planned(tailnet(node), wanted, old)
    assert stops(made) == ["lockout"]
    assert "n0000: it is reached through the tunnel" in made.refusals[0]
    # What is in sync, left out or asleep is not written to, so not judged.
    assert planned(tailnet(node), wanted, {"n0000": running(wanted["n0000"])}).in_sync
    order = Order(only=frozenset({"other"}))
    assert planned(tailnet(node), wanted, old, order=order).refusals == ()


def behind(*, rules: bool) -> Tailnet:
    """db, which is asleep, is reached by ops through the tunnel; gw changes, too."""
    db = replace(device("db"), ssh=Ssh("db", host_key="k"))
    net = replace(
        tailnet(device("ops"), db, device("web")), controller=Controller(PLACE, "ops")
    )
    everybody = Selector(Kind.ANY, "*")
    rule = Rule((everybody,), (everybody,), Ports.of([(6, 22, 22)]), PLACE)
    return replace(net, rules=(rule,) if rules else ())


@pytest.mark.parametrize("db", ["asleep", "in sync", "suspended"])
def test_the_way_to_a_node_that_is_not_written_to_counts(db: str) -> None:
    """The controller's own device loses it as a peer: awake again, nobody gets in."""
    for rules in (True, False):
        net = behind(rules=rules)
        wanted = {name: bundle(name, hosts="x\n") for name in net.devices}
        old = {name: running(bundle(name, hosts="y\n")) for name in net.devices}
        pause = Suspension(NOW + 9, "Ben", "disk")
        seen: dict[str, Observed | NodeError] = {
            **old,
            "db": {
                "asleep": Unreachable("db", "no answer"),
                "in sync": running(wanted["db"]),
                "suspended": replace(old["db"], suspended=pause),
            }[db],
        }
        assert stops(planned(net, wanted, seen)) == ([] if rules else ["lockout"])
        # As long as the controller's device stays as it is, so does the way there.
        only = Order(only=frozenset({"web"}))
        assert stops(planned(net, wanted, seen, order=only)) == []


def test_the_way_that_was_applied_last_is_what_may_be_lost(tmp_path: Path) -> None:
    """Behind a router: nothing leads there any more, and something did before."""
    before = net(tmp_path / "old", TO_LAN, ssh=BEHIND)
    after = net(tmp_path / "new", ssh=BEHIND)
    has = replace(
        running(bundle("db-1", hosts="x\n")),
        public_keys=(after.devices["db-1"].public_key or "",),
    )
    for base, stopped in ((before, True), (after, False)):
        history = replace(ANCESTOR, declared={OLD: base})
        made = planned(after, compile_tailnet(after), {"db-1": has}, history)
        assert ("lockout" in stops(made)) is stopped


def test_the_controllers_own_node_goes_last() -> None:
    """Also when it is named as the canary by its few peers."""
    devices = [device("a"), device("b"), device("ops")]
    wanted = {d.name: bundle(d.name, hosts="x\n") for d in devices}
    seen = {d.name: running(bundle(d.name, hosts="y\n")) for d in devices}
    home = replace(tailnet(*devices), controller=Controller(PLACE, "ops"))
    made = planned(home, wanted, seen)
    assert [(w.kind, w.nodes) for w in made.waves] == [
        ("canary", ("a",)),
        ("wave", ("b",)),
        ("controller", ("ops",)),
    ]


BACK = History(
    lineage={OLD: Lineage.DESCENDANT},
    declared={OLD: tailnet()},
    applied=OLD,
)


def going_back(order: Order) -> Plan:
    wanted = {"a": bundle("a", hosts="x\n")}
    seen = {"a": running(bundle("a", hosts="y\n"))}
    return planned(tailnet(device("a")), wanted, seen, BACK, order)


def test_going_back_is_for_rollback_alone() -> None:
    """An apply of what is older than a node's record is an old job that runs again."""
    made = going_back(Order())
    (said,) = made.refusals
    assert said == (
        "a: applied is 1111111, which is newer than 2222222; to go back, see `tailgit "
        "rollback --help`"
    )
    back = going_back(Order(kind="rollback"))
    assert (back.refusals, back.kind) == ((), "rollback")


@pytest.mark.parametrize("lineage", [Lineage.NOT_ANCESTOR, Lineage.UNKNOWN])
@pytest.mark.parametrize("kind", ["apply", "rollback"])
def test_a_commit_of_another_branch_is_refused_either_way(
    lineage: Lineage, kind: str
) -> None:
    """Rolling back goes down the branch, not over to another one."""
    history = replace(BACK, lineage={OLD: lineage})
    order = Order(kind="rollback") if kind == "rollback" else Order()
    wanted = {"a": bundle("a", hosts="x\n")}
    seen = {"a": running(bundle("a", hosts="y\n"))}
    assert planned(tailnet(device("a")), wanted, seen, history, order).refusals


def test_the_fleets_record_is_judged_like_a_nodes() -> None:
    """No node that answers records it, and it is newer all the same."""
    history = replace(BACK, lineage={OLD: Lineage.DESCENDANT})
    made = planned(
        tailnet(device("a")),
        {"a": bundle("a", hosts="x\n")},
        {"a": fresh("a")},
        history,
    )
    assert made.refusals[0].startswith("the fleet's record: applied is 1111111, which")


def revoking(old: str, new: str) -> Plan:
    before, after = bundle("a", wireguard_conf=old), bundle("a", wireguard_conf=new)
    history = replace(ANCESTOR, before={OLD: {"a": before}})
    order = Order(only_losses=True)
    return planned(
        tailnet(device("a")), {"a": after}, {"a": running(before)}, history, order
    )


def test_a_revocation_brings_nothing_else_along() -> None:
    """What somebody would gain by the same commit has to be applied with its canary."""
    assert revoking(peers("x", "y"), peers("x")).refusals == ()
    (said,) = revoking(peers("x", "y"), peers("x", "z")).refusals
    assert said == (
        "a: would gain something, too; this commit has more in it than the revocation"
    )


def test_what_is_not_known_is_no_revocation() -> None:
    """A node whose record git can't compile might gain anything. One that has nothing
    yet trusts nobody: it is left alone, and keeps nobody from being cut off."""
    order = Order(only_losses=True)
    wanted = {"a": bundle("a", hosts="x\n")}
    seen = {"a": running(bundle("a", hosts="y\n"))}
    made = planned(tailnet(device("a")), wanted, seen, order=order)
    assert "a: would gain something" in made.refusals[0]
    wanted = {"a": bundle("a", wireguard_conf=peers("x"))}
    first = planned(tailnet(device("a")), wanted, {"a": fresh("a")}, order=order)
    assert first.refusals == ()
    assert [row.state for row in first.rows] == [State.LEFT_OUT]


def test_a_leaving_device_is_a_row_of_its_own() -> None:
    """It gets its farewell, after the others, and no limit counts it twice."""
    stays, leaves = device("a"), device("z")
    bye = bundle("z", hosts="alone\n")
    had = {name: bundle(name, hosts="x\n") for name in "az"}
    wanted = {"a": bundle("a", hosts="y\n")}
    history = History(
        applied=OLD,
        lineage={OLD: Lineage.ANCESTOR},
        before={OLD: had},
        declared={OLD: tailnet(stays, leaves)},
    )

    def plan(z: Observed | NodeError, leaves: Device = leaves) -> Plan:
        seen = {"a": running(had["a"]), "z": z}
        desired = Desired(tailnet(stays), wanted, {"z": leaves}, {"z": bye})
        return make(desired, seen, COMMIT, history, Order(), NOW)

    made = plan(running(had["z"]))
    assert [(row.node, row.state) for row in made.rows] == [
        ("a", State.CHANGE),
        ("z", State.LEAVING),
    ]
    assert [(w.kind, w.nodes) for w in made.waves] == [
        ("wave", ("a",)),
        ("leaving", ("z",)),
    ]
    assert made.refusals == ()
    asleep = plan(Unreachable("z", "no answer"))
    assert asleep.rows[1].notes == (
        "no answer",
        "it leaves: nobody is its peer any more, its own tunnel stays up alone",
    )
    assert asleep.complete  # nobody counts on it any more
    for unreachable in (
        replace(leaves, ssh=None),
        replace(leaves, ssh=Ssh("192.0.2.1")),
        replace(leaves, delivery=Delivery.FILE),
    ):
        never = plan(running(had["z"]), unreachable)
        assert never.rows[1].state is State.NOT_DELIVERED
        assert never.complete  # else no apply would ever be a whole one again
    for nothing_left in (
        NodeRefused("z", "not-enrolled", "no such tailnet here"),
        running(bye, NEW, 7),
        fresh("z"),
        replace(running(had["z"]), public_keys=("another machine's",)),
    ):
        assert [row.node for row in plan(nothing_left).rows] == ["a"]
