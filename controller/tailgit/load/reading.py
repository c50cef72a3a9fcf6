"""One file of a tailnet: read by its language, typed and judged by the schemas.

Whatever is wrong in it is a finding with a place; what several files say together is
not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tailgit.load.bare import only_policy
from tailgit.load.explain import explain
from tailgit.load.hujson import read_hujson, read_json
from tailgit.load.located import Map
from tailgit.load.secrets import Suspects, find_secrets
from tailgit.load.shape import fit, root_shape
from tailgit.load.source import ROOT_FILE
from tailgit.load.spellings import respell
from tailgit.load.unite import ROOT_FILE_ONLY, Document
from tailgit.load.whole import foreign, is_foreign
from tailgit.load.yaml import read_yaml
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

_LFS = b"version https://git-lfs.github.com/spec/"


def read_file(
    data: bytes,
    file: str,
    root: str | None,
    suspects: Suspects,
    findings: list[Finding],
) -> Document | None:
    """One file, typed and judged by the schemas; None if it can't be read.

    Without a root it is a policy that stands alone.
    """
    so_far = len(findings)
    findings.extend(find_secrets(data, file))
    suspects.look(data, file)
    after_secrets = len(findings)
    if data.startswith(_LFS):
        findings.append(
            finding(
                "lfs-pointer",
                Place(file),
                "the file is a git-LFS pointer; its content is not in git",
                "keep it in git itself: `git lfs untrack`",
            )
        )
        return None
    sections = read_document(data, file, findings)
    if sections is None:
        return None
    if root is None:
        only_policy(sections, findings)
    elif file != (f"{root}/{ROOT_FILE}" if root else ROOT_FILE):
        odd_key = next(
            (f.place for f in findings[after_secrets:] if f.code == "yaml-key"), None
        )
        if is_foreign(sections) or (odd_key and not sections):  # `on: push`
            at = odd_key or sections.key(next(iter(sections)))
            findings[after_secrets:] = [foreign(at, root)]
            return Document(file, sections, [])
        _root_file_only(sections, findings)
    walk = fit(root_shape(), sections)
    if not walk.valid:
        findings.extend(elsewhere(explain(sections), findings[so_far:]))
    for at, text in walk.unprintable:
        message = f"an unseen or control character in `{shown(text[:60])}`"
        findings.append(finding("bad-character", at, message, "write one plain line"))
    marked = walk.not_yet
    if root is None:  # nothing of it is for nodes
        marked = [each for each in marked if each[2]["severity"] == "error"]
    _not_yet(marked, findings)
    return Document(file, sections, data.decode("utf-8-sig").split("\n"))


def read_document(data: bytes, file: str, findings: list[Finding]) -> Map | None:
    """The file's mapping, by the language that its name says; None if it is none."""
    if file.endswith(".json"):
        return read_json(data, file, findings)
    if not file.endswith(".hujson"):
        return read_yaml(data, file, findings)
    sections = read_hujson(data, file, findings)
    if sections is not None:
        respell(sections, findings)
    return sections


def elsewhere(later: Iterable[Finding], earlier: Iterable[Finding]) -> list[Finding]:
    """Those findings whose place no earlier error has: one mistake is said once."""
    places = {each.place for each in earlier if each.is_error}
    return [each for each in later if each.place not in places]


def _root_file_only(sections: Map, findings: list[Finding]) -> None:
    """Takes out what only tailnet.yaml may say."""
    for section in ROOT_FILE_ONLY:
        if section in sections:
            message = f"the section `{section}` belongs into {ROOT_FILE} only"
            at = sections.key(section)
            findings.append(finding("unknown-section", at, message, "move it there"))
            del sections[section]


def _not_yet(
    seen: list[tuple[Map, str, dict[str, Any]]], findings: list[Finding]
) -> None:
    """Fields that are known and without effect: errors each, warnings once a file."""
    warned: dict[tuple[str, str], list[tuple[Map, str, dict[str, Any]]]] = {}
    for owner, key, about in seen:
        if about["severity"] != "error":
            warned.setdefault((key, about["why"]), []).append((owner, key, about))
            continue
        message = f"`{key}` is not enforced by this version: {about['why']}"
        findings.append(
            finding("not-yet", owner.key(key), message, f"take `{key}` out")
        )
    for uses in warned.values():
        owner, key, about = uses[0]
        times = f" ({len(uses)} times in this file)" if len(uses) > 1 else ""
        at, why = owner.key(key), f"{about['why']}{times}"
        if about["severity"] == "apply":
            message = f"`{key}` can't be put on nodes by this version: {why}"
            help_ = "plan, apply, render and lab refuse it; take it out for them"
            findings.append(finding("not-applied", at, message, help_))
        else:
            message = f"`{key}` has no effect in this version: {why}"
            findings.append(finding("not-used", at, message))
