"""Every finding that exists: its code, whose rule it breaks, how grave it is.

Layer `policy` is Tailscale's own notion of a valid policy; layer `tailgit` is ours on
top and stricter (DESIGN, opinion 7). `docs/findings.md` has a heading for each code,
and `tests/invalid` a folder for each one that load or check issues.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tailgit.model.findings import MOST_FINDINGS, Finding, Place, Severity

Layer = Literal["policy", "tailgit"]


@dataclass(frozen=True, slots=True)
class Code:
    """What a code stands for; `title` is its line in the documentation."""

    layer: Layer
    severity: Severity
    title: str


def _codes(layer: Layer, severity: Severity, **titles: str) -> dict[str, Code]:
    return {
        name.replace("_", "-"): Code(layer, severity, title)
        for name, title in titles.items()
    }


CODES: dict[str, Code] = {
    # Files
    **_codes(
        "tailgit",
        Severity.ERROR,
        bad_character="a character that may not stand there",
        bad_encoding="a file that is not UTF-8 text",
        bad_json="a file that is not JSON",
        bad_yaml="a file that is not YAML",
        lfs_pointer="a file that git-LFS keeps elsewhere",
        not_a_file="a symbolic link, submodule or device file",
        odd_name="a file whose name almost makes it a part of the tailnet",
        private_key="a private key in the repository",
        too_deep="nested too deeply",
        too_large="too large, or too many files",
        unknown_include="an included file that is not there",
        yaml_alias="a YAML anchor or alias",
        yaml_documents="several YAML documents in one file",
        yaml_key="a key that is not plain text",
        yaml_quotes="text that YAML reads as something else without quotes",
        yaml_root="a file that is not a mapping of sections",
        yaml_tag="a YAML tag or directive",
    ),
    **_codes(
        "tailgit",
        Severity.WARNING,
        unused_exclude="an `exclude` entry that matches no file",
    ),
    # Shape
    **_codes(
        "tailgit",
        Severity.ERROR,
        bad_value="a value that does not fit its field",
        duplicate_key="a key that is defined twice",
        missing_key="a required key is missing",
        more_findings="a file with too many findings to list",
        missing_section="a required section is missing",
        not_yet="a field that this version does not enforce, and must not ignore",
        unknown_key="a key that tailgit does not know",
        unknown_section="a section that tailgit does not know",
        unmet_requirement="the tailnet asks for another version of tailgit",
        wrong_type="a value of the wrong kind",
    ),
    **_codes(
        "tailgit",
        Severity.WARNING,
        not_used="a field that this version does not use",
    ),
    # Devices and addresses
    **_codes(
        "tailgit",
        Severity.ERROR,
        address_clash="two devices with one address",
        bad_address="an address outside its range, or reserved",
        bad_range="an address range that can't be a tailnet's",
        duplicate_endpoint="two devices with one endpoint",
        duplicate_public_key="two devices with one public key",
        formerly_clash="an old name that something else has",
        host_is_device="a host alias with the name of a device",
        no_ssh_host="delivery by SSH without a host",
        owner_and_tags="a device with owner and tags",
        owner_or_tags="a device with neither owner nor tags",
        route_in_tailnet="a route inside the tailnet's own ranges",
        route_over_endpoint="a route over the address that a device is reached at",
        route_overlap="two routes that overlap",
        unknown_user="a user that `users` does not have",
    ),
    **_codes(
        "tailgit",
        Severity.WARNING,
        route_not_approved="a route that no autoApprover lets through",
    ),
    # Policy
    **_codes(
        "tailgit",
        Severity.ERROR,
        no_policy="devices, but neither acls nor grants",
    ),
    **_codes(
        "policy",
        Severity.ERROR,
        autogroup_not_here="an autogroup on the wrong side of a rule",
        bad_action="an acl that does something else than accept",
        bad_destination="a selector with ports too few or too many, or odd brackets",
        bad_member="a group member that is not a user",
        bad_port="a port or protocol that is none",
        bad_test="a test that asks for nothing in particular",
        empty_grant="a grant that opens nothing",
        nested_group="a group in a group",
        self_source="`autogroup:self` with a source that has no self",
        test_failed="a test of the policy that does not hold",
        test_of_nobody="a test whose source is no device",
        unknown_autogroup="an autogroup that does not exist",
        unknown_group="a group that is not defined",
        unknown_name="a name that is neither device nor host",
        unknown_tag="a tag that `tagOwners` does not declare",
        whole_internet="a grant to 0.0.0.0/0 or ::/0",
    ),
}


ABSENCES = frozenset(
    {
        "no-policy",
        "no-ssh-host",
        "owner-or-tags",
        "route-not-approved",
        "test-of-nobody",
        "unknown-group",
        "unknown-name",
        "unknown-tag",
        "unknown-user",
    }
)
"""Findings that say something is not there: false while a part could not be read."""


def finding(
    code: str,
    place: Place,
    message: str,
    help: str = "",  # noqa: A002
    see: Iterable[Place] = (),
) -> Finding:
    """A finding with the severity that its code has; `KeyError` for an unknown code."""
    return Finding(code, place, message, help, CODES[code].severity, tuple(see))


def too_many(place: Place) -> Finding:
    """The finding that ends a list which is longer than anybody reads."""
    message = f"more than {MOST_FINDINGS} findings; the rest is not listed"
    return finding("more-findings", place, message, "mend the first ones")
