"""What `explain` says about each thing that can stand between two ends."""

from __future__ import annotations

from typing import Any

import pytest

from tailgit.access import explain
from tailgit.model.ports import TCP
from tests.conformance.cases import world_with

FEBRUARY = 1_801_440_000
"""2027-02-01, when what `expires: 2027-01-31` is over."""

LINUX = {"posture:linux": ["node:os == 'linux'"]}


def _grant(src: str, dst: str, **more: Any) -> list[dict[str, Any]]:
    return [{"src": [src], "dst": [dst], "ip": ["22"], **more}]


def _notes(src: str, dst: str, at: int | None = None, **sections: Any) -> str:
    """What is said about a flow that is denied."""
    answer = explain(world_with(**sections), src, dst, TCP, 22, at)
    assert not answer.allowed
    return "\n".join(answer.notes)


def test_an_unmet_posture_is_named():
    """The posture, its condition and what the device declares; of a device that
    declares nothing, that it does not."""
    sections = {
        "postures": LINUX,
        "grants": _grant("autogroup:member", "tag:db", srcPosture=["posture:linux"]),
    }
    said = _notes("ana-2", "db", **sections)
    assert "ana-2: posture:linux asks for node:os == 'linux', and node:os is" in said
    assert "is 'macos'" in said
    assert "node:os is not declared" in _notes("ben", "db", **sections)
    sections["grants"][0]["src"] = ["10.20.0.0/16"]
    assert "is no device, so it has none" in _notes("10.20.0.9", "db", **sections)


def test_a_posture_is_no_obstacle_for_who_meets_it():
    """Whoever has the posture is told the rule, not the posture."""
    grants = _grant("autogroup:member", "tag:db", srcPosture=["posture:linux"])
    tailnet = world_with(postures=LINUX, grants=grants)
    assert explain(tailnet, "ana-1", "db", TCP, 22).allowed


def test_the_routers_of_a_rule_are_named():
    """A rule that goes through routers which don't carry the address says so."""
    grants = _grant("ben@acme.com", "10.20.0.0/16", via=["tag:spare"])
    said = _notes("ben", "10.20.0.9", grants=grants)
    assert "goes through tag:spare only, and none of those carries 10.20.0.9" in said


def test_an_unapproved_route_is_named():
    """The router that advertises the address, and what it lacks."""
    said = _notes("ben", "10.30.0.9", grants=_grant("*", "10.30.0.0/16"))
    assert "10.30.0.0/16 of gw holds 10.30.0.9, and no autoApprover lets it" in said


def test_the_internet_needs_an_exit_node():
    """Without one the rule opens nothing; with one it does."""
    grants = _grant("ben@acme.com", "autogroup:internet")
    said = _notes("ben", "8.8.8.8", grants=grants, autoApprovers={})
    assert "8.8.8.8 is in the internet, and there is no approved exit node" in said
    assert explain(world_with(grants=grants), "ben", "8.8.8.8", TCP, 22).allowed


def test_a_rule_that_is_over_is_named():
    """With its last day, for who asks about a time after it."""
    grants = _grant("ben@acme.com", "tag:db", expires="2027-01-31")
    said = _notes("ben", "db", FEBRUARY, grants=grants)
    assert "allowed it through 2027-01-31" in said
    before = explain(world_with(grants=grants), "ben", "db", TCP, 22, FEBRUARY - 1)
    assert before.allowed
    assert before.until == FEBRUARY


@pytest.mark.parametrize(
    ("sections", "at", "words"),
    [
        ({"devices": {"ben": {"disabled": True}}}, None, "ben is disabled"),
        ({"users": {"ben@acme.com": {"disabled": True}}}, None, "ben is disabled"),
        (
            {"devices": {"ben": {"expires": "2027-01-31"}}},
            FEBRUARY,
            "ben ended with 2027-01-31",
        ),
        (
            {"users": {"ben@acme.com": {"expires": "2027-01-31"}}},
            FEBRUARY,
            "ben ended with 2027-01-31",
        ),
    ],
)
def test_a_device_that_is_not_there_says_why(sections, at, words):
    """Disabled or over, itself or with its owner; nobody is behind its name."""
    tailnet = world_with(grants=_grant("ben@acme.com", "tag:db"), **sections)
    answer = explain(tailnet, "ben", "db", TCP, 22, at)
    assert answer.sentence.endswith("nobody is behind `ben`")
    assert words in answer.notes[0]


def test_an_app_opens_no_ports():
    """Two ends that see each other by an app alone are told that it opens nothing."""
    grants = [{"src": ["ben"], "dst": ["db"], "app": {"acme.com/cap": []}}]
    said = _notes("ben", "db", grants=grants)
    assert "ben sees db, but the rule opens no ports" in said


def test_a_tagged_device_is_told_that_it_has_no_user():
    """Where a rule for people would have let it, the tags are the reason."""
    said = _notes("web", "db", grants=_grant("autogroup:member", "tag:db"))
    assert "web is tagged, so it is not in `autogroup:member`" in said
