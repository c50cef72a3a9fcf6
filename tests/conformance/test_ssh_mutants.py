"""The cases are worth something: each small mistake put into the engine fails one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.conformance.ssh_judge import Engine, cases, judge

MODULES = ("ssh", "ssh_tests", "attributes")

MUTANTS = yaml.safe_load(
    Path(__file__).with_name("ssh_mutants.yaml").read_text("utf-8")
)


def mutant(name: str, old: str, new: str) -> Engine:
    """The engine with one text replaced; the modules that others see stay."""
    full = {module: f"tailgit.access.{module}" for module in MODULES}
    kept = {each: importlib.import_module(each) for each in full.values()}
    made: dict[str, ModuleType] = {}
    try:
        for module, path in full.items():
            source = Path(str(kept[path].__file__)).read_text("utf-8")
            if module == name:
                assert source.count(old) == 1, (
                    f"{old!r} stands {source.count(old)} times"
                )
                source = source.replace(old, new)
            made[module] = sys.modules[path] = ModuleType(path)
            exec(compile(source, path, "exec"), made[module].__dict__)
    finally:
        sys.modules.update(kept)
    return Engine.of(made["ssh"], made["ssh_tests"], made["attributes"])


def is_killed(engine: Engine) -> bool:
    """Whether some case finds the mistake; an engine that breaks down is found too."""
    try:
        return any(True for case in cases() for _ in judge(case, engine))
    except (LookupError, TypeError, ValueError, AttributeError):
        return True


@pytest.mark.parametrize("made", MUTANTS, ids=lambda made: made["wrong"])
def test_a_mutant_is_killed(made):
    """The place stands in the code once, and at least one case notices the mistake."""
    assert is_killed(mutant(made["module"], made["old"], made["new"]))


def test_the_engine_itself_lives():
    """Built the same way and unchanged, the engine meets all cases: what kills a
    mutant is its mistake and not the way it is made."""
    assert not is_killed(mutant("", "", ""))
