"""The merge table: how the sections of many files become those of one tailnet.

Some are united by key, some one after the other in bytewise order of path; some stand
in a single place, because the order inside them counts or because two of them would be
two decisions. A dot leads into a section: `dns.records` is a list inside of `dns`.
Whatever two files say about one thing is an error that names both places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tailgit.load.located import Items, Map
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.text import shown

ROOT_FILE_ONLY = ("tailnet", "include", "exclude")
"""Sections that only tailnet.yaml may have."""

BY_KEY = (
    *("users", "groups", "hosts", "ipsets", "devices", "tagOwners", "postures"),
    *("dns.splitDNS", "autoApprovers.routes"),
)
ONE_AFTER_THE_OTHER = (
    *("acls", "grants", "tests", "sshTests", "nodeAttrs", "guardrails"),
    *("dns.records", "autoApprovers.exitNode"),
)
ONE_PLACE = ("tailnet", "dns.nameservers", "defaultSrcPosture", "delegations", "ssh")
NESTED = ("dns", "autoApprovers")
"""Sections whose parts are united one by one."""


@dataclass(slots=True)
class Document:
    """One file: its sections and, for the comments, its lines."""

    file: str
    sections: Map
    lines: list[str]


@dataclass(slots=True)
class Sections:
    """The union of all files.

    `keyed` maps section -> key -> the mapping that defines it, `listed` section ->
    the lists in order of path, `single` section -> its value; `documents` is by file,
    for defaults and comments, `inner` the files of tailnets further down. `complete`
    says that every file could be read, though perhaps not every value; `whole` that
    besides, no key or section was lost by an error.
    """

    keyed: dict[str, dict[str, Map]] = field(
        default_factory=lambda: {section: {} for section in BY_KEY}
    )
    listed: dict[str, list[Items]] = field(
        default_factory=lambda: {section: [] for section in ONE_AFTER_THE_OTHER}
    )
    single: dict[str, Map | Items] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    inner: tuple[str, ...] = ()
    complete: bool = False
    whole: bool = False

    @property
    def tailnet(self) -> Map | None:
        """The section `tailnet`."""
        section = self.single.get("tailnet")
        return section if isinstance(section, Map) else None


def unite(documents: Iterable[Document], findings: list[Finding]) -> Sections:
    """The documents as one, in the order they come in."""
    united = Sections()
    first: dict[str, Map] = {}
    for document in documents:
        united.documents[document.file] = document
        for name, holder, key in parts(document.sections):
            value = holder[key]
            if name in united.keyed:
                if isinstance(value, Map):
                    _by_key(united.keyed[name], value, findings)
            elif name in united.listed:
                if isinstance(value, Items):
                    united.listed[name].append(value)
            elif name in ONE_PLACE:
                if name in first:
                    _twice(name, key, holder, first[name], findings)
                    continue
                first[name] = holder
                if isinstance(value, Map | Items):
                    united.single[name] = value
    return united


def parts(sections: Map) -> Iterator[tuple[str, Map, str]]:
    """Each section of a file, `dns` and `autoApprovers` by their parts.

    (its name in the merge table, the mapping that holds it, its key there).
    """
    for section, value in sections.items():
        if section in NESTED and isinstance(value, Map):
            for key in value:
                yield f"{section}.{key}", value, key
        else:
            yield section, sections, section


def _by_key(united: dict[str, Map], section: Map, findings: list[Finding]) -> None:
    for key in section:
        if key not in united:
            united[key] = section
            continue
        findings.append(
            finding(
                "duplicate-key",
                section.key(key),
                f"`{shown(key)}` is defined twice",
                "keep one of the two",
                [united[key].key(key)],
            )
        )


def _twice(
    name: str, key: str, holder: Map, first: Map, findings: list[Finding]
) -> None:
    why = "their order counts" if name == "ssh" else "there is one for the tailnet"
    findings.append(
        finding(
            "section-twice",
            holder.key(key),
            f"`{name}` stands in two files, and {why}",
            "put everything into one of them",
            [first.key(key)],
        )
    )
