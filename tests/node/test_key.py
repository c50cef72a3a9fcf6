"""key: the spare key of a rotation, and what becomes of the old one."""

from __future__ import annotations

import pytest

from tests.node.nodes import KEYS, NAME, Node
from tests.node.parcel import INTERFACE

pytestmark = pytest.mark.live


def key_file(public: str) -> str:
    return public[:16].replace("+", "-").replace("/", "_")


def keys(node: Node) -> set[str]:
    return {path.name for path in node.path(KEYS).iterdir()}


def test_there_is_one_spare_key(node: Node) -> None:
    """Asked again it is the same one, and only its public half leaves the node."""
    first = node.request("key", NAME)
    assert first["result"] == "ok", first.fields
    assert first["publicKey"] != node.public
    assert node.request("key", NAME)["publicKey"] == first["publicKey"]
    assert keys(node) == {key_file(node.public), key_file(first["publicKey"])}
    private = node.read(f"{KEYS}/{key_file(first['publicKey'])}").strip()
    assert private.encode() not in first.raw
    assert (
        node.path(f"{KEYS}/{key_file(first['publicKey'])}").stat().st_mode == 0o100600
    )
    assert sorted(node.observe().all("publicKey")) == sorted(
        [node.public, first["publicKey"]]
    )


def test_a_rotation_goes_over_to_it_and_the_old_key_goes(node: Node) -> None:
    """The old key stays while a kept generation was compiled for it, and is then gone
    from the disk with a `confirm`; the next rotation gets another key."""
    node.apply(node.parcel(height=1))
    spare = node.request("key", NAME)["publicKey"]
    both = node.parcel(height=2)
    both.public_keys = [spare, node.public]
    node.apply(both)
    assert node.sh(f"wg show {INTERFACE} public-key").strip() == spare
    for height in range(3, 10):
        parcel = node.parcel(height=height)
        parcel.public_keys = [spare]
        node.apply(parcel)
        if height == 4:
            assert key_file(node.public) in keys(node)
    assert keys(node) == {key_file(spare)}
    assert node.observe()["peers"] == "ok"
    assert node.request("key", NAME)["publicKey"] != spare


def test_the_spare_key_stays_and_a_stray_one_goes(node: Node) -> None:
    """A spare key is named by no manifest yet; a forgotten one never will be."""
    spare = node.request("key", NAME)["publicKey"]
    node.write(f"{KEYS}/AAAAAAAAAAAAAAAA", node.sh("wg genkey"))
    node.apply(node.parcel())
    assert keys(node) == {key_file(node.public), key_file(spare)}


def test_the_only_key_is_never_removed(node: Node) -> None:
    """Whatever manifests say, and also if one can't be read."""
    node.apply(node.parcel())
    node.write(f"{KEYS}/AAAAAAAAAAAAAAAA", node.sh("wg genkey"))
    node.stage(node.parcel(height=8))
    node.activate(2)
    node.write(f"/var/lib/tailgit/{NAME}/generations/1/manifest", "rubbish\n")
    assert node.confirm(2)["result"] == "ok"
    assert len(keys(node)) == 2
