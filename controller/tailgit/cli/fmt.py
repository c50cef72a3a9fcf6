"""`tailgit fmt`: YAML in the one canonical way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import Format
from tailgit.errors import Exit, TailgitError, UsageError

if TYPE_CHECKING:
    from tailgit.edit.fmt.files import Outcome
    from tailgit.model.findings import Finding

FORMAT_VERSION = 1
_STDIN = "<stdin>"


def fmt(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Files, or folders of tailnets; - is standard input.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 3 if a file differs.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Write nothing; print what would change.")
    ] = False,
    output: Format = "text",
) -> Exit:
    """Write YAML in the one canonical way.

    Rewrites the YAML files of a tailnet (default: the one around the current folder)
    and prints the names of those that changed. Two blanks of indentation, one blank
    line between sections, brackets as long as they fit in 120 columns. Comments,
    order and meaning stay, or the file is left as it is. So are JSON files, files
    that `exclude` names, files that `include` names, and links. With `-` the text is
    read from standard input and written to standard output.

    A file that can't be read as a tailnet's YAML is reported as `check` does and left
    alone; the others are formatted. Exits 3 then, and with --check (alone or with
    --diff) if a file is not canonical; 1 if a file could not be formatted or written.

    \b
    Examples:
      tailgit fmt
      tailgit fmt --check --diff infra/prod
      tailgit fmt acls/data.yaml devices.yaml
      tailgit fmt - < draft.yaml
    """
    from tailgit.edit.fmt import files

    wanted = paths or [Path()]
    if Path("-") in wanted:
        if len(wanted) > 1:
            raise UsageError("`-` stands alone", "name files, or give one to stdin")
        return _stdin(check, diff, output)
    findings: list[Finding] = []
    results = []
    for chosen in files.choose(wanted, findings):
        result = files.outcome(chosen)
        error = None if check or diff else files.write(chosen, result)
        results.append(_failed(result, error) if error else result)
    return _report(results, findings, check, diff, output)


def _failed(result: Outcome, error: TailgitError) -> Outcome:
    from dataclasses import replace

    return replace(result, after=None, error=error)


def _stdin(check: bool, diff: bool, output: str) -> Exit:
    from tailgit.edit.fmt import formatted
    from tailgit.edit.fmt.files import Outcome
    from tailgit.load.decode import MAX_FILE_BYTES

    if output == "json" and not (check or diff):
        raise UsageError("with `-` standard output is the text", "add --check")
    findings: list[Finding] = []
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    after = formatted(data, _STDIN, findings)
    result = Outcome(_STDIN, data, after, tuple(findings))
    if check or diff:
        return _report([result], [], check, diff, output)
    if after is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(after)
    return _report([result], [], check, True, "none")


def _report(
    results: Sequence[Outcome],
    findings: Sequence[Finding],
    check: bool,
    diff: bool,
    output: str,
) -> Exit:
    from tailgit.model.findings import in_order

    said = in_order([*findings, *(each for r in results for each in r.findings)])
    if output == "json":
        print(_json(results, said, check, diff))
    else:
        if output == "text":
            for line in _lines(results, diff):
                print(line)
        if said:
            from tailgit.report.findings import as_text

            print(as_text(said), file=sys.stderr)
        for result in results:
            if result.error is not None:
                print(_error(result.error), file=sys.stderr)
    if any(finding.is_error for finding in said):
        return Exit.INVALID
    if any(result.error is not None for result in results):
        return Exit.FAILED
    return Exit.INVALID if check and any(r.differs for r in results) else Exit.DONE


def _lines(results: Sequence[Outcome], diff: bool) -> Iterator[str]:
    from tailgit.model.text import shown

    for result in results:
        if result.differs and diff:
            yield from _diff(result)
        elif result.differs:
            yield shown(result.file)


def _diff(result: Outcome) -> Iterator[str]:
    """A unified diff whose text can't steer a terminal; a CR shows as `\\x0d`."""
    from difflib import unified_diff

    from tailgit.model.text import shown

    before = _split(result.before.decode("utf-8", "backslashreplace"))
    after = _split((result.after or b"").decode())
    names = f"a/{result.file}", f"b/{result.file}"
    for line in unified_diff(before, after, *names, lineterm=""):
        yield from map(shown, line.split("\n"))


def _split(text: str) -> list[str]:
    """The lines; a last one without a break says so, as in other tools' diffs."""
    lines = text.split("\n")
    if not lines[-1]:
        return lines[:-1]
    return [*lines[:-1], f"{lines[-1]}\n\\ No newline at end of file"]


def _error(error: TailgitError) -> str:
    from tailgit.model.text import shown

    help_ = f"\n  help: {shown(error.help)}" if error.help else ""
    return f"tailgit: error: {shown(error.message)}{help_}"


def _json(
    results: Sequence[Outcome], findings: Sequence[Finding], check: bool, diff: bool
) -> str:
    from tailgit.model.text import shown

    files = []
    for result in results:
        entry: dict[str, object] = {
            "file": shown(result.file),
            "state": _state(result, check or diff),
        }
        if diff and result.differs:
            entry["diff"] = list(_diff(result))
        if result.error is not None:
            entry["error"] = shown(result.error.message)
        files.append(entry)
    document = {
        "format_version": FORMAT_VERSION,
        "files": files,
        "findings": [
            {
                "code": each.code,
                "severity": str(each.severity),
                "file": shown(each.place.file),
                "line": each.place.line,
                "column": each.place.column,
                "message": shown(each.message),
                "help": shown(each.help),
            }
            for each in findings
        ],
    }
    return json.dumps(document, indent=2)


def _state(result: Outcome, dry: bool) -> str:
    if result.error is not None:
        return "failed"
    if result.after is None:
        return "invalid"
    if not result.differs:
        return "canonical"
    return "not-canonical" if dry else "formatted"
