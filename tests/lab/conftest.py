"""A lab of two bare nodes, built once for the tests that only look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tailgit.lab import Lab
from tests.lab.small import topology


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(topology(f"test-{os.getpid()}")) as built:
        yield built
