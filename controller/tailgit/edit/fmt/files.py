"""Which files are formatted, and what comes of each.

A folder means the YAML files of the tailnet around it, or of those below it: neither
what `exclude` names, nor names with a dot in front, nor what `include` fetches from
elsewhere. If tailnet.yaml can't be read, nobody knows what it excludes, so nothing of
that tailnet is touched. A file that is named is formatted wherever it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tailgit.edit.files import replace_file
from tailgit.edit.fmt import formatted
from tailgit.errors import SourceError, TailgitError, UsageError
from tailgit.load.bare import bare_policy
from tailgit.load.decode import is_too_large
from tailgit.load.globs import Globs
from tailgit.load.inner import inner_roots, without_inner
from tailgit.load.located import Items
from tailgit.load.source import (
    ROOT_FILE,
    Entry,
    Source,
    has_dot_name,
    open_source,
    root_of,
    roots_of,
    top_of,
)
from tailgit.load.yaml import read_yaml
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A file to format: its path on disk, and below the top of the repository."""

    path: Path
    file: str
    root: str
    source: Source


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file; `after` is None if it can't be formatted."""

    file: str
    before: bytes = b""
    after: bytes | None = None
    findings: tuple[Finding, ...] = ()
    error: TailgitError | None = None

    @property
    def differs(self) -> bool:
        return self.after is not None and self.after != self.before


def choose(paths: Iterable[Path], findings: list[Finding]) -> list[Chosen]:
    """The files that the paths mean, each once; what stands in the way is a finding.

    `SourceError` or `UsageError` for a path that means nothing.
    """
    chosen: dict[Path, Chosen] = {}
    for path in paths:
        found = _folder(path, findings) if path.is_dir() else _named(path, findings)
        for each in found:
            chosen.setdefault(each.path, each)
    return list(chosen.values())


def outcome(chosen: Chosen) -> Outcome:
    """What the file would become; nothing is written."""
    findings: list[Finding] = []
    try:
        data = chosen.source.read([chosen.file])[chosen.file]
        is_root_file = Path(chosen.file).name == ROOT_FILE
        root = None if is_root_file else chosen.root
        after = formatted(data, chosen.file, findings, root)
    except TailgitError as error:
        return Outcome(chosen.file, error=error)
    return Outcome(chosen.file, data, after, tuple(findings))


def write(chosen: Chosen, result: Outcome) -> TailgitError | None:
    """Replaces the file if it is to change; the error if that was not possible."""
    if result.after is None or not result.differs:
        return None
    try:
        replace_file(chosen.path, result.before, result.after)
    except TailgitError as error:
        return error
    return None


def _folder(path: Path, findings: list[Finding]) -> Iterator[Chosen]:
    source, folder = open_source(path, None)
    top = top_of(path)
    roots = roots_of(source, folder) or (root_of(source, folder, path),)
    for root in roots:
        if bare_policy(source, root) is not None:
            continue  # HuJSON is as its author wrote it
        for entry in _entries(source, root, findings):
            if entry.kind != "file":
                findings.append(_not_a_file(entry.path))
            elif not is_too_large(entry.size, entry.path, findings):
                yield Chosen(top / entry.path, entry.path, root, source)


def _entries(source: Source, root: str, findings: list[Finding]) -> Iterator[Entry]:
    """What looks like a YAML file of one root."""
    excludes = _excludes(source, root, findings)
    if excludes is None:
        return
    everything = source.entries(root)
    below = inner_roots(everything, root)
    for entry in without_inner(source, everything, root, below, excludes, findings):
        inner = entry.path.removeprefix(f"{root}/") if root else entry.path
        if not inner.endswith(_ENDINGS) or has_dot_name(inner):
            continue
        if inner == ROOT_FILE or not excludes.match(inner):
            yield entry


def _excludes(source: Source, root: str, findings: list[Finding]) -> Globs | None:
    """What tailnet.yaml excludes; None, with findings, if that can't be told."""
    file = f"{root}/{ROOT_FILE}" if root else ROOT_FILE
    found: list[Finding] = []
    sections = read_yaml(source.read([file])[file], file, found)
    globs = Globs.of(sections, found)
    excludes = sections.get("exclude") if sections is not None else None
    if sections is not None and excludes is not None:
        texts = isinstance(excludes, Items) and all(
            isinstance(each, str) for each in excludes
        )
        if not texts:
            message = "`exclude` is not a list of paths"
            help_ = "write `exclude: [drafts/]`"
            at = sections.key("exclude")
            found.append(finding("wrong-type", at, message, help_))
    findings.extend(found)
    return None if any(each.is_error for each in found) else globs


def _named(path: Path, findings: list[Finding]) -> Iterator[Chosen]:
    where = shown(str(path))
    if not path.is_symlink() and not path.exists():
        raise SourceError(f"no such file or folder: {where}")
    if path.name.endswith(".json"):
        return
    if not path.name.endswith(_ENDINGS):
        raise UsageError(f"{where} is not YAML", "name .yaml files, or a folder")
    parent = path.parent.resolve()
    source, folder = open_source(parent, None)
    file = f"{folder}/{path.name}" if folder else path.name
    entry = source.entry(file)
    if entry is None or entry.kind != "file":
        findings.append(_not_a_file(file))
        return
    if not is_too_large(entry.size, file, findings):
        root = next(iter(roots_of(source, folder)), "")
        around = not root or f"{folder}/".startswith(f"{root}/")
        yield Chosen(parent / path.name, file, root if around else "", source)


def _not_a_file(file: str) -> Finding:
    message = f"`{shown(file)}` is not a regular file, and links are not followed"
    help_ = "put the file itself there, or name it under `exclude` in tailnet.yaml"
    return finding("not-a-file", Place(file), message, help_)
