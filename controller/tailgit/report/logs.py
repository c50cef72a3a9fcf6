"""Logs as tables and JSON: a node's own, the fleet's record, what a command did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from tailgit.errors import NodeError
from tailgit.model.text import shown
from tailgit.plan.entry import Entry
from tailgit.report.lines import table, wrapped

_LOG = ("time", "verb", "generation", "outcome", "details")


def log_text(node: str, lines: Sequence[Sequence[str]]) -> str:
    """A node's log for a terminal, the newest line last."""
    if not lines:
        return f"{shown(node)} has written nothing down yet.\n"
    rows: list[tuple[str, ...]] = [("time (UTC)", "verb", "gen", "outcome", "details")]
    rows += [tuple(map(shown, line)) for line in lines]
    return "\n".join(table(rows, (20, 12, 6, 20, 0))) + "\n"


def log_json(node: str, lines: Sequence[Sequence[str]]) -> str:
    """The same as JSON; texts are as they came."""
    document = {
        "format_version": 1,
        "node": node,
        "lines": [dict(zip(_LOG, line, strict=True)) for line in lines],
    }
    return json.dumps(document, indent=2) + "\n"


def history_text(
    tailnet: str, applied: str, entries: Sequence[Entry], total: int
) -> str:
    """The fleet's record for a terminal, the newest line first."""
    last = f"every node got {applied[:7]}" if applied else "no commit got to every node"
    lines = [f"{tailnet}: {last}, as far as this clone knows"]
    if not entries:
        return "\n".join([*lines, "No apply is written down here."]) + "\n"
    rows = [("applied (UTC)", "commit", "what", "result", "by"), *map(_entry, entries)]
    head, *told = table(rows, (16, 7, 8, 40, 0))
    lines += ["", head]
    for line, entry in zip(told, entries, strict=True):
        lines += [line, *_reasons(entry)]
    if total > len(entries):
        lines.append(f"… and {total - len(entries)} before (-n shows more)")
    return "\n".join(lines) + "\n"


def _entry(entry: Entry) -> tuple[str, ...]:
    counts = ", ".join(
        f"{n} {shown(word).replace('-', ' ')}" for word, n in entry.counts.items()
    )
    return (
        shown(entry.at[:16].replace("T", " ")),
        shown(entry.commit[:7]),
        shown(entry.kind),
        counts or "nothing",
        shown(entry.by),
    )


def _reasons(entry: Entry) -> Iterable[str]:
    """What was overruled, and who did not get it."""
    for guard, reason in entry.overrides.items():
        yield from wrapped("  ! ", f"{shown(guard)} let pass: {shown(reason)}", "    ")
    if entry.failed:
        names = " ".join(
            f"{shown(one.node)} ({shown(one.code or one.result.replace('-', ' '))})"
            for one in entry.failed
        )
        yield from wrapped("  x ", names, "    ")


def history_json(tailnet: str, applied: str, entries: Sequence[Entry]) -> str:
    """The same as JSON."""
    document = {
        "format_version": 1,
        "tailnet": tailnet,
        "applied": applied,
        "entries": [asdict(entry) for entry in entries],
    }
    return json.dumps(document, indent=2) + "\n"


def acts_text(
    word: str, nodes: Sequence[str], errors: Mapping[str, NodeError], follow: str
) -> str:
    """What a command did on nodes: those it was done on, and why not on others."""
    lines = wrapped(f"{word}:  ", " ".join(map(shown, nodes)), "  ")
    for node, error in errors.items():
        said = "; ".join(map(shown, filter(None, (error.message, error.help))))
        lines += wrapped(f"x {shown(node)}  not {word}: ", said, "    ")
    if follow:
        lines.append(follow)
    return "".join(f"{line}\n" for line in lines)


def acts_json(word: str, nodes: Sequence[str], errors: Mapping[str, NodeError]) -> str:
    """The same as JSON."""
    document = {
        "format_version": 1,
        word: list(nodes),
        "failed": [
            {"node": node, "message": error.message, "help": error.help}
            for node, error in errors.items()
        ],
    }
    return json.dumps(document, indent=2) + "\n"
