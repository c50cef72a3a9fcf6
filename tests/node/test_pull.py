"""pull: a laptop catches up by itself, and believes no mailbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.node.conftest import SHELLS
from tests.node.nodes import STATE
from tests.node.parcel import Signer, sha256
from tests.node.post import Post, make_post

pytestmark = pytest.mark.live


@pytest.fixture(params=SHELLS)
def post(
    request: pytest.FixtureRequest, tmp_path: Path, signer: Signer
) -> Iterator[Post]:
    """A laptop and its one mailbox."""
    with ExitStack() as stack:
        yield make_post(request.param, tmp_path, signer, 1, stack)


def test_a_laptop_gets_its_first_parcel(post: Post) -> None:
    """It fetches, switches, confirms; the mailbox knows what it has."""
    parcel = post.own(1)
    assert post.deposit(parcel)["result"] == "ok"
    done = post.pull()
    assert done.returncode == 0, done.stderr
    assert post.laptop.current() == "1", done.stderr
    assert post.laptop.observe()["interface"] == "up"
    digest = sha256(parcel.overrides["envelope"])
    assert post.seen()[1:] == [digest, "confirming"]
    assert post.pull().returncode == 0
    assert post.seen()[1:] == [digest, "ok"]
    assert post.laptop.generations() == ["1"]
    assert not post.laptop.path(f"{STATE}/pull/tried").exists()
