"""Policies for the tests of the policy language, loaded from memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tailgit.check import examine
from tailgit.load import Loaded, load_from
from tailgit.load.source import Entry
from tailgit.model.codes import CODES
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Tailnet
from tests.load.files import HEAD

WORLD = """\
users: {ana@acme.com: {role: admin}, kim@acme.com: {}}
groups: {group:dev: [ana@acme.com], group:none: []}
hosts: {srv: 10.1.0.1, lan: 10.2.0.0/16}
tagOwners: {tag:db: [group:dev], tag:web: []}
devices:
  ana-pc: {owner: ana@acme.com}
  kim-pc: {owner: kim@acme.com}
  db-1: {tags: [tag:db]}
  web-1: {tags: [tag:web]}
"""


class Memory:
    """Files that were never written."""

    commit: str | None = None

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = {
            name: text.encode() if isinstance(text, str) else text
            for name, text in files.items()
        }

    def entries(self, below: str) -> Sequence[Entry]:
        found = sorted(self.files) if not below else []
        return [Entry(path, "file", len(self.files[path])) for path in found]

    def entry(self, path: str) -> Entry | None:
        data = self.files.get(path)
        return None if data is None else Entry(path, "file", len(data))

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        return {path: self.files[path] for path in paths}

    def beginnings(self, paths: Sequence[str], most: int) -> Iterator[bytes]:
        return (self.files[path][:most] for path in paths)


def loaded(policy: str, **files: str) -> Loaded:
    """A small tailnet with this policy in a file of its own."""
    named = {f"{name}.yaml": text for name, text in files.items()}
    head = {"tailnet.yaml": HEAD, "world.yaml": WORLD}
    return load_from(Memory({**head, **named, "policy.yaml": policy}), "")


def tailnet_of(policy: str, **files: str) -> Tailnet:
    """The tailnet; it has no error."""
    found = loaded(policy, **files)
    assert found.tailnet is not None, found.findings
    return found.tailnet


def errors(policy: str, **files: str) -> list[Finding]:
    """The errors of loading and checking, in order."""
    return [each for each in examine(loaded(policy, **files)) if each.is_error]


def sentences(policy: str, **files: str) -> list[tuple[str, str]]:
    """Code and sentence of each error; all are of the policy's layer."""
    found = errors(policy, **files)
    assert {CODES[each.code].layer for each in found} <= {"policy"}, found
    return [(each.code, each.message) for each in found]
