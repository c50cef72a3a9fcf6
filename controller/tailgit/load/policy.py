"""The policy of a tailnet: all its sections parsed, each by a module of its own.

What Tailscale's policy file has and this version can't enforce is refused by name: a
rule that is silently narrower or wider than it reads is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from tailgit.load.ipsets import build_ipsets
from tailgit.load.located import Items
from tailgit.load.nodeattrs import random_ports, read_node_attr
from tailgit.load.postures import build_postures, named_postures
from tailgit.load.rules import Rules
from tailgit.load.selectors import Selectors, entries
from tailgit.load.ssh import SshExamples, SshRules
from tailgit.load.tests import Examples
from tailgit.load.unite import Sections
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.policy import IpSet, NodeAttr, Posture, Rule, SshRule, SshTest, Test

MAX_WIDTH = 250_000
"""Entries of a rule's src times those of its dst; of a test, accept times deny."""
MAX_TOTAL_WIDTH = 5_000_000
_SIDES = {
    "acls": ("src", "dst"),
    "grants": ("src", "dst"),
    "tests": ("accept", "deny"),
    "ssh": ("src", "dst", "users"),
    "sshTests": ("dst", "accept"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the sections of the policy say; rules in bytewise order of their files."""

    rules: tuple[Rule, ...] = ()
    tests: tuple[Test, ...] = ()
    ssh_rules: tuple[SshRule, ...] = ()
    ssh_tests: tuple[SshTest, ...] = ()
    node_attrs: tuple[NodeAttr, ...] = ()
    ipsets: Mapping[str, IpSet] = field(default_factory=dict)
    postures: Mapping[str, Posture] = field(default_factory=dict)
    default_posture: tuple[str, ...] = ()


def build_policy(sections: Sections, findings: list[Finding]) -> Policy:
    """Everything parsed; what can't be is left out, with a finding."""
    listed = {**sections.listed, "ssh": _ssh(sections)}
    if not _within_limits(listed, findings):
        return Policy()
    selectors = Selectors(sections, findings)
    rules = Rules(selectors, sections.documents)
    logins = SshRules(selectors, sections.documents)
    examples = Examples(sections, findings)
    ssh_examples = SshExamples(sections, findings, "ssh-test-failed")
    acls = [
        rule for item, at in entries(listed["acls"]) for rule in rules.acl(item, at)
    ]
    grants = [rules.grant(item, at) for item, at in entries(listed["grants"])]
    tests = [
        test
        for item, at in entries(listed["tests"])
        for test in examples.test(item, at)
    ]
    ssh_tests = [
        ssh_examples.ssh_test(item, at) for item, at in entries(listed["sshTests"])
    ]
    return Policy(
        (*acls, *grants),
        tuple(tests),
        tuple(logins.rule(item, at) for item, at in entries(listed["ssh"])),
        tuple(test for test in ssh_tests if test is not None),
        (
            *(
                read_node_attr(item, at, selectors)
                for item, at in entries(listed["nodeAttrs"])
            ),
            *random_ports(sections),
        ),
        build_ipsets(sections, findings),
        build_postures(sections, findings),
        named_postures(
            sections.single.get("defaultSrcPosture"),
            sections.keyed["postures"],
            selectors.named_postures,
            findings,
        ),
    )


def _ssh(sections: Sections) -> list[Items]:
    items = sections.single.get("ssh")
    return [items] if isinstance(items, Items) else []


def _within_limits(listed: Mapping[str, list[Items]], findings: list[Finding]) -> bool:
    """Whether nothing is so wide that the pairs it stands for can't be held."""
    total = 0
    for section, sides in _SIDES.items():
        for item, at in entries(listed[section]):
            width = prod(1 + len(item.get(side) or ()) for side in sides)
            total += width
            if width > MAX_WIDTH or total > MAX_TOTAL_WIDTH:
                what = "this" if width > MAX_WIDTH else "all up to this one"
                most = MAX_WIDTH if width > MAX_WIDTH else MAX_TOTAL_WIDTH
                message = f"{what} names more than {most} pairs of entries"
                help_ = "name groups and tags instead of their members"
                findings.append(finding("too-large", at, message, help_))
                return False
    return True
