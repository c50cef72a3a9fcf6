"""Whether everything that is written was read, and which files are none of ours.

Who says "there is no such group" must have read every group. A file that is not YAML,
a misspelt section, a group that is text instead of a list: behind each of them stands
something that is written and not known, so nothing may be called absent.
"""

from __future__ import annotations

from itertools import islice

from tailgit.load.located import Items, Map
from tailgit.load.shape import root_shape
from tailgit.load.source import ROOT_FILE
from tailgit.load.unite import BY_KEY, NESTED, ONE_AFTER_THE_OTHER, parts
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.near import meant
from tailgit.model.text import shown

_LOSSES = frozenset(
    {
        "duplicate-key",
        "section-twice",
        "too-large",
        "unknown-include",
        "unknown-section",
        "yaml-alias",
        "yaml-key",
        "yaml-quotes",
    }
)
"""Errors by which something that is written does not reach the sections."""
_LISTS = (
    *("groups", "tagOwners", "ipsets", "postures"),
    *("autoApprovers.routes", "dns.splitDNS"),
)
_PREFIXES = {
    "groups": "group:",
    "tagOwners": "tag:",
    "ipsets": "ipset:",
    "postures": "posture:",
}
_FEW = 20


def is_loss(each: Finding, read: set[str]) -> bool:
    """Whether a finding means that a file, or a part of one, was not read."""
    if each.code in _LOSSES:
        return True
    return each.is_error and each.place.file not in read and each.code != "private-key"


def entries_fit(sections: Map) -> bool:
    """Whether each section, and each entry of a named one, is of the kind it must be.

    One that is not has been left out: the group that is text has no name any more.
    """
    for section, holder, name in parts(sections):
        value = holder[name]
        if section in (*ONE_AFTER_THE_OTHER, *NESTED) and not isinstance(value, Items):
            return False
        if section not in BY_KEY:
            continue
        if not isinstance(value, Map):
            return False
        prefix = _PREFIXES.get(section, "")
        kind = str if section == "hosts" else Items if section in _LISTS else Map
        for key, entry in value.items():
            if not key.startswith(prefix) or not isinstance(entry, kind):
                return False
    return True


def is_foreign(sections: Map) -> bool:
    """Whether not one key of the file is, or looks like, a section of a tailnet."""
    known = root_shape().fields or {}
    return bool(sections) and not any(
        key in known or meant(key, known) for key in islice(sections, _FEW)
    )


def foreign(at: Place, root: str) -> Finding:
    inner = at.file.removeprefix(f"{root}/") if root else at.file
    return finding(
        "unknown-section",
        at,
        "this file has no section of a tailnet",
        f"if it is no part of the tailnet: `exclude: [{shown(inner)}]` in {ROOT_FILE}",
    )
