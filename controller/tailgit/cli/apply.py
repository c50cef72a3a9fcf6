"""tailgit apply: bring a commit to the nodes, exactly as planned."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.plan import (
    Commit,
    Identity,
    Parallel,
    agreed,
    apply_command,
    connector,
    progress,
    refused,
    surveyed,
)
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit, Refused, UsageError

if TYPE_CHECKING:
    from tailgit.deploy.apply import Delivery
    from tailgit.deploy.ssh import Executor
    from tailgit.deploy.survey import Survey
    from tailgit.plan.outcome import Applied
    from tailgit.plan.plan import Plan


def apply(
    planfile: Annotated[
        Path | None,
        typer.Argument(metavar="PLANFILE", help="A plan of `tailgit plan --out`."),
    ] = None,
    repo: Repo = Path(),
    commit: Commit = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    compiled: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="Go on only if the commit compiles to this (whole) digest, the one "
            "that was reviewed.",
        ),
    ] = None,
    format: Format = "text",  # noqa: A002
    signing_key: Annotated[
        Path | None,
        typer.Option(
            help="The SSH key to sign with: a private key, or a .pub file whose other "
            "half the agent has. Else git's user.signingkey where gpg.format is ssh, "
            "else ~/.ssh/id_ed25519."
        ),
    ] = None,
    identity: Identity = None,
    parallel: Parallel = 32,
) -> Exit:
    """Bring a commit to the nodes, exactly as planned.

    On a terminal it shows the plan and asks. Elsewhere it wants a PLANFILE (refused
    if the commit, its compiled form or a node is not what was planned), --compiled
    DIGEST or --yes. One signature covers all nodes. Ctrl-C finishes the nodes that
    are under way and begins no other; a second one leaves at once.

    Exit: 0 every node has the commit, 1 the answer was no, 3 the tailnet is not
    valid, 4 refused, nothing was changed (--format json prints the plan that was),
    5 a node was not reached or not applied, 64 nobody is there to be asked.

    Example: tailgit apply --commit main --compiled "$REVIEWED" --format json
    """
    from tailgit.plan.file import dumps
    from tailgit.report.plan import applied_json, applied_text, plan_text

    kept = _read(planfile) if planfile else None
    if kept and commit is not None:
        raise UsageError("a PLANFILE names its commit, so --commit has no place here")
    asked = not (kept or compiled or yes)
    if asked and not sys.stdin.isatty():
        raise UsageError(
            "nobody is here to say yes",
            "give a PLANFILE, --compiled DIGEST or --yes",
        )
    executor = connector(identity)
    found = surveyed(repo, kept.commit.sha if kept else commit, executor, parallel)
    command = apply_command(repo, commit, planfile)
    sys.stderr.write(plan_text(found.plan, command))
    objection = _objection(found.plan, kept, compiled)
    if objection is not None:
        if format == "json":
            because = found.plan.refusals or (objection.message,)
            sys.stdout.write(dumps(replace(found.plan, refusals=because)))
        raise objection
    sent, signer = _signed(found, repo, signing_key, asked)
    applied = asyncio.run(_carry_out(found, sent, executor, parallel))
    text = applied_text(applied, apply_command(repo, commit, None), signer)
    sys.stdout.write(applied_json(applied) if format == "json" else text)
    return applied.exit


def _read(file: Path) -> Plan:
    from tailgit.plan.file import loads

    try:
        return loads(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not a plan: it is not UTF-8") from None


def _objection(plan: Plan, kept: Plan | None, compiled: str | None) -> Refused | None:
    """Why this is not what was planned or reviewed; None if it is."""
    from tailgit.plan.file import stale_because

    if plan.refusals:
        return refused(plan.refusals)
    stale = (kept.refusals or stale_because(kept, plan)) if kept else ()
    if stale:
        return Refused(f"the plan is stale: {stale[0]}", "look at a new `tailgit plan`")
    if compiled is not None and compiled != plan.compiled:
        return Refused(
            f"the commit compiles to {plan.compiled}, not to what was reviewed",
            "review that, or apply the commit that was reviewed",
        )
    return None


def _signed(
    found: Survey, repo: Path, signing_key: Path | None, asked: bool
) -> tuple[dict[str, Delivery], str]:
    """What is sent to nodes, after a last question if nobody agreed yet, and the key
    that signed it, in words."""
    from datetime import UTC, datetime

    from tailgit.deploy.apply import deliveries
    from tailgit.deploy.sign import sign
    from tailgit.deploy.sign import signing_key as key_of

    count = len(found.plan.steps)
    if not count:
        return {}, ""
    key = key_of(signing_key, repo, Path.home())
    if asked:
        many = "1 node" if count == 1 else f"{count} nodes"
        agreed(f"Apply this to {many}?")
    sent = deliveries(
        found.plan,
        found.bundles,
        found.logins,
        by=_who(repo),
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        sign=lambda statement: sign(statement, found.plan.tailnet, key),
    )
    return sent, _in_words(key)


def _in_words(key: str) -> str:
    """A signing key for people: its fingerprint, and its file if it is in one."""
    from tailgit.deploy.hostkey import fingerprint
    from tailgit.deploy.sign import public_half
    from tailgit.errors import SigningError

    try:
        name = fingerprint(public_half(key))
    except (SigningError, ValueError):
        return key
    return f"{name} ({key})" if Path(key).is_file() else name


async def _carry_out(
    found: Survey, sent: dict[str, Delivery], executor: Executor, parallel: int
) -> Applied:
    from tailgit.deploy.apply import apply as carry_out

    stop = asyncio.Event()
    with _interruptible(stop):
        return await carry_out(
            found.plan, sent, executor, progress, parallel=parallel, stop=stop
        )


@contextmanager
def _interruptible(stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`; then it has its usual meaning again."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def interrupted() -> None:
        print("finishing the nodes under way; again to leave now", file=sys.stderr)
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _who(repo: Path) -> str:
    """Who applies, for the record on the nodes: git's identity, else user and host."""
    import getpass
    import socket

    from tailgit.errors import SourceError
    from tailgit.load.git import Repo as Repository

    try:
        return Repository(repo).identity()
    except SourceError:
        return f"{getpass.getuser()}@{socket.gethostname()}"
