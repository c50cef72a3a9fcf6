"""What a failing ssh test says, and that nobody can forget to run it."""

from __future__ import annotations

import json
from dataclasses import replace

from tailgit.access import run_tests
from tailgit.access.ssh_tests import run_ssh_tests
from tailgit.cli import run
from tailgit.load import load
from tailgit.model.findings import Place
from tests.conformance.ssh_judge import topology
from tests.conformance.ssh_policy import tailnet_of


def findings(ssh, *tests):
    return run_ssh_tests(tailnet_of(topology(), {"ssh": ssh, "sshTests": list(tests)}))


REPOSITORY = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
users: {ana@acme.com: {}}
tagOwners: {tag:db: []}
devices:
  ana-lap: {owner: ana@acme.com}
  db-1: {tags: [tag:db]}
ssh:
  - {action: accept, src: [ana@acme.com], dst: [tag:db], users: [root]}
sshTests:
  - src: ana@acme.com
    dst: [tag:db]
    check: [root]
grants: []
"""

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
    assert finding.help == "an ssh rule lets them in; narrow it, or mend the test"
    assert finding.see == (Place("policy.hujson", 1),)


def test_an_accept_that_should_be_a_check_names_the_rule():
    """check: the rule that asks for none is the one to change."""
    test = {"src": "ben@example.com", "dst": ["tag:ops"], "check": ["root"]}
    (finding,) = findings([MEMBERS], test)
    assert finding.help == (
        "an ssh rule accepts without a check; write `action: check` there"
    )
    assert finding.see == (Place("policy.hujson", 1),)


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


def test_the_place_is_the_destinations():
    """Where the loader says at which line a destination stands, that is the place;
    what is wrong with the whole test stands at the test."""
    line = Place("acl.yaml", 7, 9)
    tailnet = tailnet_of(
        topology(),
        {
            "ssh": [MEMBERS],
            "tagOwners": {"tag:new": []},
            "sshTests": [
                {"src": "db", "dst": ["tag:ops", "tag:new"], "accept": ["root", ""]}
            ],
        },
    )
    (test,) = tailnet.ssh_tests
    placed = replace(test, dst=tuple(replace(each, place=line) for each in test.dst))
    found = run_ssh_tests(replace(tailnet, ssh_tests=(placed,)))
    assert [(each.place, each.message.split()[-1]) for each in found] == [
        (test.place, "`accept`"),
        (line, "ops"),
        (line, "`tag:new`"),
    ]


def test_a_policy_alone_is_judged_by_what_it_names(tmp_path):
    """A policy file without devices: each user and tag stands for one of its own."""
    test = {"src": "ben@example.com", "dst": ["tag:ops"]}
    policy = {
        "tagOwners": {"tag:ops": []},
        "ssh": [{**MEMBERS, "users": ["root", "ubuntu"]}],
        "sshTests": [
            {**test, "accept": ["root"], "deny": ["ben"]},
            {**test, "deny": ["ubuntu"]},
        ],
    }
    (tmp_path / "policy.hujson").write_text(json.dumps(policy), "utf-8")
    tailnet = load(tmp_path).tailnet
    assert tailnet is not None
    (finding,) = run_tests(tailnet)
    assert finding.message.endswith("got accept for ben@example.com -> tag:ops")


def test_check_refuses_a_repository_whose_ssh_test_fails(tmp_path, capsys):
    """As typed: exit code 3, with the line of the destination and that of the rule."""
    (tmp_path / "tailnet.yaml").write_text(REPOSITORY, "utf-8")
    assert run(["check", str(tmp_path)]) == 3
    said = capsys.readouterr().out
    assert (
        "tailnet.yaml:16:11: error[ssh-test-failed]: ana@acme.com -> tag:db as `root`: "
        "expected check, got accept for ana-lap -> db-1\n"
        "  help: an ssh rule accepts without a check; write `action: check` there "
        "(tailnet.yaml:13:5)\n"
    ) in said
    mended = REPOSITORY.replace("action: accept", "action: check")
    (tmp_path / "tailnet.yaml").write_text(mended, "utf-8")
    assert run(["check", str(tmp_path)]) == 0


def test_no_tests_no_findings():
    """Without sshTests nothing is said, whatever the rules are."""
    assert findings([MEMBERS]) == ()


def test_all_tests_of_a_policy_include_those_of_ssh():
    """Whoever runs the policy's tests runs these: a file that fails one is refused."""
    test = {"src": "ben@example.com", "dst": ["tag:ops"], "deny": ["root"]}
    tailnet = tailnet_of(topology(), {"ssh": [MEMBERS], "sshTests": [test]})
    assert [finding.code for finding in run_tests(tailnet)] == ["ssh-test-failed"]
