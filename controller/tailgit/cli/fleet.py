"""What commands that talk to nodes have in common: options, connections, a survey."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import valid
from tailgit.errors import Refused, TailgitError, UsageError

if TYPE_CHECKING:
    from tailgit.deploy.fleet import Fleet
    from tailgit.deploy.ssh import Executor
    from tailgit.deploy.survey import Survey
    from tailgit.load import Loaded
    from tailgit.model.tailnet import Tailnet
    from tailgit.plan.plan import Order

Commit = Annotated[
    str | None, typer.Option(help="The git revision to bring to the nodes; else HEAD.")
]
Identity = Annotated[
    Path | None,
    typer.Option(
        help="The SSH key to log in with: a private key, or a .pub file whose other "
        "half the agent has. Else the agent's keys and those of ~/.ssh."
    ),
]
SshConfig = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|none",
        help="Where to read how nodes are reached (jump hosts, keys) instead of "
        "~/.ssh/config and the system's; `none` reads nothing (docs/ssh.md).",
    ),
]
Parallel = Annotated[
    int, typer.Option(min=1, max=512, help="How many nodes are asked at a time.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NODE|TAG",
        help="Write to these nodes alone (repeatable); the plan says what that leaves "
        "undone.",
    ),
]
Canary = Annotated[
    str, typer.Option(metavar="NODE", help="Which node goes first and alone.")
]
WaveSize = Annotated[
    str,
    typer.Option(
        metavar="N|N%",
        help="How many nodes are switched at the same time, after the canary. A share "
        "is never less than 5 nodes.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GUARD=REASON",
        help="Let one guard pass, this time; the reason is kept in the record.",
    ),
]


SHARE = "25%"
"""What a wave has of the nodes unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How nodes are reached: the keys, the ssh config, how many at a time."""

    identity: Path | None = None
    ssh_config: str | None = None
    parallel: int = 32

    def executor(self) -> Executor:
        """What opens the connections; raises `SourceError` for a file that is none."""
        from tailgit.deploy import sshconfig
        from tailgit.deploy.identity import identity
        from tailgit.deploy.ssh import AsyncSsh

        config = sshconfig.read(self.ssh_config)
        return AsyncSsh(identity(self.identity), config=config)


@dataclass(frozen=True, slots=True)
class Field:
    """A tailnet's nodes as one command sees them: the loop that asks, the contacts."""

    repo: Path
    loaded: Loaded
    tailnet: Tailnet
    commit: str
    runner: asyncio.Runner
    fleet: Fleet

    def survey(self, order: Order) -> Survey:
        """The plan for the commit, with progress on stderr."""
        from tailgit.deploy.survey import survey

        args = self.repo, self.tailnet, self.commit, self.fleet, observation, order
        return self.runner.run(survey(*args))


@contextmanager
def field(
    repo: Path,
    commit: str | None,
    ways: Ways,
    *,
    passed_over: Collection[str] = (),
) -> Iterator[Field]:
    """The nodes of a commit's tailnet, and connections to them as they are needed.

    Errors with a code that is `passed_over` don't count. Raises `InvalidTailnet`,
    `Refused` where there is none.
    """
    from tailgit.deploy.fleet import Fleet

    loaded = valid(repo, commit or "HEAD", for_nodes=True, passed_over=passed_over)
    if loaded.tailnet is None or loaded.commit is None:
        raise Refused("there is no tailnet in this commit")
    if commit in (None, "HEAD"):
        _say_what_is_not_committed(repo, loaded.root)
    fleet = Fleet(ways.executor(), loaded.tailnet.name, parallel=ways.parallel)
    with asyncio.Runner() as runner:
        try:
            yield Field(repo, loaded, loaded.tailnet, loaded.commit, runner, fleet)
        finally:
            runner.run(fleet.close())


def order_of(
    tailnet: Tailnet,
    *,
    only: Sequence[str] | None = None,
    canary: str = "",
    wave_size: str = SHARE,
    allow: Sequence[str] | None = None,
) -> Order:
    """What the options of plan and apply ask for; raises `UsageError`."""
    from tailgit.guard.guard import overrides
    from tailgit.plan.order import Pace
    from tailgit.plan.order import wave_size as checked
    from tailgit.plan.plan import Order

    checked(wave_size, 1)
    if canary and canary not in tailnet.devices:
        raise UsageError(f"--canary {canary}: there is no such device")
    return Order(
        pace=Pace(canary, wave_size),
        only=_nodes(tailnet, only) if only else None,
        allow=overrides(allow or ()),
    )


def _nodes(tailnet: Tailnet, words: Sequence[str]) -> frozenset[str]:
    """The devices that `--only` names, themselves or by a tag."""
    found: set[str] = set()
    for word in words:
        if word.startswith("tag:"):
            named = {d.name for d in tailnet.devices.values() if word in d.tags}
        else:
            named = {word} & tailnet.devices.keys()
        if not named:
            raise UsageError(
                f"--only {word}: no such device, and no device has such a tag",
                "name a device (db-1) or a tag (tag:db)",
            )
        found |= named
    return frozenset(found)


def _say_what_is_not_committed(repo: Path, root: str) -> None:
    """A note on stderr: who edited a file and forgot to commit waits in vain."""
    from tailgit.load.git import Repo as Repository
    from tailgit.model.text import shown

    changed = [
        file.removeprefix(f"{root}/")
        for file in Repository(repo).changed(root)
        if file.endswith((".yaml", ".yml", ".json"))  # what a tailnet is made of
    ]
    if not changed:
        return
    more = f" and {len(changed) - 1} more have" if len(changed) > 1 else " has"
    print(
        f"note: {shown(changed[0])}{more} changes that are not committed; HEAD is "
        "what counts",
        file=sys.stderr,
    )


def agreed(question: str) -> None:
    """Ask before anything is changed; goes on only after a yes."""
    if not typer.confirm(question, err=True):
        raise TailgitError("nothing was changed")


def progress(node: str, what: str) -> None:
    """One line about one node, on stderr."""
    from tailgit.model.text import shown

    print(f"  {shown(node)}: {shown(what)}", file=sys.stderr, flush=True)


def observation(node: str, what: str) -> None:
    """Progress of an observation: what goes well stands in the plan anyway."""
    if what != "observed":
        progress(node, what)
