"""The bundles of the example tailnet, byte for byte, judged by the real tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tailgit.compile import compile_tailnet
from tailgit.compile.wgquick import wg_quick
from tests.compile.acme import acme
from tests.compile.judges import judge_nft, judge_quick, judge_zone

GOLDEN = Path(__file__).parent / "golden"
NODES = ("ana-desk", "ben-desk", "db-1", "fra-gw", "web-1")


@pytest.mark.parametrize("node", NODES)
def test_bundle_is_what_it_was(node, golden):
    """A node's files and manifest change only when somebody means it."""
    bundle = compile_tailnet(acme())[node]
    for name, body in (*bundle.files, ("manifest", bundle.manifest)):
        golden(GOLDEN / node / name, body.decode())


@pytest.mark.parametrize("node", NODES)
def test_wg_quick_form_is_what_it_was(node, golden):
    """So does its wg-quick form."""
    tailnet = acme()
    golden(GOLDEN / node / "tg-acme.conf", wg_quick(tailnet, tailnet.devices[node]))


def test_every_device_has_a_bundle():
    """The golden files are of all nodes, and of nothing else."""
    assert tuple(compile_tailnet(acme())) == NODES
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(NODES)


@pytest.mark.parametrize("node", NODES)
def test_golden_table_is_valid(node):
    """nft itself accepts each golden table."""
    judge_nft((GOLDEN / node / "firewall.nft").read_bytes())


@pytest.mark.parametrize("node", NODES)
def test_golden_zone_is_valid(node):
    """named-checkzone accepts each golden zone and counts its records."""
    zone = GOLDEN / node / "zone"
    judge_zone("acme.internal", zone)


@pytest.mark.parametrize("node", NODES)
def test_golden_wg_quick_file_is_valid(node, tmp_path):
    """`wg-quick strip` leaves the peers of the node's wireguard.conf, and wgconfig
    reads the same keys from it."""
    copy = Path(shutil.copy(GOLDEN / node / "tg-acme.conf", tmp_path))
    judge_quick(copy, (GOLDEN / node / "wireguard.conf").read_text())


@pytest.mark.live
@pytest.mark.parametrize("node", NODES)
def test_golden_wireguard_file_loads(node):
    """wg takes the file, with a key joined in front as the node does it, and shows
    exactly its peers and addresses."""
    text = (GOLDEN / node / "wireguard.conf").read_text()
    script = r"""
        ip link add wgjudge type wireguard 2>/dev/null || wireguard-go wgjudge
        { echo '[Interface]'; printf 'PrivateKey = '; wg genkey; tail -n +2; } |
            wg syncconf wgjudge /dev/stdin || exit 1
        wg show wgjudge allowed-ips; wg show wgjudge listen-port; wg show wgjudge fwmark
        ip link del wgjudge
    """
    shown = subprocess.run(
        ["unshare", "-nm", "sh", "-c", f"mount -t tmpfs t /run; {script}"],
        input=text.encode(),
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout.decode()
    *peers, port, mark = shown.splitlines()
    assert port == "51820"
    assert mark == "0x7467"
    assert _normal(peers) == _allowed(text)


def _normal(lines: list[str]) -> dict[str, set[str]]:
    return {key: set(ips.split()) for key, ips in (line.split("\t") for line in lines)}


def _allowed(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    key = ""
    for line in text.splitlines():
        name, _, value = line.partition(" = ")
        if name == "PublicKey":
            key = value
        elif name == "AllowedIPs":
            found[key] = set(value.split(", "))
    return found
