"""Access as text for people and as JSON for programs; tables are beside this module.

Nothing is worked out here: `access.matrix` made the answers. What is too long for a
screen is cut with a count, in text and Markdown alone; JSON and CSV are always whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tailgit.access.lines import Line, Reason
from tailgit.access.matrix import Answer
from tailgit.access.parties import Party
from tailgit.model.deadline import Deadline, deadline_text
from tailgit.model.tailnet import Tailnet
from tailgit.model.text import shown
from tailgit.report.parties import (
    MOST_NAMES,
    NO_LIMIT,
    because,
    count,
    full_name,
    listed,
    ports_text,
    until_text,
    who_it_is,
)

FORMAT_VERSION = 1
MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Report:
    """Answers about one tailnet at one time, and the commit they were read from.

    `policy` stands instead of answers for the lines of the whole policy. With
    `is_alone` there is no tailnet around it, and devices stand for who is named.
    """

    tailnet: Tailnet
    devices: int
    answers: tuple[Answer, ...] = ()
    policy: tuple[Line, ...] = ()
    commit: str | None = None
    at: Deadline | None = None
    is_matrix: bool = False
    is_alone: bool = False

    @property
    def lines(self) -> int:
        return len(self.policy) + sum(len(each.lines) for each in self.answers)


# Text


def as_text(report: Report, *, whole: bool = False) -> str:
    """Blocks of lines, each with the rules that cause it; `whole` cuts nothing."""
    most = report.lines if whole else MOST_LINES
    names = NO_LIMIT if whole else MOST_NAMES
    blocks = list(_blocks(report, names))
    kept: list[str] = []
    left = most
    for head, lines in blocks:
        if left <= 0 and lines:
            break
        kept += [*head, *(text for line in lines[:left] for text in line), ""]
        left -= len(lines)
    if report.lines > most:
        kept += [f"and {report.lines - most} more lines (--all shows them)", ""]
    kept += _last_lines(report)
    if report.is_alone:
        kept.append("note: no devices here; each user, role and tag stands for one")
    return "\n".join(map(shown, kept)).rstrip("\n")


Block = tuple[list[str], list[list[str]]]
"""A heading, and lines of access with all their lines of text."""


def _blocks(report: Report, names: int) -> Iterator[Block]:
    sources: dict[str, list[Line]] = {}
    for line in report.policy:
        sources.setdefault(full_name(line.src), []).append(line)
    for lines in sources.values():
        head = f"{full_name(lines[0].src)}{who_it_is(lines[0].src, names)}"
        yield [head], [_entry(line, False, names) for line in lines]
    for answer in report.answers:
        if not report.is_matrix or answer.lines:
            entries = [_entry(x, answer.inward, names) for x in answer.lines]
            notes = list(_notes(answer, names))
            yield [sentence(report, answer, names), *notes], entries
    quiet = [a.party.name for a in report.answers if report.is_matrix and not a.lines]
    if quiet:
        yield [f"Nothing for {listed(quiet, names)}."], []


def sentence(report: Report, answer: Answer, names: int) -> str:
    party = answer.party
    name = f"{listed(party.names, names)}{who_it_is(party, names)}"
    if not answer.lines:
        return (
            f"Nobody may reach {name}."
            if answer.inward
            else f"{name} may reach nothing."
        )
    counts = f"{answer.devices} of {report.devices} devices"
    if answer.subnets:
        counts += f" and {count(answer.subnets, 'subnet')}"
    if answer.inward:
        return f"{counts} may reach {name}:"
    return f"{name} may reach {counts}:"


def _notes(answer: Answer, names: int) -> Iterator[str]:
    """What holds for all of an answer: devices that end, and gateways between."""
    for member in answer.ending[:names]:
        yield f"  note: {member.name} ends with {deadline_text(member.until or 0)}"
    if len(answer.ending) > names:
        yield f"  note: {len(answer.ending) - names} more devices have an end"
    gateways: dict[str, list[str]] = {}
    for member in answer.carried:
        gateways.setdefault(member.gateway, []).append(member.name)
    for gateway, devices in gateways.items():
        it = "it" if len(devices) == 1 else "them"
        said = f"{listed(devices, names)} via gateway {gateway}"
        yield f"  note: {said}, which can act as {it}"


def _entry(line: Line, inward: bool, names: int) -> list[str]:
    """One line of access: who or what, the ports, and below it why."""
    here, other = (line.dst, line.src) if inward else (line.src, line.dst)
    who = f"{full_name(other, names)}{who_it_is(other, names)}"
    texts = [f"  {who:<44}  {ports_text(line)}{until_text(line.until)}"]
    if line.is_self and inward:
        texts.append("      their own devices")
    if not line.is_whole:
        texts.append(f"      only {listed(here.names, names)}{who_it_is(here, names)}")
    return texts + [f"      {because(each, here)}" for each in line.reasons]


def _last_lines(report: Report) -> Iterator[str]:
    said = f"{report.tailnet.name}: {count(report.lines, 'line')} of access"
    if report.is_matrix or report.policy:
        said += f", {count(len(report.answers), 'party', 'parties')}" * bool(
            report.answers
        )
        said += f", {count(report.devices, 'device')}"
        yield said


# JSON


def as_json(report: Report) -> str:
    """One document with every line, whatever its length."""
    document: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "tailnet": report.tailnet.name,
        "commit": report.commit,
        "at": deadline_text(report.at) if report.at is not None else None,
        "devices": report.devices,
    }
    if report.answers:
        document["answers"] = [_json_answer(each) for each in report.answers]
    else:
        document["lines"] = [_json_line(each) for each in report.policy]
    return json.dumps(document, indent=2)


def _json_answer(answer: Answer) -> dict[str, object]:
    return {
        "party": _json_party(answer.party),
        "direction": "to" if answer.inward else "from",
        "devices": answer.devices,
        "subnets": answer.subnets,
        "lines": [_json_line(each) for each in answer.lines],
    }


def _json_line(line: Line) -> dict[str, object]:
    return {
        "src": _json_party(line.src),
        "dst": _json_party(line.dst),
        "whole": line.is_whole,
        "own_devices": line.is_self,
        "ports": shown(str(line.ports)),
        "ranges": [
            {"protocol": protocol, "first": first, "last": last}
            for protocol, first, last in line.ports.ranges
        ],
        "apps": [shown(each) for each in line.apps],
        "until": deadline_text(line.until) if line.until is not None else None,
        "rules": [_json_reason(each) for each in line.reasons],
    }


def _json_party(party: Party) -> dict[str, object]:
    return {
        "names": [shown(each) for each in party.names],
        "kind": party.kind.value if party.kind is not None else None,
        "devices": [
            {
                "name": each.name,
                "versions": list(each.versions),
                "until": deadline_text(each.until) if each.until is not None else None,
                "gateway": each.gateway or None,
            }
            for each in party.members
        ],
        "subnets": [
            {"prefix": each.prefix, "routers": list(each.routers)}
            for each in party.subnets
        ],
        "people": party.people,
        "postures": [shown(each) for each in party.asks],
        "via": list(party.via),
    }


def _json_reason(reason: Reason) -> dict[str, object]:
    rule = reason.rule
    return {
        "file": shown(rule.place.file),
        "line": rule.place.line,
        "column": rule.place.column,
        "section": rule.section,
        "name": shown(rule.name),
        "description": shown(rule.description),
        "through": [shown(each) for each in reason.through],
        "until": deadline_text(rule.expires) if rule.expires is not None else None,
    }
