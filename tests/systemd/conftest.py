"""A machine that systemd runs, and its peer; skipped only where none can be started."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.node.parcel import Parcel, Signer
from tests.systemd.machine import Machine, why_not
from tests.systemd.peer import Peer


def stamp(epoch: float) -> str:
    """As an envelope writes a time."""
    moment = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Pair:
    """An enrolled machine that runs generation 1, confirmed, and a peer of it."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.peer = Peer()
        self.machine = Machine(folder, signer)

    def begin(self) -> None:
        self.machine.power_on(self.peer.cable)
        self.machine.wait_until_up()
        self.public = self.machine.enroll()
        self.peer.know(self.public)
        self.apply(self.parcel(height=1))

    def parcel(self, **changes: object) -> Parcel:
        """Signed now, unless the test says otherwise."""
        given = {"files": self.peer.files(), "at": stamp(time.time()), **changes}
        return Parcel([self.public], self.machine.signer, **given)  # type: ignore[arg-type]

    def apply(self, parcel: Parcel) -> str:
        number = self.machine.stage(parcel)
        for answer in (self.machine.activate(number), self.machine.confirm(number)):
            assert answer["result"] == "ok", answer.fields
        return number

    def close(self) -> None:
        self.machine.close()
        self.peer.close()


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.make(tmp_path_factory.mktemp("signer"))


@contextmanager
def made(folder: Path, signer: Signer) -> Iterator[Pair]:
    """Both, connected; the machine runs what was applied and confirmed."""
    if reason := why_not():
        pytest.skip(reason)
    pair = Pair(folder, signer)
    try:
        pair.begin()
        yield pair
    finally:
        pair.close()


@pytest.fixture
def pair(tmp_path: Path, signer: Signer) -> Iterator[Pair]:
    """Of this test's own."""
    with made(tmp_path / "machine", signer) as pair:
        yield pair
