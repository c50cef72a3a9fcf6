"""What went wrong on the way to a node, as one of the `NodeError`s with a sentence."""

from __future__ import annotations

import errno
import os
import re
import socket
from typing import TYPE_CHECKING

from tailgit.errors import HostKeyMismatch, LoginRefused, NodeError, Unreachable
from tailgit.model.text import shown

if TYPE_CHECKING:
    from tailgit.deploy.ssh import Login

LONGEST = 200
"""Characters of another side's words that are shown."""


def cause(login: Login, error: Exception, seconds: float) -> NodeError:
    """The `NodeError` that an error of asyncssh or of the system stands for."""
    import asyncssh

    node, where = login.node, login.where
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return _other_host_key(login)
        case asyncssh.KeyExchangeFailed() if "host key" in error.reason:
            return _other_host_key(login)
        case asyncssh.PermissionDenied():
            return LoginRefused(
                node,
                f"{where} does not let {login.user} in with our key",
                "choose the key with --identity; "
                "`tailgit device enroll` installs the controller's",
            )
        case asyncssh.DisconnectError() if "authentication failures" in error.reason:
            return LoginRefused(
                node,
                f"{where} was offered more keys than it wants to try",
                "choose one with --identity",
            )
    return Unreachable(node, _unreachable(login.host, where, error, seconds))


def cause_at_jump(
    host: str, port: int, user: str, error: Exception, seconds: float
) -> NodeError:
    """What keeps a jump host from being passed; belongs to no node yet."""
    import asyncssh

    where = f"the jump host {shown(host)} port {port}"
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return HostKeyMismatch(
                "",
                f"{where} is not in your known_hosts with the key that it shows",
                "log in there once with ssh and compare its key; tailgit takes no "
                "unknown one, whatever StrictHostKeyChecking says",
            )
        case asyncssh.PermissionDenied():
            return LoginRefused(
                "",
                f"{where} does not let {shown(user)} in with your keys",
                "add the key to your agent (ssh-add), or name it as IdentityFile of "
                f"{shown(host)} in the SSH configuration",
            )
    return Unreachable("", _unreachable(host, where, error, seconds))


def _unreachable(host: str, where: str, error: Exception, seconds: float) -> str:
    """The sentence about a host that was not reached, or broke off."""
    import asyncssh

    match error:
        case TimeoutError():
            return f"no answer from {where} within {seconds:.0f} s"
        case asyncssh.ConnectionLost():
            return f"{where} closed the connection"
        case asyncssh.Error():
            return f"{where}: {shown(error.reason[:LONGEST])}"
        case OSError():
            return _system(host, where, error)
    raise error


def _system(host: str, where: str, error: OSError) -> str:
    """What an error of the system means for who wants to reach a node.

    asyncio puts a text of its own in the place of the system's, and one without any
    number around the errors of several addresses, so the number is looked for.
    """
    if isinstance(error, socket.gaierror):
        return f"{host} has no address here: {error.strerror}"
    inside = re.search(r"\[Errno (\d+)\]", str(error))
    number = error.errno or (int(inside[1]) if inside else None)
    match number:
        case errno.ECONNREFUSED:
            return f"{where} refuses the connection"
        case errno.ECONNRESET | errno.EPIPE:
            return f"{where} closed the connection"
        case errno.ENETUNREACH | errno.EHOSTUNREACH:
            return f"there is no way from here to {host}"
        case errno.ETIMEDOUT:
            return f"no answer from {where}"
        case errno.EACCES | errno.EPERM:
            return f"this machine's own rules forbid to connect to {where}"
        case None:
            return f"{where}: {error}"
    return f"{where}: {os.strerror(number)}"


def _other_host_key(login: Login) -> HostKeyMismatch:
    if not login.host_key:
        return HostKeyMismatch(
            login.node,
            f"{login.where} shows no valid certificate for {login.principal} by the "
            "repository's tailnet.hostCA",
            "sign its host key for that name, or pin the key as the device's "
            "ssh.hostKey",
        )
    return HostKeyMismatch(
        login.node,
        f"{login.where} has another host key than the repository's ssh.hostKey",
        "if the machine was made anew, take ssh.hostKey out and enrol it again; "
        "else somebody is between you and it",
    )
