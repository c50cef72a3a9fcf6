"""Broken copies of the access engine: each has one mistake that somebody could make.

A mutant is a replacement of source text in one module. The whole package is imported
anew with it, beside the real one, so nothing that is loaded changes; what it is asked
about (`Tailnet` and the rest of the model) is shared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from tests.conformance.judging import Engine

PACKAGE = "tailgit.access"


@dataclass(frozen=True)
class Mutant:
    """One mistake: in `module` the text `old`, which stands there once, is `new`."""

    name: str
    module: str
    old: str
    new: str


def read_mutants() -> tuple[Mutant, ...]:
    """Every mutant of `mutants.yaml`."""
    text = Path(__file__).with_name("mutants.yaml").read_text("utf-8")
    return tuple(Mutant(**each) for each in yaml.load(text, Loader=yaml.CSafeLoader))


class _Broken(Loader):
    """Loads one module of the package from changed source text."""

    def __init__(self, mutant: Mutant, origin: str) -> None:
        self._mutant, self._origin = mutant, origin

    def exec_module(self, module: ModuleType) -> None:
        source = Path(self._origin).read_text("utf-8")
        assert source.count(self._mutant.old) == 1, (
            f"{self._mutant.name}: {source.count(self._mutant.old)} places"
        )
        source = source.replace(self._mutant.old, self._mutant.new)
        exec(compile(source, self._origin, "exec"), module.__dict__)


class _Finder(MetaPathFinder):
    """Finds the broken module before the real one."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self.is_used = False

    def find_spec(
        self, fullname: str, path: Any, _: object = None
    ) -> ModuleSpec | None:
        if fullname != f"{PACKAGE}.{self._mutant.module}":
            return None
        real = PathFinder.find_spec(fullname, path)
        assert real is not None, fullname
        assert real.origin is not None, fullname
        self.is_used = True
        loader = _Broken(self._mutant, real.origin)
        return spec_from_loader(fullname, loader, origin=real.origin)


@contextmanager
def broken(mutant: Mutant) -> Iterator[Engine]:
    """The engine with a mistake in it, for as long as the block lasts."""
    import tailgit

    finder = _Finder(mutant)
    mine = [
        name for name in sys.modules if name == PACKAGE or name[:15] == PACKAGE + "."
    ]
    kept = {name: sys.modules.pop(name) for name in mine}
    real = tailgit.access if hasattr(tailgit, "access") else None
    sys.meta_path.insert(0, finder)
    try:
        engine = Engine.of(import_module)
        assert finder.is_used, f"{mutant.name}: nothing imports {mutant.module}"
        yield engine
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n == PACKAGE or n[:15] == PACKAGE + "."]:
            del sys.modules[name]
        sys.modules.update(kept)
        if real is not None:
            tailgit.access = real
