"""Faults x boundaries, on real nodes; all of it with `make chaos`.

After each: every node is wholly on the old or wholly on the new generation, SSH works,
the status and the words are right, and the next apply finishes the job.
"""

from __future__ import annotations

import os

import pytest

from tests.chaos.conftest import Whole
from tests.chaos.faults import CASES, Fault
from tests.chaos.matrix import broken
from tests.chaos.world import PLACES, Place

pytestmark = pytest.mark.live

EVERYTHING = bool(os.environ.get("TAILGIT_CHAOS"))

FEW = {
    "controller-killed-alpha-activate-after",
    "connection-cut-alpha-activate-during",
    "half-upload-alpha-stage-before",
    "script-killed-alpha-activate-during",
    "rebooted-alpha-confirm-before",
    "disk-full-alpha-stage-before",
    "locked-out-alpha-activate-after",
    "parcel-tampered-beta-stage-before",
    "changed-by-hand-alpha-confirm-before",
    "answers-another-generation-alpha-stage-before",
    "two-controllers-alpha-stage-after",
}
"""What `make test` tries: the places that hurt most."""


def _cases() -> list[object]:
    every = {f"{fault.name}-{place}": (fault, place) for fault, place in CASES}
    assert every.keys() >= FEW
    chosen = every if EVERYTHING else FEW
    return [pytest.param(*every[name], id=name) for name in every if name in chosen]


def test_the_places_are_those_of_a_real_apply(whole: Whole) -> None:
    """A request that an apply gains or loses is a place that this list has to learn."""
    with whole() as world:
        world.toggle()
        ended = world.apply()
        assert ended.status == 0, ended.text
        assert sorted(ended.places) == sorted(PLACES)
        assert set(world.settled().values()) == {world.state}


@pytest.mark.parametrize(("fault", "place"), _cases())
def test_every_node_ends_whole_and_the_next_apply_finishes(
    whole: Whole,
    fault: Fault,
    place: Place,
    record_property: pytest.RecordProperty,
) -> None:
    """With any fault at any boundary of either node."""
    record_property("chaos", fault.name)
    with whole() as world:
        tries = 1
        while not broken(world, fault, place) and fault.must(place):
            tries += 1
            assert tries <= 5, "there was never anybody to kill"
