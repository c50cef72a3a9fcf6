"""Bring nodes another tailgit-node: a change of its own kind, signed like any other.

The script on a node is root there, so the login key alone must not be able to replace
it (docs/node-protocol.md, upgrade): a statement with its digest and serial is signed,
and a node takes none with a lower serial than its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from tailgit.compile.bundle import make_tar
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.observe import Progress, observe
from tailgit.errors import NodeError
from tailgit.plan.observed import Observed

_SERIAL = re.compile(rb"^SERIAL=([1-9][0-9]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """The tailgit-node that this tailgit brings."""

    text: bytes

    @property
    def digest(self) -> str:
        return sha256(self.text).hexdigest()

    @property
    def serial(self) -> int:
        found = _SERIAL.search(self.text)
        if found is None:
            raise ValueError("the script has no SERIAL")
        return int(found[1])

    @property
    def statement(self) -> bytes:
        """What is signed, once for all nodes."""
        lines = f"tailgit-upgrade 1\nserial {self.serial}\nscript {self.digest}\n"
        return lines.encode()

    def packed(self, sign: Callable[[bytes], bytes]) -> bytes:
        """What nodes are sent; raises `SigningError`."""
        return make_tar(
            (
                ("statement", self.statement),
                ("statement.sig", sign(self.statement)),
                ("tailgit-node", self.text),
            )
        )


def outdated(seen: Mapping[str, Observed], script: Script) -> list[str]:
    """The nodes that have another script, and none that is newer than ours."""
    return sorted(
        name
        for name, one in seen.items()
        if one.script != script.digest and one.serial <= script.serial
    )


async def upgrade(
    nodes: Sequence[str], packed: bytes, digest: str, fleet: Fleet, progress: Progress
) -> dict[str, str]:
    """Send it: to one node first, which has to be itself afterwards, then to the rest.

    Returns what went wrong, by node; nodes after a bad first one are named, too.
    """
    failed: dict[str, str] = {}

    async def one(node: str) -> None:
        async with fleet.at(node) as contact:
            progress(node, "upgrade")
            try:
                await contact.ask("upgrade", stdin=packed)
                # Over a new connection, by the new script.
                await contact.hang_up()
                now = await observe(contact)
            except NodeError as error:
                failed[node] = error.message
                return
            if now.script != digest:
                failed[node] = "it still has another script"

    if nodes:
        first, *others = nodes
        await one(first)
        if failed:
            return {**failed, **dict.fromkeys(others, f"not begun: see {first}")}
        await asyncio.gather(*map(one, others))
    return failed
