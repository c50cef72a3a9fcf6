"""Which commit a rollback goes back to, from what nodes keep and git knows.

A node's list of generations is testimony. It only chooses among commits of this clone
that what is applied now contains, and nothing but a person's yes acts on the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tailgit.compile import Bundle
from tailgit.errors import NodeError, Refused, TailgitError
from tailgit.load.git import Repo
from tailgit.plan.observed import Generation, Observed

Seen = Mapping[str, Observed | NodeError]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The commit to go back to, the one that is applied now, and who named it."""

    commit: str
    applied: str
    nodes: tuple[str, ...]


def applied_now(repository: Repo, seen: Seen) -> str:
    """The newest commit that a node has confirmed.

    `Refused` where nodes have commits that this clone doesn't know, or of which neither
    contains the other.
    """
    newest = ""
    for node, one in sorted(seen.items()):
        if not isinstance(one, Observed) or one.record is None:
            continue
        commit = one.record.commit
        _known(repository, node, commit)
        if not newest or repository.is_ancestor(newest, commit):
            newest = commit
        elif not repository.is_ancestor(commit, newest):
            raise Refused(
                f"{node} has {commit[:7]}, another has {newest[:7]}, and neither "
                "contains the other: there is no one commit that was before",
                "name the commit to go back to: --to COMMIT",
            )
    if not newest:
        raise Refused(
            "nothing was applied yet, as far as the nodes that answered say",
            "see `tailgit plan`",
        )
    return newest


def earlier(repository: Repo, seen: Seen) -> Earlier:
    """The newest commit before the present one that a node had confirmed."""
    applied = applied_now(repository, seen)
    found: dict[str, list[str]] = {}
    for node, one in sorted(seen.items()):
        if isinstance(one, Observed):
            for each in _behind(one):
                if _is_older(repository, each.commit, applied):
                    found.setdefault(each.commit, []).append(node)
    if not found:
        raise Refused(
            f"no node keeps a commit from before {applied[:7]}",
            "name the commit to go back to: --to COMMIT",
        )
    commit = max(found, key=lambda each: (repository.height(each), each))
    return Earlier(commit, applied, tuple(dict.fromkeys(found[commit])))


def older_than(repository: Repo, commit: str, applied: str) -> None:
    """`Refused` unless `commit` was there before `applied`."""
    if commit == applied or _is_older(repository, commit, applied):
        return
    if _is_older(repository, applied, commit):
        raise Refused(
            f"{commit[:7]} is newer than {applied[:7]}, which is applied",
            f"to go forward: tailgit apply --commit {commit[:7]}",
        )
    raise Refused(
        f"{commit[:7]} was never part of {applied[:7]}, which is applied",
        "a rollback goes back to a commit that the applied one contains",
    )


def chosen(node: str, one: Observed, number: int | None) -> Generation:
    """The generation of a node to go back to: `number`, else the one before."""
    kept = {each.number: each for each in one.generations}
    if number is not None and number not in kept:
        has = ", ".join(map(str, sorted(kept))) or "none"
        raise Refused(f"{node} keeps no generation {number}", f"it keeps: {has}")
    if number is not None and number == one.current:
        raise Refused(f"{node} runs generation {number} already", "")
    if number is not None:
        return kept[number]
    present = kept.get(one.current or 0)
    for each in sorted(_behind(one), key=lambda each: -each.number):
        if present is None or each.manifest != present.manifest:
            return each
    raise Refused(
        f"{node} keeps no other generation from before",
        "bring it another commit: tailgit rollback --to COMMIT",
    )


def name_then(
    bundles: Mapping[str, Bundle], node: str, names: tuple[str, ...], wanted: Generation
) -> str:
    """What a node was called in the commit of a generation, if that is what it got.

    `Refused` if the commit compiles to something else for it here.
    """
    for name in (node, *names):
        if name in bundles and bundles[name].digest == wanted.manifest:
            return name
    if not any(name in bundles for name in (node, *names)):
        why = "has no such device with a key"
    else:
        why = "compiles to something else for it here (another tailgit made it?)"
    raise Refused(
        f"{node}: generation {wanted.number} can't be brought back: "
        f"{wanted.commit[:7]} {why}",
        "go back to a commit instead: tailgit rollback --to COMMIT",
    )


def _behind(one: Observed) -> tuple[Generation, ...]:
    """Generations before the present one; what was given up last never counted."""
    return tuple(
        each
        for each in one.generations
        if one.current is not None
        and each.number < one.current
        and each.number != one.rolledback
    )


def _known(repository: Repo, node: str, commit: str) -> None:
    try:
        found = repository.resolve(commit)
    except TailgitError:
        found = ""
    if found != commit:
        raise Refused(
            f"{node} has {commit[:7]}, which this clone does not know",
            "fetch the branch that it is on",
        )


def _is_older(repository: Repo, commit: str, than: str) -> bool:
    """Whether the clone knows it, and `than` contains it and more."""
    try:
        if repository.resolve(commit) != commit:
            return False
    except TailgitError:
        return False
    return commit != than and repository.is_ancestor(commit, than)
