"""`explain` never disagrees with the relation, and says what a person needs next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from tailgit.access import Relation, explain, run_tests
from tailgit.access.explain import End, rules_between
from tailgit.errors import UsageError
from tailgit.model.ports import ICMP, ICMPV6, TCP, UDP
from tests.compile.acme import acme
from tests.oracle.generate import tailnets

PORTS = (22, 80, 443, 5000, 65535)


@settings(max_examples=60)
@given(tailnets())
def test_rules_are_found_exactly_where_the_relation_accepts(tailnet):
    """For each pair of devices, family, protocol and port: some rule explains it, or
    the relation denies it."""
    relation = Relation.of(tailnet)
    for src in relation.devices:
        for dst in relation.devices:
            if src is dst:
                continue
            for a, b in zip(src.addresses, dst.addresses, strict=True):
                icmp = ICMP if a.version == 4 else ICMPV6
                for protocol, port in [
                    (icmp, 0),
                    *((TCP, p) for p in PORTS),
                    (UDP, 53),
                ]:
                    ends = End(a, src, True), End(b, dst, True)
                    named = list(rules_between(tailnet, *ends, protocol, port))
                    accepts = relation.accepts(dst.name, a, b, protocol, port)
                    assert bool(named) == accepts, (src.name, dst.name, protocol, port)


@pytest.fixture(scope="module")
def tailnet():
    return acme()


def test_a_yes_names_its_rules(tailnet):
    """Allowed: every rule that opens it, with its place and the comment above it."""
    answer = explain(tailnet, "ana@acme.com", "db-1", TCP, 5432)
    assert answer.allowed
    assert answer.sentence == "ana@acme.com -> db-1 tcp port 5432: yes"
    assert [rule.description for rule in answer.rules] == [
        "The data team works on the database."
    ]


def test_a_no_says_what_comes_nearest(tailnet):
    """Denied: what the two may do instead, or that it works the other way round."""
    answer = explain(tailnet, "ben-desk", "db-1", TCP, 5432)
    assert not answer.allowed
    assert "ben-desk may reach db-1 on tcp:22" in answer.notes[0]
    answer = explain(tailnet, "db-1", "web-1", TCP, 80)
    assert answer.notes == (
        "web-1 may reach db-1, not the other way round",
        (
            "db-1 is tagged, so it is not in `autogroup:member` "
            "(examples/acme/policy.yaml:16:5)"
        ),
    )


def test_a_group_is_allowed_only_if_all_of_it_is(tailnet):
    """Partial access is not a yes: it says for whom, and for whom not."""
    answer = explain(tailnet, "group:on-call", "db-1", TCP, 5432)
    assert not answer.allowed
    assert answer.sentence.endswith("only in part")
    allowed, denied = answer.notes
    assert "ana-desk" in allowed
    assert "ben-desk" in denied


def test_an_address_in_a_subnet_is_an_end(tailnet):
    """A host behind the router is asked for by its alias, and the router is named."""
    assert explain(tailnet, "ben-desk", "office-printer", TCP, 631).allowed
    answer = explain(tailnet, "web-1", "10.20.0.9", TCP, 631)
    assert not answer.allowed
    assert any("behind fra-gw" in note for note in answer.notes)


def test_an_unknown_name_gets_a_suggestion(tailnet):
    """A typo is a usage error that knows a better name."""
    with pytest.raises(UsageError) as caught:
        explain(tailnet, "ana-deks", "db-1")
    assert caught.value.help == "did you mean `ana-desk`?"


def test_the_examples_of_the_policy_hold(tailnet):
    """All of acme's `tests:` hold, so there is nothing to say."""
    assert run_tests(tailnet) == ()


def test_a_test_that_fails_says_who(tailnet):
    """Without the rule that it is about, a test fails at its own place and names the
    devices for which it does."""
    rules = tuple(rule for rule in tailnet.rules if rule.name != "web-database")
    findings = run_tests(replace(tailnet, rules=rules))
    assert [finding.message for finding in findings] == [
        "tag:web -> db-1:5432: expected ALLOWED, got DENIED for web-1",
        "tag:web -> db-1:8125: expected ALLOWED, got DENIED for web-1",
    ]
    assert {finding.place.file for finding in findings} == {"examples/acme/policy.yaml"}


def test_a_no_names_who_is_allowed() -> None:
    """Somebody else's rule for the same port is what comes nearest."""
    answer = explain(acme(), "ben@acme.com", "db-1", TCP, 5432)
    assert not answer.allowed
    assert (
        "examples/acme/policy.yaml:20:5 allows it to `group:data-team`, and not to "
        "ben-desk"
    ) in answer.notes


@pytest.mark.parametrize("name", ["tag:dbb", "group:on-cal", "nobody@acme.com"])
def test_a_name_that_is_not_there_is_no_answer(name: str) -> None:
    """A confident no to a misspelt name would be believed."""
    with pytest.raises(UsageError, match=f"no .* `{name}`"):
        explain(acme(), name, "db-1")
    with pytest.raises(UsageError):
        explain(acme(), "ben-desk", name)
