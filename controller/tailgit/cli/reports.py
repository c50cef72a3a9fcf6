"""`--format` and `--report`: one check, said in several forms, each to its place."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from tailgit.errors import TailgitError, UsageError

if TYPE_CHECKING:
    from tailgit.check.together import Checked

Form = Literal["text", "json", "github", "gitlab", "sarif", "junit"]

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One form, and the file it goes to; `-` is standard output."""

    form: Form
    file: str


def wanted(form: Form | None, reports: Iterable[str]) -> tuple[Wanted, ...]:
    """What `--format` and `--report` ask for; something always goes to stdout."""
    chosen = [_parsed(text) for text in reports]
    if form is not None or all(each.file != STDOUT for each in chosen):
        chosen.insert(0, Wanted(form or "text", STDOUT))
    seen: set[str] = set()
    for each in chosen:
        place = each.file if each.file == STDOUT else os.path.realpath(each.file)
        if place in seen:
            where = "standard output" if place == STDOUT else f"`{each.file}`"
            raise UsageError(
                f"two reports to {where}", "give each its own file: --report FORM=FILE"
            )
        seen.add(place)
    return tuple(chosen)


def _parsed(text: str) -> Wanted:
    name, sign, file = text.partition("=")
    forms: tuple[Form, ...] = get_args(Form)
    form = next((each for each in forms if each == name), None)
    if form is None or not sign or not file:
        raise UsageError(
            f"--report {text}: not FORM=FILE",
            f"FORM is one of {', '.join(forms)}; FILE is - for standard output",
        )
    return Wanted(form, file)


def hand_over(checked: Sequence[Checked], reports: Iterable[Wanted]) -> None:
    """Write every report, the files first; GitHub's also to the job's summary."""
    to_files_first = sorted(reports, key=lambda each: each.file == STDOUT)
    for each in to_files_first:
        text = rendered(checked, each.form)
        if each.file == STDOUT:
            print(text, end="\n" if text else "", flush=True)
        else:
            write_whole(Path(each.file), f"{text}\n" if text else "")
        if each.form == "github":
            _job_summary(checked)


def rendered(checked: Sequence[Checked], form: Form) -> str:
    """The text of one form, without a line break at its end."""
    if form == "text":
        from tailgit.report.findings import text_report

        return text_report(checked)
    if form == "json":
        from tailgit.report.findings import json_report

        return json_report(checked)
    if form == "github":
        from tailgit.report.github import as_github

        return as_github(checked)
    if form == "gitlab":
        from tailgit.report.gitlab import as_gitlab

        return as_gitlab(checked)
    if form == "sarif":
        from tailgit.report.sarif import as_sarif

        return as_sarif(checked)
    from tailgit.report.junit import as_junit

    return as_junit(checked)


def _job_summary(checked: Sequence[Checked]) -> None:
    """Append to the file that GitHub shows; it is an extra, so it may fail."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    from tailgit.report.github import SUMMARY_BYTES, as_summary

    try:
        with Path(name).open("ab") as file:
            text = as_summary(checked, SUMMARY_BYTES - file.tell())
            file.write(text.encode("utf-8", "backslashreplace"))
        problem = "" if text else "it is full"
    except OSError as error:
        problem = str(error.strerror)
    if problem:
        print(f"note: the job's summary was not written: {problem}", file=sys.stderr)


def write_whole(file: Path, text: str) -> None:
    """Replace a file whole; what is no regular file (a pipe) is written to instead."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        if file.exists() and not stat.S_ISREG(file.stat().st_mode):
            file.write_bytes(data)  # /dev/stdout, a pipe
        elif file.is_symlink():  # whoever wrote the repository could choose the file
            raise TailgitError(f"can't write the report `{file}`: it is a link")
        else:
            _replace(file.absolute(), data)
    except OSError as error:
        raise TailgitError(
            f"can't write the report `{file}`: {error.strerror}",
            "its folder must be there" if isinstance(error, FileNotFoundError) else "",
        ) from None


def _replace(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    number = os.open(temporary, flags, 0o666)  # less what the umask takes
    try:
        with os.fdopen(number, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(number)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
