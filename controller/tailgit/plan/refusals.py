"""Why a plan may not be applied, as sentences that say what to do instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tailgit.errors import NodeError
from tailgit.guard.guard import Guard
from tailgit.model.tailnet import Delivery, Tailnet
from tailgit.plan.observed import Observed
from tailgit.plan.plan import Commit, History, Lineage, Order
from tailgit.plan.row import Row, State

SHALLOW = (
    "this clone is shallow, so nothing can say which commit is older; "
    "fetch the whole history (fetch-depth: 0)"
)


def refusals(
    tailnet: Tailnet,
    rows: Iterable[Row],
    seen: Mapping[str, Observed | NodeError],
    commit: Commit,
    history: History,
    order: Order,
) -> tuple[str, ...]:
    """Why nothing may be applied: what is wrong with the clone, else with commits."""
    if history.shallow:
        return (SHALLOW,)
    said = []
    fine = {Lineage.ANCESTOR}
    if order.kind == "rollback":
        fine.add(Lineage.DESCENDANT)
    groups = _by_commit(rows)
    if history.applied and not any(old == history.applied for _, old in groups):
        groups = {**groups, (0, history.applied): ["the fleet's record"]}
    for (_, old), nodes in sorted(groups.items()):
        lineage = history.lineage.get(old, Lineage.UNKNOWN)
        if old == commit.sha or lineage in fine:
            continue
        where = _listed(nodes)
        if lineage is Lineage.UNKNOWN:
            said.append(
                f"{where}: applied is {old[:7]}, which this clone does not know; "
                "fetch the branch that it is on"
            )
        elif lineage is Lineage.DESCENDANT:
            said.append(
                f"{where}: applied is {old[:7]}, which is newer than {commit.sha[:7]}; "
                "to go back, see `tailgit rollback --help`"
            )
        else:
            said.append(
                f"{where}: applied is {old[:7]}, which {commit.sha[:7]} does not "
                "contain; bring the branch up to date"
            )
    kept = [row.node for row in rows if row.state is State.LEFT_OUT and row.loses]
    if order.only_losses and kept and not any(row.written for row in rows):
        said.append(
            f"{_listed(kept)}: would gain something, too; this commit has more in it "
            "than the revocation"
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


def stopped(guard: Guard) -> str:
    """The sentence of a guard that stops a plan, with what to do."""
    more = "; ".join(guard.why) or _listed(list(guard.devices))
    return (
        f"{guard.text}: {more}; if that is right, "
        f'--allow {guard.name}="REASON" lets it pass once'
    )
