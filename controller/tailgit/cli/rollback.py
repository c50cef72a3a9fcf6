"""tailgit rollback: the fleet, or one node, back to what it had before."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.carrying import (
    BreakLock,
    ConfirmTimeout,
    Manner,
    SigningKey,
    Yes,
    carry_out,
    must_ask,
    refused,
    who,
)
from tailgit.cli.fleet import (
    SHARE,
    Allow,
    Canary,
    Field,
    Identity,
    Parallel,
    SshConfig,
    WaveSize,
    Ways,
    field,
    order_of,
)
from tailgit.cli.recording import RecordAt, before, written
from tailgit.cli.tailnet import Format, Repo, valid
from tailgit.errors import Exit, NodeError, Refused, UsageError
from tailgit.model.codes import OF_TESTS
from tailgit.model.near import meant
from tailgit.model.text import shown

if TYPE_CHECKING:
    from tailgit.plan.observed import Observed
    from tailgit.plan.plan import Order


def rollback(
    node: Annotated[
        str | None,
        typer.Argument(metavar="NODE", help="This node alone; else the whole fleet."),
    ] = None,
    repo: Repo = Path(),
    to: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT|GENERATION",
            help="Where to: a commit, or for a NODE the number of a generation that it "
            "keeps. Else what was there before.",
        ),
    ] = None,
    yes: Yes = False,
    format: Format = "text",  # noqa: A002
    canary: Canary = "",
    wave_size: WaveSize = SHARE,
    allow: Allow = None,
    record: RecordAt = "",
    confirm_timeout: ConfirmTimeout = 90,
    break_lock: BreakLock = None,
    signing_key: SigningKey = None,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Bring the fleet, or one node, back to what it had before.

    It is an apply of an older commit: planned, shown, asked about, guarded, in waves,
    signed anew and confirmed. What it gives back, such as the access of somebody who
    was revoked since, is said first. The branch stays as it is, so the next apply of
    it goes forward again: mend or revert the commit before that.

    Without --to it is the newest commit before the present one that a node keeps (one
    that failed and was given up does not count); a person has to agree to it. A NODE
    keeps its last five generations: `tailgit rollback NODE --to 12`.

    Exit: 0 done, 1 the answer was no, 4 refused (a guard, not an older commit, another
    tailgit), 5 a node was not reached, not applied or gave it up, 6 somebody else
    applies, 64 nobody is there to be asked.

    \b
    Examples:
      tailgit rollback
      tailgit rollback --to HEAD~2 --yes
      tailgit rollback db-1 --to 12
    """
    if yes and to is None:
        raise UsageError(
            "what nodes say they had before is for a person to agree to",
            "with --yes name it: --to COMMIT, or NODE --to GENERATION",
        )
    asked = must_ask(yes, "give --yes, and --to COMMIT or NODE --to GENERATION")
    manner = Manner(
        asked, signing_key, confirm_timeout, break_lock or (), record=record
    )
    ways = Ways(identity, ssh_config, parallel)
    with field(repo, None, ways, passed_over=OF_TESTS) as present:
        order = replace(
            order_of(present.tailnet, canary=canary, wave_size=wave_size, allow=allow),
            kind="rollback",
        )
        if node is None:
            return _fleet(present, to, order, manner, format)
        return _node(present, node, to, order, manner, format)


def _fleet(
    present: Field, to: str | None, order: Order, manner: Manner, output: str
) -> Exit:
    from tailgit.deploy.earlier import applied_now, earlier, older_than
    from tailgit.load.git import Repo as Repository

    repository = Repository(present.repo)
    seen = _observed(present)
    if to is None:
        found = earlier(repository, seen)
        commit = found.commit
        print(
            f"{found.applied[:7]} is applied; before it was {commit[:7]}, as "
            f"{shown(found.nodes[0])} says",
            file=sys.stderr,
        )
    else:
        commit = repository.resolve(to)
        older_than(repository, commit, applied_now(repository, seen))
    command = f"tailgit rollback --to {commit[:7]}"
    return _carried(_at(present, commit), order, manner, command, output)


def _node(
    present: Field,
    node: str,
    to: str | None,
    order: Order,
    manner: Manner,
    output: str,
) -> Exit:
    from tailgit.compile import compile_tailnet
    from tailgit.deploy.earlier import chosen, name_then, older_than
    from tailgit.load.git import Repo as Repository

    device = present.tailnet.devices.get(node)
    if device is None:
        near = meant(node, present.tailnet.devices)
        raise UsageError(f"{present.tailnet.name} has no device `{shown(node)}`", near)
    if to is not None and not (to.isascii() and to.isdigit()):
        raise UsageError(
            f"--to {to}: the generations of a node are counted: 1, 2, 3",
            "for a commit leave NODE out: tailgit rollback --to COMMIT",
        )
    one = _observed(present, node).get(node)
    if one is None:
        raise Refused(
            f"{node} is not reached over SSH from here",
            "give it what it had by hand: tailgit render --commit COMMIT",
        )
    if isinstance(one, NodeError):
        raise one
    wanted = chosen(node, one, int(to) if to else None)
    if one.record is not None:
        older_than(Repository(present.repo), wanted.commit, one.record.commit)
    then = _at(present, wanted.commit)
    name = name_then(compile_tailnet(then.tailnet), node, device.formerly, wanted)
    print(
        f"{shown(node)}: generation {wanted.number} of {wanted.at} is "
        f"{wanted.commit[:7]}",
        file=sys.stderr,
    )
    command = f"tailgit rollback {node} --to {wanted.number}"
    order = replace(order, only=frozenset({name}))
    return _carried(then, order, manner, command, output)


def _observed(present: Field, *names: str) -> dict[str, Observed | NodeError]:
    """What the nodes of the present commit (or those named) say."""
    from tailgit.cli.fleet import progress
    from tailgit.deploy.observe import observe_all
    from tailgit.deploy.survey import logins_of

    devices = present.tailnet.devices
    logins = logins_of(devices, names or devices)
    # Their ways in are those of today, wherever it goes back to.
    present.fleet.call(logins.values())

    def say(node: str, what: str) -> None:
        if what != "observed":
            progress(node, what)

    return present.runner.run(observe_all(present.fleet, logins, say))


def _at(present: Field, commit: str) -> Field:
    """The same nodes, with what an older commit says of them."""
    loaded = valid(present.repo, commit, for_nodes=True, passed_over=OF_TESTS)
    if loaded.tailnet is None or loaded.commit is None:
        raise Refused(f"there is no tailnet in {commit[:7]}")
    if loaded.tailnet.name != present.tailnet.name:
        raise Refused(f"{commit[:7]} is of another tailnet: {loaded.tailnet.name}")
    return replace(present, loaded=loaded, tailnet=loaded.tailnet, commit=loaded.commit)


def _carried(
    then: Field, order: Order, manner: Manner, command: str, output: str
) -> Exit:
    """Show what comes back, the plan, and what became of it."""
    from tailgit.plan.returned import returned
    from tailgit.report.plan import applied_json, applied_text, plan_text
    from tailgit.report.rollback import returned_text

    name = then.tailnet.name
    known = before(then.repo, name, manner.record, for_commit=then.commit)
    found = then.survey(order)
    if found.plan.steps:
        sys.stderr.write(returned_text(returned(found.plan)))
        if found.plan.base:
            sys.stderr.write(
                f"Who gains and who loses:  tailgit diff {found.plan.base[:7]} "
                f"{found.plan.commit.sha[:7]}\n\n"
            )
    sys.stderr.write(plan_text(found.plan, command))
    if found.plan.refusals:
        raise refused(found.plan.refusals)
    applied, signer = carry_out(then, found, manner)
    whole = applied
    if order.only is not None:
        mine = tuple(each for each in applied.outcomes if each.node in order.only)
        applied = replace(applied, outcomes=mine)
    code = written(known, whole, who(then.repo), applied)
    text = applied_text(applied, command, signer)
    sys.stdout.write(applied_json(applied) if output == "json" else text)
    if output == "text" and found.plan.steps:
        print(
            "The branch still holds what came after: revert or mend it, else the next "
            "apply brings it back."
        )
    return code
