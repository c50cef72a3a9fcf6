"""The keys at hand for logging in: read once, offered to each host in ssh's order.

To a node go the keys that `--identity` chooses, to a jump host the operator's own.
A certificate goes before its bare key, a key of the agent before that of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from copy import copy
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from tailgit.deploy.identity import (
    Identity,
    agent,
    certificate,
    certificates,
    public_half,
)
from tailgit.deploy.shared import Shared
from tailgit.deploy.sshconfig import Settings

if TYPE_CHECKING:
    import asyncssh

USUAL = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")
"""The files of `~/.ssh` that are looked for where nothing else is said."""


class Keychain:
    """Keys of files and agents; each is read once."""

    def __init__(self) -> None:
        self._agents = Shared[tuple["asyncssh.SSHKeyPair", ...]](lambda _: True)
        self._private = cache(_private)
        self._public = cache(public_half)
        self._certificate = cache(certificate)
        self._certificates = cache(certificates)

    async def offer(
        self, identity: Identity, settings: Settings, stack: AsyncExitStack
    ) -> list[asyncssh.SSHKeyPair]:
        """The keys for one login, the best first; `stack` lasts until it is over."""
        import asyncssh

        extra = [*identity.certificates, *self._named(settings)]
        if identity.private is not None:
            return _local(identity.private, extra)
        held = await self._held(settings, stack)
        if identity.agent:
            wanted = asyncssh.import_public_key(identity.agent).public_data
            return list(_certified(_of(wanted, held), extra))
        return self._usual(settings, held, extra)

    def _usual(
        self,
        settings: Settings,
        held: tuple[asyncssh.SSHKeyPair, ...],
        extra: list[asyncssh.SSHCertificate],
    ) -> list[asyncssh.SSHKeyPair]:
        """What ssh offers: chosen keys in the agent, its others, then keys in files."""
        chosen = settings.files("identityfile")
        files = chosen
        if files is None:
            files = tuple(Path("~/.ssh").expanduser() / name for name in USUAL)
        ours: list[asyncssh.SSHKeyPair] = []
        late: list[asyncssh.SSHKeyPair] = []
        for file in files:
            extra = [*extra, *self._certificates(file)]
            public = self._public(Path(f"{file}.pub")) or self._public(file)
            key = self._private(file)
            public = key or public
            if public is None:
                continue
            found = _of(public.public_data, held)
            ours += found
            if not found and key is not None:
                late += _local(key, extra)
        rest = [pair for pair in held if pair not in ours]
        if settings.is_on("identitiesonly"):
            rest = []
        if chosen is None:  # the agent's order is the operator's own
            ours, rest = [pair for pair in held if pair in (*ours, *rest)], []
        return [*_certified([*ours, *rest], extra), *late]

    def _named(self, settings: Settings) -> Iterator[asyncssh.SSHCertificate]:
        for file in settings.files("certificatefile") or ():
            found = self._certificate(file)
            if found is not None:
                yield found

    async def _held(
        self, settings: Settings, stack: AsyncExitStack
    ) -> tuple[asyncssh.SSHKeyPair, ...]:
        """The keys of the agent that counts here; asked once for all that log in."""
        raw = settings.raw("identityagent")
        if raw.lower() == "none":
            return ()
        path = "" if raw in ("", "SSH_AUTH_SOCK") else str(Path(raw).expanduser())
        return await stack.enter_async_context(
            self._agents.use(path, partial(agent, path))
        )


def _private(file: Path) -> asyncssh.SSHKey | None:
    """The private key in `file`; None without one and where it needs a passphrase."""
    import asyncssh

    try:
        return asyncssh.read_private_key(file)
    except (OSError, asyncssh.KeyImportError, ValueError):
        return None


def _local(
    key: asyncssh.SSHKey, extra: Iterable[asyncssh.SSHCertificate]
) -> list[asyncssh.SSHKeyPair]:
    import asyncssh

    for each in extra:
        if each.key.public_data == key.public_data:
            return list(asyncssh.load_keypairs((key, each)))
    return list(asyncssh.load_keypairs(key))


def _of(
    public: bytes, held: Iterable[asyncssh.SSHKeyPair]
) -> list[asyncssh.SSHKeyPair]:
    """The agent's pairs for one public key: its certificates first, then itself."""
    found = [pair for pair in held if _plain(pair) == public]
    return sorted(found, key=lambda pair: not pair.has_cert)


def _plain(pair: asyncssh.SSHKeyPair) -> bytes:
    """The public key of an agent's pair, which may be a certificate's."""
    from base64 import b64encode

    import asyncssh

    if not pair.has_cert:
        return pair.key_public_data
    text = pair.key_algorithm + b" " + b64encode(pair.key_public_data)
    try:
        return asyncssh.import_certificate(text).key.public_data
    except asyncssh.KeyImportError:
        return b""


def _certified(
    pairs: Iterable[asyncssh.SSHKeyPair], extra: Iterable[asyncssh.SSHCertificate]
) -> Iterator[asyncssh.SSHKeyPair]:
    """Each of the agent's pairs, before it the one with a certificate from a file.

    Copies: a pair remembers how it signs for one server, and the next may want another
    algorithm.
    """
    for pair in pairs:
        for each in extra:
            if not pair.has_cert and each.key.public_data == pair.key_public_data:
                with_it = copy(pair)
                with_it.set_certificate(each)
                yield with_it
                break
        yield copy(pair)
