"""One case: an apply with a fault at a boundary, and what has to hold after it."""

from __future__ import annotations

import re

from tests.chaos.faults import Fault
from tests.chaos.world import Boundary, Ended, World

LOCK = re.compile(r"--break-lock ([0-9a-f]{16})")


def boundaries(world: World) -> list[Boundary]:
    """The places of an apply, from one that nothing disturbs."""
    world.toggle()
    ended = world.apply()
    assert ended.status == 0, ended.text
    assert set(world.settled().values()) == {world.state}
    return ended.boundaries


def suits(fault: Fault, at: Boundary) -> bool:
    return at.moment in fault.moments and at.verb in fault.verbs


def broken(world: World, fault: Fault, place: Boundary) -> Ended:
    """Commit the other state, apply it with the fault at `place`, and judge."""
    old = world.state
    world.toggle()
    undo = []

    def react(at: Boundary) -> str:
        here = (at.node, at.verb, at.moment) == (place.node, place.verb, place.moment)
        if undo or not here:
            return "go"
        told, mend = fault.strike(world, at)
        undo.append(mend)
        return told

    ended = world.apply(react)
    where = f"{fault.name} at {place}: {ended.text}"
    assert undo, f"never reached {where}"
    undo[0]()
    assert ended.status in fault.exits, where
    assert "Traceback" not in ended.text, where
    assert "a fault in tailgit" not in ended.text, where
    if ended.status == 5:
        assert place.node in ended.text, f"the node is not named: {where}"
    states = world.settled()
    assert set(states.values()) <= {old, world.state}, (where, states)
    if ended.status == 0:
        assert set(states.values()) == {world.state}, (where, states)
    finish(world, where)
    return ended


def finish(world: World, where: str) -> None:
    """The next apply does the rest; if it finds a lock it says how to break it."""
    ended = world.apply()
    words: list[str] = []
    while ended.status == 6 and len(words) < 2 * len(world.nodes):
        named = LOCK.search(ended.text)
        assert named, f"no way out in {ended.text}"
        words += ["--break-lock", named[1]]
        ended = world.apply(lambda _: "go", *words)
    assert ended.status == 0, f"after {where}\nthe next apply: {ended.text}"
    states = world.settled()
    assert set(states.values()) == {world.state}, (where, states)
