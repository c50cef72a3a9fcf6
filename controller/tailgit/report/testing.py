"""Runs of the policy's own tests: text for people, JSON, and JUnit for CI servers.

A test is called by the comment above it, else by its section and source. In JUnit every
target is a case, since that is what holds or fails; a tailnet without tests has one
case that says so, because a report without any is an error to Jenkins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from tailgit.access.trials import Trial, Tried
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown
from tailgit.report.findings import as_text as findings_text
from tailgit.report.parties import count

FORMAT_VERSION = 1

# Servers look in the output for files to publish; a repository may name none.
_ATTACHMENT = re.compile(r"\[(?=\[ATTACHMENT)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Run:
    """The tests of one tailnet; with `errors` it is not valid and they did not run.

    `names` are the comments above tests, by place.
    """

    name: str
    root: str
    tests: tuple[Tried, ...] = ()
    errors: tuple[Finding, ...] = ()
    names: Mapping[Place, str] = field(default_factory=dict)

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(trial for test in self.tests for trial in test.trials)

    @property
    def failed(self) -> int:
        return sum(not trial.holds for trial in self.trials)

    @property
    def holds(self) -> bool:
        return not self.errors and not self.failed


def as_text(runs: Sequence[Run]) -> str:
    """Each failure with the way of its packets, then a line for each tailnet."""
    lines: list[str] = []
    for run in runs:
        if run.errors:
            lines += [findings_text(run.errors), ""]
        for test in run.tests:
            if not test.holds:
                lines += [*map(shown, _failure(run, test)), ""]
    return "\n".join([*lines, *(shown(_summary(run)) for run in runs)])


def _failure(run: Run, test: Tried) -> Iterator[str]:
    yield f"{test.place}: FAILED{_named(run, test)}"
    for trial in test.trials:
        for finding in trial.findings:
            yield f"  {finding.message} ({finding.place})"
            if not trial.ways:
                yield f"    help: {finding.help}"
        yield from (f"    {way}" for way in trial.ways)
        if trial.more:
            yield f"    and {trial.more} more"


def _named(run: Run, test: Tried) -> str:
    name = run.names.get(test.place, "")
    return f"  {name}" if name else ""


def _summary(run: Run) -> str:
    name = run.name or run.root or "."
    if run.errors:
        errors = count(len(run.errors), "error")
        return f"{name}: not valid, {errors}; its tests were not run"
    if not run.tests:
        return f"{name}: no tests"
    said = f"{count(len(run.tests), 'test')}, {count(len(run.trials), 'target')}"
    if not run.failed:
        return f"{name}: {said}, all hold"
    return f"{name}: {said}, {run.failed} {'fails' if run.failed == 1 else 'fail'}"


def as_json(runs: Sequence[Run], commit: str | None) -> str:
    """One document; the sentences in it are as safe to print as the text."""
    document = {
        "format_version": FORMAT_VERSION,
        "commit": commit,
        "holds": all(run.holds for run in runs),
        "tailnets": [_json_run(run) for run in runs],
    }
    return json.dumps(document, indent=2)


def _json_run(run: Run) -> dict[str, object]:
    return {
        "name": shown(run.name),
        "root": shown(run.root),
        "valid": not run.errors,
        "holds": run.holds,
        "targets": len(run.trials),
        "failed": run.failed,
        "errors": [
            {"code": each.code, **_place(each.place), "message": shown(each.message)}
            for each in run.errors
        ],
        "tests": [
            {
                "section": test.section,
                **_place(test.place),
                "name": shown(run.names.get(test.place, "")),
                "holds": test.holds,
                "targets": [_json_trial(trial) for trial in test.trials],
            }
            for test in run.tests
        ],
    }


def _json_trial(trial: Trial) -> dict[str, object]:
    return {
        "target": shown(trial.text),
        "wanted": trial.wanted,
        **_place(trial.place),
        "holds": trial.holds,
        "messages": [shown(each.message) for each in trial.findings],
        "ways": [shown(way) for way in trial.ways],
        "more_ways": trial.more,
    }


def _place(place: Place) -> dict[str, object]:
    return {"file": shown(place.file), "line": place.line, "column": place.column}


def as_junit(runs: Sequence[Run]) -> str:
    """A suite for each tailnet, a case for each target."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="tailgit">']
    for run in runs:
        cases = list(_cases(run))
        failures = sum("<failure" in case for case in cases)
        lines.append(
            f'  <testsuite name="{_xml(run.name or run.root or ".")}" '
            f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="0">'
        )
        lines += [*cases, "  </testsuite>"]
    return "\n".join([*lines, "</testsuites>"])


def _cases(run: Run) -> Iterator[str]:
    suite = f"tailgit test {run.root or '.'}"
    if run.errors:
        said = "\n".join(_xml(x) for x in findings_text(run.errors).split("\n"))
        message = _summary(run)
        yield _case(suite, "is valid", run.errors[0].place, message, said)
    elif not run.tests:
        root_file = f"{run.root}/tailnet.yaml" if run.root else "tailnet.yaml"
        yield _case(suite, "no tests", Place(root_file))
    for test in run.tests:
        for trial in test.trials:
            # Places make names differ: GitLab drops the second case of one name.
            words = [run.names.get(test.place, ""), trial.wanted, trial.text]
            name = f"{': '.join(filter(None, words))} ({trial.place})"
            said = "\n".join(map(_xml, [f.message for f in trial.findings]))
            ways = "\n".join(map(_xml, trial.ways))
            message = trial.findings[0].message if trial.findings else ""
            yield _case(suite, name, trial.place, message, f"{said}\n{ways}".strip())


def _case(
    suite: str, name: str, place: Place, message: str = "", said: str = ""
) -> str:
    case = (
        f'    <testcase classname="{_xml(suite)}" name="{_xml(name)}" '
        f'file="{_xml(place.file)}" line="{place.line}"'
    )
    if not message:
        return f"{case}/>"
    return (
        f'{case}>\n      <failure type="failed" message="{_xml(message)}">'
        f"{said}</failure>\n    </testcase>"
    )


def _xml(text: str) -> str:
    """Escaped for XML; what XML 1.0 forbids is among the characters `shown` escapes."""
    return escape(_ATTACHMENT.sub(r"\\x5b", shown(text)))
