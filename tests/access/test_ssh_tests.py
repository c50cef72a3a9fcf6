"""What a failing ssh test says, and that nobody can forget to run it."""

from __future__ import annotations

from tailgit.access import run_ssh_tests, run_tests
from tailgit.model.findings import Place
from tests.conformance.ssh_judge import topology
from tests.conformance.ssh_policy import tailnet_of


def findings(ssh, *tests):
    return run_ssh_tests(tailnet_of(topology(), {"ssh": ssh, "sshTests": list(tests)}))


MEMBERS = {
    "action": "accept",
    "src": ["autogroup:member"],
    "dst": ["autogroup:tagged"],
    "users": ["root"],
}


def test_a_login_too_many_names_the_rule():
    """deny: the place of the test, who gets in, and the rule that lets them in."""
    test = {"src": "ben@example.com", "dst": ["tag:ops"], "deny": ["root"]}
    (finding,) = findings([MEMBERS], test)
    assert finding.place == Place("policy.hujson", 101)
    assert finding.code == "ssh-test-failed"
    assert finding.is_error
    assert finding.message == (
        "ben@example.com -> tag:ops as `root`: expected deny, got accept for "
        "ben-desk -> ops"
    )
    assert finding.help == "the ssh rule at policy.hujson:1:1 lets them in"
    assert finding.see == (Place("policy.hujson", 1),)


def test_an_accept_that_should_be_a_check_names_the_rule():
    """check: help points to the rule that asks for none."""
    test = {"src": "ben@example.com", "dst": ["tag:ops"], "check": ["root"]}
    (finding,) = findings([MEMBERS], test)
    assert finding.help == ("the ssh rule at policy.hujson:1:1 accepts without a check")


def test_a_missing_login_says_what_to_do():
    """accept: no rule can be named, so the help says that there is none."""
    test = {"src": "ben@example.com", "dst": ["tag:ops"], "accept": ["ubuntu"]}
    (finding,) = findings([MEMBERS], test)
    assert finding.help == (
        "no ssh rule lets them in under that name; add one, or mend the test"
    )
    assert finding.see == ()


def test_a_long_list_is_cut():
    """Three pairs are named, the rest is counted; one finding, not one a pair."""
    test = {
        "src": "autogroup:member",
        "dst": ["autogroup:tagged"],
        "deny": ["root", "ubuntu"],
    }
    (finding,) = findings([MEMBERS], test)
    assert finding.message.endswith(
        "for ana-lap -> both, ana-pad -> both, ben-desk -> both and 13 more"
    )


def test_each_destination_and_name_is_judged_by_itself():
    """Two destinations and two names that fail are four findings."""
    test = {
        "src": "ben@example.com",
        "dst": ["tag:ops", "tag:web"],
        "accept": ["a", "b"],
    }
    assert len(findings([MEMBERS], test)) == 4


def test_no_tests_no_findings():
    """Without sshTests nothing is said, whatever the rules are."""
    assert findings([MEMBERS]) == ()


def test_all_tests_of_a_policy_include_those_of_ssh():
    """Whoever runs the policy's tests runs these: a file that fails one is refused."""
    test = {"src": "ben@example.com", "dst": ["tag:ops"], "deny": ["root"]}
    tailnet = tailnet_of(topology(), {"ssh": [MEMBERS], "sshTests": [test]})
    assert [finding.code for finding in run_tests(tailnet)] == ["ssh-test-failed"]
