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

from tailgit.deploy.fleet import Contact, Fleet
from tailgit.deploy.observe import Progress
from tailgit.errors import BadAnswer, NodeError, NodeRefused


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
    parcels: Mapping[str, bytes],
    mailboxes: Sequence[str],
    fleet: Fleet,
    progress: Progress,
) -> dict[str, Deposit]:
    """Put each node's parcel into every mailbox; the outcome of each, by name.

    Nothing is raised for a mailbox that fails; that is part of the outcome.
    """
    held: defaultdict[str, list[str]] = defaultdict(list)
    failed: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)

    async def one(box: str) -> None:
        async with fleet.at(box) as contact:
            for node, error in (await _fill(contact, parcels, progress)).items():
                if error is None:
                    held[node].append(box)
                else:
                    failed[node].append((box, error.message))

    await asyncio.gather(*map(one, mailboxes))
    return {
        node: Deposit(node, tuple(sorted(held[node])), tuple(sorted(failed[node])))
        for node in sorted(parcels)
    }


async def _fill(
    contact: Contact, parcels: Mapping[str, bytes], progress: Progress
) -> dict[str, NodeError | None]:
    """All parcels into one mailbox; for each why it is not there, None if it is.

    A parcel that is refused keeps no other out; a connection that breaks does.
    """
    ends: dict[str, NodeError | None] = {}
    for node, parcel in sorted(parcels.items()):
        progress(contact.node, f"deposit for {node}")
        try:
            await deposit(contact, node, parcel)
            ends[node] = None
        except NodeRefused as error:
            ends[node] = error
        except NodeError as error:
            progress(contact.node, error.message)
            return {each: ends.get(each, error) for each in parcels}
    return ends


async def deposit(contact: Contact, node: str, parcel: bytes) -> str:
    """One parcel into one mailbox; the digest of the envelope that it holds now.

    Raises a `NodeError`, also if the mailbox answers for another device.
    """
    answer = await contact.ask_twice("deposit", node, stdin=parcel)
    try:
        if answer.one("node") != node:
            raise ValueError("it is of another device")
        return answer.one("envelope")
    except ValueError as error:
        said = f"its answer to `deposit` is wrong: {error}"
        raise BadAnswer(contact.node, said) from None
