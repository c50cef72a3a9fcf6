"""The YAML reader: libyaml's events, our own builder, a place for everything.

A policy must mean one thing to its author, its reviewer and the compiler, so the
parts of YAML that hide meaning are refused: duplicate keys, anchors and aliases, tags,
several documents, keys that are not text. Nothing is typed here: `no`, `22:22` and
`1e3` stay text, and the schema of a field decides what is a number.

Selectors and IPv6 addresses collide with YAML's own signs (`*`, `::`, `[…]`), so a
syntax error is explained by what most likely was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from tailgit.errors import TailgitError
from tailgit.load.decode import decode
from tailgit.load.located import COLUMN_BITS, Items, Map, Quoted, place, position
from tailgit.load.mistakes import explain_error, explain_pair
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

if TYPE_CHECKING:
    from yaml._yaml import CParser

MAX_DEPTH = 32

# What YAML 1.1 or 1.2 readers take for something else than text, as a plain key.
_NOT_TEXT = {
    word
    for lower in ("~", "null", "true", "false", "yes", "no", "on", "off")
    for word in (lower, lower.capitalize(), lower.upper())
} | {""}
_NUMBER = re.compile(
    r"[-+]?(0[xob][0-9a-fA-F_]+|[0-9][0-9_:]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?)"
)

_MOST_GOOD_KEYS = 1000

_CORE_TAG = "tag:yaml.org,2002:"

_DROPPED = "dropped"
"""Stands for a key whose value is read but not kept; compared by identity."""


class _Stop(Exception):
    """Reading this file makes no more sense; the finding is already there."""


def read_yaml(data: bytes, file: str, findings: list[Finding]) -> Map | None:
    """The file's mapping, or None if it can't be read; what is odd goes to `findings`.

    A file of comments only is an empty mapping. The result is partial when findings
    of level error were added.
    """
    text = decode(data, file, findings)
    if text is None:
        return None
    builder = _Builder(text, file, findings)
    try:
        return builder.build(_parser(text).get_event)
    except yaml.MarkedYAMLError as error:
        findings.append(explain_error(error, text, file))
    except yaml.YAMLError as error:
        findings.append(finding("bad-yaml", Place(file), shown(str(error))))
    except _Stop:
        pass
    return None


def _parser(text: str) -> CParser:
    try:
        from yaml._yaml import CParser
    except ImportError:
        raise TailgitError(
            "this Python's PyYAML comes without libyaml",
            "install a PyYAML wheel, or libyaml's headers before building it",
        ) from None
    return CParser(text)


class _Builder:
    """One pass over the events of one file."""

    def __init__(self, text: str, file: str, findings: list[Finding]) -> None:
        self.text = text
        self.file = file
        self.findings = findings
        self.pair: Map | None = None  # a mapping without braces, already explained
        self.good_keys: set[str] = set()  # the same few keys come again and again

    def build(self, next_event: Callable[[], Any]) -> Map | None:
        """The mapping of the first document; `_Stop` where nothing can follow."""
        root: Map | None = None
        here: Any = None  # the open container: Map or Items
        key: str | None = None  # in a Map: the key whose value comes next
        key_at = 0
        stack: list[tuple[Any, str | None, int]] = []
        file, good = self.file, self.good_keys
        while True:  # a quarter of a million times for ten thousand devices
            event = next_event()
            kind = type(event)
            if kind is ScalarEvent:
                mark = event.start_mark
                at = mark.line << COLUMN_BITS | mark.column
                if event.anchor is not None or event.tag is not None:
                    self.refuse_decoration(event, at)
                value: Any = event.value
                if key is None and type(here) is Map:
                    if value in good and value not in here and here is not self.pair:
                        key, key_at = value, at
                    else:
                        key, key_at = self.key(here, value, event.style == "", at), at
                    continue
                if event.style != "":
                    value = Quoted(value)
                if here is None and (value != "" or event.style != ""):
                    self.refuse_root(at)  # an empty document is no slip, other text is
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                mark = event.start_mark
                at = mark.line << COLUMN_BITS | mark.column
                if event.anchor is not None or event.tag is not None:
                    self.refuse_decoration(event, at)
                if len(stack) >= MAX_DEPTH:
                    self.stop("too-deep", at, f"nested deeper than {MAX_DEPTH} levels")
                value = Map(file, at) if kind is MappingStartEvent else Items(file, at)
                if here is None:
                    if kind is not MappingStartEvent or root is not None:
                        self.refuse_root(at)
                    root = value
                elif type(here) is Map:
                    if key is None:
                        self.refuse_complex_key(here, at)
                        key = _DROPPED
                elif kind is MappingStartEvent and self.is_bare_pair(event):
                    self.findings.append(explain_pair(self.text, file, mark.index, at))
                    self.pair = value
                stack.append((here, key, key_at))
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value = here
                here, key, key_at = stack.pop()
                at = value.start
                # The container was made before its content: now it finds its parent.
            elif kind is AliasEvent:
                mark = event.start_mark
                at = position(mark.line, mark.column)
                self.refuse_alias(event, at)
                if key is None and type(here) is Map:
                    key = _DROPPED
                    continue
                value = ""
            elif kind is StreamEndEvent:
                return root if root is not None else Map(file, 0)
            else:
                if kind is DocumentStartEvent:
                    self.document(event, root)
                continue

            if kind is MappingStartEvent or kind is SequenceStartEvent:
                here, key = value, None
            elif type(here) is Map:
                if key is not None and key is not _DROPPED:
                    here[key] = value
                    here.keys_at[key] = key_at
                    here.values_at[key] = at
                key = None
            elif here is not None:
                here.append(value)
                here.values_at.append(at)

    def key(self, here: Map, text: str, plain: bool, at: int) -> str:
        """The key to store the coming value under; `_DROPPED` if it may not be."""
        if here is self.pair:
            return _DROPPED
        if text in here:
            first = place(self.file, here.keys_at[text])
            self.add(
                "duplicate-key",
                at,
                f"`{shown(text)}` is defined twice",
                "keep one of the two",
                first,
            )
            return _DROPPED
        if plain and (text in _NOT_TEXT or _NUMBER.fullmatch(text)):
            self.add(
                "yaml-key",
                at,
                f"the key `{text}` is not text to YAML"
                if text
                else "a key is missing before the colon",
                f'write `"{text}":`' if text else "write `key: value`",
            )
            return _DROPPED
        if plain and len(self.good_keys) < _MOST_GOOD_KEYS:
            self.good_keys.add(text)
        return text

    def is_bare_pair(self, event: Any) -> bool:
        """Whether a mapping inside `[…]` has no braces: `[a: b]`, `[[::1]:22]`."""
        if not event.flow_style or event.anchor is not None or event.tag is not None:
            return False
        return self.text[event.start_mark.index] != "{"

    def document(self, event: Any, root: Map | None) -> None:
        """The start of a document: only one is allowed, and without directives."""
        at = position(event.start_mark.line, event.start_mark.column)
        if event.version or event.tags:
            self.add("yaml-tag", at, "YAML directives are not used", "take them out")
        if root is not None:
            self.stop(
                "yaml-documents",
                at,
                "a second YAML document begins here",
                "take out `---`, or make it a file of its own; what is no part of the "
                "tailnet is named under `exclude`",
            )

    def refuse_decoration(self, event: Any, at: int) -> None:
        if event.anchor is not None:
            self.add(
                "yaml-alias",
                at,
                f"the anchor `&{shown(event.anchor)}` is not allowed",
                "take it out and write the value where it is needed",
            )
        if event.tag is not None:
            self.add(
                "yaml-tag",
                at,
                f"the tag `{shown(event.tag.replace(_CORE_TAG, '!!'))}` is not allowed",
                "take it out: the schema decides what a value is",
            )

    def refuse_alias(self, event: Any, at: int) -> None:
        name = shown(event.anchor)
        self.add(
            "yaml-alias",
            at,
            f"`*{name}` is an alias to YAML, which is not allowed",
            f'if it is text, write `"*{name}"`',
        )

    def refuse_complex_key(self, here: Map, at: int) -> None:
        if here is self.pair:
            return
        self.add(
            "yaml-key",
            at,
            "a list or mapping can't be a key",
            'an IPv6 address in brackets must be in quotes: `"[fd00::1]:22"`',
        )

    def refuse_root(self, at: int) -> None:
        self.stop(
            "yaml-root",
            at,
            "the file is not a mapping of sections",
            "begin with a section, such as `devices:`; what is no part of the tailnet "
            "is named under `exclude`",
        )

    def add(
        self,
        code: str,
        at: int,
        message: str,
        help: str = "",  # noqa: A002
        *see: Place,
    ) -> None:
        self.findings.append(
            finding(code, place(self.file, at), message, help, see=see)
        )

    def stop(self, code: str, at: int, message: str, help: str = "") -> None:  # noqa: A002
        self.add(code, at, message, help)
        raise _Stop
