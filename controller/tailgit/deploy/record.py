"""The fleet's record: what was applied last, and by whom, in git.

Two refs. `refs/tailgit/NAME/applied` is the last commit that every node got; it moves
from the value that was there when the plan was made, or not at all. The notes below
`refs/notes/tailgit/NAME` get a line for each apply, also for one that went wrong.

With a remote both are shared: they are fetched before the plan is made, so a plan
knows what other controllers applied, and pushed at the end. The remote's value is the
truth then, and this clone's ref a copy of it: a push that fails moves neither, so the
same apply, run again, finds nothing to do on nodes and writes the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgit.deploy.clone import Clone, Move, plain
from tailgit.deploy.entries import lines_of
from tailgit.errors import Incomplete, Refused, SourceError, TailgitError
from tailgit.load.git import Repo
from tailgit.plan.entry import Entry, entry_of
from tailgit.plan.outcome import Applied, Result

ATTEMPTS = 30
"""How often notes are merged and pushed while others push, too."""


@dataclass(frozen=True, slots=True)
class FleetRecord:
    """The record as it was when a plan was made.

    `applied` is the commit ("" for none) in this clone, `there` that of `remote`;
    `remote` is "" for this clone alone.
    """

    path: Path
    tailnet: str
    applied: str = ""
    remote: str = ""
    there: str = ""


def applied_ref(tailnet: str) -> str:
    """The git ref that holds the last commit that every node got."""
    return f"refs/tailgit/{tailnet}/applied"


def notes_ref(tailnet: str) -> str:
    """The git ref whose notes say what was applied by whom."""
    return f"refs/notes/tailgit/{tailnet}"


def applied_of(repository: Repo, tailnet: str) -> str:
    """The last commit that every node got, as this clone knows it; "" for none.

    Raises `SourceError` or `Refused` for a record that can't be followed: taken for
    none, it would let an older commit pass as the first one.
    """
    name, clone = applied_ref(tailnet), Clone(repository)
    sha = clone.ref(name)
    if sha and not repository.is_shallow():  # which is refused with its own sentence
        _must_be_commit(clone, name, sha)
    return sha


def _must_be_commit(clone: Clone, name: str, sha: str) -> None:
    kind = clone.kind(sha)
    forget = f"forget it with `git update-ref -d {name}`"
    if not kind:
        raise Refused(
            f"the fleet's record {name} is {sha[:7]}, which this clone does not have",
            f"{forget}, then fetch all branches, or go on with --record: what the "
            "nodes record counts in any case",
        )
    if kind != "commit":
        raise SourceError(
            f"the fleet's record {name} is a {kind}, not a commit",
            f"set it to the commit that was applied last, or {forget}",
        )


def opened(
    path: Path, tailnet: str, remote: str = "", *, for_commit: str = ""
) -> FleetRecord:
    """The record, before a plan is made; with a remote, as it is there.

    For a commit that is going to be applied the remote is asked at once whether we may
    push: `Refused` if not, while nothing has been changed. It can say yes and have a
    rule that judges only the push itself; that shows at the end.
    """
    repository, name = Repo(path), applied_ref(tailnet)
    # Also where the remote's counts: git fetches nothing while a ref is damaged.
    here = applied_of(repository, tailnet)
    if not remote or repository.is_shallow():  # which every plan refuses
        return FleetRecord(path, tailnet, here, remote)
    clone = Clone(repository)
    there = _fetched(clone, tailnet, remote)
    if there:
        _must_be_commit(clone, name, there)
        if not (here == there or clone.move(Move(name, here, there))):
            raise SourceError(f"git could not set {name} of this clone")
    if for_commit:
        move = Move(name, there, for_commit)
        why = clone.push(remote, [move], try_only=True).get(name)
        if why:
            raise Refused(
                f"the record can't be written to {plain(remote)}: {why}",
                f"nothing was changed; {_rights()}, or apply without --record",
            )
    return FleetRecord(path, tailnet, there or here, remote, there)


def _fetched(clone: Clone, tailnet: str, remote: str) -> str:
    """Bring both refs of a remote here, and its notes into ours; what is applied."""
    name, notes = applied_ref(tailnet), notes_ref(tailnet)
    there = clone.listed(remote, [name, notes])
    if there:
        clone.fetch(remote, there)
    _join(clone, notes, there.get(notes, ""))
    return there.get(name, "")


def written(
    record: FleetRecord, applied: Applied, *, by: str, at: str
) -> tuple[TailgitError, ...]:
    """Write down what became of a plan; what could not be written, and what to do.

    Nothing is written for a run that found nothing to do and nothing to move.
    """
    whole = complete(applied)
    commit = applied.plan.commit.sha
    known = record.there if record.remote else record.applied
    moves = whole and known != commit
    if not moves and not applied.plan.steps:
        return ()
    entry = entry_of(applied, by=by, at=at, whole=whole)
    try:
        return _written(record, entry, moves=moves)
    except TailgitError as error:
        said = f"the record was not written: {error.message}"
        again = "run the same apply again: it changes no node and writes the record"
        return (Incomplete(said, error.help or again),)


def complete(applied: Applied) -> bool:
    """Whether every node that is reached over SSH has the commit now."""
    good = {Result.APPLIED, Result.UNCHANGED}
    return bool(applied.outcomes) and all(o.result in good for o in applied.outcomes)


def _written(
    record: FleetRecord, entry: Entry, *, moves: bool
) -> tuple[TailgitError, ...]:
    clone, name = Clone(Repo(record.path)), applied_ref(record.tailnet)
    _append(clone, notes_ref(record.tailnet), entry)
    failed: tuple[TailgitError, ...] = ()
    if record.remote:
        failed = _shared(clone, record, entry.commit if moves else "")
    if moves and not failed:
        move = Move(name, record.applied, entry.commit)
        if not clone.move(move) and clone.ref(name) != move.new:
            failed = (_overtaken(move, clone.ref(name), "this clone"),)
    return failed


def _append(clone: Clone, notes: str, entry: Entry) -> None:
    """One more line in this clone's notes, whoever writes there at the same time."""
    for _ in range(ATTEMPTS):
        ours = clone.ref(notes)
        lines = lines_of(clone.repository, ours).get(entry.commit, ())
        text = _text([*lines, entry.line()])
        if clone.annotate(notes, ours, {entry.commit: text}):
            return
    raise SourceError(f"{notes} of this clone moves all the time")


def _join(clone: Clone, notes: str, theirs: str) -> None:
    """Take a notes commit of somebody else into ours; no line of either is lost."""
    for _ in range(ATTEMPTS):
        ours, repository = clone.ref(notes), clone.repository
        if not theirs or ours == theirs:
            return
        if ours and repository.is_ancestor(theirs, ours):
            return
        if not ours or repository.is_ancestor(ours, theirs):
            if clone.move(Move(notes, ours, theirs)):
                return
            continue
        both = _union(lines_of(repository, ours), lines_of(repository, theirs))
        known = {c: text for c, text in both.items() if clone.kind(c) == "commit"}
        if clone.annotate(notes, theirs, known, merging=ours):
            return
    raise SourceError(f"{notes} of this clone moves all the time")


def _union(
    ours: Mapping[str, Sequence[str]], theirs: Mapping[str, Sequence[str]]
) -> dict[str, bytes]:
    """The notes that `theirs` lacks lines of, each with the lines of both."""
    return {
        commit: _text([*theirs.get(commit, ()), *more])
        for commit, lines in ours.items()
        if (more := [line for line in lines if line not in theirs.get(commit, ())])
    }


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _shared(
    clone: Clone, record: FleetRecord, applied: str
) -> tuple[TailgitError, ...]:
    """Push our notes and, where it moves, the applied commit; what was not taken."""
    name, notes = applied_ref(record.tailnet), notes_ref(record.tailnet)
    ref = Move(name, record.there, applied)
    failed: list[TailgitError] = []
    for attempt in range(ATTEMPTS):
        there = clone.listed(record.remote, [name, notes])
        theirs = there.get(notes, "")
        if theirs:
            clone.fetch(record.remote, [notes])
            _join(clone, notes, theirs)
        moves = [Move(notes, theirs, clone.ref(notes))]
        moves += [ref] if applied and not attempt else []
        why = clone.push(record.remote, moves)
        now = clone.listed(record.remote, [name, notes]) if why else {}
        if name in why and now.get(name, "") != applied:
            found = now.get(name, "")
            lost = found != ref.old
            failed.append(
                _overtaken(ref, found, plain(record.remote))
                if lost
                else _refused(record, why[name])
            )
        if notes not in why:
            return tuple(failed)
        if now.get(notes, "") == theirs:  # nobody was faster: the server says no
            return (*failed, *([] if failed else [_refused(record, why[notes])]))
    return (*failed, _refused(record, "others push all the time"))


def _overtaken(move: Move, found: str, where: str) -> Incomplete:
    """Somebody moved the record while we applied; nodes are as the result says."""
    was, now = move.old[:7] or "nothing", found[:7] or "nothing"
    return Incomplete(
        f"the record of {where} went from {was} to {now} while this was applied, so "
        f"it was not set to {move.new[:7]}: somebody else applies, too",
        "the nodes have what is said above; see `tailgit status`, bring the branch up "
        "to date and apply again",
    )


def _refused(record: FleetRecord, why: str) -> Incomplete:
    return Incomplete(
        f"{plain(record.remote)} did not take the record: {why}",
        f"the nodes have what is said above; {_rights()}, then run the same apply "
        "again: it changes no node and writes the record",
    )


def _rights() -> str:
    return "let this key push refs/tailgit/* and refs/notes/tailgit/*"
