"""The reading half of plan and apply: from a commit and its nodes to a `Plan`.

Git says what is wanted, which commit is older and what was applied last; the nodes say
what is; `plan.make` puts it together. Nothing is written anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tailgit.access.selectors import active_devices
from tailgit.compile import Bundle, compile_tailnet
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.observe import Progress, observe_all
from tailgit.deploy.record import applied_of
from tailgit.deploy.ssh import Login, login_of
from tailgit.errors import NodeError, TailgitError
from tailgit.load import load
from tailgit.load.git import Repo
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.plan.make import make
from tailgit.plan.observed import Observed
from tailgit.plan.plan import Commit, Desired, History, Lineage, Order, Plan

COMPILED_BEFORE = 8
"""How many different older commits are compiled to say what changes against them."""


@dataclass(frozen=True, slots=True, repr=False)
class Survey:
    """A plan, what it rests on, and what carries it out.

    Without a repr: Python makes one of the result of each `Runner.run`, unseen, and
    this one would hold the files of all nodes, four times.
    """

    plan: Plan
    bundles: Mapping[str, Bundle]
    seen: Mapping[str, Observed | NodeError]
    history: History


async def survey(
    path: Path,
    tailnet: Tailnet,
    sha: str,
    fleet: Fleet,
    progress: Progress,
    order: Order,
) -> Survey:
    """What bringing `tailnet`, read from commit `sha` of `path`, to its nodes means."""
    repository = Repo(path)
    bundles = compile_tailnet(tailnet)
    applied = applied_of(repository, tailnet.name)
    own = tailnet, bundles
    known = History()
    known = history(repository, path, sha, filter(None, [applied]), known, own)
    leaving = leaving_of(
        known.declared.get(applied), tailnet, known.before.get(applied)
    )
    leaving |= {n: d for n, d in tailnet.devices.items() if n in order.farewell}
    leaving = {n: d for n, d in leaving.items() if n not in order.apart}
    logins = logins_of({**tailnet.devices, **leaving}, {*bundles, *leaving})
    fleet.call(logins.values())
    seen = await observe_all(fleet, logins, progress)
    records = {
        one.record.commit: one.record.height
        for one in seen.values()
        if isinstance(one, Observed) and one.record
    }
    before = sorted(records, key=lambda old: (-records[old], old))
    known = history(repository, path, sha, before, known, own)
    height = repository.height(applied) if applied and known.lineage else 0
    known = replace(known, applied=applied, height=height)
    farewells = {name: farewell(tailnet, each) for name, each in leaving.items()}
    commit = Commit(sha, repository.subject(sha), repository.height(sha))
    desired = Desired(tailnet, bundles, leaving, farewells)
    plan = make(desired, seen, commit, known, order, int(time.time()))
    return Survey(plan, {**bundles, **farewells}, seen, known)


def logins_of(devices: Mapping[str, Device], nodes: Iterable[str]) -> dict[str, Login]:
    """Those of `nodes` that get their bundle over SSH and are enrolled, and the way."""
    found = {}
    for name in sorted(nodes, key=str.encode):
        login = login_of(devices[name])
        if devices[name].delivery is Delivery.SSH and login is not None:
            found[name] = login
    return found


def leaving_of(
    base: Tailnet | None, head: Tailnet, before: Mapping[str, Bundle] | None
) -> dict[str, Device]:
    """Devices that `base` brought a bundle to and `head` does not have any more."""
    if base is None:
        return {}
    # A device goes with its owner, too.
    active = active_devices(head)
    stay = {*active, *(old for each in active.values() for old in each.formerly)}
    keys = {head.devices[name].public_key for name in active}
    return {
        name: device
        for name, device in base.devices.items()
        if name in (before or {}) and name not in stay
        if name in head.devices or device.public_key not in keys
    }


def farewell(tailnet: Tailnet, device: Device) -> Bundle:
    """What a device gets that leaves: its own addresses, no peer and no rule."""
    own = replace(device, disabled=False, routes=(), exit_node=False, gateway=None)
    alone = replace(
        tailnet,
        devices={device.name: own},
        users={},
        rules=(),
        ssh_rules=(),
        tests=(),
    )
    return compile_tailnet(alone)[device.name]


def history(
    repository: Repo,
    path: Path,
    sha: str,
    before: Iterable[str],
    known: History,
    own: tuple[Tailnet, Mapping[str, Bundle]] | None = None,
) -> History:
    """What git knows of the commits `before`, the newest first, seen from `sha`.

    `own` is what `sha` itself says and compiles to, where that is known already: mostly
    it is what nodes have.
    """
    if repository.is_shallow():
        return History(shallow=True)
    lineage = dict(known.lineage)
    bundles, declared = dict(known.before), dict(known.declared)
    for old in before:
        if old in lineage:
            continue
        if old == sha and own is not None:
            lineage[old] = Lineage.ANCESTOR
            declared[old], bundles[old] = own
            continue
        lineage[old] = lineage_of(repository, old, sha)
        if lineage[old] is Lineage.UNKNOWN or len(bundles) >= COMPILED_BEFORE:
            continue
        tailnet = _declared(path, old)
        if tailnet is not None:
            declared[old], bundles[old] = tailnet, compile_tailnet(tailnet)
    return History(lineage=lineage, before=bundles, declared=declared)


def lineage_of(repository: Repo, old: str, sha: str) -> Lineage:
    """How commit `old` relates to `sha`; both are full ids."""
    try:
        if repository.resolve(old) != old:
            return Lineage.UNKNOWN
        if repository.is_ancestor(old, sha):
            return Lineage.ANCESTOR
        if repository.is_ancestor(sha, old):
            return Lineage.DESCENDANT
    except TailgitError:
        return Lineage.UNKNOWN
    return Lineage.NOT_ANCESTOR


def _declared(path: Path, sha: str) -> Tailnet | None:
    """What `sha` says; None if it can't be read here, which only costs detail."""
    try:
        loaded = load(path, sha)
    except TailgitError:
        return None
    if any(found.is_error for found in loaded.findings):
        return None
    return loaded.tailnet
