"""Selectors of the policy: parsed, each with its place, and judged by where it stands.

What a selector may be depends on the side: `autogroup:self` is no source,
`autogroup:danger-all` no destination, and a list of login rules takes less than a rule
between addresses. Whether a group or tag exists is not known yet: `check` looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from tailgit.load.located import Items, Map, texts_of
from tailgit.load.ports import ports_behind
from tailgit.load.postures import named_postures
from tailgit.load.unite import Sections
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.near import Near, meant_kind
from tailgit.model.selectors import (
    AUTOGROUPS,
    Kind,
    Selector,
    SelectorError,
    parse_selector,
)
from tailgit.model.text import shown

Side = Literal["src", "dst", "target"]

_NOT_A_SOURCE = '"{}" not valid on the src side of a rule'
_WRONG_SIDE = {
    ("src", Kind.SELF): _NOT_A_SOURCE,
    ("target", Kind.SELF): _NOT_A_SOURCE,
    ("src", Kind.INTERNET): "{} can only be used in ACL destinations",
    ("target", Kind.INTERNET): "{} can only be used in ACL destinations",
    ("dst", Kind.DANGER_ALL): "cannot use {} as a dst",
    ("dst", Kind.SHARED): "cannot use {} as a dst",
}
_ELSEWHERE = {
    "autogroup:nonroot": ("autogroup-not-here", "it stands in `users` of ssh rules"),
    "posture:": ("bad-posture", "postures stand in `srcPosture`"),
}


class Selectors:
    """The names that selectors of one tailnet may use."""

    def __init__(self, sections: Sections, findings: list[Finding]) -> None:
        self.findings = findings
        self.devices = sections.keyed["devices"]
        self.hosts = sections.keyed["hosts"]
        self.keyed = sections.keyed
        self.near = Near([*self.devices, *self.hosts])
        self.autogroups = Near(AUTOGROUPS)
        self.ipsets = Near(self.keyed["ipsets"])
        self.tags = Near(self.keyed["tagOwners"])
        self.named_postures = Near(self.keyed["postures"])

    def add(self, code: str, at: Place, message: str, help_: str = "") -> None:
        self.findings.append(finding(code, at, message, help_))

    def listed(
        self, item: Map, key: str, side: Side, *, ports: bool = False
    ) -> tuple[Selector, ...]:
        """Those of a list that are selectors; the others have findings."""
        found = [
            self.read(text, item.at(key, index), side, ports=ports)
            for index, text in texts(item, key)
        ]
        return tuple(each for each in found if each is not None)

    def read(
        self, text: str, at: Place, side: Side, *, ports: bool = False
    ) -> Selector | None:
        """The selector, or None and a finding.

        `ports` says that ports have been taken off its end already.
        """
        text = text.strip()
        for start, (code, why) in _ELSEWHERE.items():
            if text.startswith(start):
                message = f"`{shown(text)}` is no selector of a rule"
                self.add(code, at, message, why)
                return None
        if text.startswith("svc:"):
            message = f"`{shown(text)}` is not enforced by this version: there are no "
            self.add("not-yet", at, f"{message}services", "take it out of the rule")
            return None
        behind = None if ports else ports_behind(text)
        if behind:
            self.too_many_ports(text, behind, at, side)
            return None
        try:
            selector = parse_selector(
                text, devices=self.devices, hosts=self.hosts, place=at
            )
        except SelectorError as error:
            self.no_selector(error, text, at, side)
            return None
        if selector.kind is Kind.IPSET and text not in self.keyed["ipsets"]:
            help_ = self.ipsets.meant(text) or "define it in `ipsets`"
            self.add("unknown-ipset", at, f"no ipset `{shown(text)}`", help_)
            return None
        wrong_side = _WRONG_SIDE.get((side, selector.kind))
        if wrong_side:
            message = wrong_side.format(text)
            self.add("autogroup-not-here", at, message, "take it out of the list")
            return None
        return selector

    def postures(self, item: Map) -> tuple[str, ...]:
        """The field `srcPosture` of a rule."""
        known, near = self.keyed["postures"], self.named_postures
        return named_postures(item.get("srcPosture"), known, near, self.findings)

    def tag(self, text: str, at: Place) -> None:
        """A finding unless `tagOwners` declares the tag that a `via` names."""
        tags = self.keyed["tagOwners"]
        if text not in tags:
            declare = f"declare it: `tagOwners: {{{shown(text)}: []}}`"
            help_ = self.tags.meant(text) or declare
            self.add("unknown-tag", at, f'tag "{shown(text)}" not found', help_)

    def no_selector(
        self, error: SelectorError, text: str, at: Place, side: Side
    ) -> None:
        message = shown(str(error))
        if side == "target" and error.code == "unknown-name":
            message = f'"{shown(text)}": invalid address'
        self.add(error.code, at, message, self.meant(error.code, text))

    def too_many_ports(
        self, text: str, parts: tuple[str, str], at: Place, side: Side
    ) -> None:
        """Ports stand in a grant's `ip` and behind an acl's dst, nowhere else."""
        head, ports = map(shown, parts)
        head = re.sub(r"\[(.*)\]", r"\1", head)
        where = "a grant's dst" if side == "dst" else side
        message = f"`{shown(text)}`: there are no ports in {where}"
        help_ = f'write `{side}: ["{head}"]`'
        if side == "dst":
            help_ += f' and `ip: ["{ports}"]`'
        self.add("bad-destination", at, message, help_)

    def meant(self, code: str, text: str) -> str:
        """What somebody most likely wanted to write."""
        if code == "unknown-autogroup":
            return self.autogroups.meant(text)
        if code == "bad-domain":
            return "for everybody at a domain: `user:*@acme.com`; else the address"
        kinds = (self.keyed[each] for each in ("groups", "tagOwners", "users"))
        return (
            meant_kind(text, *kinds)
            or self.near.meant(text)
            or (
                "a name is a device, or an alias in `hosts`; users have an `@`, groups "
                "begin with `group:`, tags with `tag:`"
            )
        )


def entries(lists: list[Items]) -> Iterator[tuple[Map, Place]]:
    """The mappings of a section's lists, each with its place."""
    for each in lists:
        for index, item in enumerate(each):
            if isinstance(item, Map):
                yield item, each.at(index)


def texts(item: Map, key: str) -> Iterator[tuple[int, str]]:
    """The texts of a list in a mapping, each with its index."""
    return texts_of(item.get(key))
