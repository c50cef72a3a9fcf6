"""Kills at random instants: the controller, the connection, the script, a whole node.

`make chaos` does 200; which ones follow from a seed and a number.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.chaos.conftest import Whole
from tests.chaos.faults import GUARD, LOGIN, REQUEST, TIMER, kill
from tests.chaos.matrix import finish, judge
from tests.chaos.world import World

pytestmark = pytest.mark.live

EVERYTHING = bool(os.environ.get("TAILGIT_CHAOS"))
KILLS = 200 if EVERYTHING else 6
SEED = int(os.environ.get("TAILGIT_SEED", "20261122"))

Victim = Callable[[World, str], bool]
"""Kills; whether there was anybody to kill."""


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
    met: list[bool] = []
    try:
        with whole() as world:
            node = dice.choice(world.nodes)
            seconds = dice.uniform(0.1, world.seconds)
            where = f"{name} of {node} at {seconds:.2f} s (seed {SEED})"
            killed(
                world, seconds, lambda: met.append(VICTIMS[name](world, node)), where
            )
    finally:
        there = "" if any(met) else ", nobody there"
        record_property("chaos", f"kill {name}{there}")


def killed(
    world: World, seconds: float, strike: Callable[[], None], where: str
) -> None:
    """Commit the other state, apply it, strike after `seconds`, and judge."""
    old = world.state
    world.toggle()
    ended = world.apply_and(seconds, strike)
    where = f"{where}: status {ended.status}: {ended.text}"
    assert ended.status in (-9, 0, 5), where
    states = world.settled()
    judge(world, old, ended, states, where)
    finish(world, where)
