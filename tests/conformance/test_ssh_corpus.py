"""The captured verdicts of the real control plane: groups `ssh` and `node_attrs`."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest

from tailgit.access.ssh import ssh_decision
from tailgit.access.ssh_tests import run_ssh_tests
from tests.conformance.answers_ssh import admits, answer_node_attrs, answer_ssh
from tests.conformance.ssh_policy import tailnet_of

CORPUS = Path(
    os.environ.get("TAILGIT_CORPUS")
    or Path(__file__).resolve().parents[3] / "shared" / "corpus"
)

SPREAD = (
    "localpart: Tailscale sends the rules once more for each source user, and also to "
    "sources that are no destination, for their own user's devices"
)
QUIRKS = {
    "ssh-d11": SPREAD,
    "ssh-d3": SPREAD,
    "ssh-d4": SPREAD,
    "ssh-e5": "localpart of a tag: Tailscale sends a rule that lets nobody in, also to "
    "the source",
}
"""Cases whose rows differ on purpose; what they allow at destinations does not."""

LOGINS = ("root", "ubuntu", "odin", "thor", "freya", "nobody", "autogroup:member")


@cache
def corpus(group: str) -> list[dict]:
    if not (CORPUS / "cases.jsonl").is_file():
        pytest.skip(f"not run: no corpus at {CORPUS} (TAILGIT_CORPUS)")
    lines = (CORPUS / "cases.jsonl").read_text("utf-8").splitlines()
    return [one for one in map(json.loads, lines) if group in one["checks"]]


def tailnet_for(one):
    return tailnet_of(one["topology"], one["policy"])


def wrong_nodes(want, got):
    return [name for name, rows in want.items() if got.get(name, []) != rows]


def test_each_node_gets_the_rules_that_tailscale_sends():
    """Row by row and in order, but for the quirk's cases, which differ each."""
    found = {
        one["id"]
        for one in corpus("ssh")
        if wrong_nodes(one["expect"]["ssh"], answer_ssh(tailnet_for(one)))
    }
    assert found == set(QUIRKS)


def test_each_node_gets_the_attributes_that_tailscale_gives():
    """All nodes of all cases."""
    cases = corpus("node_attrs")
    assert len(cases) > 10
    for one in cases:
        answer = answer_node_attrs(tailnet_for(one))
        assert not wrong_nodes(one["expect"]["node_attrs"], answer), one["id"]


def test_the_rules_let_in_whom_tailscales_rows_let_in():
    """Each source, destination and login name; in the quirk's cases at destinations,
    and at any other node nobody at all."""
    for one in corpus("ssh"):
        tailnet = tailnet_for(one)
        lists = answer_ssh(tailnet)
        for dst, rows in one["expect"]["ssh"].items():
            spread = one["id"] in QUIRKS and not is_destination(one, dst)
            for src in tailnet.devices.values():
                for login in LOGINS:
                    want = "deny" if spread else admits(rows, str(src.ipv4), login)
                    got = ssh_decision(tailnet, src, tailnet.devices[dst], login)
                    walked = admits(lists[dst], str(src.ipv6), login)
                    asked = (one["id"], src.name, dst, login)
                    assert (got.action, walked) == (want, want), asked


def is_destination(one, name):
    """Whether a rule of the case names the node by one of its tags."""
    tags = next(n["tags"] for n in one["topology"]["nodes"] if n["name"] == name)
    return any(set(tags) & set(rule["dst"]) for rule in one["policy"]["ssh"])


def test_ssh_tests_fail_where_tailscale_rejects_the_file():
    """A case of `sshTests` has a failing test exactly where it is an error."""
    seen = set()
    for one in corpus("error"):
        if one["category"] == "sshtest":
            failed = bool(run_ssh_tests(tailnet_for(one)))
            assert failed == one["expect"]["error"], one["id"]
            seen.add(failed)
    assert seen == {True, False}
