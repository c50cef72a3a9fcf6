"""Kills at random instants: the controller, the connection, the script, a whole node.

`make chaos` does 200; which ones follow from a seed and a number.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial

import pytest

from tests.chaos.conftest import Whole
from tests.chaos.faults import GUARD, LOGIN, REQUEST, TIMER, kill
from tests.chaos.matrix import finish, judge
from tests.chaos.world import World

pytestmark = pytest.mark.live

EVERYTHING = bool(os.environ.get("TAILGIT_CHAOS"))
KILLS = 200 if EVERYTHING else 6
SEED = int(os.environ.get("TAILGIT_SEED", "20261122"))
LONGEST = 3.5
"""Seconds that an apply to two nodes takes, about."""

Victim = Callable[[World, str], object]


def _killing(pattern: str) -> Victim:
    return lambda world, node: kill(world, node, pattern)


VICTIMS: dict[str, Victim] = {
    "controller": lambda world, _: world.kill_controller(),
    "connection": _killing(LOGIN),
    "script": _killing(REQUEST),
    "timer": _killing(TIMER),
    "guard": _killing(GUARD),
    "node": lambda world, node: world.reboot(node),
}


@pytest.mark.parametrize("number", range(KILLS))
def test_no_kill_leaves_a_node_half_way(
    whole: Whole, number: int, record_property: pytest.RecordProperty
) -> None:
    """Old or new, never between; and the next apply brings everybody to the new one."""
    dice = random.Random(f"{SEED}/{number}")
    name = sorted(VICTIMS)[number % len(VICTIMS)]
    seconds = dice.uniform(0.2, LONGEST)
    record_property("chaos", f"kill {name}")
    with whole() as world:
        node = dice.choice(world.nodes)
        old = world.state
        world.toggle()
        ended = world.apply_and(seconds, partial(VICTIMS[name], world, node))
        where = f"{name} of {node} at {seconds:.2f} s (seed {SEED}): {ended.text}"
        right = {0, 5, -9} if name == "controller" else {0, 5}
        assert ended.status in right, f"{ended.status} {where}"
        states = world.settled()
        judge(world, old, ended, states, where)
        finish(world, where)
