"""Host keys of machines that are not pinned yet: fetched, never trusted as such."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tailgit.deploy.failure import cause
from tailgit.deploy.identity import short
from tailgit.deploy.jump import Ways
from tailgit.deploy.keychain import Keychain
from tailgit.deploy.ssh import Login
from tailgit.deploy.sshconfig import read
from tailgit.deploy.trust import HOST_KEY_TYPES


async def host_keys(
    node: str, host: str, port: int, ways: Ways | None = None
) -> AsyncIterator[str]:
    """The host keys (`TYPE BASE64`) of an unknown machine, by descending preference.

    One connection for each: it ends after the key exchange, nothing is authenticated.
    Raises `Unreachable`.
    """
    import asyncssh

    ways = ways or Ways(read(None), Keychain())
    login = Login(node, host, port, "", "")
    settings = await ways.settings(login.destination)
    seconds = ways.seconds(settings)
    rest, found = list(HOST_KEY_TYPES), False
    while rest:
        async with ways.to(node, settings, host, port) as way:
            try:
                async with asyncio.timeout(seconds):
                    key = await asyncssh.get_server_host_key(
                        host, port, server_host_key_algs=rest, config=None, **way
                    )
            except (OSError, asyncssh.Error) as error:
                if found:
                    return  # it has none of the types that are left, and hangs up
                raise cause(login, error, seconds) from None
        if key is None:
            return
        found = True
        yield short(key)
        kind = key.get_algorithm()
        if kind not in rest:  # RSA, which goes by the names of its signatures
            return
        del rest[: rest.index(kind) + 1]


def fingerprint(host_key: str) -> str:
    """A host key as OpenSSH shows it: `ED25519 SHA256:…`; `ValueError` if none."""
    import asyncssh

    try:
        key = asyncssh.import_public_key(host_key)
    except asyncssh.KeyImportError as error:
        raise ValueError(f"not a public key: {error}") from None
    kind = key.get_algorithm().removeprefix("ssh-").split("-")[0]
    return f"{kind.upper()} {key.get_fingerprint()}"
