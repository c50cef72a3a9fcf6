"""Nodes to ask: one for each test that changes it, one for all that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.nodes import SCRIPT, Node
from tests.node.parcel import Signer

SHELLS = ("dash", "busybox")


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.make(tmp_path_factory.mktemp("signer"))


@pytest.fixture(params=SHELLS)
def node(
    request: pytest.FixtureRequest, tmp_path: Path, signer: Signer
) -> Iterator[Node]:
    """A node of this test's own, enrolled, with nothing staged."""
    made = Node(request.param, tmp_path, signer)
    yield made
    made.close()


@pytest.fixture(scope="module", params=SHELLS)
def refusing(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    signer: Signer,
) -> Iterator[Node]:
    """A node for a module whose tests must leave it as it is."""
    made = Node(request.param, tmp_path_factory.mktemp("refusing"), signer)
    yield made
    made.close()


@pytest.fixture(params=SHELLS)
def bare(
    request: pytest.FixtureRequest, tmp_path: Path, signer: Signer
) -> Iterator[Node]:
    """A machine that is not enrolled; the script lies in /run/new."""
    made = Node(request.param, tmp_path, signer, enrolled=False)
    made.write("/run/new/tailgit-node", SCRIPT.read_text())
    yield made
    made.close()
