"""Who may log in: the lists of all devices and the rules one by one say the same."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.access.ssh import Logins, rules_in_order, ssh_decision, ssh_lists
from tailgit.access.ssh_tests import run_ssh_tests
from tailgit.model.findings import Place
from tests.conformance.answers_ssh import admits, answer_ssh
from tests.conformance.ssh_judge import topology
from tests.conformance.ssh_policy import tailnet_of

WHO = (
    *("ana@example.com", "ben@example.com", "gus@example.com", "group:g", "tag:web"),
    *("tag:db", "autogroup:member", "autogroup:tagged", "autogroup:admin", "ana-lap"),
)
USERS = ("root", "ubuntu", "autogroup:nonroot", "localpart:*@example.com", "tag:web")
LOGINS = ("", "root", "ubuntu", "ana", "ben", "tag:web", "cy")


def some(of):
    return st.lists(st.sampled_from(of), min_size=1, max_size=3)


RULES = st.lists(
    st.fixed_dictionaries(
        {
            "action": st.sampled_from(["accept", "check"]),
            "src": some(WHO),
            "dst": some((*WHO, "autogroup:self")),
            "users": some(USERS),
            "srcPosture": st.sampled_from([[], [], ["posture:mac"]]),
            "disabled": st.sampled_from([False, False, True]),
        }
    ),
    max_size=5,
)


def tailnet_with(rules, **sections):
    policy = {
        "groups": {"group:g": ["ana@example.com", "cy@example.org"]},
        "postures": {"posture:mac": ["node:os == 'macos'"]},
        "ssh": rules,
        **sections,
    }
    return tailnet_of(topology(), policy)


@settings(max_examples=60)
@given(RULES)
def test_a_devices_list_and_the_rules_decide_alike(rules):
    """For each pair of devices, login name and family: walking the destination's list
    gives what the rules give one by one."""
    tailnet = tailnet_with(rules)
    lists = answer_ssh(tailnet)
    for dst in tailnet.devices.values():
        for src in tailnet.devices.values():
            for login in LOGINS:
                got = ssh_decision(tailnet, src, dst, login).action
                for address in src.addresses:
                    walked = admits(lists.get(dst.name, ()), str(address), login)
                    assert walked == got, (src.name, dst.name, login)


@settings(max_examples=60)
@given(RULES)
def test_tests_agree_with_the_rules(rules):
    """A test that writes down what the rules decide holds; turned round, it fails."""
    tailnet = tailnet_with(rules)
    src, dst = tailnet.devices["ana-lap"], tailnet.devices["both"]
    for login in LOGINS[1:]:
        decision = ssh_decision(tailnet, src, dst, login)
        for action in ("accept", "check", "deny"):
            test = {"src": "ana-lap", "dst": ["both"], action: [login]}
            found = run_ssh_tests(tailnet_with(rules, sshTests=[test]))
            holds = action == decision.action or (action, decision.action) == (
                "accept",
                "check",
            )
            assert bool(found) != holds, (action, decision.action, found)


def test_a_yes_names_its_rule():
    """The decision carries the rule that decided, a no carries none."""
    accept = {"src": ["ben-desk"], "dst": ["ops"], "users": ["root"]}
    tailnet = tailnet_with(
        [{**accept, "action": "accept"}, {**accept, "action": "check"}]
    )
    ben, ops = tailnet.devices["ben-desk"], tailnet.devices["ops"]
    decision = ssh_decision(tailnet, ben, ops, "root")
    assert decision.action == "check"
    assert decision.rule is not None
    assert decision.rule.place == Place("policy.hujson", 2)
    assert ssh_decision(tailnet, ben, ops, "ubuntu").rule is None


def test_principals_are_own_addresses():
    """A router's list of addresses has no subnet of it, and both families."""
    rule = {"action": "accept", "src": ["db"], "dst": ["ops"], "users": ["root"]}
    tailnet = tailnet_with([rule])
    (admission,) = ssh_lists(tailnet)["ops"]
    assert tailnet.devices["db"].routes
    assert admission.principals == tailnet.devices["db"].addresses


def test_devices_that_are_off_have_no_list():
    """Every active device has a list, if empty; others have none."""
    lists = ssh_lists(tailnet_with([]))
    assert set(lists) == set(tailnet_with([]).devices) - {"old", "gus-pc"}
    assert set(lists.values()) == {()}


def test_the_order_of_equal_actions_is_the_files():
    """Check rules come first; among themselves rules keep their order."""
    rule = {"src": ["db"], "dst": ["ops"], "users": ["root"]}
    actions = ["accept", "check", "accept", "check"]
    tailnet = tailnet_with([{**rule, "action": action} for action in actions])
    lines = [each.place.line for each in rules_in_order(tailnet)]
    assert lines == [2, 4, 1, 3]
    off = replace(tailnet.ssh_rules[1], disabled=True)
    some_off = replace(tailnet, ssh_rules=(off, *tailnet.ssh_rules[2:]))
    assert [each.place.line for each in rules_in_order(some_off)] == [4, 3]


def test_what_logins_hold():
    """A listed name, or any but root; never the empty one."""
    assert not Logins(())
    assert Logins((), any_but_root=True).holds("ana")
    assert not Logins((), any_but_root=True).holds("root")
    assert not Logins((), any_but_root=True).holds("")
    assert Logins(("root",), any_but_root=True).holds("root")
    assert not Logins(("root",)).holds("ana")
