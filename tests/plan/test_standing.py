"""How a node stands: has it the commit, and is it well; and what drifted there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailgit.errors import Unreachable
from tailgit.plan.drift import MOST, Line, drift_of
from tailgit.plan.observed import Generation, Hold, Observed, Peer, Suspension
from tailgit.plan.plan import Commit, Lineage
from tailgit.plan.standing import (
    LITTLE,
    Measure,
    Sessions,
    Standing,
    Status,
    Sync,
    standing_of,
)
from tailgit.report.drift import drift_json, drift_text
from tailgit.report.status import status_json, status_text
from tests.plan.small import COMMIT, NEW, OLD, bundle, fresh, key_of, running

WANTED = bundle("db-1", firewall_nft="new\n")
NOW = 1_800_000_000
ROOMY = {"free": 10 * LITTLE, "clock_high": NOW}


def measure(lineage: Lineage | None = Lineage.ANCESTOR) -> Measure:
    return Measure(COMMIT, WANTED.digest, key_of("db-1"), lineage)


def well(seen: Observed) -> Observed:
    return replace(seen, free=10 * LITTLE, clock_high=NOW)


def has(commit: str, height: int = 5, text: str = "old\n") -> Observed:
    return well(running(bundle("db-1", firewall_nft=text), commit, height))


@pytest.mark.parametrize(
    ("seen", "lineage", "sync"),
    [
        (has(OLD, text="new\n"), Lineage.ANCESTOR, Sync.IN_SYNC),
        (has(NEW, text="new\n"), Lineage.ANCESTOR, Sync.IN_SYNC),
        (has(OLD), Lineage.ANCESTOR, Sync.OLDER),
        (has(OLD), Lineage.DESCENDANT, Sync.NEWER),
        (has(OLD), Lineage.NOT_ANCESTOR, Sync.ANOTHER),
        (has(OLD), Lineage.UNKNOWN, Sync.ANOTHER),
        (has(OLD), None, Sync.ANOTHER),
        (has(NEW), Lineage.ANCESTOR, Sync.UNLIKE),
        (well(fresh("db-1")), None, Sync.NOTHING),
        (replace(has(OLD), record=None, damaged=True), None, Sync.DAMAGED),
    ],
)
def test_what_a_node_has(seen: Observed, lineage: Lineage | None, sync: Sync) -> None:
    """The same files are in sync, whatever commit they came from."""
    assert standing_of("db-1", measure(lineage), seen, NOW).sync is sync


def test_how_many_commits_it_lacks() -> None:
    """Counted by the heights of both."""
    assert standing_of("db-1", measure(), has(OLD, 5), NOW).behind == 2


def test_a_node_that_was_not_read_is_neither() -> None:
    """Nothing read is not nothing wrong."""
    error = Unreachable("db-1", "no answer", "is it up?")
    standing = standing_of("db-1", measure(), error, NOW)
    assert (standing.sync, standing.healthy) == (Sync.NOT_READ, None)
    assert standing.why == "no answer; is it up?"
    assert not status(standing).complete
    assert not status(standing).healthy


WRONG = {
    "filter differs": {"parts": (("filter", "differs"),)},
    "guard absent": {"parts": (("guard", "absent"),)},
    "interface down": {"interface": "down"},
    "runs generation 2, confirmed is 3": {"live": 2},
    "nothing runs": {"live": None},
    "its clock is behind: what has a deadline is off": {"behind": True},
    "its clock is 61 s ahead; deadlines end by it": {"time": NOW + 61},
    "its clock is 3600 s behind; deadlines end by it": {"time": NOW - 3600},
    "its clock was 90 s ahead: peers that heard from it then refuse its handshakes "
    "until 2027-01-15T08:01:30Z": {"clock_high": NOW + 90},
    "only 31 MiB are free on the disk of /var/lib": {"free": LITTLE - 1},
    "the record of what was applied to it can't be read": {"damaged": True},
    "its key is not the publicKey declared in the repository": {"public_keys": ("x",)},
    "generation 4 waits for its confirmation; without it generation 3 runs again in "
    "40 s": {"pending": 4, "confirm_in": 40},
    "generation 4 waits for its confirmation": {"pending": 4},
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_one_sentence(fault: str) -> None:
    """Each of these alone makes a node unwell, and all that is said is this."""
    seen = replace(has(OLD), **WRONG[fault])
    standing = standing_of("db-1", measure(), seen, NOW)
    assert standing.faults == (fault,)
    assert standing.healthy is False
    assert standing_of("db-1", measure(), has(OLD), NOW).healthy is True


def test_what_one_should_know_is_no_fault() -> None:
    """A lock, a suspension that is not over, another firewall: the node is well."""
    seen = replace(
        has(OLD),
        hold=Hold("a" * 16, NEW, "2026-11-22T13:00:00Z", "Ben", 9),
        suspended=Suspension(NOW + 60, "Ana", "disk"),
        foreign=("inet ufw input",),
    )
    standing = standing_of("db-1", measure(), seen, NOW)
    assert standing.healthy is True
    locked = "locked: Ben holds it since 2026-11-22T13:00:00Z for 2222222 (lock "
    assert standing.remarks == (
        f"{locked}{'a' * 16}, silent for 9 s)",
        "suspended until 2027-01-15T08:01:00Z by Ana: disk",
        "its own firewall may drop, too: inet ufw input",
    )
    over = replace(has(OLD), suspended=Suspension(NOW, "Ana", "disk"))
    assert standing_of("db-1", measure(), over, NOW).remarks == ()


def test_sessions_are_counted_by_the_nodes_own_clock() -> None:
    """Alive is a handshake of the last three minutes; none at all has no age."""
    ages = (10, 180, 181, NOW)  # the last one never had any
    peers = tuple(Peer(f"k{age}", "none", NOW - age, 0, 0) for age in ages)
    standing = standing_of("db-1", measure(), replace(has(OLD), peers=peers), NOW)
    assert standing.sessions == Sessions(4, 2, 10)
    standing = standing_of("db-1", measure(), replace(has(OLD), peers=peers[3:]), NOW)
    assert standing.sessions == Sessions(1, 0, None)


def status(*standings: Standing) -> Status:
    return Status("acme", Commit(NEW, "x\x1b[2J", 7), NOW, standings)


def test_what_nodes_say_is_shown_escaped_and_within_a_line() -> None:
    """A hostile name, reason or key can't rewrite the screen or the table."""
    evil = "\x1b[2Jx\u202e" * 40
    record = has(OLD).record
    assert record is not None
    seen = replace(
        has(OLD),
        record=replace(record, by=evil),
        suspended=Suspension(NOW + 60, evil, evil),
        foreign=(evil,),
        drift=(f"peers + {evil}", evil),
        parts=(("peers", "differs"),),
    )
    text = status_text(status(standing_of("db-1", measure(), seen, NOW)), "")
    drift = drift_of(seen)
    assert drift is not None
    text += drift_text("acme", [drift], {"b": Unreachable("b", evil)}, "apply")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) <= 100
    status_json(status(standing_of("db-1", measure(), seen, NOW)))
    assert "\x1b" not in drift_json("acme", [drift], {})


def test_a_long_fleet_stays_in_its_columns() -> None:
    """63 letters of a name, a big fleet's peers: 100 columns, nothing runs together."""
    name = "a" * 63
    peers = tuple(Peer(str(i), "none", NOW - 7200, 0, 0) for i in range(5000))
    seen = replace(has(OLD), node=name, peers=peers, current=123456, live=123456)
    standing = standing_of(name, measure(), seen, NOW)
    lines = status_text(status(standing), "").splitlines()
    assert max(map(len, lines)) <= 100
    assert "older 1111111 -2  well    123456  0 of 5000, 2 h  53 d ago," in lines[3]


def test_drift_is_told_part_by_part() -> None:
    """With the node's lines; a filter has none, and a line that is not understood is
    kept and shown."""
    seen = replace(
        has(OLD),
        parts=(("filter", "differs"), ("peers", "differs"), ("guard", "absent")),
        drift=("peers - k1", "peers + k2", "???"),
    )
    drift = drift_of(seen)
    assert drift is not None
    assert [(p.name, p.state, p.lines) for p in drift.parts] == [
        ("filter", "differs", ()),
        ("peers", "differs", (Line("-", "k1"), Line("+", "k2"))),
        ("other", "differs", (Line("+", "???"),)),
    ]
    text = drift_text("ac-me", [drift], {}, "tailgit apply")
    assert "! db-1  is not as generation 3, 1111111, applied by Ana" in text
    assert "`nft list table inet tailgit_ac_me` shows" in " ".join(text.split())
    assert "    peers differs\n      - k1\n      + k2\n" in text


def test_what_is_no_drift() -> None:
    """Nothing applied; all as it was; an apply under way is not taken apart."""
    assert drift_of(fresh("db-1")) is None
    whole = drift_of(has(OLD))
    assert whole is not None
    assert not whole.found
    pending = drift_of(replace(has(OLD), pending=4, live=4, drift=("peers - k",)))
    assert pending is not None
    assert pending.parts == ()
    assert pending.besides == (
        "generation 4 is being applied and waits to be confirmed",
    )
    cut = drift_of(replace(has(OLD), drift=("peers - k",) * MOST))
    assert cut is not None
    assert cut.cut
    assert "… and more than a node tells" in drift_text("acme", [cut], {}, "x")


def test_what_a_node_keeps_is_not_drift() -> None:
    """Older generations are there for a rollback."""
    old = Generation(1, OLD, 4, "apply", "2026-11-22T12:00:00Z", "e" * 64, "f" * 64)
    found = drift_of(replace(has(OLD), generations=(old,)))
    assert found is not None
    assert not found.found
