"""The policy's tests between real nodes during an apply: what their answers mean.

Mocked, because here the answers count, not how they came: the script's own `probe` is
tried with packets in tests/node.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tailgit.deploy.answer import Answer
from tailgit.deploy.fleet import Fleet
from tailgit.errors import NodeRefused
from tailgit.load import load
from tailgit.probe.trials import Trials

ACME = Path(__file__).parents[2] / "examples" / "acme"


class Nodes:
    """Nodes that all say the same: a verdict, or that they refuse with a code."""

    def __init__(self, verdict: str = "", code: str = "") -> None:
        self.verdict, self.code = verdict, code

    @asynccontextmanager
    async def aside(self, node: str) -> AsyncIterator[Any]:
        yield _Contact(node, self)


class _Contact:
    def __init__(self, node: str, nodes: Nodes) -> None:
        self.node, self.nodes = node, nodes

    async def ask(self, _verb: str, *words: str) -> Answer:
        if self.nodes.code:
            raise NodeRefused(self.node, self.nodes.code, f"{words[0]} is no peer's")
        return Answer((("verdict", self.nodes.verdict),))


def said(nodes: Nodes, node: str) -> tuple[str, ...]:
    """What is wrong once everybody has the commit and `node` is the last to get it."""
    tailnet = load(ACME).tailnet
    assert tailnet is not None
    trials = Trials(tailnet, cast("Fleet", nodes), tailnet.devices)
    return asyncio.run(trials(node))


def test_who_is_no_peer_is_not_reached() -> None:
    """A node refuses to try where nothing of its own leads: a denied target is denied
    then, as it should be, and an accepted one is not reached."""
    wrong = said(Nodes(code="bad-request"), "db-1")
    assert wrong
    assert all("must not" not in each for each in wrong)
    assert said(Nodes(verdict="silent"), "db-1") == wrong


def test_what_gets_through_though_denied_is_said() -> None:
    """A port that answers or refuses was reached: denied targets are wrong then."""
    wrong = said(Nodes(verdict="refused"), "db-1")
    assert wrong
    assert all("must not reach" in each for each in wrong)


def test_another_trouble_of_the_node_is_no_verdict() -> None:
    """A node that says no for any other reason stops its own switch."""
    with pytest.raises(NodeRefused):
        said(Nodes(code="busy"), "db-1")
