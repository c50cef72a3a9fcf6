"""observe and log: what a controller is told about a node, and who may ask."""

from __future__ import annotations

import pytest

from tests.node.nodes import NAME, STATE, Node
from tests.node.parcel import COMMIT, INTERFACE, PEER, sha256

pytestmark = pytest.mark.live

AT = "2026-11-22T13:00:00Z"


def test_it_names_every_generation_that_is_here(node: Node) -> None:
    """Number, commit, height, kind, time and both digests; an unreadable one is left
    out."""
    parcels = [node.parcel(height=1), node.parcel(height=2, by="Kim")]
    for parcel in parcels:
        node.apply(parcel)
    expected = [
        f"{n} {COMMIT} {n} apply {AT} {sha256(p.envelope())} {sha256(p.manifest())}"
        for n, p in enumerate(parcels, 1)
    ]
    assert node.observe().all("generation") == expected
    node.write(f"{STATE}/generations/1/envelope", "rubbish\n")
    assert node.observe().all("generation") == expected[1:]


@pytest.mark.parametrize("damage", ["current", "envelope", "manifest", "generation"])
def test_a_damaged_record_is_no_missing_one(node: Node, damage: str) -> None:
    """`record` is none, ok or damaged; what is damaged is not quoted, and what runs
    goes on."""
    assert node.observe()["record"] == "none"
    node.apply(node.parcel())
    assert node.observe()["record"] == "ok"
    if damage == "current":
        node.write(f"{STATE}/current", "rubbish\n")
    elif damage == "generation":
        node.sh(f"rm -r {STATE}/generations/1")
    else:
        node.write(f"{STATE}/generations/1/{damage}", "rubbish\n")
    seen = node.observe()
    assert seen["record"] == "damaged"
    for key in ("commit", "height", "kind", "by", "at", "envelope", "manifest"):
        assert seen.all(key) == [], key
    assert (seen["live"], seen["interface"]) == ("1", "up")


def test_a_damaged_record_is_mended_by_an_apply(node: Node) -> None:
    """`current` is rubbish: nothing is taken away, the next confirm writes it."""
    node.apply(node.parcel())
    node.write(f"{STATE}/current", "rubbish\n")
    node.apply(node.parcel(height=8))
    seen = node.observe()
    assert (seen["record"], seen["current"], seen["live"]) == ("ok", "2", "2")


def test_drift_says_what_is_there_and_what_is_not(node: Node) -> None:
    """A line for each peer, address, route and name that differs, 20 at most."""
    node.apply(node.parcel())
    assert node.observe().all("drift") == []
    node.sh(f"ip route add 100.64.9.9/32 dev {INTERFACE}")
    node.sh(f"wg set {INTERFACE} peer {PEER} allowed-ips 100.64.7.9/32")
    node.sh(f"ip address add 100.64.9.1/32 dev {INTERFACE}")
    node.sh("sed -i s/db-1/db-2/g /etc/hosts")
    drift = node.observe().all("drift")
    assert "routes + 100.64.9.9/32" in drift
    assert f"peers - allow {PEER} fd5c:91aa:7be0::1234/128" in drift
    assert "addresses + 100.64.9.1/32" in drift
    assert "names + fd5c:91aa:7be0::1234 db-2.acme.internal db-2" in drift
    assert "names - fd5c:91aa:7be0::1234 db-1.acme.internal db-1" in drift
    for number in range(30):
        node.sh(f"ip route add 100.64.10.{number}/32 dev {INTERFACE}")
    assert len(node.observe().all("drift")) == 20


def test_drift_shows_no_private_key(node: Node) -> None:
    """Another key on the interface is shown by its public half."""
    node.apply(node.parcel())
    private = node.sh("wg genkey").strip()
    node.run(
        "wg", "set", INTERFACE, "private-key", "/dev/stdin", stdin=private.encode()
    )
    answer = node.observe()
    public = node.run("wg", "pubkey", stdin=private.encode()).stdout.decode().strip()
    assert f"peers + key {public}" in answer.all("drift")
    assert f"peers - key {node.public}" in answer.all("drift")
    assert private.encode() not in answer.raw


def test_the_machine_is_described(node: Node) -> None:
    """The script's serial, what starts things here, and the room on the disk."""
    seen = node.observe()
    assert seen["serial"] == "1"
    assert seen["init"] == "none"
    node.path("/run/openrc").mkdir()
    assert node.observe()["init"] == "openrc"
    node.sh("mkdir -p /var/lib/tailgit; mount -t tmpfs -o size=8m t /var/lib/tailgit")
    node.path(STATE).mkdir()
    assert int(node.observe()["free"]) == 8192
    node.sh("head -c 4194304 /dev/zero >/var/lib/tailgit/fill")
    assert int(node.observe()["free"]) == 4096


def test_a_disk_without_room_refuses_before_it_unpacks(node: Node) -> None:
    """Three times the parcel and a mebibyte, or nothing is begun."""
    node.sh(
        "mkdir -p /var/lib/tailgit; mount -t tmpfs -o size=1100k t /var/lib/tailgit"
    )
    answer = node.stage(node.parcel())
    assert answer.error == "no-space"
    assert "KiB" in answer["message"]
    assert node.generations() == []
    node.sh("mount -o remount,size=8m /var/lib/tailgit")
    assert node.stage(node.parcel())["result"] == "ok"


def test_log_gives_the_last_lines(node: Node) -> None:
    """As many as were asked for, each whole, with its tabs."""
    assert node.request("log", NAME, "5").all("line") == []
    node.apply(node.parcel())
    whole = node.read(f"{STATE}/audit.log").splitlines()
    assert node.request("log", NAME, "1000").all("line") == whole
    assert node.request("log", NAME, "2").all("line") == whole[-2:]
    assert node.serve(f"log {NAME} 1", "--observe").all("line") == whole[-1:]
    for wrong in ("0", "1001", "x"):
        assert node.request("log", NAME, wrong).error == "bad-request"


def test_log_writes_nothing(node: Node) -> None:
    """Reading leaves no trace, as with observe."""
    node.apply(node.parcel())
    before = node.fingerprint()
    node.request("log", NAME, "10")
    assert node.fingerprint() == before
