"""What the nodes of one apply are sent: exactly what was planned, signed once."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime

import pytest

from tailgit.deploy.delivery import deliveries, instant_after
from tailgit.errors import Refused
from tests.deploy.test_apply import parcels, plan_for
from tests.plan.small import COMMIT

NOW = datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC)


def test_one_signature_covers_all_nodes() -> None:
    """A hardware key is touched once, whatever the fleet's size."""
    plan, bundles, _ = plan_for("a", "b", "c")
    signed: list[bytes] = []

    def count(statement: bytes) -> bytes:
        signed.append(statement)
        return b"signature"

    sent = deliveries(plan, bundles, {}, by="x", at=NOW, sign=count)
    assert len(signed) == 1
    assert {one.statement for one in sent.values()} == set(signed)
    assert len({one.path for one in sent.values()}) == 3


def test_what_was_not_planned_is_not_sent() -> None:
    """A bundle whose digest is not the row's is refused before anything is signed."""
    plan, bundles, _ = plan_for("a", "b")
    bundles["b"] = bundles["a"]
    with pytest.raises(Refused, match="b: what was compiled is not what was planned"):
        parcels(plan, bundles)


def test_a_parcel_holds_the_envelope_of_this_commit_and_the_planned_bundle() -> None:
    """Five members, as docs/node-protocol.md lists them."""
    plan, bundles, _ = plan_for("a")
    packed = parcels(plan, bundles)["a"].parcel()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = {m.name: tar.extractfile(m) for m in tar.getmembers()}
        parts = {name: file.read() for name, file in members.items() if file}
    assert list(parts) == [
        *("envelope", "statement", "statement.sig", "path", "bundle.tar"),
    ]
    assert parts["bundle.tar"] == bundles["a"].tar()
    envelope = parts["envelope"].decode()
    assert f"commit {COMMIT.sha}\nheight {COMMIT.height}\nkind apply\n" in envelope


def test_an_order_is_never_older_than_what_a_node_has() -> None:
    """A node whose last order is ahead of our clock gets the second after it; the
    others get the time as it is."""
    plan, bundles, _ = plan_for("a", "b")
    newest = {"a": "2026-12-31T23:59:59Z", "b": "2026-11-22T12:00:00Z"}
    sent = deliveries(plan, bundles, newest, by="x", at=NOW, sign=lambda _: b"s")
    assert b"at 2027-01-01T00:00:00Z" in sent["a"].envelope
    assert b"at 2026-11-22T13:00:00Z" in sent["b"].envelope
    assert instant_after(NOW, "2026-11-22T13:00:00Z") == "2026-11-22T13:00:01Z"
