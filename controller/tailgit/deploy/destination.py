"""Whom a line of an SSH configuration is asked about, and the words put into it.

Words of the repository (host, user, names) may stand in a command of the operator's
through `%h` and its like. They are checked before: nothing in them means anything to a
shell, or could pass for an option.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailgit.errors import SourceError
from tailgit.model.text import shown

_SAFE = re.compile(r"[A-Za-z0-9_.:@%+][A-Za-z0-9_.:@%+-]*")
_TOKEN = re.compile(r"%(.)")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom one asks for: what patterns are matched with and `%` tokens stand for.

    `names[0]` is the host as it was asked for; `host` is what that stands for, where
    it is another word.
    """

    names: tuple[str, ...]
    port: int
    user: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One keyword with its arguments, and where it stands."""

    keyword: str
    words: tuple[str, ...]
    file: str
    number: int

    def error(self, message: str, help: str = "") -> SourceError:  # noqa: A002
        return SourceError(f"{shown(self.file)}:{self.number}: {message}", help)


def filled(line: Line, text: str, to: Destination) -> str:
    """`text` with its tokens and environment variables put in."""

    def variable(match: re.Match[str]) -> str:
        try:
            return os.environ[match[1]]
        except KeyError:
            raise line.error(f"`${{{shown(match[1])}}}` is not set") from None

    return _VARIABLE.sub(variable, _tokens(line, text, to))


def commanded(line: Line, text: str, to: Destination) -> str:
    """A command with its tokens put in, after a look at what comes from outside."""
    for word in (*to.names, to.host, to.user):
        if word and not _SAFE.fullmatch(word):
            raise line.error(
                f"`{shown(word)}` of the repository can't go into a command",
                "names there are letters, digits and . : _ - @ %",
            )
    return _tokens(line, text, to)


def _tokens(line: Line, text: str, to: Destination) -> str:
    def token(match: re.Match[str]) -> str:
        make = _TOKENS.get(match[1])
        if make is None:
            raise line.error(f"tailgit does not know the token `%{shown(match[1])}`")
        return make(to)

    return _TOKEN.sub(token, text)


def me() -> str:
    """Who runs this."""
    return pwd.getpwuid(os.getuid()).pw_name


_TOKENS: Mapping[str, Callable[[Destination], str]] = {
    "%": lambda _: "%",
    "h": lambda to: to.host or to.names[0],
    "n": lambda to: to.names[0],
    "k": lambda to: to.names[0],
    "p": lambda to: str(to.port),
    "r": lambda to: to.user,
    "u": lambda _: me(),
    "i": lambda _: str(os.getuid()),
    "d": lambda _: str(Path.home()),
    "l": lambda _: socket.gethostname(),
    "L": lambda _: socket.gethostname().partition(".")[0],
}
