"""tailgit revoke: take all access from a device or a person, everywhere at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
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
    who,
)
from tailgit.cli.edits import would_break
from tailgit.cli.fleet import (
    Allow,
    Field,
    Identity,
    Parallel,
    SshConfig,
    Ways,
    agreed,
    field,
)
from tailgit.cli.recording import RecordAt, before, written
from tailgit.cli.tailnet import Repo
from tailgit.errors import Exit, Locked, Refused, SourceError, TailgitError
from tailgit.model.codes import OF_TESTS
from tailgit.model.text import shown

if TYPE_CHECKING:
    from tailgit.compile import Bundle
    from tailgit.deploy.survey import Survey
    from tailgit.edit.revocation import Revocation
    from tailgit.model.tailnet import Tailnet
    from tailgit.plan.plan import History, Order
    from tailgit.plan.trust import Trusting

PAUSES = (3.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds before each new attempt at nodes that were not reached; then the last."""


def revoke(
    name: Annotated[
        str, typer.Argument(metavar="DEVICE|USER", help="db-1, or ana@acme.com.")
    ],
    repo: Repo = Path(),
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; it stands in the commit.")
    ] = "",
    yes: Yes = False,
    no_apply: Annotated[
        bool, typer.Option("--no-apply", help="Write and commit it, and stop there.")
    ] = False,
    wait: Annotated[
        int,
        typer.Option(
            metavar="SECONDS", min=0, help="How long to try nodes that don't answer."
        ),
    ] = 0,
    allow: Allow = None,
    record: RecordAt = "",
    confirm_timeout: ConfirmTimeout = 90,
    break_lock: BreakLock = None,
    signing_key: SigningKey = None,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Take all access from a device or a person, everywhere.

    Writes `disabled: true`, commits that one line and nothing else, and brings it to
    all nodes at once: no canary, no waves, one question. Then it says who still trusts
    the key, until nobody does. A node that would gain anything by the commit, since
    there is more in it than was applied, is kept back and named.

    The revoked device itself is asked nothing; it is told last, if it answers. Run it
    again to look again, and to try who was not reached.

    Exit: 0 nobody trusts the key any more, 1 the answer was no, 3 something still
    needs the device, 4 refused (what is committed stays), 5 somebody still trusts it,
    6 somebody else applies, 64 nobody is there to be asked.

    Example: tailgit revoke ana-laptop --reason "stolen in Lisbon" --wait 600
    """
    from tailgit.edit.revocation import revocation

    asked = must_ask(yes, "give --yes")
    with would_break(f"{shown(name)} can't be switched off"):
        made = revocation(repo, name)
    _say(made)
    if asked:
        agreed(_question(made, no_apply=no_apply))
    commit = _committed(repo, made, reason)
    if no_apply:
        print("Next:  tailgit revoke " + shown(name) + " again brings it to the nodes")
        return Exit.DONE
    manner = Manner(
        False,
        signing_key,
        confirm_timeout,
        break_lock or (),
        regardless=True,
        record=record,
    )
    ways = Ways(identity, ssh_config, parallel)
    with field(repo, commit, ways, passed_over=OF_TESTS) as nodes:
        work = _Work(
            nodes,
            made,
            manner,
            reason or "revoked",
            tuple(allow or ()),
            _unrevoked(nodes.tailnet, made),
        )
        left = work.until_nobody(time.monotonic() + wait)
        work.farewell()
    return _ended(made, left)


def _say(made: Revocation) -> None:
    """What is about to be written, and what follows from it in the repository."""
    sys.stderr.write(made.change.diff())
    names = ", ".join(shown(device.name) for device in made.devices) or "no device"
    print(f"revoked: {names}", file=sys.stderr)
    for each in made.failing:
        print(
            f"note: this test fails from now on: {shown(str(each.place))}: "
            f"{shown(each.message)}; mend it before the next apply",
            file=sys.stderr,
        )
    for other in made.others:
        where = shown(other) or "the top folder"
        print(
            f"note: the tailnet in {where} reads the file, too; apply it as well",
            file=sys.stderr,
        )


def _question(made: Revocation, *, no_apply: bool) -> str:
    what = f"Revoke {shown(made.name)}" if made.file else "Look who still trusts it"
    more = "commit it" if no_apply else "commit it, bring it to all nodes at once"
    return f"{what}: {more}?" if made.file else f"{what}, and apply what is left?"


def _committed(repo: Path, made: Revocation, reason: str) -> str:
    """The commit that holds the revocation; made now, unless there is one."""
    from tailgit.edit.files import replace_file
    from tailgit.load.git import Repo as Repository

    repository = Repository(repo)
    if not made.file:
        print(f"{shown(made.name)} is revoked already in HEAD", file=sys.stderr)
        return repository.resolve("HEAD")
    made.change.write()
    (file,) = made.change.files
    try:
        commit = repository.commit_file(file.file, _message(made, reason))
    except SourceError:
        path = made.change.top / file.file
        replace_file(path, file.after or b"", file.before or b"")
        raise
    branch = repository.branch()
    print(f"committed {commit[:7]} on {shown(branch)}: {shown(file.file)}")
    print(
        "Push it soon: git push. An apply of a branch that does not contain it is "
        "refused until then."
    )
    return commit


def _message(made: Revocation, reason: str) -> str:
    devices = ", ".join(device.name for device in made.devices) or "none"
    lines = [f"Revoke {made.name}", "", f"Devices: {devices}"]
    if reason:
        lines.append(f"Reason: {' '.join(reason.split())}")
    return "\n".join(lines)


def _unrevoked(tailnet: Tailnet, made: Revocation) -> Mapping[str, Bundle]:
    """What nodes would have by the commit, were nothing revoked in it."""
    from tailgit.compile import compile_tailnet

    users, devices = dict(tailnet.users), dict(tailnet.devices)
    if made.name in users:
        users[made.name] = replace(users[made.name], disabled=False)
    for device in made.devices:
        devices[device.name] = replace(devices[device.name], disabled=False)
    return compile_tailnet(replace(tailnet, devices=devices, users=users))


@dataclass(frozen=True, slots=True)
class _Work:
    """A revocation on its way to the nodes; `before` is what they would have without
    it."""

    nodes: Field
    made: Revocation
    manner: Manner
    reason: str
    allow: tuple[str, ...]
    before: Mapping[str, Bundle]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(device.name for device in self.made.devices)

    def order(self) -> Order:
        """Everybody at once, nothing but losses, and not a word to the revoked."""
        from tailgit.guard.guard import overrides
        from tailgit.plan.order import Pace
        from tailgit.plan.plan import Order

        passed = dict.fromkeys(("devices-removed", "cut-off"), self.reason)
        return Order(
            pace=Pace(at_once=True),
            allow={**passed, **overrides(self.allow)},
            only_losses=True,
            apart=self.names,
        )

    def until_nobody(self, deadline: float) -> tuple[Trusting, ...]:
        """Apply, look, and try again until nobody trusts the key or time is over."""
        before: tuple[Trusting, ...] | None = None
        for attempt in count():
            pause = PAUSES[min(attempt, len(PAUSES) - 1)]
            try:
                failed = self._apply(first=attempt == 0)
            except Locked as error:
                # Somebody's apply is done in a moment; the revocation is still due.
                if time.monotonic() + pause > deadline:
                    raise
                print(f"{shown(error.message)}; waiting", file=sys.stderr)
                time.sleep(pause)
                continue
            left = tuple(_with_reason(each, failed) for each in self._trusting())
            self._tell(left, before)
            again = any(each.again for each in left)
            if not again or time.monotonic() + pause > deadline:
                return left
            before = left
            time.sleep(pause)
        raise AssertionError  # count() does not end

    def _apply(self, *, first: bool) -> Mapping[str, str]:
        """Bring it to the nodes; who was reached and did not take it, and why."""
        from tailgit.plan.outcome import Result
        from tailgit.report.plan import plan_text

        name, repo = self.nodes.tailnet.name, self.nodes.repo
        known = before(repo, name, self.manner.record, for_commit=self.nodes.commit)
        found = self.nodes.survey(self.order())
        if first:
            command = f"tailgit revoke {self.made.name}"
            sys.stderr.write(plan_text(found.plan, command))
        if not found.plan.answered and found.plan.asked:
            return {}  # nothing can be applied; who is to be named stands in the list
        self._only_what_was_asked(found)
        if not (found.plan.steps or found.plan.deposits):
            return {}
        applied, _ = carry_out(self.nodes, found, self.manner)
        written(known, applied, who(repo))
        bad = {Result.FAILED, Result.ROLLED_BACK}
        return {o.node: o.message for o in applied.outcomes if o.result in bad}

    def _only_what_was_asked(self, found: Survey) -> None:
        """`Refused` where the commit would do more than this, with the ways out."""
        said = list(found.plan.refusals)
        hit = {guard.name: {*guard.devices} for guard in found.plan.guards}
        there = self._there(found.history)
        gone = hit.get("devices-removed", set()) & there.keys()
        if more := gone - self.names:
            said.append(f"the commit takes off the tailnet, too: {_listed(more)}")
        # The guard is let pass for who has no other peer than the revoked.
        alone = {
            name
            for name, bundle in self.before.items()
            if bundle.peers and name in found.bundles and not found.bundles[name].peers
        }
        lonely = {n for n in hit.get("cut-off", ()) if n in there and there[n].peers}
        if more := lonely - self.names - alone:
            said.append(f"the commit takes their last peer, too, from: {_listed(more)}")
        if said:
            commit = self.nodes.commit[:7]
            raise Refused(
                f"{said[0]} (the revocation is committed as {commit}, nothing of it "
                "is applied yet)",
                "apply all of the commit: tailgit plan, tailgit apply; or revoke on a "
                "branch of what is applied now (git switch -c revoke COMMIT) and merge "
                "that",
            )

    def _there(self, history: History) -> Mapping[str, Bundle]:
        """What the newest commit brought that any node has. Guards count from the last
        one that all have, and who is out of reach holds that back: what was revoked
        yesterday would count as more than is asked for today."""
        from tailgit.load.git import Repo as Repository

        repository = Repository(self.nodes.repo)
        newest = max(history.before, key=repository.height, default="")
        return history.before.get(newest, {})

    def _trusting(self) -> tuple[Trusting, ...]:
        """Who may still trust a revoked key, by a new look at all nodes."""
        from tailgit.plan.trust import keys_of, trusting

        tailnet = self.nodes.tailnet
        found = self.nodes.survey(self.order())
        before = (self.before, *found.history.before.values())
        owner = self.made.name if self.made.name in tailnet.users else ""
        older = found.history.declared.values()
        keys = keys_of(self.names, owner, tailnet, older)
        ways = {name: device.delivery for name, device in tailnet.devices.items()}
        return trusting(found.plan, found.bundles, ways, found.seen, before, keys)

    def _tell(
        self, left: tuple[Trusting, ...], before: tuple[Trusting, ...] | None
    ) -> None:
        """The list as it is now, on stderr; only what changed since the last time."""
        names = {each.node for each in left}
        for each in before or ():
            if each.node not in names:
                print(f"  {shown(each.node)}: has let go", file=sys.stderr)
        if left and before != left:
            who = ", ".join(shown(each.node) for each in left)
            print(f"still trusting {shown(self.made.name)}: {who}", file=sys.stderr)

    def farewell(self) -> None:
        """Tell the revoked devices, who may be gone, broken or hostile by now."""
        from tailgit.plan.order import Pace
        from tailgit.plan.plan import Order

        order = Order(
            pace=Pace(at_once=True),
            only=self.names,
            allow=self.order().allow,
            farewell=self.names,
        )
        try:
            found = self.nodes.survey(order)
            if not found.plan.steps or found.plan.refusals:
                return
            applied, _ = carry_out(self.nodes, found, self.manner)
        except TailgitError as error:
            print(f"note: not told: {shown(error.message)}", file=sys.stderr)
            return
        for each in applied.outcomes:
            if each.node in self.names:
                print(f"  {shown(each.node)}: told: {each.result}", file=sys.stderr)


def _with_reason(each: Trusting, failed: Mapping[str, str]) -> Trusting:
    """With what the node itself said, where it was reached and refused."""
    if not failed.get(each.node):
        return each
    todo = "mend that there, then run this again"
    return replace(each, why=failed[each.node], todo=todo)


def _listed(names: set[str]) -> str:
    return ", ".join(shown(name) for name in sorted(names, key=str.encode))


def _ended(made: Revocation, left: tuple[Trusting, ...]) -> Exit:
    """The last word: who still trusts it, and what to do about each."""
    from tailgit.report.lines import wrapped

    name = shown(made.name)
    if not left:
        print(f"Nobody trusts {name} any more.")
        return Exit.DONE
    print(f"{len(left)} may still trust {name}:")
    for each in left:
        told = wrapped(f"  {shown(each.node)}  ", shown(each.why), "    ")
        print("\n".join([*told, *wrapped("    ", shown(each.todo), "    ")]))
    print(f"To try again:  tailgit revoke {name} --wait 600")
    return Exit.INCOMPLETE
