"""Names of one kind that are easily taken for each other.

A reviewer reads `db-l` as `db-1`, and a Cyrillic letter as the Latin one of its shape.
Two names look alike if their *skeletons* are equal: letters that look like a Latin one
are that letter (Unicode's compatibility forms, accents, the table below), case and the
signs `-`, `_` and `.` do not count, 0 is o, and 1 and i are l.

Numbering is no likeness: a sign between two digits does count, so `rack1-11` and
`rack11-1` differ, and so do `rack-i` and `rack-l`, where the letter stands alone as
others put a number.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.tailnet import Tailnet
from tailgit.model.text import shown

_LOOKS_LIKE = {
    "a": "\u0430\u03b1\u0251",
    "b": "\u0432\u03b2",
    "c": "\u0441\u03f2",
    "d": "\u0501",
    "e": "\u0435\u03b5",
    "g": "\u0261",
    "h": "\u04bb\u043d",
    "j": "\u0458\u03f3",
    "k": "\u043a\u03ba",
    "l": "1i|\u0456\u04cf\u03b9\u0131\u0269\u01c0\u05d5",
    "m": "\u043c",
    "n": "\u03b7\u0578",
    "o": "0\u043e\u03bf\u0585\u05e1",
    "p": "\u0440\u03c1",
    "q": "\u051b",
    "s": "\u0455",
    "t": "\u0442\u03c4",
    "u": "\u03c5\u057d",
    "v": "\u03bd\u0475",
    "w": "\u051d\u03c9\u0461",
    "x": "\u0445\u03c7",
    "y": "\u0443\u03b3\u04af",
}
"""Digits, and small letters of Cyrillic, Greek, Armenian, Hebrew and odd Latin ones.

From Unicode's confusables.txt, the letters of alphabets that people do type; capitals
and accents are folded before.
"""

_CONFUSABLE = str.maketrans(
    {each: letter for letter, others in _LOOKS_LIKE.items() for each in others}
)
_SIGNS = re.compile(r"(?<![0-9])[-_.]+|[-_.]+(?![0-9])")
_BETWEEN_DIGITS = re.compile(r"[-_.]+")
_PARTS = re.compile(r"[-_.@:]")
_MOST_COMPARED = 8
"""Earlier names of one skeleton that a name is held against."""


def check_lookalikes(tailnet: Tailnet) -> Iterator[Finding]:
    """A finding at the later one of two such names, wherever the two stand."""
    yield from _alike({name: each.place for name, each in tailnet.users.items()})
    yield from _alike({name: each.place for name, each in tailnet.groups.items()})
    yield from _alike({name: each.place for name, each in tailnet.tag_owners.items()})
    hosts = {name: each.place for name, each in tailnet.hosts.items()}
    devices = {name: each.place for name, each in tailnet.devices.items()}
    yield from _alike({**hosts, **devices})


def _alike(places: Mapping[str, Place]) -> Iterator[Finding]:
    by_skeleton: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(places, key=lambda name: (places[name], name)):
        by_skeleton[skeleton(name)].append(name)
    for names in by_skeleton.values():
        for index, name in enumerate(names):
            before = names[: min(index, _MOST_COMPARED)]
            other = next((each for each in before if not _is_series(each, name)), None)
            if other is None:
                continue
            yield finding(
                "look-alike",
                places[name],
                f"`{shown(name)}` is easily taken for `{shown(other)}`"
                + _foreign(name, other),
                "give one of them another name",
                [places[other]],
            )


def skeleton(name: str) -> str:
    """What the eye keeps of a name; equal for names that look alike."""
    # A capital I is an l to the eye, before folding makes an i of it.
    text = unicodedata.normalize("NFKD", name.replace("I", "l")).casefold()
    text = "".join(each for each in text if unicodedata.category(each) not in _UNSEEN)
    text = _BETWEEN_DIGITS.sub("-", _SIGNS.sub("", text))
    return text.translate(_CONFUSABLE)


_UNSEEN = ("Mn", "Cf")
"""Accents, and characters that take no room."""


def _is_series(one: str, other: str) -> bool:
    """Whether the two differ in nothing but i and l as a part of their own."""
    parts, others = _PARTS.split(one), _PARTS.split(other)
    return len(parts) == len(others) and all(
        this == that or {this, that} == {"i", "l"}
        for this, that in zip(parts, others, strict=True)
    )


def _foreign(*names: str) -> str:
    """The first character that makes one name another than it seems."""
    for name in names:
        for character in name:
            if not character.isascii():
                what = unicodedata.name(character, "an unnamed character")
                return f": `{shown(character)}` is {what}"
    return ""
