"""A `policy.hujson` without a tailnet: Tailscale's policy file, to be checked alone.

Nothing of it is put on nodes, and there are no devices in it. What Tailscale means
holds: its own ranges, and everything allowed where neither `acls` nor `grants` stands.
Its tests need somebody to ask for, though: for them every user and every tag that the
policy names is given one device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tailgit.load.located import Map
from tailgit.load.shape import root_shape
from tailgit.load.source import POLICY_FILE, ROOT_FILE, Source
from tailgit.load.unite import Sections
from tailgit.model.addresses import RESERVED, TAILSCALE
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import Rule
from tailgit.model.ports import EVERYTHING
from tailgit.model.selectors import ROLES, Kind, Selector
from tailgit.model.tailnet import BARE, Device, Tailnet, User

_IPV4 = IPv4Network("100.64.0.0/10")
_IPV6 = IPv6Network("fd7a:115c:a1e0::/48")
_POLICY = frozenset(
    {
        *("groups", "hosts", "ipsets", "tagOwners", "acls", "grants", "tests", "ssh"),
        *("sshTests", "nodeAttrs", "autoApprovers", "postures", "defaultSrcPosture"),
        *("randomizeClientPort", "disableIPv4", "OneCGNATRoute", "derpMap"),
    }
)
"""What Tailscale's policy file has; the other sections are a tailnet's."""


def bare_policy(source: Source, root: str) -> str | None:
    """The path of the policy, where a root has no tailnet.yaml beside it."""
    root_file, policy = (
        f"{root}/{name}" if root else name for name in (ROOT_FILE, POLICY_FILE)
    )
    if source.entry(root_file) is not None:
        return None
    entry = source.entry(policy)
    return policy if entry is not None and entry.kind == "file" else None


def only_policy(sections: Map, findings: list[Finding]) -> None:
    """Takes out what only a tailnet has, with a finding for each."""
    ours = (root_shape().fields or {}).keys() - _POLICY
    for section in [each for each in sections if each in ours]:
        message = f"the section `{section}` needs a tailnet"
        help_ = f"a {ROOT_FILE} in the same folder makes one"
        at = sections.key(section)
        findings.append(finding("unknown-section", at, message, help_))
        del sections[section]


def bare_tailnet(policy: str) -> Tailnet:
    """A tailnet with Tailscale's ranges and nothing in it."""
    return Tailnet(
        name="policy",
        domain=BARE,
        ipv4=_IPV4,
        ipv6=_IPV6,
        place=Place(policy),
        everybody=TAILSCALE,
    )


def with_default_rule(tailnet: Tailnet, sections: Sections) -> Tailnet:
    """Absence of rules allows everything, to Tailscale (POLICY.md §1)."""
    if sections.listed["acls"] or sections.listed["grants"]:
        return tailnet
    at = tailnet.place
    everybody = (Selector(Kind.ANY, "*", place=at),)
    described = "neither `acls` nor `grants`: Tailscale allows everything"
    rule = Rule(everybody, everybody, EVERYTHING, at, "acls", description=described)
    return replace(tailnet, rules=(rule,))


def with_stand_ins(tailnet: Tailnet) -> Tailnet:
    """A bare policy with a device for each user, role and tag, for its tests.

    They are called what they stand for; any other tailnet is returned as it is.
    """
    if not tailnet.is_bare:
        return tailnet
    users = {login: User(login, tailnet.place) for login in sorted(_logins(tailnet))}
    for role in ROLES:
        login = f"{role}@stand-in.invalid"
        users[login] = User(login, tailnet.place, role=role)
    named = [*users, *tailnet.tag_owners]
    devices = {
        name: Device(
            name,
            ipv4,
            IPv6Address(int(_IPV6.network_address) + number),
            1,
            tailnet.place,
            owner=name if name in users else None,
            tags=() if name in users else (name,),
        )
        for number, (name, ipv4) in enumerate(zip(named, _addresses(), strict=False), 1)
    }
    return replace(tailnet, users=users, devices=devices)


def _addresses() -> Iterator[IPv4Address]:
    """Addresses that nothing else has: from the end of the range."""
    for number in range(int(_IPV4.broadcast_address) - 1, 0, -1):
        address = IPv4Address(number)
        if not any(address in each for each in RESERVED):
            yield address


def _logins(tailnet: Tailnet) -> Iterator[str]:
    """Every user that the policy names."""
    for group in tailnet.groups.values():
        yield from (member for member in group.members if "@" in member)
    selectors = [
        *(each for rule in tailnet.rules for each in (*rule.src, *rule.dst)),
        *(each for rule in tailnet.ssh_rules for each in (*rule.src, *rule.dst)),
        *(test.src for test in tailnet.tests),
        *(test.src for test in tailnet.ssh_tests),
        *(each.selector for t in tailnet.tests for each in (*t.accept, *t.deny)),
        *(each for test in tailnet.ssh_tests for each in test.dst),
    ]
    for selector in selectors:
        if selector.kind is Kind.USER:
            yield selector.value
