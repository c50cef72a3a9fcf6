"""The SSH keys that are offered to nodes: a file's, an agent's, or the usual ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tailgit.errors import SourceError

if TYPE_CHECKING:
    import asyncssh


@dataclass(frozen=True, slots=True)
class Identity:
    """Which keys are offered to nodes.

    `private` is a loaded private key, `agent` the public half (`TYPE BASE64`) of one
    that the agent holds; with neither, all of the agent's keys and the unencrypted
    ones of `~/.ssh` are offered, as ssh does. `certificates` are those that lie beside
    the key.
    """

    private: asyncssh.SSHKey | None = None
    agent: str = ""
    certificates: tuple[asyncssh.SSHCertificate, ...] = ()


def identity(file: Path | None) -> Identity:
    """The keys to offer: `file` (private, or public with its half in the agent).

    Raises `SourceError` if the file is no key. An encrypted one has to be in the
    agent, since nobody may be there to type its passphrase for every node.
    """
    import asyncssh

    if file is None:
        return Identity()
    beside = certificates(file)
    try:
        return Identity(asyncssh.read_private_key(file), certificates=beside)
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from None
    except asyncssh.KeyImportError as error:
        public = public_half(file) or public_half(Path(f"{file}.pub"))
        if public is None and "assphrase" in str(error):
            raise SourceError(
                f"{file} is encrypted and there is no {file.name}.pub beside it",
                "add the key to your agent (ssh-add) and keep its .pub file",
            ) from None
        if public is None:
            raise SourceError(f"{file} is not an SSH key: {error}") from None
    return Identity(agent=short(public), certificates=beside)


def public_half(file: Path) -> asyncssh.SSHKey | None:
    """The public key in `file`, or the one that it certifies; None if there is none."""
    import asyncssh

    try:
        return asyncssh.read_public_key(file)
    except (asyncssh.KeyImportError, OSError):
        found = certificate(file)
        return found.key if found else None


def certificates(file: Path) -> tuple[asyncssh.SSHCertificate, ...]:
    """The certificate that lies beside a key's file, as ssh-keygen puts it there."""
    plain = str(file).removesuffix(".pub").removesuffix("-cert")
    found = certificate(Path(f"{plain}-cert.pub"))
    return (found,) if found else ()


def certificate(file: Path) -> asyncssh.SSHCertificate | None:
    """The certificate in `file`; None if there is none, or one that can't be read."""
    import asyncssh

    try:
        return asyncssh.read_certificate(file)
    except (asyncssh.KeyImportError, OSError, ValueError):
        return None


def short(key: asyncssh.SSHKey) -> str:
    """A public key as `TYPE BASE64`, without its comment."""
    return " ".join(key.export_public_key().decode().split()[:2])


async def at_hand(identity: Identity) -> bool:
    """Whether the private half is here, in a file or in the agent."""
    import asyncssh

    if not identity.agent:
        return True
    wanted = asyncssh.import_public_key(identity.agent).public_data
    async with agent("") as keys:
        return any(key.key_public_data == wanted for key in keys)


@asynccontextmanager
async def agent(path: str) -> AsyncIterator[tuple[asyncssh.SSHKeyPair, ...]]:
    """The keys and certificates of the agent at `path`, empty for `SSH_AUTH_SOCK`;
    none where no agent runs."""
    import asyncssh

    try:
        client = await asyncssh.connect_agent(path)
    except (OSError, ValueError):
        yield ()
        return
    try:
        try:
            keys = tuple(await client.get_keys())
        except (OSError, ValueError, EOFError):
            keys = ()
        yield keys
    finally:
        client.close()
        await client.wait_closed()
