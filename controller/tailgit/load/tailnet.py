"""From sections to a `Tailnet`: the last step of loading.

Everything is parsed here once. What can't be parsed becomes a finding and is left
out, so that the rest is still read and all findings come at once; whether the result
may be used is decided by the caller, by those findings.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import tailgit
from tailgit.load.bare import bare_tailnet, with_default_rule
from tailgit.load.deadlines import read_deadline
from tailgit.load.devices import Common, build_devices
from tailgit.load.dns import build_dns
from tailgit.load.hostkeys import is_ssh_key
from tailgit.load.located import Items, Map
from tailgit.load.networks import parse_network
from tailgit.load.policy import build_policy
from tailgit.load.unite import Sections
from tailgit.model.addresses import RESERVED, Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import AutoApprovers
from tailgit.model.tailnet import (
    Controller,
    Generated,
    Group,
    Host,
    TagOwner,
    Tailnet,
    User,
)
from tailgit.model.text import shown


def build_tailnet(
    sections: Sections, root_file: str, findings: list[Finding]
) -> Tailnet | None:
    """The tailnet, or None if its own section is missing or too wrong to go on."""
    section = sections.tailnet
    if section is None:
        if root_file in sections.documents:  # else it could not be read at all
            findings.append(
                finding(
                    "missing-section",
                    Place(root_file),
                    "`tailnet` is missing in tailnet.yaml",
                    "it says format, name, domain, ipv4 and ipv6: see docs/format.md",
                )
            )
        return None
    _requirement(section, findings)
    ipv4 = _ipv4_range(section, findings)
    ipv6 = _ipv6_range(section, findings)
    name, domain = section.get("name"), section.get("domain")
    if ipv4 is None or ipv6 is None or not name or not domain:
        return None
    if not isinstance(name, str) or not isinstance(domain, str):
        return None
    if "." not in domain:
        message = f"`{shown(domain)}` is a whole top-level domain"
        help_ = f"put a label of your own before it: `{shown(f'{name}.{domain}')}`"
        findings.append(finding("bad-value", section.at("domain"), message, help_))
    host_cas = _host_cas(section, findings)
    common = Common(name, domain, ipv4, ipv6, host_cas)
    devices = build_devices(sections, common, findings)
    _no_policy(sections, findings)
    tailnet = Tailnet(
        name=name,
        domain=domain,
        ipv4=ipv4,
        ipv6=ipv6,
        place=section.at(),
        users=_users(sections, findings),
        devices=devices,
        dns=build_dns(sections, domain, devices, findings),
        controller=_controller(section, findings),
        host_cas=host_cas,
        generated=_generated(sections),
        email_domains=_texts(section.get("emailDomains") or []),
    )
    return with_policy(tailnet, sections, findings)


def build_bare(sections: Sections, policy: str, findings: list[Finding]) -> Tailnet:
    """What a policy says that stands alone."""
    tailnet = with_policy(bare_tailnet(policy), sections, findings)
    return with_default_rule(tailnet, sections)


def with_policy(
    tailnet: Tailnet, sections: Sections, findings: list[Finding]
) -> Tailnet:
    """The tailnet and what the sections of the policy say."""
    policy = build_policy(sections, findings)
    return replace(
        tailnet,
        groups=_groups(sections),
        hosts=_hosts(sections, findings),
        tag_owners=_tag_owners(sections),
        auto_approvers=_auto_approvers(sections, findings),
        rules=policy.rules,
        tests=policy.tests,
        ipsets=policy.ipsets,
        postures=policy.postures,
        default_src_posture=policy.default_posture,
        ssh_rules=policy.ssh_rules,
        ssh_tests=policy.ssh_tests,
        node_attrs=policy.node_attrs,
    )


def _no_policy(sections: Sections, findings: list[Finding]) -> None:
    """Absence of rules is not a rule (DESIGN, opinion 5)."""
    written = sections.listed["acls"] or sections.listed["grants"]
    devices = sections.keyed["devices"]
    if written or not devices:
        return
    first = min(devices[name].key(name) for name in devices)
    findings.append(
        finding(
            "no-policy",
            first,
            "there are devices, but neither `acls` nor `grants`",
            "write `grants: []` if nobody may reach anybody",
        )
    )


def _requirement(section: Map, findings: list[Finding]) -> None:
    text = section.get("requires")
    if not isinstance(text, str):
        return
    have = _version(tailgit.__version__)
    for sign, number in re.findall(r"(>=|<=|==|<|>) ?([0-9.]+)", text):
        wanted = _version(number)
        holds = {
            ">=": have >= wanted,
            "<=": have <= wanted,
            "==": have == wanted,
            "<": have < wanted,
            ">": have > wanted,
        }[sign]
        if not holds:
            findings.append(
                finding(
                    "unmet-requirement",
                    section.at("requires"),
                    f"this is tailgit {tailgit.__version__}, the tailnet asks for "
                    f"`{sign}{number}`",
                    "use such a version",
                )
            )


def _version(text: str) -> tuple[int, ...]:
    """Three numbers; what follows them (`.dev1`, `rc1`) does not count."""
    numbers = [int(each[:9]) for each in re.findall(r"[0-9]+", text)[:3]]
    return (*numbers, 0, 0, 0)[:3]


def _ipv4_range(section: Map, findings: list[Finding]) -> IPv4Network | None:
    pool = _range(section, "ipv4", findings)
    if not isinstance(pool, IPv4Network):
        return None
    reserved = next((each for each in RESERVED if pool.subnet_of(each)), None)
    if reserved is not None:
        why = f"{reserved} is reserved for other software"
    elif pool.prefixlen > 29:
        why = "a tailnet needs at least a /29"
    else:
        return pool
    _bad_range(section, "ipv4", pool, why, findings)
    return None


def _ipv6_range(section: Map, findings: list[Finding]) -> IPv6Network | None:
    pool = _range(section, "ipv6", findings)
    if not isinstance(pool, IPv6Network):
        return None
    if pool.prefixlen > 64:
        why = "a tailnet needs a /64 or more"
        _bad_range(section, "ipv6", pool, why, findings)
        return None
    return pool


def _range(section: Map, key: str, findings: list[Finding]) -> Network | None:
    text = section.get(key)
    if not isinstance(text, str):
        return None  # the schema has said so
    pool = parse_network(text, section.at(key), findings)
    if pool is None:
        return None
    odd = [
        word
        for word, is_so in (
            ("multicast", pool.is_multicast),
            ("loopback", pool.is_loopback),
            ("link-local", pool.is_link_local),
        )
        if is_so
    ]
    if pool.prefixlen < 8:
        odd.append("far too wide")
    if odd:
        _bad_range(section, key, pool, f"it is {odd[0]}", findings)
        return None
    return pool


def _bad_range(
    section: Map, key: str, pool: Network, why: str, findings: list[Finding]
) -> None:
    message = f"`{pool}` can't be the tailnet's range: {why}"
    help_ = "for example 100.64.0.0/10, or a random ULA such as fd5c:91aa:7be0::/48"
    findings.append(finding("bad-range", section.at(key), message, help_))


def _controller(section: Map, findings: list[Finding]) -> Controller | None:
    """Outside, or a device; one of the two."""
    about = section.get("controller")
    if not isinstance(about, Map):
        return None
    at, device = section.at("controller"), about.get("device")
    if (device is None) == (about.get("outside") is not True):
        message = "`controller` is either outside or a device"
        help_ = "write `{outside: true}` or `{device: ops-1}`"
        findings.append(finding("bad-value", at, message, help_))
        return None
    return Controller(at, str(device) if device is not None else None)


def _host_cas(section: Map, findings: list[Finding]) -> tuple[str, ...]:
    keys = section.get("hostCA")
    found = []
    for index, text in enumerate(keys if isinstance(keys, Items) else ()):
        if isinstance(text, str) and is_ssh_key(text):
            found.append(str(text))
        elif isinstance(text, str):
            at = section.at("hostCA", index)
            message = f"`{shown(text[:40])}` is not an SSH public key"
            help_ = "copy type and base64 from the CA's .pub file"
            findings.append(finding("bad-value", at, message, help_))
    return tuple(found)


def _generated(sections: Sections) -> tuple[Generated, ...]:
    """What each file that a program wrote says of itself, by file."""
    found = []
    for file, document in sorted(sections.documents.items()):
        about = document.sections.get("generated")
        if isinstance(about, Map):
            by, source, at = (str(about.get(key, "")) for key in ("by", "source", "at"))
            place = document.sections.key("generated")
            found.append(Generated(file, by, source, at, place))
    return tuple(found)


def _users(sections: Sections, findings: list[Finding]) -> dict[str, User]:
    users = {}
    for login, section in sorted(sections.keyed["users"].items()):
        about = section[login]
        if isinstance(about, Map):
            users[login] = User(
                login,
                section.key(login),
                str(about.get("name", "")),
                str(about.get("role", "member")),
                about.get("disabled") is True,
                read_deadline(about, findings),
                str(about.get("forge", "")),
            )
    return users


def _groups(sections: Sections) -> dict[str, Group]:
    return {
        name: Group(name, _texts(section[name]), section.key(name), section[name])
        for name, section in sorted(sections.keyed["groups"].items())
        if isinstance(section[name], list)
    }


def _tag_owners(sections: Sections) -> dict[str, TagOwner]:
    return {
        name: TagOwner(name, _texts(section[name]), section.key(name), section[name])
        for name, section in sorted(sections.keyed["tagOwners"].items())
        if isinstance(section[name], list)
    }


def _hosts(sections: Sections, findings: list[Finding]) -> dict[str, Host]:
    hosts = {}
    for name, section in sorted(sections.keyed["hosts"].items()):
        at = section.at(name)
        if isinstance(section[name], str):
            prefix = parse_network(section[name], at, findings, host_bits=True)
            if prefix is not None:
                hosts[name] = Host(name, prefix, section.key(name))
    return hosts


def _auto_approvers(sections: Sections, findings: list[Finding]) -> AutoApprovers:
    routes, origins = [], []
    for text, section in sorted(sections.keyed["autoApprovers.routes"].items()):
        if not isinstance(section[text], list):
            continue
        prefix = parse_network(text, section.key(text), findings)
        if prefix is not None:
            routes.append((prefix, _texts(section[text])))
            origins.append(section[text])
    exits = [
        (text.strip(), items.at(index))
        for items in sections.listed["autoApprovers.exitNode"]
        for index, text in enumerate(items)
        if isinstance(text, str)
    ]
    return AutoApprovers(
        tuple(routes),
        tuple(origins),
        tuple(text for text, _ in exits),
        tuple(at for _, at in exits),
    )


def _texts(items: list[Any]) -> tuple[str, ...]:
    return tuple(each.strip() for each in items if isinstance(each, str))
