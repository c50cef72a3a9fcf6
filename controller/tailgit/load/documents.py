"""From the files of a root to one set of sections.

Each file is read, typed and judged on its own; then `unite` makes one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tailgit.load.attributes import NAME as ATTRIBUTES
from tailgit.load.attributes import find_attributes
from tailgit.load.bare import bare_policy
from tailgit.load.decode import MAX_FILE_BYTES, is_too_large
from tailgit.load.globs import Globs
from tailgit.load.inner import inner_roots, without_inner
from tailgit.load.located import Map, texts_of
from tailgit.load.reading import read_file
from tailgit.load.secrets import MAX_SCANNED_BYTES, Suspects, find_secrets
from tailgit.load.source import (
    MAX_FILES,
    POLICY_FILE,
    ROOT_FILE,
    Entry,
    Source,
    has_dot_name,
    is_policy,
)
from tailgit.load.unite import Document, Sections, unite
from tailgit.load.whole import entries_fit, is_loss
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

MAX_TOTAL_BYTES = 16 << 20
MAX_SEARCHED_BYTES = 1 << 30
"""How much of all other files is searched for private keys."""

_DOCUMENTS = (".yaml", ".yml", ".json")


def read_sections(source: Source, root: str, findings: list[Finding]) -> Sections:
    """Everything that the root's files define; what is wrong goes to `findings`."""
    policy = bare_policy(source, root)
    if policy is not None:
        return read_bare(source, policy, findings)
    root_file = f"{root}/{ROOT_FILE}" if root else ROOT_FILE
    suspects = Suspects()
    first = _first(source, root_file, root, suspects, findings)
    sections = first.sections if first is not None else None
    excludes = Globs.of(sections, findings)
    everything = source.entries(root)
    inner = inner_roots(everything, root)
    entries = without_inner(source, everything, root, inner, excludes, findings)
    part, others = _parts(entries, root, excludes, findings)
    if sections is not None:
        _unused_excludes(sections, excludes, findings)
        part = _with_included(source, root, sections, part, findings)
    part = [entry for entry in part if entry.path != root_file]
    small = [each for each in part if not is_too_large(each.size, each.path, findings)]
    if not _within_limits(source, small, root_file, findings):
        return Sections()

    documents = [first] if first is not None else []
    for path, content in source.read([entry.path for entry in small]).items():
        document = read_file(content, path, root, suspects, findings)
        if document is not None:
            documents.append(document)
    searched = [each for each in others if each.kind == "file"]
    searched += [each for each in part if each.size > MAX_FILE_BYTES]
    _search(source, searched, root_file, suspects, findings)
    documents.sort(key=lambda document: document.file.encode(errors="surrogateescape"))
    read = {document.file for document in documents}
    lost = any(is_loss(each, read) for each in findings)
    united = unite(documents, findings)
    united.inner = tuple(each.path for each in inner)
    findings.extend(suspects.findings(_public_keys(united)))
    united.complete = first is not None and len(documents) == len(part) + 1
    united.whole = united.complete and not lost
    united.whole &= all(entries_fit(document.sections) for document in documents)
    return united


def read_bare(source: Source, policy: str, findings: list[Finding]) -> Sections:
    """What a policy.hujson says that stands alone; nothing else is read."""
    entry = source.entry(policy)
    if entry is not None and is_too_large(entry.size, policy, findings):
        return Sections()
    data = source.read([policy])[policy]
    document = read_file(data, policy, None, Suspects(), findings)
    if document is None:
        return Sections()
    united = unite([document], findings)
    united.complete = True
    lost = any(is_loss(each, {policy}) for each in findings)
    united.whole = entries_fit(document.sections) and not lost
    return united


def _first(
    source: Source,
    root_file: str,
    root: str,
    suspects: Suspects,
    findings: list[Finding],
) -> Document | None:
    """tailnet.yaml, which says what else is read."""
    entry = source.entry(root_file)
    if entry is not None and is_too_large(entry.size, root_file, findings):
        return None
    data = source.read([root_file])[root_file]
    return read_file(data, root_file, root, suspects, findings)


def _search(
    source: Source,
    entries: list[Entry],
    root_file: str,
    suspects: Suspects,
    findings: list[Finding],
) -> None:
    """Looks for private keys in files that are not read otherwise, one at a time."""
    paths, left = [], MAX_SEARCHED_BYTES
    for entry in entries:
        left -= min(entry.size, MAX_SCANNED_BYTES)
        if left < 0:
            message = (
                f"more than {MAX_SEARCHED_BYTES >> 20} MiB of other files, too many to "
                "search for private keys"
            )
            help_ = "give the tailnet a folder of its own"
            findings.append(finding("too-large", Place(root_file), message, help_))
            break
        paths.append(entry.path)
    contents = source.beginnings(paths, MAX_SCANNED_BYTES)
    for path, content in zip(paths, contents, strict=True):
        if path.rpartition("/")[2] == ATTRIBUTES:
            findings.extend(find_attributes(content, path))
        findings.extend(find_secrets(content, path))
        suspects.look(content, path)


def _public_keys(sections: Sections) -> Iterator[str]:
    """Every key that a device declares: what no private half may lie beside."""
    for name, section in sections.keyed["devices"].items():
        about = section[name]
        if isinstance(about, Map):
            for field in ("publicKey", "nextPublicKey", "relayPublicKey"):
                if isinstance(about.get(field), str):
                    yield about[field]


def _parts(
    entries: Iterable[Entry],
    root: str,
    excludes: Globs,
    findings: list[Finding],
) -> tuple[list[Entry], list[Entry]]:
    """Files that are documents, and files that are only searched for private keys."""
    documents, others = [], []
    for entry in entries:
        inner = entry.path[len(root) + 1 :] if root else entry.path
        if has_dot_name(inner):
            others.append(entry)
            continue
        if excludes.match(inner):
            others.append(entry)
        elif entry.kind != "file":
            findings.append(_not_a_file(entry))
        elif inner.endswith(_DOCUMENTS) or is_policy(inner):
            documents.append(entry)
        else:
            if inner.lower().endswith((*_DOCUMENTS, ".hujson")):
                findings.append(_odd_name(entry))
            others.append(entry)
    return documents, others


def _not_a_file(entry: Entry) -> Finding:
    said = {
        "link": "a symbolic link",
        "submodule": "a git repository of its own",
        "special": "neither file nor folder",
    }
    return finding(
        "not-a-file",
        Place(entry.path),
        f"`{shown(entry.path)}` is {said[entry.kind]}, which is not followed",
        "put the files themselves there, or name it under `exclude` in tailnet.yaml",
    )


def _odd_name(entry: Entry) -> Finding:
    why = "endings are in lower case"
    if entry.path.lower().endswith(".hujson"):
        why = f"HuJSON is read from `{POLICY_FILE}`"
    return finding(
        "odd-name",
        Place(entry.path),
        f"`{shown(entry.path)}` looks like a part of the tailnet and is none: {why}",
        "rename it, or name it under `exclude` in tailnet.yaml",
    )


def _unused_excludes(sections: Map, excludes: Globs, findings: list[Finding]) -> None:
    for index, exclude in texts_of(sections.get("exclude")):
        if not excludes.is_used(exclude):
            findings.append(
                finding(
                    "unused-exclude",
                    sections["exclude"].at(index),
                    f"`{shown(exclude)}` matches no file below the root",
                    "take it out, or mend the path",
                )
            )


def _with_included(
    source: Source,
    root: str,
    sections: Map,
    documents: list[Entry],
    findings: list[Finding],
) -> list[Entry]:
    """The documents and what `include` adds to them."""
    by_path = {entry.path: entry for entry in documents}
    for index, include in texts_of(sections.get("include")):
        place = sections["include"].at(index)
        path = _normal(root, include)
        entry = source.entry(path) if path else None
        if entry is None:
            why = "is not in this repository"
            if path is None:
                why = "leads out of the repository, or there is no git repository"
            message = f"`{shown(include)}` {why}"
            help_ = "paths are relative to the folder of tailnet.yaml"
            findings.append(finding("unknown-include", place, message, help_))
        elif entry.kind != "file":
            findings.append(_not_a_file(entry))
        else:
            by_path[entry.path] = entry
    return list(by_path.values())


def _normal(root: str, include: str) -> str | None:
    """The path from the top of the repository, or None if it leads out of it."""
    parts = root.split("/") if root else []
    for part in include.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or None


def _within_limits(
    source: Source, documents: list[Entry], root_file: str, findings: list[Finding]
) -> bool:
    first = source.entry(root_file)
    documents = [*documents, first] if first is not None else documents
    total = sum(entry.size for entry in documents)
    if len(documents) <= MAX_FILES and total <= MAX_TOTAL_BYTES:
        return True
    findings.append(
        finding(
            "too-large",
            Place(root_file),
            f"{len(documents)} files with {total >> 20} MiB; a tailnet may have "
            f"{MAX_FILES} files with {MAX_TOTAL_BYTES >> 20} MiB",
            "name what is no part of it under `exclude`",
        )
    )
    return False
