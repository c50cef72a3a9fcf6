"""A difference as JSON for programs, access and trust, in the schema's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tailgit.access.deadlines import Until
from tailgit.access.parties import Party
from tailgit.model.deadline import deadline_text
from tailgit.model.text import shown
from tailgit.report.access_change import ChangeReport, Compared, ports_words
from tailgit.review.causes import Cause
from tailgit.review.keeps import Kept
from tailgit.review.lines import ChangedLine
from tailgit.review.standing import TrustLine

FORMAT_VERSION = 1


def as_json(report: ChangeReport) -> str:
    """One document; nothing changes if `access.noop` and `trust.noop` are both so."""
    document: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "base": report.base,
        "head": report.head,
        "as_merged": report.as_merged,
        "tailnets": [_tailnet(each) for each in report.tailnets],
        "access": {
            "noop": all(each.change.is_noop for each in report.tailnets),
            "gained": list(_lines(report, gained=True)),
            "lost": list(_lines(report, gained=False)),
            "not_compared": sorted(
                {name for each in report.tailnets for name in each.change.others}
            ),
            "kept": [
                _kept(each, kept)
                for each in report.tailnets
                for kept in each.change.kept
            ],
        },
        "trust": {
            "noop": all(each.trust.is_noop for each in report.tailnets),
            "changes": [
                {"root": shown(each.root), **_trust(line)}
                for each in report.tailnets
                for line in each.trust.lines
            ],
        },
    }
    return json.dumps(document, indent=2)


def _trust(line: TrustLine) -> dict[str, object]:
    return {
        "kind": line.kind,
        "part": line.part.value,
        "name": shown(line.name),
        "text": shown(line.text),
        "change": line.change,
        "weight": line.weight.value,
        "before": None if line.was is None else shown(line.was),
        "after": None if line.now is None else shown(line.now),
        "file": shown(line.place.file),
        "line": line.place.line,
        "column": line.place.column,
        "side": "base" if line.is_old else "head",
    }


def _tailnet(each: Compared) -> dict[str, object]:
    counts = each.change.counts
    return {
        "root": shown(each.root),
        "name": shown(each.name),
        "in_base": each.was,
        "in_head": each.is_,
        "pairs": {
            "gain": counts.gain,
            "lose": counts.lose,
            "unchanged": counts.unchanged,
        },
    }


def _lines(report: ChangeReport, *, gained: bool) -> Iterator[dict[str, object]]:
    for each in report.tailnets:
        for line in each.change.gained if gained else each.change.lost:
            yield {"root": shown(each.root), **_line(line)}


def _line(line: ChangedLine) -> dict[str, object]:
    return {
        "src": _party(line.src),
        "dst": _party(line.dst),
        "own_devices": line.is_self,
        "ports": ports_words(line.ports),
        "ranges": [
            {"protocol": protocol, "first": first, "last": last}
            for protocol, first, last in line.ports.ranges
        ],
        "before": _held(line.was, held=line.was_held),
        "after": _held(line.until, held=line.is_held),
        "pairs": line.pairs,
        "no_device_yet": line.is_ahead,
        "implied": line.is_implied,
        "causes": [_cause(each) for each in line.causes],
        "rules": [
            {
                "file": shown(rule.place.file),
                "line": rule.place.line,
                "name": shown(rule.name),
            }
            for rule in line.rules
        ],
    }


def _held(until: Until, *, held: bool) -> dict[str, object]:
    end = deadline_text(until) if held and until is not None else None
    return {"open": held, "until": end}


def _party(party: Party) -> dict[str, object]:
    return {
        "names": [shown(name) for name in party.names],
        "devices": [
            {"name": shown(each.name), "versions": list(each.versions)}
            for each in party.members
        ],
        "subnets": [
            {"prefix": each.prefix, "routers": list(map(shown, each.routers))}
            for each in party.subnets
        ],
        "postures": [shown(each) for each in party.asks],
        "via": [shown(each) for each in party.via],
    }


def _cause(cause: Cause) -> dict[str, object]:
    return {
        "text": shown(cause.text),
        "file": shown(cause.place.file),
        "line": cause.place.line,
        "column": cause.place.column,
        "side": "base" if cause.is_old else "head",
        "devices": [shown(each) for each in cause.who],
    }


def _kept(each: Compared, kept: Kept) -> dict[str, object]:
    return {
        "root": shown(each.root),
        "who": shown(kept.who),
        "lines": [
            {
                "dst": _party(line.dst),
                "ports": ports_words(line.ports),
                "rules": [
                    {
                        "file": shown(reason.rule.place.file),
                        "line": reason.rule.place.line,
                        "through": [shown(name) for name in reason.through],
                    }
                    for reason in line.reasons
                ],
            }
            for line in kept.lines
        ],
    }
