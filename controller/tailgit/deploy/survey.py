"""The reading half of plan and apply: from a commit and its nodes to a `Plan`.

Git says what is wanted and which commit is older, the nodes say what is; `plan.make`
puts both together. Nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailgit.compile import Bundle, compile_tailnet
from tailgit.deploy.observe import PARALLEL, Progress, observe_all
from tailgit.deploy.ssh import Executor, Login, login_of
from tailgit.errors import TailgitError
from tailgit.load import load
from tailgit.load.git import Repo
from tailgit.model.tailnet import Delivery, Tailnet
from tailgit.plan.observed import Observed
from tailgit.plan.plan import Commit, History, Lineage, Plan, make

COMPILED_BEFORE = 8
"""How many different older commits are compiled to say what changes against them."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A plan and what carries it out: the compiled bundles and the ways to nodes."""

    plan: Plan
    bundles: Mapping[str, Bundle]
    logins: Mapping[str, Login]


async def survey(
    path: Path,
    tailnet: Tailnet,
    sha: str,
    executor: Executor,
    progress: Progress,
    parallel: int = PARALLEL,
) -> Survey:
    """What bringing `tailnet`, read from commit `sha` of `path`, to its nodes means."""
    repository = Repo(path)
    bundles = compile_tailnet(tailnet)
    logins = logins_of(tailnet, bundles)
    seen = await observe_all(
        executor, tailnet.name, logins.values(), progress, parallel
    )
    records = {
        one.record.commit: one.record.height
        for one in seen.values()
        if isinstance(one, Observed) and one.record
    }
    commit = Commit(sha, repository.subject(sha), repository.height(sha))
    before = sorted(records, key=lambda old: (-records[old], old))
    plan = make(tailnet, bundles, seen, commit, history(repository, path, sha, before))
    return Survey(plan, bundles, logins)


def logins_of(tailnet: Tailnet, bundles: Mapping[str, Bundle]) -> dict[str, Login]:
    """The nodes that get their bundle over SSH and are enrolled, and the way there."""
    found = {}
    for name, device in tailnet.devices.items():
        login = login_of(device)
        if name in bundles and device.delivery is Delivery.SSH and login is not None:
            found[name] = login
    return found


def history(repository: Repo, path: Path, sha: str, before: Iterable[str]) -> History:
    """What git knows of the commits `before`, the newest first, seen from `sha`."""
    if repository.is_shallow():
        return History(shallow=True)
    lineage: dict[str, Lineage] = {}
    bundles: dict[str, Mapping[str, Bundle]] = {}
    for old in before:
        lineage[old] = _lineage(repository, old, sha)
        if lineage[old] is not Lineage.UNKNOWN and len(bundles) < COMPILED_BEFORE:
            bundles[old] = _compiled(path, old)
    return History(lineage=lineage, before=bundles)


def _lineage(repository: Repo, old: str, sha: str) -> Lineage:
    try:
        if repository.resolve(old) != old:
            return Lineage.UNKNOWN
        if repository.is_ancestor(old, sha):
            return Lineage.ANCESTOR
    except TailgitError:
        return Lineage.UNKNOWN
    return Lineage.NOT_ANCESTOR


def _compiled(path: Path, sha: str) -> Mapping[str, Bundle]:
    """What `sha` compiles to here; nothing if it does not, which only costs detail."""
    try:
        loaded = load(path, sha)
    except TailgitError:
        return {}
    if loaded.tailnet is None or any(found.is_error for found in loaded.findings):
        return {}
    return compile_tailnet(loaded.tailnet)
