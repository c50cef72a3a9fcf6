"""Own conformance cases for `ssh`, `sshTests` and `nodeAttrs`, each with its rule."""

from __future__ import annotations

import re

import pytest

from tailgit.access import attributes, ssh, ssh_tests
from tests.conformance.ssh_judge import EXPECTED, KEYS, Engine, cases, judge

ENGINE = Engine.of(ssh, ssh_tests, attributes)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_the_engine_meets_the_case(case):
    """Exactly what the case lists is allowed, given, said; all else is denied."""
    assert list(judge(case, ENGINE)) == []


def test_every_case_names_its_rule_and_expects_something():
    """At least 30 cases, each with a name of its own, the rule that it shows and
    what is to come of it."""
    assert len(cases()) >= 30
    assert len({case["id"] for case in cases()}) == len(cases())
    for case in cases():
        assert set(case) >= KEYS, case["id"]
        assert set(case) - KEYS <= EXPECTED, case["id"]
        assert set(case) - KEYS, case["id"]
        assert re.match(r"§[0-9.]+ |§6:|tailgit: ", case["rule"]), case["id"]
