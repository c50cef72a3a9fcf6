"""The cases are worth something: each of many broken engines fails one of them."""

from __future__ import annotations

from functools import cache

import pytest

from tests.conformance.cases import Case, read_cases
from tests.conformance.judging import complaints
from tests.conformance.mutants import Mutant, broken, read_mutants

MUTANTS = read_mutants()


@cache
def _cases() -> tuple[Case, ...]:
    return tuple(case for case in read_cases() if "rejected" not in case.claims)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[each.name for each in MUTANTS])
def test_mutant_is_killed(mutant: Mutant) -> None:
    """Some case of ours does not hold for the engine with this mistake in it."""
    cases = _cases()
    with broken(mutant) as engine:
        for case in cases:
            try:
                if next(complaints(engine, case), None) is not None:
                    return
            except (ArithmeticError, AssertionError, LookupError, TypeError):
                return  # it fell over, which a test would notice as well
    pytest.fail(f"no case of ours notices: {mutant.name}")


def test_there_are_many_mutants() -> None:
    """At least thirty, with different names."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30
