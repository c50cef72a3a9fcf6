"""Ask how nodes stand against a commit: the reading half of `status`.

It takes what a plan takes, without comparing bundles: of old commits only that of the
fleet's record is compiled, to know who left. A shallow clone will do; it can't tell
then which commit is older.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailgit.compile import Bundle, compile_tailnet
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.observe import Progress, observe_all
from tailgit.deploy.record import applied_of
from tailgit.deploy.survey import history, leaving_of, lineage_of, logins_of
from tailgit.errors import NodeError, TailgitError
from tailgit.load.git import Repo
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.plan.observed import Observed
from tailgit.plan.plan import Commit, History, Lineage
from tailgit.plan.standing import Measure, Standing, Status, Sync, standing_of

Choice = Callable[[Mapping[str, Device]], frozenset[str]]
"""Which of the devices, by name, are asked about; raises `UsageError`."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What there is to be known of the devices before any of them is asked."""

    tailnet: Tailnet
    bundles: Mapping[str, Bundle]
    leaving: Mapping[str, Device]
    notes: tuple[str, ...] = ()


async def standings(
    path: Path,
    tailnet: Tailnet,
    sha: str,
    fleet: Fleet,
    progress: Progress,
    choose: Choice,
) -> Status:
    """How the chosen devices stand against commit `sha` of `path`."""
    repository = Repo(path)
    commit = Commit(sha, repository.subject(sha), repository.height(sha))
    known = _known(repository, path, tailnet)
    devices = {**known.tailnet.devices, **known.leaving}
    chosen = choose(devices)
    logins = logins_of(devices, chosen & {*known.bundles, *known.leaving})
    fleet.call(logins.values())
    seen = await observe_all(fleet, logins, progress)
    ages = _ages(repository, seen, sha)
    now = int(time.time())
    found = []
    for name in sorted(chosen, key=str.encode):
        if name not in seen:
            found.append(_aside(devices[name], known))
            continue
        leaves = name in known.leaving
        bundle = None if leaves else known.bundles.get(name)
        one = seen[name]
        record = one.record.commit if isinstance(one, Observed) and one.record else ""
        measure = Measure(
            commit,
            bundle.digest if bundle else "",
            devices[name].public_key,
            ages.get(record),
            leaves,
        )
        found.append(standing_of(name, measure, one, now))
    return Status(tailnet.name, commit, now, tuple(found), known.notes)


def _known(repository: Repo, path: Path, tailnet: Tailnet) -> Fields:
    """The devices, and those that left; a damaged record keeps nobody from asking."""
    bundles = compile_tailnet(tailnet)
    try:
        return Fields(tailnet, bundles, _left(repository, path, tailnet))
    except TailgitError as error:
        said = f"{error.message}, so it is not known who left; {error.help}"
        return Fields(tailnet, bundles, {}, (said,))


def _left(repository: Repo, path: Path, tailnet: Tailnet) -> Mapping[str, Device]:
    """Devices that the fleet's record has and this commit does not have any more."""
    applied = applied_of(repository, tailnet.name)
    if not applied:
        return {}
    known = history(repository, path, applied, [applied], History())
    return leaving_of(known.declared.get(applied), tailnet, known.before.get(applied))


def _ages(
    repository: Repo, seen: Mapping[str, Observed | NodeError], sha: str
) -> Mapping[str, Lineage]:
    """How each commit that a node records relates to `sha`; none in a shallow clone."""
    if repository.is_shallow():
        return {}
    records = {
        one.record.commit
        for one in seen.values()
        if isinstance(one, Observed) and one.record
    }
    return {old: lineage_of(repository, old, sha) for old in sorted(records)}


def _aside(device: Device, known: Fields) -> Standing:
    """A device that nobody asks, and why."""
    delivery = str(device.delivery)
    if device.disabled:
        return Standing(device.name, Sync.NOT_DELIVERED, delivery, why="disabled")
    if device.name not in known.bundles:
        return Standing(device.name, Sync.NOT_ENROLLED, delivery, why="awaits its key")
    if device.delivery is not Delivery.SSH:
        why = f"delivery: {delivery}"
        return Standing(device.name, Sync.NOT_DELIVERED, delivery, why=why)
    why = "no ssh.hostKey in the repository"
    return Standing(device.name, Sync.NOT_ENROLLED, delivery, why=why)
