"""Records and resolvers: what `dns` says, parsed.

A record's name is relative to the tailnet's domain, and so is a bare name in its value
(`wiki CNAME web-1`); a full name has a dot at its end or a dot inside.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import cast

from tailgit.load.located import Items, Map
from tailgit.load.unite import Sections
from tailgit.model.addresses import Address
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.tailnet import Dns, Record, RecordType
from tailgit.model.text import shown

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,254}}$){_LABEL}(\.{_LABEL})*\.?")
_LONGEST_TEXT = 255  # bytes of one character-string, RFC 1035 section 3.3
_HELP = {
    "A": "an IPv4 address, `10.20.0.9`",
    "AAAA": "an IPv6 address, `fd00:20::9`",
    "CNAME": "a name: `web-1`, or `www.acme.com`",
    "TXT": f"at most {_LONGEST_TEXT} bytes",
    "SRV": "priority, weight, port and name: `10 5 5060 sip-1`",
}


def build_dns(
    sections: Sections, domain: str, devices: Collection[str], findings: list[Finding]
) -> Dns:
    """The section `dns` of all files; what can't be served becomes a finding."""
    servers = sections.single.get("dns.nameservers")
    split = []
    for name, section in sorted(sections.keyed["dns.splitDNS"].items()):
        if isinstance(section[name], Items):
            split.append((name, tuple(_addresses(section[name], findings))))
    records = [
        record
        for items in sections.listed["dns.records"]
        for record in _records(items, findings)
    ]
    _clashes(records, domain, devices, findings)
    return Dns(
        tuple(_addresses(servers, findings)) if isinstance(servers, Items) else (),
        tuple(split),
        tuple(records),
    )


def _addresses(items: Items, findings: list[Finding]) -> Iterator[Address]:
    for index, text in enumerate(items):
        if not isinstance(text, str):
            continue
        try:
            yield ip_address(text)
        except ValueError:
            message = f"`{shown(text)}` is no address of a resolver"
            help_ = "an IPv4 or IPv6 address: names would need a resolver themselves"
            findings.append(finding("bad-value", items.at(index), message, help_))


def _records(items: Items, findings: list[Finding]) -> Iterator[Record]:
    for index, item in enumerate(items):
        if not isinstance(item, Map):
            continue
        name, value = item.get("name"), item.get("value")
        kind = item.get("type")
        if not (isinstance(name, str) and isinstance(value, str)):
            continue  # the schema has said so
        if not isinstance(kind, str) or kind not in _HELP:
            continue
        kind = cast("RecordType", kind)
        if _is_value(kind, value):
            yield Record(name, kind, str(value), items.at(index))
            continue
        message = f"`{shown(value[:80])}` is no value of the type {kind}"
        findings.append(
            finding("bad-record", item.at("value"), message, f"write {_HELP[kind]}")
        )


def _is_value(kind: RecordType, value: str) -> bool:
    match kind:
        case "A":
            return _is_address(value, IPv4Address)
        case "AAAA":
            return "%" not in value and _is_address(value, IPv6Address)
        case "CNAME":
            return _NAME.fullmatch(value) is not None
        case "TXT":
            return len(value.encode()) <= _LONGEST_TEXT
        case "SRV":
            *numbers, name = value.split(" ")
            return (
                len(numbers) == 3
                and all(re.fullmatch("[0-9]{1,5}", each) for each in numbers)
                and all(int(each) < 65536 for each in numbers)
                and _NAME.fullmatch(name) is not None
            )


def _is_address(value: str, kind: type[IPv4Address] | type[IPv6Address]) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


def _clashes(
    records: list[Record],
    domain: str,
    devices: Collection[str],
    findings: list[Finding],
) -> None:
    """A device's name is its own, and a CNAME stands alone (RFC 1034 section 3.6.2)."""
    by_name: dict[str, Record] = {}
    for record in records:
        if record.name in devices:
            message = f"`{record.name}.{domain}` is a device already"
            help_ = "give the record another name"
            findings.append(finding("record-clash", record.place, message, help_))
            continue
        other = by_name.setdefault(record.name, record)
        if other is not record and "CNAME" in (record.type, other.type):
            message = f"`{record.name}` has a CNAME, beside which nothing else may be"
            help_ = "keep one of the two"
            see: list[Place] = [other.place]
            findings.append(finding("record-clash", record.place, message, help_, see))
