"""Tailnets inside of a tailnet's folder: their files are none of ours.

A `tailnet.yaml` further down takes its whole folder out of the tailnet around it, and
with it whatever stands there. So only a regular file that does say `tailnet:` may do
that; anything else of that name is an error, since a reviewer would not see it work.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailgit.load.decode import MAX_FILE_BYTES, is_too_large
from tailgit.load.globs import Globs, around
from tailgit.load.located import Map
from tailgit.load.source import ROOT_FILE, Entry, Source, has_dot_name
from tailgit.load.yaml import read_yaml
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

MAX_INNER_ROOTS = 1000
MAX_INNER_BYTES = 32 << 20


def inner_roots(everything: Sequence[Entry], root: str) -> list[Entry]:
    """The tailnet.yaml files further down, of all entries below the root."""
    start = len(root) + 1 if root else 0
    return [
        entry
        for entry in everything
        if entry.path[start:].endswith(f"/{ROOT_FILE}")
        and entry.kind == "file"
        and not has_dot_name(entry.path[start:])
    ]


def without_inner(
    source: Source,
    everything: Sequence[Entry],
    root: str,
    markers: Sequence[Entry],
    excludes: Globs,
    findings: list[Finding],
) -> list[Entry]:
    """What lies below the root and in no other root below it."""
    start = len(root) + 1 if root else 0
    judged = [each for each in markers if not excludes.match(each.path[start:])]
    _judge(source, judged, findings)
    inner = {each.path.removesuffix(f"/{ROOT_FILE}") for each in markers}
    left = [each for each in everything if inner.isdisjoint(around(each.path))]
    _no_folders(left, start, excludes, findings)
    return left


def _judge(source: Source, markers: Sequence[Entry], findings: list[Finding]) -> None:
    """A finding for each inner tailnet.yaml that is none."""
    total = sum(entry.size for entry in markers)
    if len(markers) > MAX_INNER_ROOTS or total > MAX_INNER_BYTES:
        message = (
            f"{len(markers)} tailnets with {total >> 20} MiB below this one; "
            f"{MAX_INNER_ROOTS} with {MAX_INNER_BYTES >> 20} MiB may be"
        )
        help_ = "give each tailnet a folder of its own, side by side"
        place = Place(markers[0].path)
        findings.append(finding("too-large", place, message, help_))
        return
    paths = [e.path for e in markers if not is_too_large(e.size, e.path, findings)]
    contents = source.beginnings(paths, MAX_FILE_BYTES)
    for path, content in zip(paths, contents, strict=True):
        document = read_yaml(content, path, [])  # its own check says what is wrong
        if document is None or not isinstance(document.get("tailnet"), Map):
            message = (
                f"`{shown(path)}` has no section `tailnet`, and yet would take its "
                "folder out of the tailnet around it"
            )
            help_ = "rename it, or make it a whole tailnet"
            findings.append(finding("missing-section", Place(path), message, help_))


def _no_folders(
    entries: Sequence[Entry], start: int, excludes: Globs, findings: list[Finding]
) -> None:
    """A finding for each folder that is called tailnet.yaml."""
    seen: set[str] = set()
    for entry in entries:
        inner = entry.path[start:]
        before, found, _ = f"/{inner}".partition(f"/{ROOT_FILE}/")
        folder = entry.path[: start + len(before) + len(ROOT_FILE)]
        if not found or folder in seen or has_dot_name(inner):
            continue
        seen.add(folder)
        if not excludes.match(folder[start:]):
            message = f"`{shown(folder)}` is a folder, which makes no tailnet"
            help_ = "rename it, or name it under `exclude` in tailnet.yaml"
            findings.append(finding("not-a-file", Place(folder), message, help_))
