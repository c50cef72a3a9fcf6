"""What each package offers to the others, against a list that is changed on purpose."""

from __future__ import annotations

import ast
from importlib import import_module

import pytest

from tests.house.project import ROOT, files

OFFERED = {
    "tailgit": ["__version__"],
    "tailgit.access": [
        *("Explanation", "Opening", "Relation", "View", "explain", "run_tests"),
    ],
    "tailgit.check": ["Surroundings", "check", "examine"],
    "tailgit.cli": ["COMMANDS", "main", "run", "top_help", "typer_app"],
    "tailgit.compile": ["Bundle", "Compiler", "compile_tailnet", "compiled_digest"],
    "tailgit.deploy": [],
    "tailgit.edit": [],
    "tailgit.edit.fmt": ["formatted"],
    "tailgit.guard": [],
    "tailgit.importers": [],
    "tailgit.lab": [
        *("CONTROLLER", "Lab", "Machine", "Topology", "running", "topology_of"),
    ],
    "tailgit.load": ["Loaded", "Repo", "load", "load_from", "roots"],
    "tailgit.model": [],
    "tailgit.names": ["host_lines", "zone_head", "zone_lines"],
    "tailgit.plan": [],
    "tailgit.probe": [
        *("Executor", "Flow", "FlowState", "Listeners", "Outcome", "Probe", "Result"),
        *("listening", "send"),
    ],
    "tailgit.report": [],
    "tailgit.review": [],
}
"""Package -> its public names. A package without any is used module by module."""


def packages() -> list[str]:
    suffix = "/__init__.py"
    return [
        name.removeprefix("controller/").removesuffix(suffix).replace("/", ".")
        for name in files("controller")
        if name.endswith(suffix)
    ]


def test_every_package_is_listed() -> None:
    """A new package is a decision; it gets its line here."""
    assert packages() == sorted(OFFERED)


@pytest.mark.parametrize("package", sorted(OFFERED))
def test_package_offers_what_is_listed(package: str) -> None:
    """`__all__` (else what is defined there) is the list, and each name is there."""
    path = ROOT / "controller" / package.replace(".", "/") / "__init__.py"
    module = import_module(package)
    offered = getattr(module, "__all__", None)
    if offered is None:
        offered = [
            target.id
            for statement in ast.parse(path.read_text()).body
            for target in getattr(statement, "targets", [])
        ]
    assert sorted(offered) == sorted(OFFERED[package])
    assert [name for name in offered if not hasattr(module, name)] == []
