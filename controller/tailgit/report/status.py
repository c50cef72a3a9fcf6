"""`status` as text for people and as JSON for programs.

One line for each device, then what is wrong where, then one sentence and what to do.
Nothing is computed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from tailgit.model.text import shown
from tailgit.plan.standing import ASIDE, Sessions, Standing, Status, Sync
from tailgit.report.lines import COLUMNS, clipped, lasting, table, wrapped

_WORDS = {
    Sync.IN_SYNC: "in sync",
    Sync.OLDER: "older",
    Sync.NEWER: "newer",
    Sync.ANOTHER: "another",
    Sync.UNLIKE: "compiled unlike",
    Sync.NOTHING: "nothing yet",
    Sync.DAMAGED: "record damaged",
    Sync.LEAVING: "leaves",
    Sync.NOT_READ: "not read",
    Sync.NOT_ENROLLED: "not enrolled",
    Sync.NOT_DELIVERED: "not delivered",
}
_TELLS_COMMIT = (Sync.OLDER, Sync.NEWER, Sync.ANOTHER)
_HEAD = ("", "node", "commit", "health", "gen", "peers alive", "last applied")
_MOST = (0, 28, 0, 0, 0, 0, 0)
"""The widest that a column may get; names of devices have up to 63 letters."""


def status_text(status: Status, command: str) -> str:
    """For a terminal; `command` is what to do next, "" for nothing."""
    new = status.commit.sha[:7]
    head = f"{status.tailnet} against {new} "
    room = COLUMNS - len(head) - 2
    lines = [f'{head}"{clipped(shown(status.commit.subject), room)}"', ""]
    rows = [_HEAD, *(_row(each, status.now) for each in status.standings)]
    lines += table(rows, _MOST)
    for standing in status.standings:
        lines += _explained(standing)
    lines.append("")
    for note in status.notes:
        lines += wrapped("note: ", shown(note), "  ")
    lines += wrapped("", _summary(status), "  ")
    if command:
        lines.append(f"Next:  {command}")
    return "\n".join(lines) + "\n"


def _row(standing: Standing, now: int) -> tuple[str, ...]:
    start = (_mark(standing), shown(standing.node))
    if standing.sync in ASIDE:
        return (*start, f"{_WORDS[standing.sync]}: {shown(standing.why)}")
    seen = standing.seen
    if seen is None:
        return (*start, _WORDS[standing.sync], "?")
    return (
        *start,
        _sync(standing),
        _health(standing),
        "-" if seen.current is None else str(seen.current),
        _sessions(standing.sessions),
        _applied(standing, now),
    )


def _mark(standing: Standing) -> str:
    if standing.sync in ASIDE:
        return "."
    if standing.seen is None:
        return "?"
    if standing.faults:
        return "!"
    return "=" if standing.sync is Sync.IN_SYNC else "~"


def _sync(standing: Standing) -> str:
    word = _WORDS[standing.sync]
    record = standing.seen.record if standing.seen else None
    if record is None or standing.sync not in _TELLS_COMMIT:
        return word
    behind = f" -{standing.behind}" if standing.behind else ""
    return f"{word} {record.commit[:7]}{behind}"


def _health(standing: Standing) -> str:
    count = len(standing.faults)
    words = [f"{count} fault{'s' * (count != 1)}" if count else "well"]
    seen = standing.seen
    if any(remark.startswith("suspended") for remark in standing.remarks):
        words.append("suspended")
    if seen is not None and seen.hold is not None:
        words.append("locked")
    return ", ".join(words)


def _sessions(sessions: Sessions | None) -> str:
    if sessions is None or not sessions.peers:
        return "-"
    age = "never" if sessions.newest is None else lasting(sessions.newest)
    return f"{sessions.alive} of {sessions.peers}, {age}"


def _applied(standing: Standing, now: int) -> str:
    record = standing.seen.record if standing.seen else None
    if record is None:
        return ""
    at = datetime.strptime(record.at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    age = lasting(max(0, now - int(at.timestamp())))
    back = " (rollback)" if record.kind == "rollback" else ""
    return f"{age} ago{back}, {shown(record.by)}"


def _explained(standing: Standing) -> Iterator[str]:
    """What is wrong with one device, and what one should know about it."""
    said = [shown(fault) for fault in standing.faults]
    if standing.seen is None and standing.sync not in ASIDE:
        said.append(shown(standing.why))
    if standing.sync in _EXPLAINED:
        said.append(_EXPLAINED[standing.sync])
    said += map(shown, standing.remarks)
    if not said:
        return
    yield ""
    yield shown(standing.node)
    for sentence in said:
        yield from wrapped("  - ", sentence, "    ")


_EXPLAINED = {
    Sync.NEWER: "it has a commit that comes after this one; to go back, see "
    "`tailgit rollback --help`",
    Sync.ANOTHER: "this clone can't tell whether its commit is older or newer: fetch "
    "the branch that it is on, with its whole history",
    Sync.UNLIKE: "it has this commit, compiled to something else: by another version "
    "of tailgit",
    Sync.LEAVING: "the commit does not have it any more; an apply takes it off",
}


def _summary(status: Status) -> str:
    asked = status.asked
    read = [each for each in asked if each.seen is not None]
    told = ", ".join(
        f"{count} {_WORDS[sync]}"
        for sync, count in status.counts.items()
        if sync not in ASIDE
    )
    ill = sum(bool(each.faults) for each in read)
    health = f"{ill} with faults" if ill else "all that answered are well"
    if not asked:
        return "No node of these is reached over SSH."
    nodes = f"{len(read)} of {len(asked)} node{'s' * (len(asked) != 1)} answered"
    return f"{nodes}: {told}; {health if read else 'nothing is known of their health'}."


def status_json(status: Status) -> str:
    """The same as one JSON document; texts of nodes are as they came."""
    document = {
        "format_version": 1,
        "tailnet": status.tailnet,
        "commit": asdict(status.commit),
        "time": status.now,
        "in_sync": status.in_sync,
        "healthy": status.healthy,
        "complete": status.complete,
        "counts": {str(sync): count for sync, count in status.counts.items()},
        "notes": list(status.notes),
        "nodes": [_document(each) for each in status.standings],
    }
    return json.dumps(document, indent=2) + "\n"


def _document(standing: Standing) -> dict[str, object]:
    found = asdict(standing)
    sessions, seen = standing.sessions, standing.seen
    found["healthy"] = standing.healthy
    found["sessions"] = asdict(sessions) if sessions else None
    if seen is not None:
        found["seen"]["parts"] = dict(seen.parts)
    return found
