"""What can stop a command, and how it exits.

    TailgitError                       1   could not go on
    ├── UsageError                    64   the command line asks for something odd
    ├── SourceError                    1   no repository, no revision, git failed
    ├── InvalidTailnet                 3   findings of level error; carries them
    ├── Refused                        4   a guard, an older commit, a stale plan
    ├── Incomplete                     5   some nodes were not reached or not applied
    ├── Locked                         6   somebody else is applying
    ├── SigningError                   1   no usable signing key, ssh-keygen failed
    ├── NodeError                      1   one node could not be asked or changed
    │   ├── Unreachable                    no TCP, no SSH, time-out
    │   ├── HostKeyMismatch                the host key is not the pinned one
    │   ├── LoginRefused                   the node does not take our key
    │   ├── BadAnswer                      what came back is not the protocol
    │   └── NodeRefused                    the node said no; carries its code
    └── LabError                       1   the lab could not be built or asked

A `NodeError` is data while a fleet is handled (a row of the result) and an exception
only where a single node was asked for. Everything a person may have to mend carries
`help`: one sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailgit.model.findings import Finding


class Exit(IntEnum):
    """The exit codes of every command (DESIGN §9)."""

    DONE = 0
    FAILED = 1
    CHANGES = 2
    INVALID = 3
    REFUSED = 4
    INCOMPLETE = 5
    LOCKED = 6
    USAGE = 64


class TailgitError(Exception):
    """Base of all errors that a command reports as one sentence and an exit code."""

    exit = Exit.FAILED

    def __init__(self, message: str, help: str = "") -> None:  # noqa: A002
        super().__init__(message)
        self.message = message
        self.help = help


class UsageError(TailgitError):
    exit = Exit.USAGE


class SourceError(TailgitError):
    pass


class InvalidTailnet(TailgitError):
    """The declared tailnet has findings of level error, so nothing may use it."""

    exit = Exit.INVALID

    def __init__(self, findings: Sequence[Finding], commit: str | None = None) -> None:
        errors = sum(finding.is_error for finding in findings)
        where = f" in commit {commit[:12]}" if commit else ""
        see = f"tailgit check --commit {commit[:12]}" if commit else "tailgit check"
        super().__init__(
            f"{errors} error{'s' if errors != 1 else ''}{where}",
            f"`{see}` shows them, too",
        )
        self.findings = tuple(findings)


class Refused(TailgitError):
    exit = Exit.REFUSED


class Incomplete(TailgitError):
    exit = Exit.INCOMPLETE


class Locked(TailgitError):
    exit = Exit.LOCKED


class SigningError(TailgitError):
    pass


class NodeError(TailgitError):
    """Something about one node; `node` is its device name."""

    def __init__(self, node: str, message: str, help: str = "") -> None:  # noqa: A002
        super().__init__(message, help)
        self.node = node


class Unreachable(NodeError):
    pass


class HostKeyMismatch(NodeError):
    pass


class LoginRefused(NodeError):
    pass


class BadAnswer(NodeError):
    pass


class NodeRefused(NodeError):
    """The node answered with an error; `code` is its word for it, `token` names the
    lock where that is the reason."""

    def __init__(self, node: str, code: str, message: str, token: str = "") -> None:
        super().__init__(node, message)
        self.code = code
        self.token = token


class LabError(TailgitError):
    pass
