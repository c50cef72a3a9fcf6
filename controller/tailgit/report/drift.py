"""`drift` as text for people and as JSON for programs. Nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from tailgit.errors import NodeError
from tailgit.model.text import shown
from tailgit.plan.drift import Drift, Part
from tailgit.report.lines import COLUMNS, clipped, wrapped

_NO_LINES = {
    "filter": "it is not the table that was loaded; on the node "
    "`nft list table inet {table}` shows what it is",
}


def drift_text(
    tailnet: str,
    drifts: Sequence[Drift],
    failed: Mapping[str, NodeError],
    command: str,
) -> str:
    """For a terminal; `command` would put things right."""
    lines: list[str] = []
    found = [drift for drift in drifts if drift.found]
    for drift in found:
        lines += [*_drift(tailnet, drift), ""]
    for node, error in failed.items():
        said = "; ".join(map(shown, filter(None, (error.message, error.help))))
        lines += wrapped(f"? {shown(node)}  not read: ", said, "    ")
    if failed:
        lines.append("")
    asked = len(drifts) + len(failed)
    total = f"{len(drifts)} of {asked} node{'s' * (asked != 1)} answered"
    if not found:
        said = "all that answered run what was applied" if drifts else "nothing read"
        return "\n".join([*lines, f"{total}: {said}."]) + "\n"
    lines.append(f"{total}: {len(found)} with drift.")
    lines += wrapped(
        "",
        "Who changed it is written down nowhere: it did not come through tailgit. An "
        "apply overwrites it with what the commit says; what should stay belongs into "
        "the repository.",
        "",
    )
    return "\n".join([*lines, f"To overwrite:  {command}"]) + "\n"


def _drift(tailnet: str, drift: Drift) -> Iterator[str]:
    record = drift.record
    applied = f"generation {drift.generation}"
    if record is not None:
        applied += (
            f", {record.commit[:7]}, applied by {shown(record.by)} at {record.at}"
        )
    yield from wrapped(f"! {shown(drift.node)}  is not as ", applied, "    ")
    for sentence in drift.besides:
        yield from wrapped("    ", shown(sentence), "      ")
    for part in drift.parts:
        yield from _part(tailnet, part)
    if drift.cut:
        yield "    … and more than a node tells"


def _part(tailnet: str, part: Part) -> Iterator[str]:
    head = f"    {shown(part.name)} {part.state}"
    if not part.lines:
        table = f"tailgit_{tailnet.replace('-', '_')}"
        why = _NO_LINES.get(part.name, "").format(table=table)
        why = why if part.state == "differs" else ""
        yield from wrapped(head, f": {why}" if why else "", "      ") or [head]
        return
    yield head
    for line in part.lines:
        yield clipped(f"      {line.sign} {shown(line.text)}", COLUMNS)


def drift_json(
    tailnet: str, drifts: Sequence[Drift], failed: Mapping[str, NodeError]
) -> str:
    """The same as one JSON document; texts of nodes are as they came."""
    document = {
        "format_version": 1,
        "tailnet": tailnet,
        "drift": any(drift.found for drift in drifts),
        "complete": not failed,
        "nodes": [{**asdict(drift), "found": drift.found} for drift in drifts],
        "failed": [
            {"node": node, "message": error.message, "help": error.help}
            for node, error in failed.items()
        ],
    }
    return json.dumps(document, indent=2) + "\n"
