"""Every finding that exists: its code, whose rule it breaks, how grave it is.

Layer `policy` is Tailscale's own notion of a valid policy; layer `tailgit` is ours on
top and stricter (DESIGN, opinion 7). `docs/findings/` has a page for each code,
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
        git_attributes="a file that git shows otherwise than it keeps it",
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
        section_twice="a section that only one file may have",
        not_yet="a field that this version does not enforce, and must not ignore",
        unknown_key="a key that tailgit does not know",
        unknown_section="a section that tailgit does not know",
        unmet_requirement="the tailnet asks for another version of tailgit",
        wrong_type="a value of the wrong kind",
    ),
    **_codes(
        "tailgit",
        Severity.WARNING,
        not_applied="a field that is judged here but can't be put on nodes yet",
        not_used="a field that this version does not use",
        said_twice="an entry that its list has already",
    ),
    # Who may say what
    **_codes(
        "tailgit",
        Severity.ERROR,
        bad_delegation="a delegation that can't be enforced as it is written",
        outside_delegation="a file that says what its folder may not",
    ),
    # Devices and addresses
    **_codes(
        "tailgit",
        Severity.ERROR,
        address_clash="two devices with one address",
        bad_address="an address outside its range, or reserved",
        bad_date="a date that is none, or has no time zone",
        bad_record="a DNS record that can't be served",
        bad_range="an address range that can't be a tailnet's",
        duplicate_endpoint="two devices with one endpoint",
        duplicate_public_key="two devices with one public key",
        endpoint_in_tailnet="an endpoint inside the tailnet's own ranges",
        formerly_clash="an old name that something else has",
        host_is_device="a host alias with the name of a device",
        no_ssh_host="delivery by SSH without a host",
        not_a_gateway="a gateway that can't be one",
        not_an_exit_node="an exit node that is none",
        owner_and_tags="a device with owner and tags",
        owner_or_tags="a device with neither owner nor tags",
        route_in_tailnet="a route inside the tailnet's own ranges",
        route_over_endpoint="a route over the address that a device is reached at",
        record_clash="a DNS record with the name of a device",
        route_overlap="two routes that overlap",
        slot_clash="two devices with one relay slot",
        tailnet_clash="two tailnets of one repository with the same name",
        undeclared_tag="a device with a tag that `tagOwners` does not declare",
        unknown_device="a device that `devices` does not have",
        weak_public_key="a public key that keeps nothing secret",
        unknown_user="a user that `users` does not have",
    ),
    **_codes(
        "tailgit",
        Severity.WARNING,
        expired="a device, user or rule whose time is over",
        expires_soon="a device, user or rule whose time ends within two weeks",
        look_alike="two names that are easily taken for each other",
        no_host_key="delivery by SSH to a host that nobody could recognise",
        no_mailbox="a device that pulls, and nothing to pull from",
        no_path="two devices that may talk and can't reach each other",
        no_pull_key="a device that pulls, and has no key to fetch with",
        private_endpoint="an endpoint that only its own LAN can reach",
        range_in_use="a range that the machine running the check routes elsewhere",
        range_shared="two tailnets of one repository with overlapping ranges",
        route_not_approved="a route that no autoApprover lets through",
        slot_missing="a device that a relay could serve if it had a slot",
        user_without_devices="a user who has no device",
    ),
    # Policy
    **_codes(
        "tailgit",
        Severity.ERROR,
        no_policy="devices, but neither acls nor grants",
    ),
    **_codes(
        "tailgit",
        Severity.WARNING,
        allow_all="a rule that lets everybody reach everything",
        dead_rule="a rule that another rule already says",
        empty_group="a group without members",
        empty_rule="a rule that lets nobody reach anything",
        test_cannot_fail="a test that no packet could make fail",
        unused_group="a group that nothing mentions",
        unused_host="a host alias that nothing mentions",
        unused_tag="a tag that no device has and no rule mentions",
    ),
    **_codes(
        "policy",
        Severity.ERROR,
        autogroup_not_here="an autogroup on the wrong side of a rule",
        bad_action="an acl that does something else than accept",
        bad_app="an application capability that can't be granted like that",
        bad_attribute="a `nodeAttrs` entry that can't hold",
        bad_destination="a selector with ports too few or too many, or odd brackets",
        bad_domain="a `user:*@…` of another organisation, or none at all",
        bad_ipset="an ipset that can't be resolved",
        bad_member="a group member that is not a user",
        bad_port="a port or protocol that is none",
        bad_posture="a posture, or a condition of one, that is none",
        bad_ssh="an ssh rule that can't hold",
        bad_ssh_test="a destination that no ssh test can have",
        bad_tag="a tag with a name that none can have",
        bad_test="a test that asks for nothing in particular",
        bad_via="a `via` that names something else than a tag",
        empty_grant="a grant that opens nothing",
        nested_group="a group in a group",
        self_source="`autogroup:self` with a source that has no self",
        ssh_test_failed="an ssh test that does not hold",
        test_failed="a test of the policy that does not hold",
        test_of_nobody="a test that names nobody",
        unknown_autogroup="an autogroup that does not exist",
        unknown_group="a group that is not defined",
        unknown_ipset="an ipset that is not defined",
        unknown_name="a name that is neither device nor host",
        unknown_posture="a posture that is not defined",
        unknown_tag="a tag that `tagOwners` does not declare",
        whole_internet="a grant to 0.0.0.0/0 or ::/0",
    ),
}


OF_TESTS = frozenset({"ssh-test-failed", "test-failed", "test-of-nobody"})
"""What the policy's own tests say when the world around them has changed."""

ABSENCES = frozenset(
    {
        "bad-ssh-test",
        "dead-rule",
        "empty-group",
        "empty-rule",
        "no-host-key",
        "no-mailbox",
        "no-path",
        "no-policy",
        "no-pull-key",
        "no-ssh-host",
        "not-a-gateway",
        "not-an-exit-node",
        "owner-or-tags",
        "route-not-approved",
        "slot-missing",
        "test-cannot-fail",
        "test-of-nobody",
        "undeclared-tag",
        "unknown-device",
        "unknown-group",
        "unknown-ipset",
        "unknown-name",
        "unknown-posture",
        "unknown-tag",
        "unknown-user",
        "unused-group",
        "unused-host",
        "unused-tag",
        "user-without-devices",
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
