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
        typer.Argument(metavar="[WHO]", help="What may this one reach?"),
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
    device or user may reach; those that have the same share a line.

    Only the rules count here: a device that awaits its key is in the list, too.

    \b
    Examples:
      tailgit access ana@acme.com
      tailgit access group:contractors --at 2027-01-31
      tailgit access --to tag:db
      tailgit access --to 10.20.4.10
      tailgit access --by user --format csv > access.csv
      tailgit access tag:web --commit HEAD~3 --format markdown
    """
    from tailgit.report.access import as_json, as_text
    from tailgit.report.access_tables import as_csv, as_markdown

    report = _report(_question(who, to, by), repo, commit, at)
    if output == "json":
        print(as_json(report))
    elif output == "csv":
        print(as_csv(report))
    elif output == "markdown":
        print(as_markdown(report, whole=every))
    else:
        print(as_text(report, whole=every))


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
    from tailgit.report.access import Report

    now = surroundings(at).now
    loaded = valid(repo, commit, tests=False)
    if loaded.tailnet is None:
        raise SourceError(f"{repo} has no tailnet")
    relation = Relation.of(loaded.tailnet, now)
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
        loaded.tailnet,
        len(relation.devices),
        answers,
        policy,
        loaded.commit,
        now,
        is_matrix=by is not None,
    )


def _answer(relation: Relation, who: str | None, to: str | None) -> Answer:
    from tailgit.access.ends import read_selector
    from tailgit.access.matrix import reach, reached_by

    if to is not None:
        return reached_by(relation, read_selector(relation.tailnet, to))
    return reach(relation, read_selector(relation.tailnet, who or ""))
