"""Make a machine a node: install the script, let it make its key, prove the login.

The only time that an administrator's login is used. The host key is pinned before
anything is authenticated, the script travels through the standard input of one exec
into a private file, and the last act is a login of the controller itself: an
enrolment that can't be observed has not happened. Nothing here writes the repository.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from hashlib import sha256

from tailgit.deploy.fleet import Contact
from tailgit.deploy.hostkey import fingerprint, host_keys
from tailgit.deploy.jump import Ways
from tailgit.deploy.observe import observe
from tailgit.deploy.request import understood
from tailgit.deploy.ssh import Executor, Login
from tailgit.errors import BadAnswer, HostKeyMismatch, Refused
from tailgit.model.tailnet import Device
from tailgit.plan.observed import Observed

SECONDS = 900.0
"""How long the installation may take; it may have to install packages."""

_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")


@dataclass(frozen=True, slots=True)
class Keys:
    """Who may do what on the node: public keys (`TYPE BASE64`) and a name."""

    controller: str
    signer: str
    principal: str

    def lines(self) -> bytes:
        return (
            f"controller {self.controller}\nsigner {self.principal} {self.signer}\n"
        ).encode()


async def find_host_key(
    node: str, host: str, port: int, wanted: str | None, ways: Ways | None = None
) -> str:
    """The host key (`TYPE BASE64`) of a machine that is not pinned yet.

    `wanted` is a fingerprint `SHA256:…` that it must have, whatever its type; None
    takes the best key, for a person to judge. Raises `HostKeyMismatch`, `Unreachable`.
    """
    offered: list[str] = []
    async for key in host_keys(node, host, port, ways):
        if wanted is None or fingerprint(key).split()[1] == wanted:
            return key
        offered.append(fingerprint(key))
    raise HostKeyMismatch(
        node,
        f"{host} port {port} has no host key {wanted or ''}".rstrip()
        + (f"; it has {', '.join(offered)}" if offered else ""),
        "compare with what `ssh-keygen -lf FILE.pub` says on its own console",
    )


async def install(
    executor: Executor, admin: Login, tailnet: str, script: bytes, keys: Keys
) -> tuple[str, ...]:
    """Install `script` as `admin` and run its `enroll`; returns the node's public keys.

    Repeatable: the script changes only what differs and never replaces a key.
    """
    async with executor.connect(admin) as session:
        reply = await session.run(
            command(script, tailnet), stdin=script + keys.lines(), seconds=SECONDS
        )
    if b"sudo:" in reply.stderr and not reply.stdout:
        raise Refused(
            f"{admin.node}: {admin.user} can't use sudo there without a password",
            "log in as root, or allow it for the enrolment (--login USER@HOST)",
        )
    answer = understood(admin.node, "enroll", tailnet, reply)
    public_keys = answer.every("publicKey")
    if not public_keys or not all(map(_KEY.fullmatch, public_keys)):
        raise BadAnswer(admin.node, "it names no WireGuard key of its own")
    return public_keys


def command(script: bytes, tailnet: str) -> str:
    """The shell command that receives `script` on standard input and runs it as root.

    The rest of the input is the script's own. `dd` reads byte by byte on purpose: any
    reader with a buffer would swallow what follows.
    """
    steps = f"""
set -u; umask 077
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
dd bs=1 count={len(script)} of="$file" 2>/dev/null || exit 1
sum=$(sha256sum <"$file") || exit 1
[ "${{sum%% *}}" = {sha256(script).hexdigest()} ] || exit 1
if [ "$(id -u)" = 0 ]; then sh "$file" enroll {tailnet}
else sudo -n sh "$file" enroll {tailnet}; fi
"""
    return f"sh -c {shlex.quote(steps.strip())}"


def own_key(device: Device, public_keys: tuple[str, ...]) -> str:
    """Which of the node's keys is the device's; `Refused` if that can't be said."""
    declared = device.public_key
    if declared in public_keys and declared is not None:
        return declared
    if declared is not None:
        raise Refused(
            f"{device.name} is declared with publicKey {declared}, the machine has "
            f"{', '.join(public_keys)}",
            "for another key on the same machine: `tailgit device rotate`; if the "
            "machine is right and was made anew, take publicKey out of the file and "
            "enrol again",
        )
    if len(public_keys) > 1:
        raise Refused(
            f"{device.name}: the machine has {len(public_keys)} keys for this tailnet",
            "write the right one into the file as publicKey and enrol again",
        )
    return public_keys[0]


async def prove(executor: Executor, tailnet: str, login: Login, key: str) -> Observed:
    """Log in as the controller will and observe; raises a `NodeError` if it can't."""
    contact = Contact(executor, tailnet, login)
    try:
        seen = await observe(contact)
    finally:
        await contact.hang_up()
    if key not in seen.public_keys:
        raise BadAnswer(login.node, "it observes another key than it enrolled with")
    return seen
