"""What ends, as compiled: rules with `meta time < EPOCH`, and the list of deadlines."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tailgit.compile import compile_tailnet
from tailgit.model.tailnet import Tailnet
from tests.compile.acme import acme
from tests.compile.judges import judge_nft

GOLDEN = Path(__file__).parent / "endings"
NODES = ("db-1", "web-1")
ZONES = ("Pacific/Kiritimati", "America/New_York")
TOP = Path(__file__).parents[2]

RULE, DEVICE, LATER = 1_798_761_600, 1_801_440_000, 1_830_297_600
"""The ends of 2026-12-31, 2027-01-31 and 2027-12-31, UTC."""


def ending() -> Tailnet:
    """The example, where a rule, a device and a router end."""
    tailnet = acme()
    ends = {"ben-desk": DEVICE, "fra-gw": LATER}
    return replace(
        tailnet,
        devices={
            name: replace(device, expires=ends.get(name))
            for name, device in tailnet.devices.items()
        },
        rules=tuple(
            replace(rule, expires=RULE if rule.name == "web-database" else None)
            for rule in tailnet.rules
        ),
    )


@pytest.mark.parametrize("node", NODES)
def test_endings_are_what_they_were(node, golden):
    """The filter and the deadlines of a node change only when somebody means it."""
    files = dict(compile_tailnet(ending())[node].files)
    for name in ("firewall.nft", "deadlines"):
        golden(GOLDEN / node / name, files[name].decode())


@pytest.mark.parametrize("zone", ZONES)
def test_the_time_zone_changes_no_byte(zone):
    """A process in another time zone compiles the same files."""
    script = (
        "import sys\n"
        "from tailgit.compile import compile_tailnet\n"
        "from tests.compile.test_deadlines import ending\n"
        "for node, bundle in compile_tailnet(ending()).items():\n"
        "    print(node, bundle.digest)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "TZ": zone,
            "PYTHONPATH": f"{TOP / 'controller'}{os.pathsep}{TOP}",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    here = {n: b.digest for n, b in compile_tailnet(ending()).items()}
    assert dict(line.split() for line in done.stdout.splitlines()) == here


@pytest.mark.parametrize("node", NODES)
def test_golden_table_is_valid(node):
    """nft itself accepts each golden table."""
    judge_nft((GOLDEN / node / "firewall.nft").read_bytes())


@pytest.mark.parametrize("zone", ZONES)
def test_nft_reads_the_same_instant_in_every_zone(zone):
    """A table that is loaded in another time zone ends at the same second."""
    done = subprocess.run(
        [
            *("unshare", "-rn", "sh", "-c"),
            'TZ="$1" nft -f - && TZ=UTC nft list ruleset',
            *("sh", zone),
        ],
        input=(GOLDEN / "db-1" / "firewall.nft").read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'meta time < "2027-01-01 00:00:00"' in done.stdout
    assert 'meta time < "2027-02-01 00:00:00"' in done.stdout


def test_a_deadline_stands_where_it_is_meant():
    """A rule's own line ends it; a device ends in the filter and as a peer, a router
    as a peer and with its subnet; what goes on has no deadline."""
    bundles = compile_tailnet(ending())
    table = dict(bundles["db-1"].files)["firewall.nft"].decode()
    jumps = [line.strip() for line in table.splitlines() if " jump " in line]
    timed = [line for line in jumps if line.startswith("meta time < ")]
    assert any(str(RULE) in line and "tcp_5432" in line for line in timed)
    assert any(str(DEVICE) in line for line in timed)
    assert len(timed) < len(jumps)
    tailnet = ending()
    key, router = (tailnet.devices[n].public_key for n in ("ben-desk", "fra-gw"))
    lines = dict(bundles["db-1"].files)["deadlines"].decode().splitlines()
    assert f"{DEVICE} peer {key}" in lines
    lines = dict(bundles["ana-desk"].files)["deadlines"].decode().splitlines()
    assert f"{LATER} peer {router}" in lines
    assert f"{LATER} route {router} 10.20.0.0/16" in lines


def test_without_deadlines_nothing_says_so():
    """A tailnet in which nothing ends has neither the file nor a line about time."""
    for bundle in compile_tailnet(acme()).values():
        files = dict(bundle.files)
        assert "deadlines" not in files
        assert b"meta time" not in files["firewall.nft"]
