"""Faults x boundaries, on real nodes; all of it with `make chaos`.

After each: every node is wholly on the old or wholly on the new generation, SSH works,
the status and the words are right, and the next apply finishes the job.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.matrix import boundaries, broken, suits
from tests.chaos.world import Boundary, World

pytestmark = pytest.mark.live

EVERYTHING = bool(os.environ.get("TAILGIT_CHAOS"))

FEW = {
    "controller-killed": ("activate", "after"),
    "connection-cut": ("activate", "during"),
    "half-upload": ("stage", "before"),
    "script-killed": ("activate", "during"),
    "rebooted": ("confirm", "before"),
    "disk-full": ("stage", "before"),
    "locked-out": ("activate", "after"),
    "answers-another-generation": ("activate", "before"),
    "two-controllers": ("stage", "after"),
}
"""What `make test` tries: the places that hurt most."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = World.build(tmp_path_factory.mktemp("chaos"))
    yield built
    built.lab.down()


@pytest.fixture(scope="module")
def places(world: World) -> list[Boundary]:
    return boundaries(world)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_node_ends_whole_and_the_next_apply_finishes(
    world: World, places: list[Boundary], fault: Fault
) -> None:
    """At every boundary of both nodes, or at the one that hurts most."""
    chosen = [place for place in places if suits(fault, place)]
    if not EVERYTHING:
        if fault.name not in FEW:
            pytest.skip("`make chaos` tries it")
        verb, moment = FEW[fault.name]
        chosen = [p for p in chosen if (p.verb, p.moment) == (verb, moment)][:1]
    failed = []
    for place in chosen:
        try:
            broken(world, fault, place)
        except AssertionError as error:
            failed.append(f"{fault.name} at {place}: {error}")
            world.settled()
    print(f"{fault.name}: {len(chosen) - len(failed)} of {len(chosen)} boundaries")
    assert not failed, "\n\n".join(failed)
