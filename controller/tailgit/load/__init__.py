"""From a git revision or a folder to a `Tailnet`, with every finding on the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tailgit.load.bare import bare_policy
from tailgit.load.delegations import (
    check_delegated_addresses,
    check_delegations,
    stopping,
)
from tailgit.load.documents import read_sections
from tailgit.load.git import Repo
from tailgit.load.reading import elsewhere
from tailgit.load.source import ROOT_FILE, Source, open_source, root_of, roots_of
from tailgit.load.tailnet import build_bare, build_tailnet
from tailgit.load.unite import Sections
from tailgit.model.codes import ABSENCES, too_many
from tailgit.model.findings import Bounded, Finding, Place, TooManyFindings, in_order
from tailgit.model.tailnet import Tailnet

__all__ = ["Loaded", "Repo", "load", "load_from", "roots"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading gave: a tailnet, unless a finding is an error.

    `root` is the tailnet's folder relative to the top of the repository (`""` = the
    top), `commit` the id of the revision it was read from, None for a folder.
    `partial` is what could be built in spite of errors, where every file could be
    read: good for finding more of them (`check.examine`) and for nothing else. Unless
    it is `whole`, it lacks what is written, so nobody may say that something is absent.
    `sections` is what the files say themselves, for what a `Tailnet` does not hold.
    """

    tailnet: Tailnet | None
    findings: tuple[Finding, ...]
    root: str
    commit: str | None
    partial: Tailnet | None = None
    whole: bool = True
    sections: Sections | None = field(default=None, compare=False, repr=False)


def load(path: Path, revision: str | None = None) -> Loaded:
    """The tailnet that `path` means, in a git revision or as the files are now.

    `path` is the folder of a tailnet.yaml, one inside of it, or one above it if that
    is unambiguous. `SourceError` if there is nothing to read, `UsageError` if `path`
    means several tailnets; whatever is wrong *in* the files is a finding.
    """
    source, folder = open_source(path, revision)
    return load_from(source, root_of(source, folder, path))


def load_from(source: Source, root: str) -> Loaded:
    """The tailnet of one root of a source."""
    root_file = f"{root}/{ROOT_FILE}" if root else ROOT_FILE
    findings: list[Finding] = Bounded()
    with _no_garbage_collection():
        later: list[Finding] = Bounded()
        try:
            policy = bare_policy(source, root)
            if policy is not None:
                sections = read_sections(source, root, findings)
                tailnet: Tailnet | None = build_bare(sections, policy, later)
            else:
                sections = read_sections(source, root, findings)
                bound = check_delegations(sections, root, findings)
                tailnet = build_tailnet(sections, root_file, later)
                if tailnet is not None:
                    check_delegated_addresses(tailnet, bound, later)
                findings = stopping(findings, bound)
        except TooManyFindings:
            sections, tailnet = Sections(), None
            later = [*later, too_many(Place(root_file))]
        if not sections.whole:
            later = [each for each in later if each.code not in ABSENCES]
        findings = [*findings, *elsewhere(later, findings)]
    failed = any(finding.is_error for finding in findings)
    return Loaded(
        tailnet=None if failed else tailnet,
        findings=in_order(findings),
        root=root,
        commit=source.commit,
        partial=tailnet if failed and sections.complete else None,
        whole=sections.whole,
        sections=sections,
    )


def roots(path: Path, revision: str | None = None) -> tuple[str, ...]:
    """Every tailnet's folder that `path` means, relative to the repository's top."""
    source, folder = open_source(path, revision)
    return roots_of(source, folder)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A load makes hundreds of thousands of objects and no cycles: 2.6 times faster."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
