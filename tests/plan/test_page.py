"""docs/apply.md, for who is on call, names what plan and apply can say."""

from __future__ import annotations

import re

import pytest

from tailgit.errors import Exit
from tailgit.guard.guard import GUARDS
from tailgit.plan.row import State
from tests.house.project import ROOT

PAGE = (ROOT / "docs" / "apply.md").read_text()


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_has_its_row(guard: str) -> None:
    """With what it counts and its limit."""
    assert re.search(rf"^\| `{guard}` \| .+ \| .+ \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_row(state: State) -> None:
    """As the plan writes it, with what apply does then."""
    words = state.replace("-", " ")
    assert re.search(rf"^\| `.` \| {words} \| .+ \| .+ \|$", PAGE, re.MULTILINE)


def test_every_exit_code_of_plan_and_apply_has_its_row() -> None:
    """What a pipeline branches on."""
    found = {int(code) for code in re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE)}
    assert found == {int(code) for code in Exit}
