"""Access as tables: Markdown for a review, CSV for a spreadsheet.

Text from a repository is made harmless for where it goes. In Markdown it can be
nothing but text, and a cell of CSV never begins as a formula does.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from tailgit.access.lines import Line
from tailgit.access.matrix import Answer
from tailgit.access.parties import Party
from tailgit.model.deadline import deadline_text
from tailgit.model.text import shown
from tailgit.report.access import MOST_LINES, Report, sentence
from tailgit.report.parties import (
    MOST_NAMES,
    NO_LIMIT,
    because,
    description,
    device_name,
    full_name,
    ports_text,
    subnet_text,
    who_it_is,
)

_NOT_PLAIN = re.compile(r"[^\w ,/-]|_", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would work out."""

HEADS = ("Who", "Reaches", "Ports", "Until", "Because")


def as_markdown(report: Report, *, whole: bool = False) -> str:
    """A table with a row for each line."""
    rows = list(_rows(report, NO_LIMIT if whole else MOST_NAMES))
    most = len(rows) if whole else MOST_LINES
    more = f" (the first {most} of {len(rows)} lines)" if len(rows) > most else ""
    lines = [f"### Access in {markdown_code(report.tailnet.name)}{more}", ""]
    lines += [
        f"- {_plain(sentence(report, each, MOST_NAMES))}" for each in _single(report)
    ]
    lines += ["", f"| {' | '.join(HEADS)} |", "|-|-|-|-|-|"]
    for row in rows[:most]:
        lines.append(
            f"| {' | '.join('<br>'.join(map(markdown_code, cell)) for cell in row)} |"
        )
    if len(rows) > most:
        lines += ["", f"**and {len(rows) - most} more**: `tailgit access --all`"]
    return "\n".join(lines)


def _single(report: Report) -> tuple[Answer, ...]:
    return () if report.is_matrix else report.answers


Cell = tuple[str, ...]


def _rows(report: Report, names: int) -> Iterator[tuple[Cell, ...]]:
    for line, here in _all_lines(report):
        yield (
            (f"{full_name(line.src, names)}{who_it_is(line.src, names)}",),
            (f"{full_name(line.dst, names)}{who_it_is(line.dst, names)}",),
            (ports_text(line),),
            (*_until(line), *_endings(line)),
            tuple(because(each, here) for each in line.reasons),
        )


def _until(line: Line) -> Cell:
    return (deadline_text(line.until),) if line.until is not None else ()


def _endings(line: Line) -> Iterator[str]:
    """The devices of both ends that end by themselves, whatever the rule says."""
    ends = {m.name: m.until for m in (*line.src.members, *line.dst.members)}
    for name, until in sorted(ends.items()):
        if until is not None:
            yield f"{name} ends with {deadline_text(until)}"


def _all_lines(report: Report) -> Iterator[tuple[Line, Party]]:
    """Every line, with the end that was asked for."""
    yield from ((line, line.src) for line in report.policy)
    for answer in report.answers:
        for line in answer.lines:
            yield line, line.dst if answer.inward else line.src


def markdown_code(text: str) -> str:
    """Text that Markdown takes for nothing but text: no link, no mention, no cell."""
    return f"<code>{_plain(text)}</code>" if text else ""


def _plain(text: str) -> str:
    return _NOT_PLAIN.sub(lambda match: f"&#{ord(match[0])};", shown(text))


COLUMNS = (
    *("party", "source", "source_devices", "source_subnets", "destination"),
    *("destination_devices", "destination_subnets", "own_devices", "ports", "apps"),
    *("until", "devices_that_end", "rules", "descriptions"),
)


def as_csv(report: Report) -> str:
    """A row for each line, with every name in it, for spreadsheets."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in report.policy:
        writer.writerow(map(harmless_cell, _csv_row("", line)))
    for answer in report.answers:
        for line in answer.lines:
            writer.writerow(map(harmless_cell, _csv_row(answer.party.name, line)))
    return out.getvalue().rstrip("\n")


def _csv_row(party: str, line: Line) -> Iterator[str]:
    yield party
    yield from (full_name(line.src, NO_LIMIT), _devices(line.src), _subnets(line.src))
    yield from (full_name(line.dst, NO_LIMIT), _devices(line.dst), _subnets(line.dst))
    yield "yes" if line.is_self else "no"
    yield str(line.ports)
    yield _joined(line.apps)
    yield _joined(_until(line))
    yield _joined(_endings(line))
    yield _joined(f"{r.rule.place.file}:{r.rule.place.line}" for r in line.reasons)
    yield _joined(filter(None, map(description, line.reasons)))


def _devices(party: Party) -> str:
    return _joined(device_name(each) for each in party.members)


def _subnets(party: Party) -> str:
    return _joined(subnet_text(each) for each in party.subnets)


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(texts)


def harmless_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = shown(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
