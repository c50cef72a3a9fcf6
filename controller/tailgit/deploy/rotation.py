"""The node's part of a rotation: it makes the next key, and shows that it has it.

The private half never leaves the node; all that is asked for is the public one. A node
keeps one spare key at most, so asking again names the same.
"""

from __future__ import annotations

import re

from tailgit.deploy.fleet import Contact
from tailgit.deploy.observe import observe
from tailgit.errors import BadAnswer, Refused
from tailgit.model.tailnet import Device

_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")


async def spare_key(contact: Contact, device: Device) -> str:
    """The public half of the key that the node would go over to.

    Raises a `NodeError`; `Refused` if it is another machine than the device.
    """
    seen = await observe(contact)
    if device.public_key not in seen.public_keys:
        raise Refused(
            f"{device.name}: the machine there does not have the publicKey declared "
            "here",
            "if its key is lost, take publicKey out of the file and enroll it again: "
            f"tailgit device enroll {device.name}",
        )
    answer = await contact.ask_twice("key")
    key = answer.maybe("publicKey") or ""
    if not _KEY.fullmatch(key):
        raise BadAnswer(device.name, "its answer to `key` names no WireGuard key")
    if key == device.public_key:
        raise BadAnswer(device.name, "it names the key that it has as the next one")
    return key


async def has_key(contact: Contact, key: str) -> bool:
    """Whether the node has the private half of `key`, as it says."""
    return key in (await observe(contact)).public_keys
