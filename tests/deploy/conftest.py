"""A node for tests of the SSH side: real sshd, played answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.sshd import Node


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """`make_node(**options)`: one more sshd; all of them end with the test."""
    nodes: list[Node] = []

    def make(**options: str) -> Node:
        nodes.append(Node(tmp_path / f"node{len(nodes)}", **options))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    """One sshd whose forced command plays a node."""
    return make_node()
