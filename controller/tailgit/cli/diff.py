"""`tailgit diff`: what a change means, from git alone."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.access import At
from tailgit.cli.tailnet import MOST_TAILNETS, Format, Repo
from tailgit.errors import Exit, InvalidTailnet, SourceError, UsageError

if TYPE_CHECKING:
    from tailgit.access.deadlines import Until
    from tailgit.load import Loaded
    from tailgit.load.source import Source
    from tailgit.model.tailnet import Tailnet
    from tailgit.report.access_change import ChangeReport, Compared


def diff(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="A git revision, or a folder.")
    ],
    head: Annotated[
        str | None,
        typer.Argument(
            metavar="HEAD", help="Another; the files of --repo if it is left out."
        ),
    ] = None,
    output: Format = "text",
    at: At = None,
    detailed: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit 2 if anything changes."),
    ] = False,
    as_merged: Annotated[
        bool,
        typer.Option("--as-merged", help="Merge HEAD into BASE first, in memory."),
    ] = False,
    repo: Repo = Path(),
) -> Exit:
    """Say who gains and who loses access to what.

    BASE and HEAD are compared by what they let happen, not by their text: a rule
    written differently that means the same makes no difference. Each line has the place
    that caused it, also where that is a group, a tag, a host, a posture, a route, an
    expiry or a device far from the rule. "no device yet" is a line for devices to come.

    Then what stands behind the names, whoever reaches them: keys, host keys, owners,
    addresses, resolvers, records, approvers, tests, delegations and so on. `!` is what
    to look at first. "No change." is said only where neither half changes.
    Git alone is asked, no node and no secret.

    --as-merged compares BASE with what it becomes once HEAD is merged, so that a branch
    that is behind does not seem to take back what others did. A conflict is an error.

    Where there is but a policy.hujson, two devices stand for each name of the change.
    A folder that is also the name of a revision is written `./NAME`.

    \b
    Examples:
      tailgit diff HEAD
      tailgit diff origin/main HEAD --as-merged
      tailgit diff v1.4 v1.5 --repo infra --format json
      tailgit diff main --detailed-exitcode
      tailgit diff ./before ./after
    """
    report = diff_of(base, head, repo, at, as_merged=as_merged)
    if output == "json":
        from tailgit.report.access_change_json import as_json

        print(as_json(report))
    else:
        from tailgit.report.access_change import as_text

        print(as_text(report))
    return Exit.CHANGES if detailed and not report.is_noop else Exit.DONE


@dataclass(frozen=True, slots=True)
class _Side:
    """One side: where it is read from, and the tailnets there by their folder."""

    source: Source
    roots: dict[str, str]

    def load(self, key: str) -> Loaded | None:
        from tailgit.load import load_from

        root = self.roots.get(key)
        return None if root is None else load_from(self.source, root)


def diff_of(
    base: str, head: str | None, repo: Path, at: str | None, *, as_merged: bool = False
) -> ChangeReport:
    """What changes between two sides, tailnet by tailnet."""
    from tailgit.cli.surroundings import surroundings
    from tailgit.report.access_change import ChangeReport

    now = surroundings(at).now
    one = _side(base, repo)
    other = _merged(base, head, repo) if as_merged else _side(head, repo)
    keys = sorted(one.roots.keys() | other.roots.keys())
    if not keys:
        raise SourceError(
            "neither side has a tailnet.yaml or a policy.hujson",
            "name the folder that holds one: --repo FOLDER",
        )
    if len(keys) > MOST_TAILNETS:
        raise UsageError(
            f"{len(keys)} tailnets, and one comparison takes {MOST_TAILNETS}",
            "name a folder that holds fewer: --repo FOLDER",
        )
    compared = tuple(
        _compared(key, one.load(key), other.load(key), now) for key in keys
    )
    commits = one.source.commit, other.source.commit
    return ChangeReport(compared, *commits, as_merged=as_merged)


def _merged(base: str, head: str | None, repo: Path) -> _Side:
    from tailgit.load import Repo as Git
    from tailgit.load.merging import merged
    from tailgit.load.source import every_root, open_source

    if head is None or _is_folder(base, repo) or _is_folder(head, repo):
        raise UsageError(
            "--as-merged merges one revision into another",
            "name two revisions: tailgit diff origin/main HEAD --as-merged",
        )
    _, folder = open_source(repo, base)
    source = merged(Git(repo), base, head)
    return _Side(source, {root: root for root in every_root(source, folder)})


def _side(text: str | None, repo: Path) -> _Side:
    from tailgit.load.source import every_root, open_source

    if text is None:
        source, folder = open_source(repo, None)
    elif _is_folder(text, repo):
        source, folder = open_source(Path(text), None)
    else:
        source, folder = open_source(repo, text)
    found = every_root(source, folder)
    if text is not None and _is_folder(text, repo):
        # Two folders may lie anywhere: what counts is what is below each of them.
        start = f"{folder}/" if folder else ""
        return _Side(source, {f"{r}/".removeprefix(start)[:-1]: r for r in found})
    return _Side(source, {root: root for root in found})


def _is_folder(text: str, repo: Path) -> bool:
    """Whether a side is a folder: it looks like one, or is no revision."""
    from tailgit.load import Repo as Git

    if not Path(text).is_dir():
        return False
    if text.startswith((".", "/")):
        return True
    try:
        Git(repo).resolve(text)
    except SourceError:
        return True
    return False


def _compared(
    key: str, one: Loaded | None, other: Loaded | None, now: Until
) -> Compared:
    from tailgit.report.access_change import Compared
    from tailgit.review.access import difference
    from tailgit.review.trust import Side, trust_difference

    # What was loaded stays until the end; looking through it again and again costs.
    gc.freeze()
    old = None if one is None else _tailnet(one)
    new = None if other is None else _checked(other)
    known = new or old
    assert known is not None
    # A tailnet that is not there lets nothing happen.
    nothing = replace(known, devices={}, rules=(), users={}, groups={})
    change = difference(old or nothing, new or nothing, now)
    sides = [None if each is None else Side.of(each) for each in (one, other)]
    some = sides[1] or sides[0]
    assert some is not None
    before, after = (each or some.emptied() for each in sides)
    return Compared(
        key,
        known.name,
        change,
        trust_difference(before, after, change.others),
        was=old is not None,
        is_=new is not None,
        is_alone=all(each is None or each.is_bare for each in (old, new)),
    )


def _tailnet(loaded: Loaded) -> Tailnet:
    if loaded.tailnet is None:
        raise InvalidTailnet(loaded.findings, loaded.commit)
    return loaded.tailnet


def _checked(loaded: Loaded) -> Tailnet:
    """The side that is to come must be valid; what `check` only warns of may wait.

    The dear half of a check looks for rules that are dead and names that nobody uses:
    that is no error, and it would cost more than the comparison.
    """
    from tailgit.check.attachments import check_attachments
    from tailgit.check.devices import check_devices
    from tailgit.check.policy import check_policy
    from tailgit.check.references import check_references
    from tailgit.check.routes import check_routes
    from tailgit.model.findings import in_order

    tailnet = _tailnet(loaded)
    judges = check_references, check_devices, check_attachments, check_routes
    findings = [f for judge in (*judges, check_policy) for f in judge(tailnet)]
    if any(finding.is_error for finding in findings):
        raise InvalidTailnet(in_order((*loaded.findings, *findings)), loaded.commit)
    return tailnet
