"""Prefixes as people write them, and what is wrong with them."""

from __future__ import annotations

from ipaddress import ip_network

from tailgit.model.addresses import Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown


def parse_network(
    text: str, at: Place, findings: list[Finding], *, host_bits: bool = False
) -> Network | None:
    """An address or prefix as a value, or None and a finding.

    `10.20.0.1/16` is two things at once, so it is refused where nothing says which;
    Tailscale's policy takes it in `hosts`, as the prefix.
    """
    try:
        if "%" in text:  # an address with a zone is one on a single machine only
            raise ValueError(text)
        network = ip_network(text, strict=False)
    except ValueError:
        message = f"`{shown(text)}` is not an address or prefix"
        findings.append(finding("bad-value", at, message, "for example 10.20.0.0/16"))
        return None
    try:
        return network if host_bits else ip_network(text)
    except ValueError:
        message = f"`{shown(text)}` has bits set behind its prefix length"
        findings.append(finding("bad-value", at, message, f"write `{network}`"))
        return None
