"""Verdicts as text for people and as JSON for programs; computes nothing new."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tailgit.model.text import shown
from tailgit.probe.probes import Outcome
from tailgit.probe.verify import Verdict

_WORDS = {True: "ok  ", False: "FAIL", None: "skip"}


def as_text(verdicts: Sequence[Verdict]) -> str:
    """One line an expectation, what went wrong below it, and the count last."""
    lines = []
    for verdict in verdicts:
        expectation = verdict.expectation
        lines.append(f"{_WORDS[verdict.met]}  {expectation}  {expectation.place}")
        lines += [f"      {note}" for note in verdict.notes]
    probed = [verdict for verdict in verdicts if verdict.met is not None]
    met = sum(verdict.met is True for verdict in probed)
    skipped = len(verdicts) - len(probed)
    lines.append(
        f"{met} of {len(probed)} expectations met"
        + (f", {skipped} can't be probed" if skipped else "")
    )
    return "\n".join(map(shown, lines))


def as_json(verdicts: Sequence[Verdict]) -> str:
    """One document; `met` is null where nothing could be probed."""
    return json.dumps(
        {
            "format_version": 1,
            "expectations": len(verdicts),
            "met": sum(verdict.met is True for verdict in verdicts),
            "failed": sum(verdict.met is False for verdict in verdicts),
            "verdicts": [_verdict(verdict) for verdict in verdicts],
        },
        indent=2,
    )


def _verdict(verdict: Verdict) -> dict[str, object]:
    expectation = verdict.expectation
    return {
        "src": expectation.src,
        "target": expectation.target,
        "family": expectation.family,
        "expected": "accept" if expectation.accept else "deny",
        "met": verdict.met,
        "file": expectation.place.file,
        "line": expectation.place.line,
        "column": expectation.place.column,
        "notes": list(verdict.notes),
        "probes": [_outcome(outcome) for outcome in verdict.outcomes],
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    probe = outcome.probe
    return {
        "dst": probe.dst,
        "address": str(probe.address),
        "protocol": probe.protocol,
        "port": probe.port,
        "result": str(outcome.result),
        "arrived": outcome.arrived,
        "detail": outcome.detail,
    }
