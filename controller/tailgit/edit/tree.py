"""A tailnet's files as they are now, for an edit: what they say and how it is judged.

Files may be seen by several roots of one repository (`include:`); an edit must leave
all of them as valid as they were, so the roots are found here, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tailgit.access import run_tests
from tailgit.check import examine
from tailgit.errors import InvalidTailnet, Refused
from tailgit.load import Loaded, load_from
from tailgit.load.bare import bare_policy
from tailgit.load.documents import read_sections
from tailgit.load.hujson import read_hujson, read_json
from tailgit.load.located import Map
from tailgit.load.source import (
    ROOT_FILE,
    Source,
    has_dot_name,
    open_source,
    root_of,
    top_of,
)
from tailgit.load.yaml import read_yaml
from tailgit.model.findings import Bounded, Finding, TooManyFindings, in_order
from tailgit.model.text import shown


@dataclass(frozen=True, slots=True)
class Tree:
    """A tailnet and its documents: `documents` holds what each file says, by path."""

    top: Path
    source: Source
    root: str
    loaded: Loaded
    findings: tuple[Finding, ...]
    documents: Mapping[str, Map]

    def data(self, file: str) -> bytes:
        return self.source.read([file])[file]

    def below(self, inner: str) -> str:
        """A path below the root, as one from the top of the repository."""
        return f"{self.root}/{inner}" if self.root else inner

    def is_below(self, file: str) -> bool:
        return not self.root or file.startswith(f"{self.root}/")


def open_tree(path: Path, revision: str | None = None) -> Tree:
    """The tailnet of `path` as its files are, or as a commit has them.

    It may have errors, but not one by which something that is written was not read:
    a mention could hide there.
    """
    source, folder = open_source(path, revision)
    root = root_of(source, folder, path)
    policy = bare_policy(source, root)
    if policy is not None:
        raise Refused(
            f"{shown(policy)} is a policy alone, with no tailnet around it to edit",
            "`tailgit init` in its folder makes one",
        )
    loaded, findings = judged(source, root)
    if not loaded.whole:
        raise InvalidTailnet(findings)
    documents = read_sections(source, root, Bounded()).documents
    return Tree(
        top=top_of(path),
        source=source,
        root=root,
        loaded=loaded,
        findings=findings,
        documents={file: each.sections for file, each in documents.items()},
    )


def judged(source: Source, root: str) -> tuple[Loaded, tuple[Finding, ...]]:
    """A root with everything that is wrong with it, the policy's own tests too."""
    loaded = load_from(source, root)
    findings = examine(loaded)
    if loaded.tailnet and not any(finding.is_error for finding in findings):
        findings = in_order((*findings, *run_tests(loaded.tailnet)))
    return loaded, findings


def new_errors(
    before: Iterable[Finding], after: Iterable[Finding], *, words: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Errors that were not there before; lines may have moved, `words` were renamed."""
    known = Counter(_sentence(each, words) for each in before if each.is_error)
    found = []
    for each in after:
        if each.is_error:
            sentence = _sentence(each, {})
            known[sentence] -= 1
            if known[sentence] < 0:
                found.append(each)
    return tuple(found)


def _sentence(finding: Finding, words: Mapping[str, str]) -> tuple[str, str]:
    message = finding.message
    for old, new in words.items():
        message = message.replace(f"`{old}`", f"`{new}`")
    return finding.code, message


def other_roots(tree: Tree, files: Sequence[str]) -> tuple[str, ...]:
    """The repository's other tailnets that read one of these files."""
    found = []
    for entry in tree.source.entries(""):
        path = PurePosixPath(entry.path)
        root = "" if str(path.parent) == "." else str(path.parent)
        if path.name != ROOT_FILE or entry.kind != "file" or root == tree.root:
            continue
        if has_dot_name(entry.path):
            continue
        try:
            read = read_sections(tree.source, root, Bounded()).documents
            seen = any(file in read for file in files)
        except TooManyFindings:
            seen = True
        if seen:
            found.append(root)
    return tuple(found)


def raw(data: bytes, file: str) -> Map:
    """What a file says, with every value as the text that it is."""
    findings: list[Finding] = []
    reader = read_yaml
    if file.endswith((".json", ".hujson")):
        reader = read_json if file.endswith(".json") else read_hujson
    document = reader(data, file, findings)
    if document is None or any(finding.is_error for finding in findings):
        raise Refused(
            f"{shown(file)} is written in a way that can't be edited safely",
            "set the fields by hand",
        )
    return document


def editable(file: str, document: Mapping[str, Any], place: str) -> None:
    """`Refused` for a file that is not ours to edit."""
    if file.endswith((".json", ".hujson")):
        raise Refused(
            f"{shown(file)} is JSON; only YAML can be edited in place",
            f"change {shown(place)} by hand",
        )
    generated = document.get("generated")
    if generated is not None:
        about = generated if isinstance(generated, Mapping) else {}
        by, source = (str(about.get(key) or "") for key in ("by", "source"))
        raise Refused(
            f"{shown(file)} is written by {shown(by) or 'a program'}, which would undo "
            f"the edit ({shown(place)})",
            f"change it in {shown(source) or 'its source'} and have the file written "
            "again",
        )
