"""Carry a plan out for a command: ask, sign, go on until all is done, write it down."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.fleet import Field, agreed, progress
from tailgit.errors import Refused, UsageError

if TYPE_CHECKING:
    from tailgit.deploy.survey import Survey
    from tailgit.deploy.switch import Trial
    from tailgit.plan.observed import Observed
    from tailgit.plan.outcome import Applied
    from tailgit.plan.plan import Plan

SigningKey = Annotated[
    Path | None,
    typer.Option(
        help="The SSH key to sign with: a private key, or a .pub file whose other "
        "half the agent has. Else git's user.signingkey where gpg.format is ssh, "
        "else ~/.ssh/id_ed25519."
    ),
]
ConfirmTimeout = Annotated[
    int,
    typer.Option(
        metavar="SECONDS",
        min=15,
        max=3600,
        help="After so long without our confirmation a node goes back by itself.",
    ),
]
BreakLock = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LOCK",
        help="Break a lock that somebody left behind, by the name that the refusal "
        "gives (repeatable). Whoever held it can't go on.",
    ),
]
Probed = Annotated[
    bool,
    typer.Option(
        "--probe",
        help="Try the policy's tests for TCP between nodes that have the commit, after "
        "each switch; a node where one fails goes back.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a plan is carried out; `asked` means that a person has to agree first,
    `regardless` that devices are told by mail although a node did not end well,
    `record` names the git remote that the fleet's record is shared through.
    """

    asked: bool
    signing_key: Path | None = None
    confirm_timeout: int = 90
    break_locks: Sequence[str] = ()
    probe: bool = False
    regardless: bool = False
    record: str = ""


def refused(refusals: Sequence[str]) -> Refused:
    """The error of a plan that can't be applied."""
    more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
    return Refused(f"{refusals[0]}{more}", "nothing was changed on any node")


def must_ask(
    decided: object, ways: str = "give a PLANFILE, --compiled DIGEST or --yes"
) -> bool:
    """Whether a person has to agree; `UsageError` where nobody is there to, with the
    `ways` to decide beforehand."""
    if decided:
        return False
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to say yes", ways)
    return True


def carry_out(field: Field, found: Survey, manner: Manner) -> tuple[Applied, str]:
    """Do what the plan of `found` says; what became of it, and the key that signed.

    Raises `Locked` and `SigningError`; nothing was switched then.
    """
    from tailgit.deploy.apply import Applying
    from tailgit.deploy.delivery import deliveries
    from tailgit.deploy.sign import sign
    from tailgit.deploy.sign import signing_key as key_of
    from tailgit.deploy.switch import Terms
    from tailgit.plan.pulled import newest

    plan, seen = found.plan, _answered(found)
    key, sent, now = "", {}, datetime.now(UTC)
    if plan.steps or plan.deposits:
        locks = _to_break(plan, seen, manner.break_locks)
        key = key_of(manner.signing_key, field.repo, Path.home())
        if manner.asked:
            count = len(plan.steps) + len(plan.deposits)
            agreed(f"Apply this to {'1 node' if count == 1 else f'{count} nodes'}?")
        sent = deliveries(
            plan,
            found.bundles,
            {**newest(seen, _soon(now)), **{n: o.newest for n, o in seen.items()}},
            by=who(field.repo),
            at=now,
            sign=lambda statement: sign(statement, plan.tailnet, key),
        )
        _break(field, locks)

    async def apply() -> Applied:
        stop = asyncio.Event()
        with _interruptible(stop):
            return await Applying(
                plan,
                sent,
                seen,
                field.fleet,
                secrets.token_hex(8),
                progress,
                stop,
                Terms(confirm=manner.confirm_timeout),
                _trial(field, plan) if manner.probe else None,
                _mailboxes(field, found),
                manner.regardless,
            ).run()

    return field.runner.run(apply()), _in_words(key)


def _mailboxes(field: Field, found: Survey) -> list[str]:
    """The nodes that hold parcels for others and can be told to."""
    devices = field.tailnet.devices
    return [n for n in found.seen if n in devices and devices[n].mailbox]


def _soon(now: datetime) -> str:
    """The latest time that a mailbox may claim of a parcel: clocks differ a little."""
    from tailgit.deploy.delivery import INSTANT

    return (now + timedelta(minutes=5)).strftime(INSTANT)


def _trial(field: Field, plan: Plan) -> Trial:
    from tailgit.plan.row import State
    from tailgit.probe.trials import Trials

    ready = {row.node for row in plan.rows if row.state is State.IN_SYNC}
    return Trials(field.tailnet, field.fleet, ready)


def _answered(found: Survey) -> dict[str, Observed]:
    from tailgit.plan.observed import Observed

    return {n: one for n, one in found.seen.items() if isinstance(one, Observed)}


def _to_break(
    plan: Plan, seen: dict[str, Observed], named: Sequence[str]
) -> dict[str, str]:
    """The locks on nodes that are written to; raises `Locked` for one not `named`."""
    from tailgit.deploy.stage import locked
    from tailgit.errors import NodeRefused

    found = {}
    for row in plan.steps:
        hold = seen[row.node].hold
        if hold is None:
            continue
        if hold.token not in named:
            raise locked(NodeRefused(row.node, "locked", str(hold), hold.token))
        found[row.node] = hold.token
    return found


def _break(field: Field, locks: dict[str, str]) -> None:
    """Once it was agreed on and signed: a no must leave everything as it was."""

    async def unlock(node: str, token: str) -> None:
        async with field.fleet.at(node) as contact:
            await contact.ask_twice("unlock", token)
        progress(node, f"broke lock {token}")

    async def all_of_them() -> None:
        await asyncio.gather(*(unlock(*each) for each in locks.items()))

    field.runner.run(all_of_them())


def _in_words(key: str) -> str:
    """A signing key for people: its fingerprint, and its file if it is in one."""
    from tailgit.deploy.hostkey import fingerprint
    from tailgit.deploy.sign import public_half
    from tailgit.errors import SigningError

    if not key:
        return ""
    try:
        name = fingerprint(public_half(key))
    except (SigningError, ValueError):
        return key
    return f"{name} ({key})" if Path(key).is_file() else name


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


def who(repo: Path) -> str:
    """Who applies, for the record on the nodes: git's identity, else user and host."""
    import getpass
    import socket

    from tailgit.errors import SourceError
    from tailgit.load.git import Repo as Repository

    try:
        return Repository(repo).identity()
    except SourceError:
        return f"{getpass.getuser()}@{socket.gethostname()}"
