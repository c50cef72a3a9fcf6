"""`.gitattributes`: files that git shows otherwise than it keeps them.

A reviewer and a pipeline read a checkout, `plan` and `apply` read git's objects. With
another encoding or a filter the two are different texts: the checkout passes every
check, and nodes get something else. git-LFS is left to the finding for its pointers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

NAME = ".gitattributes"

_REWRITES = re.compile(
    rb"(?<=[ \t])(working-tree-encoding=[^ \t\r\n]+|filter=(?!lfs\b)[^ \t\r\n]+|ident)"
    rb"(?=[ \t\r\n]|$)"
)


def find_attributes(data: bytes, file: str) -> Iterator[Finding]:
    """A finding for each line by which a checkout differs from the commit."""
    for number, line in enumerate(data.split(b"\n"), 1):
        match = None if line.startswith(b"#") else _REWRITES.search(line)
        if match is not None:
            text = match[0].decode("utf-8", "replace")
            yield finding(
                "git-attributes",
                Place(file, number, match.start() + 1),
                f"`{shown(text)}` makes git show other text than it keeps",
                "take it out: what is reviewed must be what is applied",
            )
