"""Which host key a node's sshd must show: the pinned one, or a host CA's certificate.

Worked out once for each host: every connection of an apply goes by the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tailgit.errors import HostKeyMismatch

if TYPE_CHECKING:
    import asyncssh

    from tailgit.deploy.ssh import Login

HOST_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""The host keys that are taken, the best first."""


@lru_cache(maxsize=4096)
def trust(login: Login) -> dict[str, Any]:
    """asyncssh's options for the one host key, or the host CAs, that are taken."""
    import asyncssh

    field = "ssh.hostKey" if login.host_key else "tailnet.hostCA"
    try:
        if login.host_key:
            pinned = asyncssh.import_public_key(login.host_key)
            algorithms = _host_key_algorithms(pinned)
            return {
                "known_hosts": ([pinned], [], []),
                "server_host_key_algs": algorithms,
            }
        return {
            "known_hosts": (
                [],
                list(map(asyncssh.import_public_key, login.host_cas)),
                [],
            ),
            # Bare keys last, so that a machine without a certificate is told apart from
            # one that breaks off; none of them is trusted.
            "server_host_key_algs": [
                *(f"{kind}-cert-v01@openssh.com" for kind in HOST_KEY_TYPES),
                *HOST_KEY_TYPES,
            ],
            "host_key_alias": login.principal,
        }
    except asyncssh.KeyImportError:
        message = f"its {field} in the repository is not a public key"
        raise HostKeyMismatch(login.node, message) from None


def _host_key_algorithms(pinned: asyncssh.SSHKey) -> list[str]:
    """The pinned key's first, then all others: a machine that has no key of that type
    shall show what it has, to be told apart from one that breaks off."""
    kind = pinned.get_algorithm()
    own = [
        k for k in HOST_KEY_TYPES if k == kind or (kind, k[:3]) == ("ssh-rsa", "rsa")
    ]
    return [*own, *(k for k in HOST_KEY_TYPES if k not in own)]
