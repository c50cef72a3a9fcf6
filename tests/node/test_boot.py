"""A reboot, simulated: processes, interfaces, tables and /run are gone."""

from __future__ import annotations

import pytest

from tests.node.nodes import NAME, SELF, STATE, Node, wait
from tests.node.parcel import INTERFACE

pytestmark = pytest.mark.live


def test_boot_starts_what_was_confirmed(node: Node) -> None:
    """All of it runs again, and the guard with it."""
    node.apply(node.parcel())
    node.reboot()
    assert node.observe()["live"] == "none"
    node.run(SELF, "boot", NAME)
    seen = node.observe()
    for part in ("filter", "peers", "addresses", "routes", "names"):
        assert seen[part] == "ok", part
    wait(lambda: len(node.guards()) == 1)


def test_boot_gives_up_what_was_not_confirmed(node: Node) -> None:
    """A reboot before `confirm` means the old generation."""
    node.apply(node.parcel(height=1))
    node.stage(node.parcel(height=2))
    node.activate(2)
    node.reboot()
    node.run(SELF, "boot", NAME)
    seen = node.observe()
    assert (seen["live"], seen["pending"], seen["rolledback"]) == ("1", "none", "2")
    assert node.confirm(2).error == "not-pending"
    assert node.current() == "1"


def test_boot_after_a_first_unconfirmed_activation_starts_nothing(node: Node) -> None:
    """Without a `current` there is nothing to start."""
    node.stage(node.parcel())
    node.activate(1)
    node.reboot()
    node.run(SELF, "boot", NAME)
    assert INTERFACE not in node.links()
    assert node.table() == ""
    assert node.observe()["rolledback"] == "1"


def test_boot_while_it_runs_gives_nothing_up(node: Node) -> None:
    """Started again by hand or by a unit, it leaves a pending generation alone."""
    node.apply(node.parcel(height=1))
    node.stage(node.parcel(height=2))
    node.activate(2)
    node.run(SELF, "boot", NAME)
    assert node.observe()["live"] == "2"
    assert node.confirm(2)["result"] == "ok"


def test_boot_without_a_filter_starts_no_interface(node: Node) -> None:
    """A generation that can't be loaded ends in an error and no tunnel."""
    node.apply(node.parcel())
    node.reboot()
    node.path(f"{STATE}/generations/1/firewall.nft").write_text("nonsense\n")
    done = node.run(SELF, "boot", NAME, check=False)
    assert done.returncode == 1
    assert b"firewall.nft" in done.stderr
    assert INTERFACE not in node.links()
    assert node.current() == "1"


def test_boot_of_a_tailnet_that_is_not_here(node: Node) -> None:
    """It says so and makes no folder."""
    done = node.run(SELF, "boot", "other", check=False)
    assert done.returncode == 1
    assert b"no /etc/tailgit/other" in done.stderr
    assert not node.path("/var/lib/tailgit/other").exists()
