"""Deposit parcels in mailboxes, for the devices that pull.

Every mailbox gets every parcel, so that one which is down, or withholds, keeps no
device back. A deposit may be repeated and changes nothing on the device: it is as good
as done once one mailbox has it, and the others are still told of. One connection to a
mailbox carries all of its parcels; mailboxes are independent of each other.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailgit.deploy.fleet import PARALLEL
from tailgit.deploy.observe import Progress
from tailgit.deploy.request import understood
from tailgit.deploy.ssh import Executor, Login, Session
from tailgit.errors import BadAnswer, NodeError, NodeRefused

SECONDS = 180.0
"""For one deposit; it holds the 20 seconds that a node waits for its own lock."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """What became of one device's parcel.

    `held` are the mailboxes that have it now, `failed` the others and why not.
    """

    node: str
    held: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether the device can get it."""
        return bool(self.held)

    @property
    def sentence(self) -> str:
        """For the report: where it lies, and where not and why."""
        lies = f"in the mailbox of {', '.join(self.held)}" if self.held else ""
        missing = "; ".join(f"not in {box}'s: {why}" for box, why in self.failed)
        return "; ".join(filter(None, (lies, missing)))


async def deposit_all(
    executor: Executor,
    tailnet: str,
    parcels: Mapping[str, bytes],
    mailboxes: Sequence[Login],
    progress: Progress,
    parallel: int = PARALLEL,
) -> dict[str, Deposit]:
    """Put each node's parcel into every mailbox; the outcome of each, by name.

    Nothing is raised for a mailbox that fails; that is part of the outcome.
    """
    if not parcels:
        return {}
    gate = asyncio.Semaphore(parallel)

    async def one(login: Login) -> tuple[str, dict[str, NodeError | None]]:
        async with gate:
            return login.node, await _fill(executor, tailnet, parcels, login, progress)

    held: defaultdict[str, list[str]] = defaultdict(list)
    failed: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for box, ends in await asyncio.gather(*(one(login) for login in mailboxes)):
        for node, error in ends.items():
            if error is None:
                held[node].append(box)
            else:
                failed[node].append((box, error.message))
    return {
        node: Deposit(node, tuple(sorted(held[node])), tuple(sorted(failed[node])))
        for node in sorted(parcels)
    }


async def _fill(
    executor: Executor,
    tailnet: str,
    parcels: Mapping[str, bytes],
    login: Login,
    progress: Progress,
) -> dict[str, NodeError | None]:
    """All parcels into one mailbox; for each why it is not there, None if it is.

    A parcel that is refused keeps no other out; a connection that breaks does.
    """
    ends: dict[str, NodeError | None] = {}
    broken: NodeError | None = None
    try:
        async with executor.connect(login) as session:
            for node, parcel in sorted(parcels.items()):
                progress(login.node, f"deposit for {node}")
                try:
                    await deposit(session, login.node, tailnet, node, parcel)
                    ends[node] = None
                except NodeRefused as error:
                    ends[node] = error
    except NodeError as error:
        broken = error
        progress(login.node, error.message)
    return {node: ends.get(node, broken) for node in parcels}


async def deposit(
    session: Session, box: str, tailnet: str, node: str, parcel: bytes
) -> str:
    """One parcel into one mailbox; the digest of the envelope that it holds now.

    Raises a `NodeError`, also if the mailbox answers for another device.
    """
    command = f"deposit {tailnet} {node}"
    reply = await session.run(command, stdin=parcel, seconds=SECONDS)
    answer = understood(box, "deposit", tailnet, reply)
    try:
        if answer.one("node") != node:
            raise ValueError("it is of another device")
        return answer.one("envelope")
    except ValueError as error:
        raise BadAnswer(box, f"its answer to `deposit` is wrong: {error}") from None
