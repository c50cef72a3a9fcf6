"""Findings: everything tailgit has to say about a repository, as values.

A finding is never raised while others are still to be found: `load` and `check`
collect them, sort them and hand all of them over at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: repository-relative path, line and column from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Origin(Protocol):
    """What something was read from; knows where each part of it stands."""

    def at(self, *path: str | int) -> Place:
        """The place of a part, such as `("tags", 0)`; of the whole if it is absent."""
        ...


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one place.

    `code` is a stable word from `model.codes`, `message` says what is wrong with the
    offending text in backquotes, `help` what to do, `see` other places that matter
    (the first definition of a duplicate, say).
    """

    code: str
    place: Place
    message: str
    help: str = ""
    severity: Severity = Severity.ERROR
    see: tuple[Place, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


MOST_FINDINGS = 50_000
"""Findings of one tailnet: more would fill the memory, and nobody reads them."""


class TooManyFindings(Exception):
    """Looking for more makes no sense; nothing may be built from what was read."""


class Bounded(list[Finding]):
    """Findings while they are collected; `TooManyFindings` where they pass the limit.

    Also a small file can make millions of them: one word, repeated in a list.
    """

    def append(self, finding: Finding) -> None:
        if len(self) >= MOST_FINDINGS:
            raise TooManyFindings
        super().append(finding)

    def extend(self, findings: Iterable[Finding]) -> None:
        for each in findings:
            self.append(each)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by place, then code and sentence; what is said twice is said once."""
    return tuple(
        sorted(set(findings), key=lambda f: (f.place, f.code, f.message, f.help))
    )
