"""Postures: what a device must be like, as conditions on its attributes.

    node:os == 'linux'      custom:tier IN ['prod', 'stage']      custom:managed IS SET

One line is one condition; those of a posture hold together. Text stands in quotes, so
that `true`, 14 and '14' are three values. Which attributes a device has is declared in
its `attributes`, with a namespace before the colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

from tailgit.load.located import Items, Map
from tailgit.load.unite import Sections
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.near import Near
from tailgit.model.policy import Attribute, Condition, Operator, Posture
from tailgit.model.text import shown

_ATTRIBUTE = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*:[A-Za-z0-9_][A-Za-z0-9_./-]*)\s*")
_OPERATOR = re.compile(r"(==|!=|<=|>=|<|>|NOT\s+IN\b|IN\b|IS\s+SET\b|NOT\s+SET\b)\s*")
_VALUE = re.compile(
    r"(?:'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\""
    r"|(?P<number>-?[0-9]{1,18})(?![0-9A-Za-z_.'\"])"
    r"|(?P<word>true|false)(?![0-9A-Za-z_]))\s*"
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WORD = re.compile(r"[^\s,\]]+")
_BARE = ("IS SET", "NOT SET")
_LISTED = ("IN", "NOT IN")
_HELP = (
    "write ATTRIBUTE OPERATOR VALUE: `node:os == 'linux'`, `custom:tier IN ['prod']`"
)

MAX_VALUES = 1000


class ConditionError(ValueError):
    """The line is no condition; `help` says how one is written."""

    def __init__(self, message: str, help_: str = _HELP) -> None:
        super().__init__(message)
        self.help = help_


def build_postures(sections: Sections, findings: list[Finding]) -> dict[str, Posture]:
    """Every posture, by name."""
    return {
        name: Posture(
            name,
            tuple(_conditions(section[name], findings)),
            section.key(name),
        )
        for name, section in sorted(sections.keyed["postures"].items())
        if isinstance(section[name], Items)
    }


def named_postures(
    items: object, known: Mapping[str, Map], near: Near, findings: list[Finding]
) -> tuple[str, ...]:
    """The field `srcPosture` of a rule, or `defaultSrcPosture`: names of postures."""
    if not isinstance(items, Items):
        return ()
    found = []
    for index, text in enumerate(items):
        if not isinstance(text, str):
            continue
        name = text.strip()
        if name not in known:
            message = f"no posture `{shown(name)}`"
            help_ = near.meant(name) or "define it in `postures`"
            findings.append(finding("unknown-posture", items.at(index), message, help_))
        found.append(name)
    return tuple(found)


def _conditions(items: Items, findings: list[Finding]) -> Iterator[Condition]:
    if not items:
        message = "a posture without conditions would be any device's"
        help_ = "say what must hold: `node:os == 'linux'`"
        findings.append(finding("bad-posture", items.at(), message, help_))
    for index, text in enumerate(items):
        if not isinstance(text, str):
            continue
        try:
            yield parse_condition(text)
        except ConditionError as error:
            at = items.at(index)
            findings.append(finding("bad-posture", at, shown(str(error)), error.help))


def parse_condition(text: str) -> Condition:
    """One line of a posture; `ConditionError` if it is none."""
    if len(text) > 10_000:
        raise ConditionError("a condition is longer than 10000 characters")
    attribute = _ATTRIBUTE.match(text)
    if attribute is None:
        word = _WORD.search(text)
        what = f"`{word.group()}` is" if word else "there is"
        message = f"{what} no attribute: a namespace, a colon and a name"
        raise ConditionError(message)
    operator = _OPERATOR.match(text, attribute.end())
    if operator is None:
        raise _no_operator(text, attribute.end())
    sign = cast("Operator", " ".join(operator[1].split()))
    at = operator.end()
    values: tuple[Attribute, ...] = ()
    if sign in _LISTED:
        values, at = _list(text, at)
    elif sign not in _BARE:
        value, at = _value(text, at)
        values = (value,)
    if at != len(text):
        rest = text[at:].strip()
        help_ = "one line is one condition; those of a posture hold together"
        raise ConditionError(f"`{rest}` follows the condition", help_)
    return Condition(attribute[1], sign, values)


def _no_operator(text: str, at: int) -> ConditionError:
    word = _WORD.match(text, at)
    if word is None:
        return ConditionError("the condition has no operator")
    said = word.group()
    if said == "=":
        return ConditionError("`=` is no operator", "write `==`")
    if said.upper() in ("IN", "NOT", "IS"):
        help_ = "IN, NOT IN, IS SET and NOT SET are in capitals"
        return ConditionError(f"`{said}` is no operator", help_)
    help_ = "one of == != < <= > >= IN, NOT IN, IS SET, NOT SET"
    return ConditionError(f"`{said}` is no operator", help_)


def _value(text: str, at: int) -> tuple[Attribute, int]:
    match = _VALUE.match(text, at)
    if match is None:
        word = _WORD.match(text, at)
        if word is None:
            raise ConditionError("the condition has no value")
        said = word.group()
        help_ = f"text stands in quotes: `'{said}'`" if said.isalnum() else _HELP
        raise ConditionError(f"`{said}` is no value", help_)
    if match["number"] is not None:
        return int(match["number"]), match.end()
    if match["word"] is not None:
        return match["word"] == "true", match.end()
    quoted = match["single"] if match["single"] is not None else match["double"]
    return _ESCAPE.sub(r"\1", quoted), match.end()


def _list(text: str, at: int) -> tuple[tuple[Attribute, ...], int]:
    """`['a', 'b']`; a value alone is not a list."""
    help_ = "a list stands in brackets: `custom:tier IN ['prod', 'stage']`"
    if text[at : at + 1] != "[":
        raise ConditionError("after IN comes a list", help_)
    at += 1
    values: list[Attribute] = []
    while True:
        at += len(text[at:]) - len(text[at:].lstrip())
        if text[at : at + 1] == "]" and not values:
            raise ConditionError("the list has no values", help_)
        value, at = _value(text, at)
        values.append(value)
        if len(values) > MAX_VALUES:
            raise ConditionError(f"a list has more than {MAX_VALUES} values")
        sign = text[at : at + 1]
        if sign == "]":
            at += 1
            return tuple(values), at + len(text[at:]) - len(text[at:].lstrip())
        if sign != ",":
            raise ConditionError("a comma or `]` is missing in the list", help_)
        at += 1


def plain_attributes(section: Map) -> tuple[tuple[str, Attribute], ...]:
    """What a device has, by name: text, whole numbers and truth values."""
    return tuple(
        (name, str(value) if isinstance(value, str) else value)
        for name, value in sorted(section.items())
        if isinstance(value, str | int)
    )
