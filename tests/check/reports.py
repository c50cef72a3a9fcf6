"""Findings with awkward text, as the tests of every report need them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from tailgit.check.together import Checked
from tailgit.load import Loaded
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place, in_order
from tailgit.model.tailnet import Tailnet

GROUP = finding(
    "unknown-group",
    Place("tailnet/acl.yaml", 14, 9),
    "no group `group:dta-team`",
    "did you mean `group:data-team`?",
    [Place("groups.yaml", 8, 3)],
)
SITE = finding("not-used", Place("a.yaml"), "`site` has no effect")
TWICE = finding("duplicate-key", Place("b.yaml", 2), "twice", see=[Place("a.yaml")])

HOSTILE = (
    "x\n::error file=a::b\r\n%0A##[add-mask]m]]><b>&amp;\x1b[31m\u202e\x00\udcff\uffff"
    "| `c` @ana [a](http://x) {0} $(id) \\](u) [[ATTACHMENT|/etc/passwd]] a,b:c \"q' #1"
)
EVIL = finding("bad-value", Place(f"{HOSTILE}.yaml", 3, 4), HOSTILE, HOSTILE)


def tailnet(
    name: str = "acme",
    ipv4: str = "100.64.0.0/10",
    ipv6: str = "fd5c:91aa:7be0::/48",
    file: str = "tailnet.yaml",
) -> Tailnet:
    """A tailnet with nothing in it."""
    pools = IPv4Network(ipv4), IPv6Network(ipv6)
    return Tailnet(name, f"{name}.internal", *pools, Place(file, 2, 3))


def checked(
    *findings: Finding, root: str = "", about: Tailnet | None = None, ok: bool = True
) -> Checked:
    """One tailnet with these findings, as `check` hands it to a report."""
    built = about or tailnet()
    loaded = Loaded(
        tailnet=built if ok else None,
        findings=(),
        root=root,
        commit=None,
        partial=None if ok else built,
    )
    return Checked(loaded, in_order(findings))
