"""What rules and tests say, beyond their names: `autogroup:self`, tests of nobody."""

from __future__ import annotations

from collections.abc import Iterator

from tailgit.access.selectors import devices_of
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.near import Near
from tailgit.model.policy import Rule, Test
from tailgit.model.selectors import ANYBODY_AT, Kind, Selector
from tailgit.model.tailnet import Tailnet
from tailgit.model.text import shown

_WITH_A_SELF = {Kind.USER, Kind.GROUP, Kind.MEMBER, Kind.ROLE, Kind.DOMAIN}


_LOCAL_PART = "localpart:*@"


def check_policy(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about rules and tests whose names are all right."""
    for rule in tailnet.rules:
        yield from _self_source(rule)
    for test in tailnet.tests:
        yield from _nobody(tailnet, test)
    yield from _domains(tailnet)


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
                "autogroups",
                f"give `{shown(selector.value)}` and other such sources a rule of "
                "their own",
            )


def _domains(tailnet: Tailnet) -> Iterator[Finding]:
    """`user:*@` and `localpart:*@` name a domain of the tailnet, letter by letter."""
    known = set(tailnet.email_domains) or {
        login.rpartition("@")[2] for login in tailnet.users
    }
    if not known:
        return
    near = Near(known)
    few = f"its domains: {', '.join(map(shown, sorted(known)[:8]))}"
    for domain, at, start in _named_domains(tailnet):
        if domain not in known:
            yield finding(
                "bad-domain",
                at,
                f"{start}{shown(domain)} is not associated with this Tailnet and "
                "cannot be used in user:*@<domain> expressions",
                near.meant(domain) or few,
            )


def _named_domains(tailnet: Tailnet) -> Iterator[tuple[str, Place, str]]:
    """Each domain with its place, and what Tailscale puts before the sentence."""
    rules: list[tuple[tuple[Selector, ...], Place, str]]
    rules = [((*rule.src, *rule.dst), rule.place, "") for rule in tailnet.rules]
    rules += [(each.target, each.place, "") for each in tailnet.node_attrs]
    rules += [(each.src, each.place, "[ssh] ") for each in tailnet.ssh_rules]
    for selectors, place, start in rules:
        for selector in selectors:
            if selector.kind is Kind.DOMAIN:
                domain = selector.value.removeprefix(ANYBODY_AT)
                yield domain, selector.place or place, start
    for rule in tailnet.ssh_rules:
        for name in rule.users:
            if name.startswith(_LOCAL_PART):
                yield name.removeprefix(_LOCAL_PART), rule.place, ""


def _nobody(tailnet: Tailnet, test: Test) -> Iterator[Finding]:
    """A test whose source is no device would pass every `deny`."""
    if tailnet.is_bare:
        return  # its tests have stand-ins for devices
    if test.src.kind in (Kind.PREFIX, Kind.HOST):
        return  # an address need not be a device's
    name = test.src.value
    unknown = (test.src.kind is Kind.GROUP and name not in tailnet.groups) or (
        test.src.kind is Kind.TAG and name not in tailnet.tag_owners
    )
    if not unknown and not devices_of(tailnet, test.src):
        yield finding(
            "test-of-nobody",
            test.src.place or test.place,
            f"no device is behind `{shown(test.src.value)}`, so the test says nothing",
            "name somebody who has a device, or take the test out",
        )
