"""What all tests share: golden files, the rule about root, hypothesis's settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# `make test` must say the same twice, on a busy machine too; `explore` looks further.
settings.register_profile("tailgit", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tailgit"))

Golden = Callable[[Path, str | bytes], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        action="store_true",
        help="write the golden files instead of comparing with them",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Live tests without root are an error, never a silent skip."""
    if os.geteuid() != 0 and any(item.get_closest_marker("live") for item in items):
        raise pytest.UsageError(
            "the live tests need root: run `make test`, or `pytest -m 'not live'` "
            "for the others"
        )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden(file, actual)`: equal to the file, or (`--golden`) the file from now on.

    A golden file proves only that nothing changed: whoever uses it also puts the
    file before an outside judge (nft, wg, a parser).
    """

    def compare(file: Path, actual: str | bytes) -> None:
        data = actual.encode() if isinstance(actual, str) else actual
        if request.config.getoption("--golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            return
        assert file.exists(), f"no {file}: `make golden` writes it"
        expected = file.read_bytes()
        if isinstance(actual, str):
            assert actual == expected.decode()  # as text: pytest shows the lines
        assert data == expected

    return compare
