"""One case: an apply with a fault at a boundary, and what has to hold after it."""

from __future__ import annotations

import re

from tests.chaos.faults import Fault, Struck
from tests.chaos.world import Ended, Place, World

LOCK = re.compile(r"--break-lock ([0-9a-f]{16})")
OVERRIDE = re.compile(r'--allow (damaged-record)="REASON"')

TRUE = {
    "applied": {"new"},
    "unchanged": {"new"},
    "failed": {"old"},
    "rolled-back": {"old"},
    "not-started": {"old"},
    "unreachable": {"old"},
    "unconfirmed": {"old", "new"},
}
"""What a node may run of which apply says so."""


def broken(world: World, fault: Fault, place: Place) -> bool:
    """Commit the other state, apply it with the fault at `place`, and judge.

    Says whether the fault met anything: who kills by name may come too late.
    """
    old = world.state
    world.toggle()
    struck: list[Struck] = []

    def react(at: Place) -> str:
        if struck or at != place:
            return "go"
        struck.append(fault.strike(world, at))
        return struck[0].told

    ended = world.apply(react)
    where = f"{fault.name} at {place}: status {ended.status}: {ended.text}"
    assert struck, f"never reached {where}"
    # The node has to help itself: nothing is mended before it is whole again.
    whole = world.settled(written=fault.writable)
    struck[0].mend()
    assert set(whole.values()) <= {old, world.state}, (where, whole)
    assert ended.status in fault.right(place), where
    states = world.settled()
    judge(world, old, ended, states, where, alone=fault.alone)
    if fault.local and ended.status == 5:
        named = ended.outcomes[place.node]
        assert named["result"] not in ("applied", "unchanged"), where
        assert named["message"], f"nothing is said about the node: {where}"
    finish(world, where)
    return struck[0].hit


def judge(
    world: World,
    old: str,
    ended: Ended,
    states: dict[str, str],
    where: str,
    *,
    alone: bool = True,
) -> None:
    """Old or new, and what was said of each node is so. Of one that another controller
    changed meanwhile, only who says that it has the new one is held to it."""
    assert "Traceback" not in ended.text, where
    assert "a fault in tailgit" not in ended.text, where
    assert set(states.values()) <= {old, world.state}, (where, states)
    new = world.state
    for node, outcome in ended.outcomes.items():
        age = "new" if states[node] == new else "old"
        result = outcome["result"]
        fits = age in TRUE[result] or (not alone and "new" not in TRUE[result])
        assert fits, f"{node} is said to be {result} and runs the {age}: {where}"
    if ended.status == 0:
        assert set(states.values()) == {new}, (where, states)
    if ended.status in (4, 6) and alone:
        assert set(states.values()) == {old}, (where, states)


def finish(world: World, where: str) -> None:
    """The next apply does the rest. Where it refuses, it says what to do, and that is
    done: a lock that was left is broken, a damaged record is allowed."""
    words: list[str] = []
    ended = world.apply()
    for _ in range(2 * len(world.nodes)):
        lock, override = LOCK.search(ended.text), OVERRIDE.search(ended.text)
        if ended.status == 6 and lock:
            words += ["--break-lock", lock[1]]
        elif ended.status == 4 and override:
            words += ["--allow", f"{override[1]}=the disk is well again"]
        else:
            break
        ended = world.apply(lambda _: "go", *words)
    assert ended.status == 0, f"after {where}\nthe next apply: {ended.text}"
    states = world.settled()
    assert set(states.values()) == {world.state}, (where, states)
    calm = world.apply()
    assert calm.status == 0, f"after {where}\nthe last apply: {calm.text}"
    verbs = {place.verb for place in calm.places}
    assert verbs == {"observe"}, f"there was more to do: {where}\n{calm.text}"
