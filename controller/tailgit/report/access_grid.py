"""Access as a grid: who on the left, what at the top, ports where they meet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

from tailgit.access.lines import Line, party_order
from tailgit.model.text import shown
from tailgit.report.access import Report
from tailgit.report.access_tables import harmless_cell, markdown_code
from tailgit.report.parties import (
    MOST_NAMES,
    NO_LIMIT,
    full_name,
    listed,
    ports_text,
    until_text,
)

Grid = list[list[str]]
"""Rows of cells; the first row and the first column are names."""


def as_text(report: Report) -> str:
    """Columns side by side, for a wide terminal."""
    grid = _mapped(_grid(report, MOST_NAMES), shown)
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    rows = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in grid
    )
    return "\n".join(row.rstrip() for row in rows)


def as_markdown(report: Report) -> str:
    head, *rows = _mapped(_grid(report, MOST_NAMES), markdown_code)
    lines = [head, ["-"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_csv(report: Report) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(_mapped(_grid(report, NO_LIMIT), harmless_cell))
    return out.getvalue().rstrip("\n")


def _mapped(grid: Grid, harmless: Callable[[str], str]) -> Grid:
    return [[harmless(cell) for cell in row] for row in grid]


def _grid(report: Report, names: int) -> Grid:
    found: dict[str, dict[str, list[str]]] = {}
    columns: dict[str, tuple[object, ...]] = {}
    for who, line in _lines(report, names):
        what = full_name(line.dst, names)
        columns[what] = party_order(line.dst)
        part = "" if line.is_whole else " (in part)"
        said = f"{ports_text(line)}{until_text(line.until)}{part}"
        found.setdefault(who, {}).setdefault(what, []).append(said)
    heads = sorted(columns, key=lambda name: columns[name])
    rows = (
        [who, *(", ".join(dict.fromkeys(cells.get(head, []))) for head in heads)]
        for who, cells in found.items()
    )
    return [["", *heads], *rows]


def _lines(report: Report, names: int) -> Iterator[tuple[str, Line]]:
    for line in report.policy:
        yield full_name(line.src, names), line
    for answer in report.answers:
        for line in answer.lines:
            yield listed(answer.party.names, names), line
