"""The SSH keys that are offered to nodes: a file's, an agent's, or the usual ones."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailgit.errors import LoginRefused, SourceError

if TYPE_CHECKING:
    import asyncssh


@dataclass(frozen=True, slots=True)
class Identity:
    """Which keys are offered to nodes.

    `private` is a loaded private key, `agent` the public half (`TYPE BASE64`) of one
    that the agent holds; with neither, all of the agent's keys and the unencrypted
    ones of `~/.ssh` are offered, as ssh does.
    """

    private: asyncssh.SSHKey | None = None
    agent: str = ""


def identity(file: Path | None) -> Identity:
    """The keys to offer: `file` (private, or public with its half in the agent).

    Raises `SourceError` if the file is no key. An encrypted one has to be in the
    agent, since nobody may be there to type its passphrase for every node.
    """
    import asyncssh

    if file is None:
        return Identity()
    try:
        return Identity(asyncssh.read_private_key(file))
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from None
    except asyncssh.KeyImportError as error:
        public = _public(file) or _public(Path(f"{file}.pub"))
        if public is None and "assphrase" in str(error):
            raise SourceError(
                f"{file} is encrypted and there is no {file.name}.pub beside it",
                "add the key to your agent (ssh-add) and keep its .pub file",
            ) from None
        if public is None:
            raise SourceError(f"{file} is not an SSH key: {error}") from None
    return Identity(agent=public)


def _public(file: Path) -> str | None:
    """The public key (`TYPE BASE64`) in `file`, None if there is none."""
    import asyncssh

    try:
        return short(asyncssh.read_public_key(file))
    except (asyncssh.KeyImportError, OSError):
        return None


def short(key: asyncssh.SSHKey) -> str:
    """A public key as `TYPE BASE64`, without its comment."""
    return " ".join(key.export_public_key().decode().split()[:2])


async def offer(identity: Identity, node: str, stack: AsyncExitStack) -> dict[str, Any]:
    """The keys for one connection, as options of asyncssh; `stack` outlives it."""
    if identity.private is not None:
        return {"client_keys": [identity.private], "agent_path": None}
    if not identity.agent:
        return {"client_keys": ()}
    # Handed over as the only key: `agent_identities` would still offer ~/.ssh.
    keys = await _held(identity.agent, stack)
    if not keys:
        raise LoginRefused(
            node,
            "the key to log in with is not in the SSH agent",
            "add it with ssh-add, or give an unencrypted one with --identity",
        )
    return {"client_keys": keys, "agent_path": None}


async def at_hand(identity: Identity) -> bool:
    """Whether the private half is here, in a file or in the agent."""
    if not identity.agent:
        return True
    async with AsyncExitStack() as stack:
        return bool(await _held(identity.agent, stack))


async def _held(public: str, stack: AsyncExitStack) -> list[asyncssh.SSHKeyPair]:
    """The agent's pair for a public key: one or none, also where no agent runs."""
    import asyncssh

    wanted = asyncssh.import_public_key(public).public_data
    try:
        agent = await asyncssh.connect_agent()
        stack.push_async_callback(agent.wait_closed)
        stack.callback(agent.close)
        return list(await agent.get_keys(identities=[wanted]))
    except (OSError, ValueError):
        return []
