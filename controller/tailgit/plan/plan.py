"""Plan: what an apply would do, as a value that is shown, kept, compared and executed.

`make` is pure: compiled bundles, what the nodes answered and what git knows go in, a
sorted value comes out. Renderers compute nothing, and `deploy.apply` executes exactly
this value: a node is written to only if its row says so, and only the bundle whose
manifest digest stands in that row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from hashlib import sha256

from tailgit import __version__
from tailgit.compile import compiled_digest
from tailgit.compile.bundle import Bundle
from tailgit.errors import NodeError, NodeRefused
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.plan.difference import Difference, difference
from tailgit.plan.observed import Observed


class State(StrEnum):
    """What a plan knows about one device; the first three are what apply acts on."""

    FIRST = "first"
    CHANGE = "change"
    REPAIR = "repair"
    IN_SYNC = "in-sync"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_ENROLLED = "not-enrolled"
    NOT_DELIVERED = "not-delivered"


WRITTEN = frozenset({State.FIRST, State.CHANGE, State.REPAIR})
UNSERVED = frozenset({State.UNREACHABLE, State.REFUSED})


class Switch(StrEnum):
    """What a change interrupts: nothing; addresses and routes; the whole interface."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"
    UNKNOWN = "unknown"


class Lineage(StrEnum):
    """How the commit that a node records relates to the one that is planned."""

    ANCESTOR = "ancestor"
    NOT_ANCESTOR = "not-ancestor"
    UNKNOWN = "unknown"


SHALLOW = (
    "this clone is shallow, so nothing can say which commit is older; "
    "fetch the whole history (fetch-depth: 0)"
)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of the tailnet's repository; `height` is `git rev-list --count`."""

    sha: str
    subject: str
    height: int


@dataclass(frozen=True, slots=True)
class History:
    """What git knows about the commits that nodes record.

    `before` holds the bundles of those that could be compiled here: it only makes a
    plan more telling, so a missing one is no error.
    """

    shallow: bool = False
    lineage: Mapping[str, Lineage] = field(default_factory=dict)
    before: Mapping[str, Mapping[str, Bundle]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One device. `manifest` is the digest of the bundle it shall have, `observed`
    that of what the node said, `commit` and `height` what it records; "" for none.

    `difference` is None where nothing changes or what was there is not known here.
    `unserved` marks a node that should have got this bundle over SSH and can't.
    """

    node: str
    state: State
    manifest: str = ""
    observed: str = ""
    commit: str = ""
    height: int = 0
    switch: Switch | None = None
    difference: Difference | None = None
    notes: tuple[str, ...] = ()
    unserved: bool = False

    @property
    def written(self) -> bool:
        return self.state in WRITTEN


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows sorted by node (bytewise); `refusals` are sentences that forbid to apply."""

    tailnet: str
    commit: Commit
    compiled: str
    rows: tuple[Row, ...]
    refusals: tuple[str, ...] = ()
    tailgit: str = __version__

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the whole value as canonical JSON; it holds no times."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def steps(self) -> tuple[Row, ...]:
        """The rows that apply acts on."""
        return tuple(row for row in self.rows if row.written)

    @property
    def counts(self) -> Mapping[State, int]:
        """How many rows are in each state that occurs, in the order of `State`."""
        seen = Counter(row.state for row in self.rows)
        return {state: seen[state] for state in State if seen[state]}

    @property
    def answered(self) -> int:
        """How many nodes answered the observation."""
        return sum(bool(row.observed) for row in self.rows)

    @property
    def asked(self) -> int:
        """How many nodes were asked."""
        return self.answered + sum(
            row.state in UNSERVED and not row.observed for row in self.rows
        )

    @property
    def complete(self) -> bool:
        """Whether every node that should have its bundle over SSH was read."""
        return not any(row.unserved for row in self.rows)

    @property
    def in_sync(self) -> bool:
        """Whether every node has, and may have, what the commit says."""
        there = any(row.state is State.IN_SYNC for row in self.rows)
        return there and self.complete and not self.steps and not self.refusals

    @property
    def old_commits(self) -> tuple[str, ...]:
        """The commits that nodes record, oldest first; where some are to be changed,
        theirs alone."""
        rows = [row for row in self.rows if row.commit]
        rows = [row for row in rows if row.written] or rows
        found = {(row.height, row.commit) for row in rows}
        return tuple(commit for _, commit in sorted(found))


def make(
    tailnet: Tailnet,
    bundles: Mapping[str, Bundle],
    seen: Mapping[str, Observed | NodeError],
    commit: Commit,
    history: History,
) -> Plan:
    """The plan that brings `bundles` to the nodes that were asked (`seen`)."""
    rows = tuple(
        _row(tailnet.devices[name], bundles.get(name), seen.get(name), history)
        for name in sorted(tailnet.devices, key=str.encode)
    )
    return Plan(
        tailnet.name,
        commit,
        compiled_digest(bundles),
        rows,
        _refusals(tailnet, rows, seen, commit, history),
    )


def _row(
    device: Device,
    bundle: Bundle | None,
    seen: Observed | NodeError | None,
    history: History,
) -> Row:
    """What is to be done about one device."""
    name = device.name
    if device.disabled:
        return Row(name, State.NOT_DELIVERED, notes=("disabled",))
    if bundle is None:
        return Row(name, State.NOT_ENROLLED, notes=("awaits its key",))
    digest = bundle.digest
    if device.delivery is not Delivery.SSH:
        notes = (f"delivery: {device.delivery}",)
        return Row(name, State.NOT_DELIVERED, digest, notes=notes)
    if device.ssh is None or not device.ssh.is_known:
        notes = ("no ssh.hostKey in the repository",)
        return Row(name, State.NOT_ENROLLED, digest, notes=notes, unserved=True)
    if isinstance(seen, Observed):
        return _answered(device, bundle, seen, history)
    if isinstance(seen, NodeError):
        refused = isinstance(seen, NodeRefused)
        state = State.REFUSED if refused else State.UNREACHABLE
        said = tuple(filter(None, (seen.message, seen.help)))
        return Row(name, state, digest, notes=said, unserved=True)
    raise ValueError(f"{name} was not asked")


def _answered(device: Device, bundle: Bundle, seen: Observed, history: History) -> Row:
    """What is to be done about a node that answered."""
    record = seen.record
    row = Row(device.name, State.IN_SYNC, bundle.digest, seen.digest)
    if record is not None:
        row = replace(row, commit=record.commit, height=record.height)
    if device.public_key not in seen.public_keys:
        said = ("its key is not the publicKey declared here",)
        return replace(row, state=State.REFUSED, notes=said, unserved=True)
    foreign = tuple(f"its own firewall may drop, too: {text}" for text in seen.foreign)
    row = replace(row, notes=seen.faults + foreign)
    if record is None:
        what = difference(None, bundle)
        return replace(row, state=State.FIRST, switch=Switch.COLD, difference=what)
    if record.manifest == bundle.digest:
        if not seen.faults:
            return row
        return replace(row, state=State.REPAIR, switch=_switch(seen, None))
    old = history.before.get(record.commit, {}).get(device.name)
    if old is None or old.digest != record.manifest:
        return replace(row, state=State.CHANGE, switch=Switch.UNKNOWN)
    what = difference(old, bundle)
    return replace(row, state=State.CHANGE, switch=_switch(seen, what), difference=what)


def _switch(seen: Observed, what: Difference | None) -> Switch:
    """How much is interrupted; `what` is None for a repair."""
    parts = dict(seen.parts)
    if seen.interface == "absent":
        return Switch.COLD
    drifted = any(parts.get(part) != "ok" for part in ("addresses", "routes"))
    if drifted or seen.interface != "up" or (what and "interface" in what.files):
        return Switch.WARM
    return Switch.HOT


def _refusals(
    tailnet: Tailnet,
    rows: Iterable[Row],
    seen: Mapping[str, Observed | NodeError],
    commit: Commit,
    history: History,
) -> tuple[str, ...]:
    """Why nothing may be applied: what is wrong with the clone, else with commits."""
    if history.shallow:
        return (SHALLOW,)
    said = []
    for (_, old), nodes in sorted(_by_commit(rows).items()):
        if old == commit.sha:
            continue
        lineage = history.lineage.get(old, Lineage.UNKNOWN)
        where = _listed(nodes)
        if lineage is Lineage.UNKNOWN:
            said.append(
                f"{where}: applied is {old[:7]}, which this clone does not know; "
                "fetch the branch that it is on"
            )
        elif lineage is Lineage.NOT_ANCESTOR:
            said.append(
                f"{where}: applied is {old[:7]}, which {commit.sha[:7]} does not "
                "contain; bring the branch up to date"
            )
    if not seen:
        said.append(
            "no device of this tailnet is enrolled and reached over SSH; begin with "
            f"`tailgit device enroll {_first_to_enroll(tailnet)}`"
        )
    elif all(isinstance(one, NodeError) for one in seen.values()):
        said.append(f"none of the {len(seen)} nodes could be read")
    return tuple(said)


def _first_to_enroll(tailnet: Tailnet) -> str:
    for name in sorted(tailnet.devices, key=str.encode):
        device = tailnet.devices[name]
        if device.delivery is Delivery.SSH and not device.disabled:
            return name
    return "NAME"


def _by_commit(rows: Iterable[Row]) -> Mapping[tuple[int, str], list[str]]:
    groups: dict[tuple[int, str], list[str]] = {}
    for row in rows:
        if row.commit:
            groups.setdefault((row.height, row.commit), []).append(row.node)
    return groups


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
