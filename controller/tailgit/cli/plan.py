"""tailgit plan: what applying a commit would change on nodes; it only reads."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import Format, Repo, valid
from tailgit.errors import Exit, Refused, TailgitError

if TYPE_CHECKING:
    from tailgit.deploy.ssh import Executor
    from tailgit.deploy.survey import Survey

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
Parallel = Annotated[
    int, typer.Option(min=1, max=512, help="How many nodes are asked at a time.")
]


def plan(
    repo: Repo = Path(),
    commit: Commit = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Keep the plan in this file, for `tailgit apply FILE`."),
    ] = None,
    format: Format = "text",  # noqa: A002
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit 2 if there is something to do."),
    ] = False,
    identity: Identity = None,
    parallel: Parallel = 32,
) -> Exit:
    """Show what applying a commit would change on nodes.

    Compiles the commit (never the working tree), asks every node over SSH what it
    runs, and compares. Nothing is written to any node.

    A hot change interrupts nothing, a warm one sets addresses and routes anew, a cold
    one makes the interface anew. Each apply gives a node a new generation, counted
    from 1; at boot it starts the one that was confirmed last.

    Exit: 0 done, 2 changes are pending (--detailed-exitcode), 3 the tailnet is not
    valid, 4 the plan can't be applied (an older commit, a shallow clone, no node
    answered), 5 a node could not be read.

    Example: tailgit plan --out change.tgplan && tailgit apply change.tgplan
    """
    from tailgit.plan.file import dumps
    from tailgit.report.plan import plan_text

    made = surveyed(repo, commit, connector(identity), parallel).plan
    if out is not None and not made.refusals:
        _keep(out, dumps(made))
    text = plan_text(made, apply_command(repo, commit, out))
    sys.stdout.write(dumps(made) if format == "json" else text)
    if made.refusals:
        raise refused(made.refusals)
    if not made.complete:
        return Exit.INCOMPLETE
    return Exit.CHANGES if detailed_exitcode and made.steps else Exit.DONE


def surveyed(
    repo: Path, commit: str | None, executor: Executor, parallel: int
) -> Survey:
    """The plan for a commit and what carries it out, with progress on stderr."""
    from tailgit.deploy.survey import survey

    loaded = valid(repo, commit or "HEAD", for_nodes=True)
    if loaded.tailnet is None or loaded.commit is None:
        raise Refused("there is no tailnet in this commit")
    if commit in (None, "HEAD"):
        _say_what_is_not_committed(repo, loaded.root)
    return asyncio.run(
        survey(repo, loaded.tailnet, loaded.commit, executor, _observation, parallel)
    )


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


def connector(identity: Path | None) -> Executor:
    """How nodes are reached, with the keys that `--identity` chooses."""
    from tailgit.deploy import identity as keys
    from tailgit.deploy.ssh import AsyncSsh

    return AsyncSsh(keys.identity(identity))


def refused(refusals: tuple[str, ...]) -> Refused:
    """The error of a plan that can't be applied."""
    more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
    return Refused(f"{refusals[0]}{more}", "nothing was changed on any node")


def apply_command(repo: Path, commit: str | None, out: Path | None) -> str:
    """The command line that applies what was planned."""
    words = ["tailgit", "apply"]
    if out is not None:
        words.append(str(out))
    elif commit is not None:
        words += ["--commit", commit]
    if repo != Path():
        words += ["--repo", str(repo)]
    return shlex.join(words)


def agreed(question: str) -> None:
    """Ask before anything is changed; goes on only after a yes."""
    if not typer.confirm(question, err=True):
        raise TailgitError("nothing was changed")


def progress(node: str, what: str) -> None:
    """One line about one node, on stderr."""
    from tailgit.model.text import shown

    print(f"  {shown(node)}: {shown(what)}", file=sys.stderr, flush=True)


def _observation(node: str, what: str) -> None:
    """Progress of an observation: what goes well stands in the plan anyway."""
    if what != "observed":
        progress(node, what)


def _keep(file: Path, text: str) -> None:
    """Write the plan file whole or not at all."""
    import os
    import tempfile

    with tempfile.NamedTemporaryFile(
        "w", dir=file.parent, prefix=f".{file.name}.", delete=False
    ) as temporary:
        try:
            temporary.write(text)
            temporary.flush()
            os.fsync(temporary.fileno())
            Path(temporary.name).replace(file)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
