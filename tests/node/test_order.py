"""Order in time: nothing that was signed comes back once something later was staged."""

from __future__ import annotations

import pytest

from tests.node.nodes import STATE, Node
from tests.node.parcel import Parcel

pytestmark = pytest.mark.live


def signed(node: Node, minute: int, **changes: object) -> Parcel:
    return node.parcel(at=f"2026-11-22T13:{minute:02d}:00Z", **changes)


def test_an_earlier_parcel_is_refused_whatever_it_says(node: Node) -> None:
    """Neither a higher commit nor the word rollback makes up for an earlier time."""
    node.stage(signed(node, 10))
    answer = node.stage(signed(node, 9, height=99))
    assert answer.error == "older"
    assert "13:09" in answer["message"]
    assert "13:10" in answer["message"]
    assert node.stage(signed(node, 9, kind="rollback")).error == "older"
    assert node.generations() == ["1"]


def test_a_replayed_rollback_is_refused(node: Node) -> None:
    """A signed roll-back works once; after the next apply it is worth nothing."""
    node.apply(signed(node, 1, height=7))
    back = signed(node, 2, height=6, kind="rollback")
    node.apply(back)
    assert node.stage(back)["generation"] == "2"
    node.apply(signed(node, 3, height=8))
    assert node.stage(back).error == "older"
    assert node.activate(2).error == "older"
    assert node.current() == "3"


def test_the_same_parcel_may_come_again(node: Node) -> None:
    """A lost answer costs nothing: the newest envelope is not older than itself."""
    parcel = signed(node, 5)
    assert node.stage(parcel)["generation"] == "1"
    assert node.stage(parcel)["generation"] == "1"
    assert node.stage(signed(node, 5, by="Kim"))["generation"] == "2"


def test_only_the_newest_or_the_confirmed_one_is_activated(node: Node) -> None:
    """What was staged and overtaken is nobody's wish any more."""
    node.apply(signed(node, 1))
    node.stage(signed(node, 2))
    node.stage(signed(node, 3))
    assert node.activate(2).error == "older"
    assert node.activate(1)["result"] == "ok"
    assert node.activate(3)["result"] == "ok"


def test_a_damaged_newest_envelope_does_not_open_the_past(node: Node) -> None:
    """The one before it bounds what may be staged."""
    node.apply(signed(node, 5))
    node.stage(signed(node, 6))
    node.write(f"{STATE}/generations/2/envelope", "rubbish\n")
    assert node.stage(signed(node, 4)).error == "older"
    assert node.stage(signed(node, 5, by="Kim"))["generation"] == "3"


@pytest.mark.parametrize(
    "at",
    ["2026-11-22T13:00:0Z0", "2026-13-99T99:99:99Z", "2026-11-22-13:00:00Z", "soon"],
)
def test_a_time_of_another_form_is_refused(refusing: Node, at: str) -> None:
    """Times are compared, so they are written in one way."""
    assert refusing.stage(refusing.parcel(at=at)).error == "bad-parcel"
