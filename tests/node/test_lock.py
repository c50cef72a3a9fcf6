"""The node lock: one writer, whose token each request brings."""

from __future__ import annotations

import time

import pytest

from tests.node.nodes import NAME, Answer, Node
from tests.node.parcel import COMMIT, sha256

pytestmark = pytest.mark.live

OURS = "0123456789abcdef"
THEIRS = "fedcba9876543210"
BY = "Zoë Lima <ana@acme.com>"
AT = "2026-11-22T13:00:00Z"


def changing(node: Node, token: str) -> dict[str, Answer]:
    """What each request that the lock keeps out answers to this token."""
    words = b"by Kim\nreason a freeze\n"
    until = str(int(time.time()) + 3600)
    return {
        "stage": node.stage(node.parcel(height=8), token),
        "activate": node.activate(1, token=token),
        "confirm": node.confirm(1, token),
        "rollback": node.rollback(1, token),
        "suspend": node.request("suspend", NAME, until, token, stdin=words),
        "resume": node.request("resume", NAME, token),
    }


def unlock(node: Node, token: str) -> Answer:
    return node.request("unlock", NAME, token)


def test_a_parcel_that_was_confirmed_takes_no_lock(node: Node) -> None:
    """Else who has the login key and a copy of it could lock nodes in the name of who
    signed it."""
    parcel = node.parcel()
    assert node.stage(parcel, OURS)["result"] == "ok"
    assert node.stage(parcel, OURS)["result"] == "ok"
    assert node.activate(1, token=OURS)["result"] == "ok"
    assert node.confirm(1, OURS)["result"] == "ok"
    assert node.stage(parcel, THEIRS)["generation"] == "1"
    assert node.observe().all("lock") == []


def test_stage_takes_the_lock_for_who_signed(node: Node) -> None:
    """The holder is who the envelope names; observe says so, and how long ago."""
    assert node.stage(node.parcel(), OURS)["result"] == "ok"
    token, commit, at, silent, by = node.observe()["lock"].split(" ", 4)
    assert (token, commit, at, by) == (OURS, COMMIT, AT, BY)
    assert 0 <= int(silent) <= 5


@pytest.mark.parametrize("token", [THEIRS, "none"])
def test_another_token_is_kept_out_and_told_by_whom(node: Node, token: str) -> None:
    """`locked` names token, commit, time, person and silence, and nothing changes."""
    node.stage(node.parcel(), OURS)
    before = node.fingerprint()
    for verb, answer in changing(node, token).items():
        assert answer.error == "locked", verb
        said = dict(answer.fields)
        assert (said["token"], said["commit"]) == (OURS, COMMIT)
        assert (said["at"], said["by"]) == (AT, BY)
        assert 0 <= int(said["silent"]) <= 5
        assert OURS in said["message"]
        assert BY in said["message"]
    assert node.generations() == ["1"]
    changed = {p for p, stamp in node.fingerprint().items() if stamp != before.get(p)}
    assert {p.rpartition("/")[2] for p in changed} <= {
        *("acme", "incoming", "audit.log", "answer"),
    }


def test_its_holder_does_all_and_confirm_ends_it(node: Node) -> None:
    """stage, activate and confirm with one token; afterwards nobody holds it."""
    assert node.stage(node.parcel(), OURS)["result"] == "ok"
    assert node.activate(1, token=OURS)["result"] == "ok"
    assert node.confirm(1, OURS)["result"] == "ok"
    assert node.observe().all("lock") == []
    assert node.stage(node.parcel(height=8), THEIRS)["result"] == "ok"


def test_a_rollback_ends_it(node: Node) -> None:
    """Giving up is the end of the work, as confirming is."""
    node.stage(node.parcel(), OURS)
    node.activate(1, token=OURS)
    assert node.rollback(1, OURS)["result"] == "ok"
    assert node.observe().all("lock") == []


def test_a_broken_lock_stops_who_had_it(node: Node) -> None:
    """Whoever was thought dead gets `locked` for what he goes on with, but may repeat
    what is done already; `stage` begins anew."""
    node.stage(node.parcel(), OURS)
    assert unlock(node, THEIRS).error == "locked"
    assert unlock(node, "none").error == "locked"
    assert unlock(node, OURS)["result"] == "ok"
    assert unlock(node, OURS)["result"] == "ok"
    for answer in (node.activate(1, token=OURS), node.confirm(1, OURS)):
        assert answer.error == "locked"
        assert "gone" in answer["message"]
    assert node.rollback(1, OURS).error in ("locked", "not-pending")
    assert node.activate(1)["result"] == "ok"
    assert node.confirm(1)["result"] == "ok"
    assert node.confirm(1, OURS)["result"] == "ok"
    assert node.stage(node.parcel(height=8), OURS)["result"] == "ok"
    assert node.activate(2, token=OURS)["result"] == "ok"


def test_what_was_done_may_be_repeated_under_another_lock(node: Node) -> None:
    """An answer that would be `ok` and change nothing needs no lock."""
    node.apply(node.parcel())
    node.stage(node.parcel(height=8), OURS)
    node.activate(2, token=OURS)
    assert node.rollback(2, OURS)["result"] == "ok"
    node.stage(node.parcel(height=9), OURS)
    assert node.confirm(1, THEIRS)["result"] == "ok"
    assert node.rollback(2, THEIRS)["result"] == "ok"
    assert node.observe()["lock"].startswith(OURS)


def test_a_repeated_confirm_ends_the_lock_that_a_killed_one_left(node: Node) -> None:
    """`current` moved, the script was killed, and `held` is still there."""
    node.apply(node.parcel())
    node.stage(node.parcel(), OURS)
    assert node.confirm(1, OURS)["result"] == "ok"
    assert node.observe().all("lock") == []


def test_a_reboot_ends_it(node: Node) -> None:
    """It lies in /run: no lock outlives the machine, and its token is told so."""
    node.stage(node.parcel(), OURS)
    node.reboot()
    assert node.observe().all("lock") == []
    assert node.activate(1, token=OURS).error == "locked"


def test_a_refused_stage_takes_no_lock_and_leaves_one(node: Node) -> None:
    """Only a verified envelope locks: a login key alone can't."""
    assert node.stage(b"rubbish", OURS).error == "bad-parcel"
    assert node.observe().all("lock") == []
    node.stage(node.parcel(), OURS)
    assert node.stage(b"rubbish", OURS).error == "bad-parcel"
    assert node.observe()["lock"].startswith(OURS)


def test_answers_say_what_is_there(node: Node) -> None:
    """stage, activate, confirm and rollback carry what a controller compares."""
    parcel = node.parcel()
    staged = node.stage(parcel)
    assert [staged[k] for k in ("current", "live", "pending", "envelope")] == (
        ["none"] * 4
    )
    activated = node.activate(1, 60)
    assert (activated["live"], activated["pending"]) == ("1", "1")
    assert 50 <= int(activated["confirmIn"]) <= 60
    confirmed = node.confirm(1)
    assert (confirmed["current"], confirmed["pending"]) == ("1", "none")
    assert confirmed["envelope"] == sha256(parcel.envelope())
    again = node.stage(node.parcel(height=8))
    assert (again["generation"], again["current"]) == ("2", "1")
    node.activate(2)
    given_up = node.rollback(2)
    assert (given_up["live"], given_up["pending"]) == ("1", "none")
