"""What rules and tests say, beyond their names: `autogroup:self`, tests of nobody."""

from __future__ import annotations

from collections.abc import Iterator

from tailgit.access.selectors import devices_of
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Rule, Tailnet, Test
from tailgit.model.text import shown

_WITH_A_SELF = {Kind.USER, Kind.GROUP, Kind.MEMBER}


def check_policy(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about rules and tests whose names are all right."""
    for rule in tailnet.rules:
        yield from _self_source(rule)
    for test in tailnet.tests:
        yield from _nobody(tailnet, test)


def _self_source(rule: Rule) -> Iterator[Finding]:
    """One source without a self spoils the rule (POLICY.md §3); `*` has one in acls."""
    if not any(selector.kind is Kind.SELF for selector in rule.dst):
        return
    allowed = _WITH_A_SELF | ({Kind.ANY} if rule.section == "acls" else set())
    for selector in rule.src:
        if selector.kind not in allowed:
            yield finding(
                "self-source",
                selector.place or rule.place,
                "autogroup:self can only be used with users, groups, or supported "
                f"autogroups, not with `{shown(selector.value)}`",
                "give the other sources a rule of their own",
            )


def _nobody(tailnet: Tailnet, test: Test) -> Iterator[Finding]:
    """A test whose source is no device would pass every `deny`."""
    if test.src.kind in (Kind.PREFIX, Kind.HOST):
        return  # an address need not be a device's
    known = test.src.kind is not Kind.GROUP or test.src.value in tailnet.groups
    if known and not devices_of(tailnet, test.src):
        yield finding(
            "test-of-nobody",
            test.src.place or test.place,
            f"no device is behind `{shown(test.src.value)}`, so the test says nothing",
            "name somebody who has a device, or take the test out",
        )
