"""Observe nodes with an executor, as a fleet of one command does."""

from __future__ import annotations

from collections.abc import Iterable

from tailgit.deploy.fleet import Fleet
from tailgit.deploy.observe import Progress
from tailgit.deploy.observe import observe as observe_one
from tailgit.deploy.observe import observe_all as observe_many
from tailgit.deploy.ssh import Executor, Login
from tailgit.errors import NodeError
from tailgit.plan.observed import Observed


async def observe(executor: Executor, tailnet: str, login: Login) -> Observed:
    """What one node says; raises a `NodeError`."""
    fleet = Fleet(executor, tailnet)
    fleet.call([login])
    try:
        async with fleet.at(login.node) as contact:
            return await observe_one(contact)
    finally:
        await fleet.close()


async def observe_all(
    executor: Executor,
    tailnet: str,
    logins: Iterable[Login],
    progress: Progress,
    parallel: int,
) -> dict[str, Observed | NodeError]:
    """What each of them says; the connections are closed at the end."""
    fleet = Fleet(executor, tailnet, parallel=parallel)
    logins = list(logins)
    fleet.call(logins)
    try:
        return await observe_many(fleet, [each.node for each in logins], progress)
    finally:
        await fleet.close()
