"""The one finding that Tailscale would report, of all that tailgit says."""

from __future__ import annotations

import random

import pytest

from tailgit.check.rejection import TESTS, ordered_codes, rejection, rejection_text
from tailgit.model.codes import CODES, finding
from tailgit.model.findings import Place
from tests.load.policies import errors

GRANT = "grants: [{src: [tag:x], dst: [db-1], ip: ['22']}]\n"


def test_every_code_of_the_policy_has_its_turn() -> None:
    """A code of the policy's layer that is not in the order would reject nothing."""
    policy = {name for name, code in CODES.items() if code.layer == "policy"}
    assert ordered_codes() == policy


def test_what_is_stricter_rejects_nothing() -> None:
    """Tailscale knows neither our devices nor our hygiene."""
    ours = [
        finding(name, Place("a.yaml"), "x")
        for name, code in CODES.items()
        if code.layer == "tailgit"
    ]
    assert rejection(ours) is None
    assert rejection([]) is None


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (
            "grants: []\ntests: [{src: ana-pc, deny: ['db-1:1-2']}]\n",
            "test(s) failed",
        ),
        (
            "grants: []\nsshTests: [{src: ana@acme.com, dst: [tag:db]}]\n",
            "test(s) failed",
        ),
        (
            "grants: []\nsshTests:\n- {src: ana@acme.com, dst: ['*'], deny: [root]}\n",
            'SSH tests dst contains disallowed element "*"',
        ),
        (
            f"{GRANT}tests: [{{src: ana-pc, deny: ['db-1:1-2']}}]\n",
            'src=tag not found: "tag:x"',
        ),
        (
            f"{GRANT}groups: {{group:a: ['group:b'], group:b: []}}\n",
            'groups["group:a"]: "group:b": group members cannot be recursive',
        ),
    ],
)
def test_the_first_mistake(policy: str, text: str) -> None:
    """Names before rules, rules before tests; an example that fails says just that."""
    found = rejection(errors(policy))
    assert found is not None
    assert rejection_text(found) == text


@pytest.mark.parametrize(
    ("groups", "parent", "member"),
    [
        ("{group:a: ['group:b'], group:b: []}", "a", "b"),
        ("{group:a: ['group:b'], group:b: ['group:c'], group:c: []}", "b", "c"),
        ("{group:a: ['group:c'], group:b: ['group:c'], group:c: []}", "b", "c"),
        ("{group:a: ['group:b'], group:b: ['group:a']}", "b", "a"),
        ("{group:a: ['group:a']}", "a", "a"),
    ],
)
def test_the_deepest_nested_group(groups: str, parent: str, member: str) -> None:
    """Of several, the one furthest down, and the last by name."""
    found = rejection(errors(f"grants: []\ngroups: {groups}\n"))
    assert found is not None
    start = f'groups["group:{parent}"]: "group:{member}": '
    assert found.message == f"{start}group members cannot be recursive"


def test_the_order_of_findings_does_not_matter() -> None:
    """The same policy has one answer."""
    policy = (
        "tests: [{src: nobody, deny: ['db-1:1-2']}]\n"
        "grants: [{src: [tag:x], dst: [tag:y], ip: ['x']}, {src: ['*'], dst: ['*']}]\n"
    )
    found = errors(policy)
    assert len(found) > 4
    first = rejection(found)
    for seed in range(10):
        random.Random(seed).shuffle(found)
        assert rejection(found) == first


def test_failed_examples_are_of_the_policy() -> None:
    """Each of their codes exists and is Tailscale's."""
    assert {CODES[code].layer for code in TESTS} == {"policy"}
