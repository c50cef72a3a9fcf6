"""What machines are called: from comments, names of files and, at worst, addresses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable
from pathlib import PurePosixPath

from tailgit.importers.wgquick import QuickFile, Section

_SAID = (
    # `# Name = ana`, `# friendly_name=ana`
    re.compile(r"(?i)(?:friendly[_ ]?|client[_ ]?)?name\s*[:=]\s*(.+)"),
    # `# Client: ana (4f9c…)` of wg-easy, `### Client ana`, `# BEGIN_PEER ana`
    re.compile(r"(?i)(?:client|peer|user|device|host|begin_peer|begin)\s*[:=]?\s+(.+)"),
)
_ID = re.compile(r"\s*\([0-9a-fA-F-]{8,}\)$")
_END = re.compile(r"(?i)end(?:_peer)?\b")
_GENERIC = re.compile(r"(?i)(?:wg|wireguard|tun|vpn|peer|client)?[-_]?[0-9]*|wg-quick")
_ODD = re.compile(r"[^a-z0-9]+")
_LONGEST = 63
_SIGNS = set("=:/[]{}")


def said_name(section: Section) -> str:
    """The name that a section's comments give it; empty if none does."""
    for pattern in _SAID:
        for comment in section.comments:
            match = pattern.fullmatch(_ID.sub("", comment).strip())
            if match is not None:
                return match[1].strip().strip("\"'")
    return ""


def remarked_name(section: Section) -> str:
    """A short comment at a peer, which is most likely its name."""
    for comment in section.comments:
        words = comment.split()
        is_short = 0 < len(words) <= 4 and len(comment) <= 40
        if is_short and not _END.match(comment) and not set(comment) & _SIGNS:
            return comment
    return ""


def file_name(file: QuickFile) -> str:
    """`ana.conf` is ana's; `wg0.conf` says nothing, the folder around it may."""
    path = PurePosixPath(file.file)
    for text in (path.stem, path.parent.name):
        if text not in ("", ".", "..", "etc") and not _GENERIC.fullmatch(text):
            return text if text != "<stdin>" else ""
    return ""


def label(names: Iterable[str], taken: Container[str], times: Counter[str]) -> str:
    """The first name that has letters or digits, as a DNS label that is free.

    `times` counts how often each was wanted, so that nobody counts from 2 again.
    """
    text = next((found for name in names if (found := _plain(name))), "machine")
    free = text
    while free in taken or free == "localhost":
        times[text] += 1
        end = f"-{times[text] + 1}"
        free = f"{text[: _LONGEST - len(end)].rstrip('-')}{end}"
    return free


def _plain(name: str) -> str:
    plain = _ODD.sub("-", name.lower().replace("'", "")).strip("-")
    if plain and not plain[0].isalpha():
        plain = f"m-{plain}"
    return plain[:_LONGEST].strip("-")
