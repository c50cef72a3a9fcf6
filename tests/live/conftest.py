"""One network for all live tests: building it takes longer than most of them."""

from __future__ import annotations

import pytest

from tests.live.network import small_network


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A running tailnet of three nodes, one of them a subnet router."""
    said: list[str] = []
    built = small_network(tmp_path_factory.mktemp("small"), said.append)
    yield built
    built.lab.down()
