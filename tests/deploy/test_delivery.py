"""What an apply sends: one signature, planned bundles, times that go forward."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.compile import Bundle
from tailgit.deploy.delivery import (
    INSTANT,
    Delivery,
    Signer,
    deliveries,
    instant_after,
)
from tailgit.errors import Refused
from tailgit.plan.plan import Order, Plan
from tests.plan.small import (
    COMMIT,
    bundle,
    device,
    fresh,
    planned,
    running,
    tailnet,
)

SIGNATURE = b"a signature\n"
AT = datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC)


def plan_for(*names: str, order: Order | None = None) -> tuple[Plan, dict[str, Bundle]]:
    """A plan that brings a first generation to each node."""
    bundles = {name: bundle(name, firewall_nft=f"for {name}\n") for name in names}
    seen = {name: fresh(name) for name in names}
    net = tailnet(*map(device, names))
    return planned(net, bundles, seen, order=order or Order()), bundles


def sent(
    plan: Plan,
    bundles: dict[str, Bundle],
    newest: dict[str, str] | None = None,
    sign: Signer = lambda _: SIGNATURE,
) -> dict[str, Delivery]:
    by = "Ana <ana@acme.com>"
    return deliveries(plan, bundles, newest or {}, by=by, at=AT, sign=sign)


def never(_: bytes) -> bytes:
    raise AssertionError("signed")


def test_one_signature_covers_all_nodes() -> None:
    """A hardware key is touched once, whatever the fleet's size."""
    plan, bundles = plan_for("a", "b", "c")
    signed: list[bytes] = []

    def count(statement: bytes) -> bytes:
        signed.append(statement)
        return SIGNATURE

    made = sent(plan, bundles, sign=count)
    assert len(signed) == 1
    assert {one.statement for one in made.values()} == set(signed)
    assert len({one.path for one in made.values()}) == 3


def test_nothing_to_do_is_no_signature() -> None:
    """In sync: the key is not touched."""
    wanted = bundle("a", firewall_nft="x\n")
    plan = planned(tailnet(device("a")), {"a": wanted}, {"a": running(wanted)})
    assert sent(plan, {"a": wanted}, sign=never) == {}


def test_what_was_not_planned_is_not_sent() -> None:
    """A bundle whose digest is not the row's is refused before anything is signed."""
    plan, bundles = plan_for("a", "b")
    bundles["b"] = bundle("b", firewall_nft="something else\n")
    with pytest.raises(Refused, match="b: what was compiled is not what was planned"):
        sent(plan, bundles, sign=never)


def test_only_what_is_written_to_is_sent_anything() -> None:
    """A node that was left out gets no parcel that somebody could bring it later."""
    plan, bundles = plan_for("a", "b", order=Order(only=frozenset({"b"})))
    assert set(sent(plan, bundles)) == {"b"}


@pytest.mark.parametrize("kind", ["apply", "rollback"])
def test_an_envelope_says_what_the_plan_is(kind: str) -> None:
    """Node, commit, height, who, when, and whether it goes back."""
    order = Order(kind="rollback") if kind == "rollback" else Order()
    plan, bundles = plan_for("a", order=order)
    lines = sent(plan, bundles)["a"].envelope.decode().splitlines()
    for line in (
        "tailnet acme",
        "node a",
        f"commit {COMMIT.sha}",
        f"height {COMMIT.height}",
        "by Ana <ana@acme.com>",
        "at 2026-11-22T13:00:00Z",
        f"kind {kind}",
    ):
        assert line in lines


def test_a_parcel_holds_the_planned_bundle() -> None:
    """Its five members, as they were signed."""
    plan, bundles = plan_for("a")
    with tarfile.open(fileobj=io.BytesIO(sent(plan, bundles)["a"].parcel())) as tar:
        members = {m.name: tar.extractfile(m) for m in tar.getmembers()}
        parts = {name: file.read() for name, file in members.items() if file}
    assert len(parts) == 5
    assert parts["bundle.tar"] == bundles["a"].tar()
    assert parts["statement.sig"] == SIGNATURE


def test_a_node_that_is_ahead_gets_a_later_time_of_its_own() -> None:
    """It takes no order from before its newest one, whatever our clock says."""
    plan, bundles = plan_for("a", "b")
    made = sent(plan, bundles, {"a": "2026-11-22T14:59:59Z"})
    assert "at 2026-11-22T15:00:00Z\n" in made["a"].envelope.decode()
    assert "at 2026-11-22T13:00:00Z\n" in made["b"].envelope.decode()


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2999, 1, 1))


@given(INSTANTS, INSTANTS)
def test_a_time_is_always_later_than_the_newest(
    now: datetime, newest: datetime
) -> None:
    """As text, which is how nodes compare; and ours wherever that is late enough."""
    at, known = now.replace(tzinfo=UTC), newest.strftime(INSTANT)
    made = instant_after(at, known)
    assert made > known
    if at.strftime(INSTANT) > known:
        assert made == at.strftime(INSTANT)
    else:
        later = datetime.strptime(known, INSTANT) + timedelta(seconds=1)
        assert made == later.strftime(INSTANT)
    assert instant_after(at, "") == at.strftime(INSTANT)
