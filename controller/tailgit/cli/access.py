"""`tailgit access`: what somebody may reach, and who may reach something."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailgit.cli.tailnet import Commit, Repo, valid
from tailgit.errors import SourceError, UsageError

if TYPE_CHECKING:
    from tailgit.access import Relation
    from tailgit.access.lines import Line
    from tailgit.access.matrix import Answer
    from tailgit.report.access import Report

By = Literal["group", "tag", "device", "user"]

At = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Judge expiry at this time, not now: a day (its end) or RFC 3339.",
    ),
]


def access(
    who: Annotated[
        str | None,
        typer.Argument(metavar="WHO", help="What may this one reach?"),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="WHAT", help="Who may reach this one?"),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(help="What everybody may reach: by group, tag, device or user."),
    ] = None,
    output: Annotated[
        Literal["text", "json", "markdown", "csv"],
        typer.Option("--format", help="For people, programs, reviews or spreadsheets."),
    ] = "text",
    grid: Annotated[
        bool,
        typer.Option("--grid", help="A grid of who and what, without the reasons."),
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Cut no list short, however long it is.")
    ] = False,
    at: At = None,
    commit: Commit = None,
    repo: Repo = Path(),
) -> None:
    """Say who may reach what.

    WHO and WHAT are users, groups, tags, devices, hosts, addresses, prefixes or
    autogroups. An answer has a line for each thing that the policy names, with its
    ports, when it ends, and the rules (file and line) that cause it. "only" says for
    which part of WHO or WHAT a line holds; "as", under which name a rule means them.

    Without WHO and --to it shows the whole policy, or with --by what every group, tag,
    device or user may reach; those that have the same share a row. With --grid both
    are tables with ports where a row and a column meet.

    Only the rules count here: a device that awaits its key is in the list, too. Where
    there is but a policy.hujson, each user and tag that it names stands for a device.

    \b
    Examples:
      tailgit access ana@acme.com
      tailgit access group:contractors --at 2027-01-31
      tailgit access --to tag:db
      tailgit access --to 10.20.4.10
      tailgit access --by user --format csv > access.csv
      tailgit access --by group --grid --format markdown
      tailgit access tag:web --commit HEAD~3 --format markdown
    """
    question = _question(who, to, by)
    if grid and (output == "json" or who is not None or to is not None):
        raise UsageError(
            "--grid is for the whole policy and for --by, and no JSON",
            "leave out WHO, --to and --format json",
        )
    report = _report(question, repo, commit, at)
    print(_grid(report, output) if grid else _rendered(report, output, whole=every))


def _rendered(report: Report, output: str, *, whole: bool) -> str:
    from tailgit.report.access import as_json, as_text
    from tailgit.report.access_tables import as_csv, as_markdown

    if output == "json":
        return as_json(report)
    if output == "csv":
        return as_csv(report)
    if output == "markdown":
        return as_markdown(report, whole=whole)
    return as_text(report, whole=whole)


def _grid(report: Report, output: str) -> str:
    from tailgit.report.access_grid import as_csv, as_markdown, as_text

    if output == "csv":
        return as_csv(report)
    return as_markdown(report) if output == "markdown" else as_text(report)


_Question = tuple[str | None, str | None, By | None]


def _question(who: str | None, to: str | None, by: By | None) -> _Question:
    if sum(each is not None for each in (who, to, by)) > 1:
        raise UsageError(
            "WHO, --to and --by are three questions",
            "ask one; `tailgit explain SRC DST` is about two ends at once",
        )
    return who, to, by


def _report(
    question: _Question, repo: Path, commit: str | None, at: str | None
) -> Report:
    from tailgit.access import Relation
    from tailgit.access.matrix import matrix, policy_lines
    from tailgit.cli.surroundings import surroundings
    from tailgit.load.bare import with_stand_ins
    from tailgit.report.access import Report

    now = surroundings(at).now
    loaded = valid(repo, commit, tests=False)
    if loaded.tailnet is None:
        raise SourceError(f"{repo} has no tailnet")
    tailnet = with_stand_ins(loaded.tailnet)
    relation = Relation.of(tailnet, now)
    who, to, by = question
    answers: tuple[Answer, ...] = ()
    policy: tuple[Line, ...] = ()
    if by is not None:
        answers = matrix(relation, by)
    elif who is None and to is None:
        policy = policy_lines(relation)
    else:
        answers = (_answer(relation, who, to),)
    return Report(
        tailnet,
        len(relation.devices),
        answers,
        policy,
        loaded.commit,
        now,
        is_matrix=by is not None,
        is_alone=tailnet is not loaded.tailnet,
    )


def _answer(relation: Relation, who: str | None, to: str | None) -> Answer:
    from tailgit.access.ends import read_selector
    from tailgit.access.matrix import reach, reached_by

    if to is not None:
        return reached_by(relation, read_selector(relation.tailnet, to))
    return reach(relation, read_selector(relation.tailnet, who or ""))
