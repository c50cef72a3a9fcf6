"""tailgit plan: what applying a commit would change on nodes; it only reads."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tailgit.cli.carrying import refused
from tailgit.cli.fleet import (
    SHARE,
    Allow,
    Canary,
    Commit,
    Identity,
    Only,
    Parallel,
    SshConfig,
    WaveSize,
    Ways,
    field,
    order_of,
)
from tailgit.cli.recording import RecordAt, before
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit


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
    only: Only = None,
    record: RecordAt = "",
    canary: Canary = "",
    wave_size: WaveSize = SHARE,
    allow: Allow = None,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Show what applying a commit would change on nodes.

    Compiles the commit (never the working tree), asks every node over SSH what it
    runs, and compares both with what was applied last. Nothing is written to any node.

    A hot change interrupts nothing, a warm one sets addresses and routes anew, a cold
    one makes the interface anew. Each apply gives a node a new generation, counted
    from 1; at boot it starts the one that was confirmed last. `order` says which nodes
    are switched together: a canary, those that lose something, the others, those that
    leave, and the controller's own last.

    Guards count what is hardly ever meant: devices removed, cut off, re-keyed or moved,
    nodes that lose something, a lost record, a controller that locks itself out. One
    that stops is let pass with --allow GUARD=REASON.

    Exit: 0 done, 2 changes are pending (--detailed-exitcode), 3 the tailnet is not
    valid, 4 the plan can't be applied (a guard, an older commit, a shallow clone, no
    node answered), 5 a node could not be read.

    Example: tailgit plan --out change.tgplan && tailgit apply change.tgplan
    """
    from tailgit.plan.file import dumps
    from tailgit.report.plan import plan_text

    with field(repo, commit, Ways(identity, ssh_config, parallel)) as nodes:
        order = order_of(
            nodes.tailnet, only=only, canary=canary, wave_size=wave_size, allow=allow
        )
        before(repo, nodes.tailnet.name, record)
        made = nodes.survey(order).plan
    if out is not None and not made.refusals:
        _keep(out, dumps(made))
    asked = Asked(only or (), canary, wave_size, allow or ())
    text = plan_text(made, apply_command(repo, commit, out, asked, record))
    sys.stdout.write(dumps(made) if format == "json" else text)
    if made.refusals:
        raise refused(made.refusals)
    if not made.complete:
        return Exit.INCOMPLETE
    return Exit.CHANGES if detailed_exitcode and made.steps else Exit.DONE


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a plan that an apply has to repeat to mean the same."""

    only: Sequence[str] = ()
    canary: str = ""
    wave_size: str = SHARE
    allow: Sequence[str] = ()

    @property
    def words(self) -> list[str]:
        words = [word for each in self.only for word in ("--only", each)]
        words += ["--canary", self.canary] if self.canary else []
        words += ["--wave-size", self.wave_size] if self.wave_size != SHARE else []
        return words + [word for each in self.allow for word in ("--allow", each)]


def apply_command(
    repo: Path, commit: str | None, out: Path | None, asked: Asked, record: str = ""
) -> str:
    """The command line that applies what was planned; a plan file has the options."""
    words = ["tailgit", "apply"]
    if out is not None:
        words.append(str(out))
    else:
        words += ["--commit", commit] if commit is not None else []
        words += asked.words
    words += ["--record", record] if record else []
    if repo != Path():
        words += ["--repo", str(repo)]
    return shlex.join(words)


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
