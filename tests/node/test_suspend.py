"""suspend and resume: a person keeps changes away for a while."""

from __future__ import annotations

import time

import pytest

from tests.node.nodes import NAME, STATE, Answer, Node

pytestmark = pytest.mark.live

WORDS = b"by Kim Lima <kim@acme.com>\nreason migrating db-1, call me\n"


def suspend(node: Node, seconds: int = 3600, words: bytes = WORDS) -> Answer:
    until = str(int(time.time()) + seconds)
    return node.request("suspend", NAME, until, "none", stdin=words)


def test_nothing_new_while_it_is_suspended(node: Node) -> None:
    """stage and activate are told who, why and until when; observe says it, too."""
    node.apply(node.parcel())
    node.stage(node.parcel(height=8))
    assert suspend(node)["result"] == "ok"
    for answer in (node.stage(node.parcel(height=9)), node.activate(2)):
        assert answer.error == "suspended"
        assert answer["by"] == "Kim Lima <kim@acme.com>"
        assert answer["reason"] == "migrating db-1, call me"
        assert int(answer["until"]) > time.time()
    seen = node.observe()
    assert seen["suspendedBy"] == "Kim Lima <kim@acme.com>"
    assert seen["suspendedReason"] == "migrating db-1, call me"
    assert int(seen["suspended"]) > time.time()
    assert node.request("resume", NAME, "none")["result"] == "ok"
    assert node.request("resume", NAME, "none")["result"] == "ok"
    assert node.observe().all("suspended") == []
    assert node.activate(2)["result"] == "ok"


@pytest.mark.parametrize("verb", ["confirm", "rollback"])
def test_what_is_pending_can_still_be_decided(node: Node, verb: str) -> None:
    """A suspension keeps nothing half done."""
    node.apply(node.parcel())
    node.stage(node.parcel(height=8))
    node.activate(2)
    suspend(node)
    answer = node.confirm(2) if verb == "confirm" else node.rollback(2)
    assert answer["result"] == "ok"


def test_it_ends_by_itself(node: Node) -> None:
    """When its time is over it is as if it was not there."""
    suspend(node, 2)
    assert node.stage(node.parcel()).error == "suspended"
    time.sleep(2.1)
    assert node.stage(node.parcel())["result"] == "ok"
    assert node.observe().all("suspended") == []


def test_it_lasts_a_month_at_most(node: Node) -> None:
    """A login key is enough for it, so a thief must not stop a node for good."""
    assert suspend(node, 32 * 86400).error == "bad-request"
    assert node.observe().all("suspended") == []
    assert suspend(node, 30 * 86400)["result"] == "ok"


def test_it_outlives_a_reboot(node: Node) -> None:
    """It is on the disk, with whose it is."""
    suspend(node)
    node.reboot()
    assert node.stage(node.parcel()).error == "suspended"


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"by Kim\n",
        b"reason x\n",
        b"by Kim\nreason x\nmore y\n",
        b"by Kim\nby Ana\nreason x\n",
        b"by Kim\nreason \x1b[2J\n",
        b"by Kim\nreason " + b"x" * 201 + b"\n",
    ],
)
def test_a_suspension_says_by_whom_and_why(refusing: Node, words: bytes) -> None:
    """Anything else is refused and suspends nothing."""
    assert suspend(refusing, words=words).error == "bad-request"
    assert not refusing.path(f"{STATE}/suspended").exists()


def test_a_time_that_is_over_is_refused(refusing: Node) -> None:
    """Else a person with a wrong clock would think that nothing can change."""
    assert suspend(refusing, -5).error == "bad-request"
