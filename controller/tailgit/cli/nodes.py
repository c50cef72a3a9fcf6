"""Which nodes a command is about, as people name them: devices, tags, all."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.errors import UsageError

if TYPE_CHECKING:
    from tailgit.cli.fleet import Field
    from tailgit.errors import NodeError
    from tailgit.model.tailnet import Device
    from tailgit.plan.observed import Observed

Nodes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NODE|TAG]...", help="These alone; else all."),
]


def chosen(devices: Mapping[str, Device], words: Iterable[str]) -> frozenset[str]:
    """The devices that `words` name, themselves or by a tag; all without a word."""
    found: set[str] = set()
    for word in words:
        if word.startswith("tag:"):
            named = {d.name for d in devices.values() if word in d.tags}
        else:
            named = {word} & devices.keys()
        if not named:
            raise UsageError(f"no device or tag `{word}`", _near(word, devices))
        found |= named
    return frozenset(found or devices)


def reached(field: Field, words: Iterable[str]) -> tuple[str, ...]:
    """The nodes among them that are reached over SSH, made known to the fleet.

    Raises `UsageError` if there is none, or one is named that is not.
    """
    from tailgit.deploy.survey import logins_of

    devices = field.tailnet.devices
    named = list(words)
    wanted = chosen(devices, named)
    able = {
        name for name, device in devices.items() if device.public_key is not None
    }  # who awaits its key was never enrolled
    logins = logins_of(devices, wanted & able)
    for word in named:
        if word in devices and word not in logins:
            raise UsageError(
                f"{word} is not reached over SSH, so nobody can ask it",
                f"`tailgit status {word}` says why",
            )
    if not logins:
        raise UsageError("none of these devices is enrolled and reached over SSH")
    field.fleet.call(logins.values())
    return tuple(sorted(logins, key=str.encode))


def observed(
    field: Field, nodes: Collection[str]
) -> tuple[dict[str, Observed], dict[str, NodeError]]:
    """What each of `nodes` says of itself, and why the others say nothing; by name."""
    from tailgit.cli.fleet import observation
    from tailgit.deploy.observe import observe_all
    from tailgit.errors import NodeError

    seen = field.runner.run(observe_all(field.fleet, nodes, observation))
    answered, failed = {}, {}
    for node in sorted(seen, key=str.encode):
        one = seen[node]
        if isinstance(one, NodeError):
            failed[node] = one
        else:
            answered[node] = one
    return answered, failed


def command(words: Iterable[str], repo: Path, commit: str | None = None) -> str:
    """A command line to go on with, in the repository and commit of this one."""
    line = ["tailgit", *words]
    if commit is not None:
        line += ["--commit", commit]
    if repo != Path():
        line += ["--repo", str(repo)]
    return shlex.join(line)


def _near(word: str, devices: Collection[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, devices, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return "name a device (db-1) or a tag (tag:db)"
