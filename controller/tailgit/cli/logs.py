"""tailgit log and history: what a node wrote down, and what git did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tailgit.cli.fleet import Identity, SshConfig, Ways, field
from tailgit.cli.nodes import reached
from tailgit.cli.recording import RecordAt
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit, NodeError, SourceError
from tailgit.model.codes import OF_TESTS

Lines = Annotated[
    int, typer.Option("--lines", "-n", min=1, max=1000, help="The last N of them.")
]


def log(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node.")],
    repo: Repo = Path(),
    lines: Lines = 20,
    format: Format = "text",  # noqa: A002
    identity: Identity = None,
    ssh_config: SshConfig = None,
) -> Exit:
    """Show what was done on a node, from its own log.

    The newest line comes last. Each says when (UTC, by the node's clock), which request
    or whose doing, which generation, how it ended, and more. A read-only key will do.

    Exit: 0 done, 3 the tailnet is not valid, 5 the node could not be read.

    Example: tailgit log db-1 -n 100
    """
    from tailgit.deploy.logs import log_of
    from tailgit.report.logs import log_json, log_text

    with field(repo, None, Ways(identity, ssh_config, 1), passed_over=OF_TESTS) as site:
        (name,) = reached(site, [node])

        async def read() -> tuple[tuple[str, ...], ...]:
            async with site.fleet.at(name) as contact:
                return await log_of(contact, lines)

        try:
            found = site.runner.run(read())
        except NodeError as error:
            print(f"tailgit: error: {name}: {error.message}", file=sys.stderr)
            return Exit.INCOMPLETE
    text = log_json(name, found) if format == "json" else log_text(name, found)
    sys.stdout.write(text)
    return Exit.DONE


def history(
    repo: Repo = Path(),
    record: RecordAt = "",
    lines: Lines = 20,
    format: Format = "text",  # noqa: A002
) -> Exit:
    """Show who applied what when, from git.

    The newest comes first. This is the fleet's record: a note for each apply at its
    commit (refs/notes/tailgit/NAME), and the last commit that every node got
    (refs/tailgit/NAME/applied). --record fetches both first; nothing is pushed.

    Exit: 0 done, 1 the record can't be read, 4 it names a commit that is not here.

    Example: tailgit history --record origin
    """
    from tailgit.deploy.clone import Clone
    from tailgit.deploy.entries import entries
    from tailgit.deploy.record import notes_ref, opened
    from tailgit.load.git import Repo as Repository
    from tailgit.report.logs import history_json, history_text

    name = _tailnet(repo)
    kept = opened(repo, name, record)
    repository = Repository(repo)
    found, strange = entries(repository, Clone(repository).ref(notes_ref(name)))
    if strange:
        print(f"note: {strange} lines of the record are none of ours", file=sys.stderr)
    shown = found[:lines]
    text = history_text(name, kept.applied, shown, len(found))
    sys.stdout.write(
        history_json(name, kept.applied, shown) if format == "json" else text
    )
    return Exit.DONE


def _tailnet(repo: Path) -> str:
    """The tailnet's name: all that is wanted of it, so it need not be valid."""
    from tailgit.load import load

    loaded = load(repo, "HEAD")
    tailnet = loaded.tailnet or loaded.partial
    if tailnet is None:
        raise SourceError(
            "HEAD has no tailnet that can be read", "`tailgit check` says why"
        )
    return tailnet.name
