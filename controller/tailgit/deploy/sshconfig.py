"""The operator's `~/.ssh/config`, as far as it says how to get to a node.

The file may say *how* a node is reached (jump hosts, keys, agent, bind address), never
*who* it is: host, port, user and host key come from the repository. So this reads the
few keywords of `KEYWORDS` and passes over all others; what is not read can't forward
an agent, run a command there or switch off a check. docs/ssh.md says it to operators.

A file is read once, and its `Host` and `Match` lines are judged for each node. They
see a node under several names (`ssh.host`, the device's name), so one parse for one
name, as libraries offer it, would not do.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from tailgit.deploy.destination import Destination, Line, commanded, filled, me
from tailgit.errors import SourceError
from tailgit.model.text import shown

SYSTEM = Path("/etc/ssh/ssh_config")
KEYWORDS = frozenset(
    {
        *("addressfamily", "bindaddress", "certificatefile", "connecttimeout"),
        *("globalknownhostsfile", "hostkeyalias", "hostname", "identitiesonly"),
        *("identityagent", "identityfile", "port", "proxycommand", "proxyjump"),
        *("user", "userknownhostsfile"),
    }
)
"""What counts. For a node `hostname`, `port`, `user`, `hostkeyalias` and the
known hosts do not: they are for jump hosts."""

DEEPEST = 16
"""Files that may include each other, as in OpenSSH."""

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^\s"\\#]|\\.|(?<=\S)#)+)')
_WHOLE_LINE = ("proxycommand",)
_SEVERAL = ("identityfile", "certificatefile")
_NUMBERS = ("port", "connecttimeout")
_ASKS = ("host", "originalhost", "user", "localuser", "exec")


Condition = Line | None
"""A `Host` or `Match` line; None for what stands before any."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says for one destination; the first line of a keyword counts."""

    to: Destination
    lines: Mapping[str, tuple[Line, ...]]

    def word(self, keyword: str) -> str:
        """The value of `keyword`, empty if there is none or it is `none`."""
        value = self.raw(keyword)
        return "" if value.lower() == "none" else value

    def raw(self, keyword: str) -> str:
        """The value of `keyword` as it stands there, empty if it does not."""
        found = self.lines.get(keyword)
        return filled(found[0], found[0].words[0], self.to) if found else ""

    def number(self, keyword: str) -> int | None:
        found = self.lines.get(keyword)
        return int(found[0].words[0]) if found else None

    def is_on(self, keyword: str) -> bool:
        return self.raw(keyword).lower() in ("yes", "true")

    def files(self, keyword: str) -> tuple[Path, ...] | None:
        """The files that `keyword` names; None where it does not stand there."""
        found = self.lines.get(keyword)
        if found is None:
            return None
        words = [(line, word) for line in found for word in line.words]
        return tuple(
            Path(filled(line, word, self.to)).expanduser()
            for line, word in words
            if word.lower() != "none"
        )

    def command(self) -> str:
        """The `ProxyCommand`, empty without one."""
        found = self.lines.get("proxycommand")
        if found is None or found[0].words[0].lower() == "none":
            return ""
        return commanded(found[0], found[0].words[0], self.to)


@dataclass(frozen=True, slots=True)
class SshConfig:
    """Files of ssh_config(5), read and in their order."""

    lines: tuple[tuple[tuple[Condition, ...], Line], ...] = ()
    answers: dict[str, bool] = field(default_factory=dict, compare=False)
    """What the commands of `Match exec` said: each is run once."""

    def settings(self, to: Destination) -> Settings:
        """What counts for one destination; may run the commands of `Match exec`."""
        found: dict[str, tuple[Line, ...]] = {}
        judged: dict[int, bool] = {}
        for conditions, line in self.lines:
            if not all(self._holds(each, to, found, judged) for each in conditions):
                continue
            keyword = line.keyword
            if keyword in _SEVERAL:
                found[keyword] = (*found.get(keyword, ()), line)
            elif not _decided(keyword, found):
                found[keyword] = (line,)
        return Settings(to, found)

    def _holds(
        self,
        condition: Condition,
        to: Destination,
        found: Mapping[str, tuple[Line, ...]],
        judged: dict[int, bool],
    ) -> bool:
        """Whether a block counts; judged once, where it begins."""
        if condition is None:
            return True
        if id(condition) not in judged:
            if condition.keyword == "host":
                judged[id(condition)] = _matches(condition.words, to.names)
            else:
                judged[id(condition)] = self._match(condition, to, found)
        return judged[id(condition)]

    def _match(
        self, line: Line, to: Destination, found: Mapping[str, tuple[Line, ...]]
    ) -> bool:
        for negated, ask, wanted in _criteria(line):
            if ask == "exec":
                holds = self._says_yes(commanded(line, wanted, to))
            else:
                holds = _asked(ask, wanted, Settings(to, found))
            if holds == negated:
                return False
        return True

    def _says_yes(self, command: str) -> bool:
        if command not in self.answers:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self.answers[command] = done.returncode == 0
        return self.answers[command]

    @property
    def runs_commands(self) -> bool:
        """Whether `settings` may run a command, so that it may take its time."""
        conditions = {each for conditions, _ in self.lines for each in conditions}
        return any(each is not None and "exec" in each.words for each in conditions)


def read(where: str | None) -> SshConfig:
    """The configuration to go by; raises `SourceError` if it can't be understood.

    A file's name, `none` for no configuration at all, or None for what ssh itself
    reads: the user's file, then the system's.
    """
    if where == "none":
        return SshConfig()
    if where is not None:
        return SshConfig(tuple(_file(Path(where).expanduser(), (None,), 0)))
    files = (Path("~/.ssh/config").expanduser(), SYSTEM)
    return SshConfig(
        tuple(
            each
            for file in files
            if os.access(file, os.R_OK)
            for each in _file(file, (None,), 0)
        )
    )


def _file(
    file: Path, around: tuple[Condition, ...], depth: int
) -> Iterator[tuple[tuple[Condition, ...], Line]]:
    """The lines of one file that count, each with the conditions around it."""
    try:
        text = file.read_text()
    except OSError as error:
        raise SourceError(f"{shown(str(file))}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SourceError(f"{shown(str(file))}: it is not UTF-8") from None
    condition: Condition = None
    for number, content in enumerate(text.splitlines(), 1):
        line = _line(content, str(file), number)
        if line is None:
            continue
        if line.keyword in ("host", "match"):
            condition = line
            if line.keyword == "match":
                list(_criteria(line))
        elif line.keyword == "include":
            if depth >= DEEPEST:
                raise line.error(f"more than {DEEPEST} files include each other")
            for included in _included(line, file):
                yield from _file(included, (*around, condition), depth + 1)
        else:
            yield (*around, condition), line


def _line(content: str, file: str, number: int) -> Line | None:
    """One line, checked; None where nothing in it counts."""
    content = content.strip()
    start = re.match(r"([A-Za-z0-9]+)(\s*=\s*|\s+|$)", content)
    if start is None:
        return None
    keyword, rest = start[1].lower(), content[start.end() :]
    if keyword not in KEYWORDS | {"host", "match", "include"}:
        return None
    words = (rest,) if keyword in _WHOLE_LINE and rest else tuple(_words(rest))
    line = Line(keyword, words, file, number)
    if not words:
        raise line.error(f"`{start[1]}` has no value")
    if keyword in _NUMBERS and not re.fullmatch("[0-9]{1,6}", words[0]):
        raise line.error(f"`{shown(words[0])}` is not a number")
    family = words[0].lower() in ("any", "inet", "inet6")
    if keyword == "addressfamily" and not family:
        raise line.error(f"`{shown(words[0])}` is not any, inet or inet6")
    return line


def _words(text: str) -> Iterator[str]:
    """The arguments of a line: quotes hold blanks, a word with `#` ends them."""
    for match in _WORD.finditer(text.partition(" #")[0] if '"' not in text else text):
        word = match[1] if match[1] is not None else match[2]
        yield re.sub(r'\\(["\'\\])', r"\1", word)


def _included(line: Line, file: Path) -> Iterator[Path]:
    """The files that an `Include` names; relative ones lie beside ssh's own."""
    beside = file.parent if file.parent == SYSTEM.parent else Path("~/.ssh")
    for word in line.words:
        path = beside.expanduser() / Path(word).expanduser()
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _decided(keyword: str, found: Mapping[str, object]) -> bool:
    """Whether an earlier line has settled `keyword`; one way through excludes the
    other."""
    ways = ("proxyjump", "proxycommand")
    return any(way in found for way in (ways if keyword in ways else (keyword,)))


def _criteria(line: Line) -> Iterator[tuple[bool, str, str]]:
    """The criteria of a `Match`: negated, what is asked, what for."""
    words = iter(line.words)
    for word in words:
        ask = word.lower().removeprefix("!")
        if ask in ("all", "final", "canonical"):
            yield word.startswith("!"), ask, ""
        elif ask in _ASKS:
            wanted = next(words, None)
            if wanted is None:
                raise line.error(f"`{shown(word)}` lacks what it shall match")
            yield word.startswith("!"), ask, wanted
        else:
            raise line.error(
                f"tailgit does not know `Match {shown(word)}`",
                "give it a file without that (--ssh-config FILE), or none at all "
                "(--ssh-config none)",
            )


def _asked(ask: str, wanted: str, settings: Settings) -> bool:
    """What a criterion says. Host names are not made canonical here, and what is for
    the final round counts in the only one there is."""
    names = settings.to.names
    match ask:
        case "host":
            hostname = settings.word("hostname")
            return _matches(wanted.split(","), (hostname,) if hostname else names)
        case "originalhost":
            return _matches(wanted.split(","), names)
        case "user":
            return _matches(wanted.split(","), (settings.to.user,))
        case "localuser":
            return _matches(wanted.split(","), (me(),))
    return ask != "canonical"


def _matches(patterns: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a pattern matches one of `names` and no negated one matches any."""
    hit = False
    for pattern in patterns:
        plain = pattern.lower().removeprefix("!").replace("[", "[[]")
        if any(fnmatchcase(name.lower(), plain) for name in names):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit
