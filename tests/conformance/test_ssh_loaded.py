"""The same cases, read as a repository is: the loader gives the engine the same."""

from __future__ import annotations

import json

import pytest
import yaml

from tailgit.access import attributes, ssh, ssh_tests
from tailgit.check.rejection import rejection
from tailgit.load import load
from tests.conformance.ssh_judge import Engine, cases, judge, topology

ENGINE = Engine.of(ssh, ssh_tests, attributes)

REFUSED = {
    "self-has-no-tagged-device": "can't log in to users' devices",
    "self-as-a-test-dst": 'disallowed element "autogroup:self"',
    "self-of-a-tag": 'disallowed element "autogroup:self"',
    "a-test-that-asks-nothing": "the test has none of",
}
"""Cases that show what the engine does with what the loader may not let pass."""


def repository(folder, policy):
    """Writes the topology as YAML and the policy as policy.hujson."""
    head = {
        "format": 1,
        "name": "cases",
        "domain": "cases.internal",
        "ipv4": "100.64.0.0/10",
        "ipv6": "fd7a:115c:a1e0::/48",
        "emailDomains": topology()["tailnet_domains"],
    }
    devices = {
        node["name"]: {
            "ipv4": f"100.64.0.{number}",
            "ipv6": f"fd7a:115c:a1e0::{number:x}",
            **({"owner": node["user"]} if "user" in node else {"tags": node["tags"]}),
            **{k: node[k] for k in ("disabled", "attributes", "routes") if k in node},
        }
        for number, node in enumerate(topology()["nodes"], start=1)
    }
    users = {
        each["email"]: {k: each[k] for k in ("role", "disabled") if k in each}
        for each in topology()["users"]
    }
    rest = {"tailnet": head, "users": users, "devices": devices}
    (folder / "tailnet.yaml").write_text(yaml.safe_dump(rest), "utf-8")
    owners = {"tag:db": [], "tag:ops": [], "tag:web": []}
    policy = {**policy, "tagOwners": {**owners, **policy.get("tagOwners", {})}}
    (folder / "policy.hujson").write_text(json.dumps(policy), "utf-8")
    return folder


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_the_loader_reads_what_the_case_says(case, tmp_path):
    """A case that Tailscale would take means the same when it is read from files."""
    loaded = load(repository(tmp_path, case["policy"]))
    tailnet = loaded.tailnet or loaded.partial
    refused = rejection(loaded.findings)
    if refused is not None:
        assert REFUSED.get(case["id"], "?") in refused.message
        return
    assert tailnet is not None
    assert list(judge(case, ENGINE, tailnet)) == []
