"""The access engine on our own cases, each of which names the rule that it shows."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.conformance.cases import CLAIMS, Case, read_cases
from tests.conformance.judging import Engine, complaints

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(case: Case) -> None:
    """What the case says holds, however the engine is asked."""
    assert list(complaints(Engine.of(import_module), case)) == []


def test_every_case_names_its_rule_and_says_something() -> None:
    """There are 120 at least, none twice, each with a rule that is documented."""
    assert len(CASES) >= 120
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.rule.startswith(("POLICY §", "tailgit format")), case.id
        assert set(case.claims) <= set(CLAIMS), case.id
        assert case.claims, case.id
