"""The borders of DESIGN §3: imports go one way, the core reaches nothing outside."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "controller"

ORDER = [
    *("errors", "resources", "model", "load", "access", "names", "check", "edit"),
    *("importers", "compile", "review", "guard", "plan", "report", "deploy", "probe"),
    *("watch", "lab", "cli"),
]
"""A package may import itself and what stands to its left."""

CORE = ORDER[: ORDER.index("deploy")]

TYPES_ONLY = {("errors", "model")}
"""An exception carries findings; the import exists for the type checker alone."""

OUTSIDE = {
    "asyncio",
    "asyncssh",
    "git",
    "http",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "time",
    "urllib",
    "uuid",
}
"""Modules through which a core package would reach network, clock or machine."""

LOAD_MAY = {"git", "subprocess", "os.environ"}
"""`load` is where git and files are read (DESIGN §3)."""

_ENVIRONMENT = ("os.environ", "os.getenv", "os.environb")

MODULES = sorted(SOURCE.rglob("*.py"))


def package_of(module: str) -> str:
    """`tailgit.load.git` -> `load`; `tailgit` itself and its `__main__` -> ``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ""


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted name, only for types) of every import, lazy ones included."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, id(node) in guarded
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}", id(node) in guarded


def reaches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of each way from the code to the world outside of its arguments."""
    for line, name, only_types in imports(tree):
        if not only_types and name.split(".")[0] in OUTSIDE:
            yield line, name.split(".")[0]
        if name in ("os.environ", "os.getenv"):
            yield line, "os.environ"
    for node in ast.walk(tree):
        match node:
            # `surroundings.now` is a value that somebody else has read off the clock.
            case ast.Call(func=ast.Attribute(attr="now" | "utcnow" | "today" as name)):
                yield node.lineno, f"the clock ({name})"
            case ast.Attribute() if ast.unparse(node) in _ENVIRONMENT:
                yield node.lineno, "os.environ"


def violations(source: str, package: str) -> list[str]:
    """What one module of `package` does against the order or beyond the border."""
    tree = ast.parse(source)
    found = []
    left = ORDER[: ORDER.index(package) + 1] if package else ORDER
    for line, name, only_types in imports(tree):
        if name.split(".")[0] != "tailgit":
            continue
        target = package_of(name)
        # `from tailgit import __version__` names no package.
        if target not in ORDER or target in left:
            continue
        if not (only_types and (package, target) in TYPES_ONLY):
            found.append(f"{line}: {package} imports {target}")
    if package in CORE:
        allowed = LOAD_MAY if package == "load" else set()
        found += [
            f"{line}: {package} reaches {what}"
            for line, what in reaches(tree)
            if what not in allowed
        ]
    return found


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_module_keeps_to_its_side(file: Path) -> None:
    """A module imports only to its left; left of deploy it reaches nothing outside."""
    assert violations(file.read_text(), package_of(module_name(file))) == []


def test_every_package_has_its_place() -> None:
    """A package that the order does not name would escape the rule."""
    packages = {package_of(module_name(file)) for file in MODULES}
    assert packages <= {"", *ORDER}
    assert len(MODULES) > 10


@pytest.mark.parametrize(
    ("package", "source", "said"),
    [
        ("model", "from tailgit.access import explain", "1: model imports access"),
        ("model", "from tailgit import load", "1: model imports load"),
        ("load", "def f():\n    import tailgit.cli", "2: load imports cli"),
        ("errors", "import tailgit.model", "1: errors imports model"),
        ("plan", "import subprocess", "1: plan reaches subprocess"),
        ("load", "import socket", "1: load reaches socket"),
        ("report", "import os\nos.environ['X']", "2: report reaches os.environ"),
        ("report", "from os import getenv", "1: report reaches os.environ"),
        ("check", "x = date.today()", "1: check reaches the clock (today)"),
    ],
)
def test_the_rule_bites(package: str, source: str, said: str) -> None:
    """The walk sees each kind of breach, also inside functions."""
    assert violations(source, package) == [said]


def test_the_rule_lets_through_what_is_right() -> None:
    """Imports to the left, git in load and anything in deploy are fine."""
    assert violations("import subprocess, git, os\nos.environ", "load") == []
    assert violations("import time, socket\nimport tailgit.plan", "deploy") == []
    assert violations("from tailgit.model.ports import Ports", "access") == []


def test_dependencies_are_those_that_are_imported() -> None:
    """pyproject.toml lists each library that the code imports, and no other."""
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    listed = {re.split(r"[^\w.-]", text)[0] for text in project["dependencies"]}
    modules = {"gitpython": "git", "pyyaml": "yaml"}
    imported = {
        name.split(".")[0]
        for file in MODULES
        for _, name, _ in imports(ast.parse(file.read_text()))
    }
    foreign = imported - sys.stdlib_module_names - {"tailgit"}
    assert foreign == {modules.get(name, name) for name in listed}
