"""Kills at random instants: the controller, the connection, the script, a whole node.

`make chaos` does 200; which ones follow from a seed that a failure names.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.chaos.faults import killing
from tests.chaos.matrix import finish
from tests.chaos.world import World

pytestmark = pytest.mark.live

EVERYTHING = bool(os.environ.get("TAILGIT_CHAOS"))
KILLS = 200 if EVERYTHING else 6
SEED = int(os.environ.get("TAILGIT_SEED", "20261122"))
LONGEST = 3.5
"""Seconds that an apply to two nodes takes, about."""

Victim = Callable[[World, str], None]

VICTIMS: dict[str, Victim] = {
    "controller": lambda world, _: world.kill_controller(),
    "connection": lambda world, node: killing("'sshd: tailgit'*")(world, node),
    "script": lambda world, node: killing("'/bin/sh '*'tailgit-node request '*")(
        world, node
    ),
    "timer": lambda world, node: killing("'/bin/sh '*'tailgit-node timer '*")(
        world, node
    ),
    "guard": lambda world, node: killing("'/bin/sh '*'tailgit-node guard '*")(
        world, node
    ),
    "node": lambda world, node: world.reboot(node),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = World.build(tmp_path_factory.mktemp("kills"))
    yield built
    built.lab.down()


def test_no_kill_leaves_a_node_half_way(world: World) -> None:
    """Old or new, never between; and the next apply brings everybody to the new one."""
    dice = random.Random(SEED)
    tally: dict[str, int] = {}
    for number in range(KILLS):
        name = dice.choice(sorted(VICTIMS))
        node, seconds = dice.choice(world.nodes), dice.uniform(0.2, LONGEST)
        old = world.state
        world.toggle()
        ended = world.apply_and(seconds, partial(VICTIMS[name], world, node))
        where = f"kill {number} (seed {SEED}): {name} {node} at {seconds:.2f} s"
        assert "Traceback" not in ended.text, f"{where}: {ended.text}"
        assert ended.status in (0, 5, -9), f"{where}: {ended.status} {ended.text}"
        states = world.settled()
        assert set(states.values()) <= {old, world.state}, (where, states)
        if ended.status == 0:
            assert set(states.values()) == {world.state}, (where, states)
        finish(world, where)
        tally[name] = tally.get(name, 0) + 1
    print(f"{KILLS} kills: {tally}")
