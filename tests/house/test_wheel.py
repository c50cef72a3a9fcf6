"""The release: built as users get it, installed where nothing of the checkout is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from scripts import wheel as script
from tests.house.project import ROOT, files

DATA = ("node", "policies", "schemas", "templates")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return script.build(tmp_path_factory.mktemp("dist"))


def test_wheel_carries_all_data_and_no_other(wheel: Path) -> None:
    """What git has below the four data folders is in the wheel, byte for byte."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        packed = {
            name.removeprefix("tailgit/_data/"): archive.read(name)
            for name in names
            if name.startswith("tailgit/_data/") and not name.endswith("/")
        }
    expected = {name: (ROOT / name).read_bytes() for name in files(*DATA)}
    assert packed == expected
    assert {name.split("/")[0] for name in expected} == set(DATA)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tailgit"}


def test_wheel_carries_every_module_and_the_licence(wheel: Path) -> None:
    """The import package is complete, typed, and comes with its licence text."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {name.removeprefix("controller/") for name in files("controller")}
    assert modules <= names
    assert "tailgit/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_installed_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """In a fresh venv, outside of the checkout, `tailgit` answers and checks a repo."""
    tailgit = script.install(wheel, tmp_path / "venv")
    version, checked = script.try_out(tailgit, tmp_path)
    assert version == f"tailgit {wheel.name.split('-')[1]}\n"
    assert checked == "tiny: 0 devices, 0 rules, 0 tests, no findings\n"
