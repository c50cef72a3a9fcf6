"""Commit-confirm: what nobody confirms is rolled back, whoever died meanwhile."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.node.nodes import NAME, SELF, STATE, Node, wait
from tests.node.parcel import FILES, INTERFACE

pytestmark = pytest.mark.live

OTHER = dict(
    FILES,
    **{
        "wireguard.conf": FILES["wireguard.conf"].replace("51820\nFw", "51999\nFw"),
        "hosts": "100.64.1.1 web-1.acme.internal web-1\n",
    },
)
PARTS = ("filter", "peers", "addresses", "routes", "names")


def overdue(node: Node) -> None:
    """Let the time of what is pending be over, without waiting ten seconds for it."""
    number = node.read(f"{STATE}/pending").split()[0]
    node.write(f"{STATE}/pending", f"{number} 1\n")


def pending(node: Node, seconds: int = 600) -> None:
    """Generation 1 is confirmed, generation 2 activated and not confirmed."""
    node.apply(node.parcel(height=1))
    node.stage(node.parcel(height=2, files=OTHER))
    assert node.activate(2, seconds)["result"] == "ok"
    wait(lambda: len(node.guards()) == 1)


def kill(node: Node, *pids: int) -> None:
    node.sh("kill -9 " + " ".join(map(str, pids)))


def is_back(node: Node) -> bool:
    seen = node.observe()
    return (seen["live"], seen["pending"], seen["rolledback"]) == ("1", "none", "2")


def wholly_old(node: Node) -> None:
    wait(lambda: is_back(node))
    seen = node.observe()
    assert [seen[part] for part in PARTS] == ["ok"] * len(PARTS), seen.fields
    assert (seen["interface"], seen["listenPort"]) == ("up", "51820")
    assert seen["current"] == "1"


def test_what_is_not_confirmed_is_rolled_back(node: Node) -> None:
    """After the seconds that `activate` named, without any request."""
    pending(node, 10)
    assert 1 <= int(node.observe()["confirmIn"]) <= 10
    started = time.monotonic()
    wait(lambda: not node.path(f"{STATE}/pending").exists(), 15)
    assert time.monotonic() - started > 6
    wholly_old(node)
    assert node.confirm(2).error == "not-pending"
    log = node.read(f"{STATE}/audit.log")
    assert "rolledback\tit was not confirmed in time" in log
    wait(lambda: node.timers() == [])


def test_what_is_confirmed_stays(node: Node) -> None:
    """The timer goes away with its work, and does nothing later."""
    pending(node)
    assert len(node.timers()) == 1
    assert node.confirm(2)["result"] == "ok"
    wait(lambda: node.timers() == [], 5)
    time.sleep(1.5)
    assert node.observe()["live"] == "2"


def test_without_the_timer_the_guard_does_it(node: Node) -> None:
    """The timer's process is killed; the guard sees that nobody confirmed."""
    pending(node)
    kill(node, *node.timers())
    overdue(node)
    wholly_old(node)
    assert "guard\t2\trolledback" in node.read(f"{STATE}/audit.log")


def test_without_the_guard_the_timer_does_it(node: Node) -> None:
    """The guard is killed; the timer rolls back and brings a new guard."""
    pending(node)
    kill(node, *node.guards())
    overdue(node)
    wholly_old(node)
    assert "timer\t2\trolledback" in node.read(f"{STATE}/audit.log")
    wait(lambda: len(node.guards()) == 1)


def test_without_both_the_next_boot_does_it(node: Node) -> None:
    """A reboot gives up what is pending, also with time left."""
    pending(node)
    node.reboot()
    node.run(SELF, "boot", NAME)
    wholly_old(node)
    assert "before the reboot" in node.read(f"{STATE}/audit.log")


def test_without_both_a_repeated_boot_settles_it(node: Node) -> None:
    """`boot` where it runs is no reboot, but sees to what is overdue."""
    pending(node)
    kill(node, *node.timers(), *node.guards())
    overdue(node)
    node.run(SELF, "boot", NAME)
    wholly_old(node)
    wait(lambda: len(node.guards()) == 1)


def test_boot_starts_the_timer_of_what_is_pending_again(node: Node) -> None:
    """A killed timer is replaced while there is something to time."""
    pending(node)
    kill(node, *node.timers())
    node.run(SELF, "boot", NAME)
    assert len(node.timers()) == 1
    assert node.confirm(2)["result"] == "ok"


def test_a_repeated_activate_brings_the_timer_back_and_keeps_the_time(
    node: Node,
) -> None:
    """A retry after a cut connection gains no time and loses no timer."""
    pending(node)
    before = node.read(f"{STATE}/pending")
    kill(node, *node.timers())
    assert node.activate(2, 3600)["result"] == "ok"
    assert node.read(f"{STATE}/pending") == before
    assert len(node.timers()) == 1


def test_the_first_generation_is_taken_away_whole(node: Node) -> None:
    """Nothing was ever confirmed: nothing of ours stays."""
    hosts = node.read("/etc/hosts")
    node.stage(node.parcel())
    node.activate(1)
    overdue(node)
    wait(lambda: INTERFACE not in node.links())
    wait(lambda: node.table() == "")
    wait(lambda: node.read("/etc/hosts") == hosts)
    wait(lambda: node.timers() == [] == node.guards())
    assert node.observe()["rolledback"] == "1"


def test_an_unreadable_deadline_counts_as_over(node: Node) -> None:
    """What can't be read is no reason to wait for ever."""
    pending(node)
    node.write(f"{STATE}/pending", "2\n")
    wholly_old(node)


def test_a_node_that_cannot_arm_its_timer_switches_nothing(node: Node) -> None:
    """No timer, no change: `not-armed`, and the kernel was not touched."""
    node.apply(node.parcel(height=1))
    node.stage(node.parcel(height=2, files=OTHER))
    table = node.table()
    wait(lambda: node.timers() == [], 5)
    node.write("/usr/local/sbin/setsid", "#!/bin/sh\nexit 1\n", 0o755)
    answer = node.activate(2)
    assert answer.error == "not-armed"
    assert (answer["live"], answer["pending"]) == ("1", "none")
    assert node.table() == table
    assert node.observe()["listenPort"] == "51820"


def test_the_timer_is_armed_before_anything_is_switched(node: Node) -> None:
    """When nft is first asked to load, the timer's lock is held by a timer."""
    wrapper = (
        '#!/bin/sh\n[ "$*" != "-f -" ] || flock -n /run/tailgit/acme/timer '
        'touch /run/unarmed\nexec /usr/sbin/nft "$@"\n'
    )
    node.stage(node.parcel())
    node.write("/usr/local/sbin/nft", wrapper, 0o755)
    assert node.activate(1)["result"] == "ok"
    assert not node.path("/run/unarmed").exists()
    assert len(node.timers()) == 1


def test_a_rollback_by_request_takes_effect_at_once(node: Node) -> None:
    """It needs no timer, says what is left, and may be repeated."""
    pending(node)
    assert node.rollback(2)["result"] == "ok"
    wholly_old(node)
    assert node.rollback(2)["result"] == "ok"
    assert node.rollback(1).error == "not-pending"
    assert node.rollback(9).error == "not-pending"
    assert node.confirm(2).error == "not-pending"


def test_confirm_judges_the_whole_state_again(node: Node) -> None:
    """What was changed since the activation is `differs`; `current` does not move."""
    pending(node)
    node.sh(f"ip route add 100.64.9.9/32 dev {INTERFACE}")
    answer = node.confirm(2)
    assert answer.error == "differs"
    assert "routes" in answer["message"]
    assert node.current() == "1"
    node.sh(f"ip route delete 100.64.9.9/32 dev {INTERFACE}")
    assert node.confirm(2)["result"] == "ok"


def test_confirm_of_the_confirmed_says_ok_only_for_what_runs(node: Node) -> None:
    """With a roll-back cut off half way, the old generation is not yet there."""
    pending(node)
    kill(node, *node.timers(), *node.guards())
    node.sh(f"mv {STATE}/pending {STATE}/rolledback")
    assert node.confirm(1).error == "differs"


def test_a_failed_activation_goes_back_to_what_was_confirmed(node: Node) -> None:
    """Not to what was pending: that was never known to be good."""
    pending(node)
    bad = dict(FILES, interface=FILES["interface"].replace("100.64.7.9", "300.64.7.9"))
    node.stage(node.parcel(height=3, files=bad))
    assert node.activate(3).error == "activation-failed"
    seen = node.observe()
    assert (seen["live"], seen["pending"], seen["rolledback"]) == ("1", "none", "3")
    assert [seen[part] for part in PARTS] == ["ok"] * len(PARTS)


def test_a_read_only_disk_does_not_keep_the_new_generation(node: Node) -> None:
    """The roll-back can't be written down, so it is done in the kernel alone; observe
    says so, confirm does not take it, and it is written as soon as it can be."""
    pending(node)
    overdue_line = "2 1\n"
    kill(node, *node.timers(), *node.guards())
    node.write(f"{STATE}/pending", overdue_line)
    node.sh(f"mount --bind {STATE} {STATE}; mount -o remount,ro,bind {STATE}")
    node.sh(f"{SELF} timer {NAME} </dev/null >/dev/null 2>&1 &")
    wait(lambda: node.observe()["live"] == "1")
    seen = node.observe()
    assert [seen[part] for part in PARTS] == ["ok"] * len(PARTS)
    assert seen["pending"] == "2"
    assert "can't be written" in seen["stuck"]
    assert node.confirm(2).error == "not-pending"
    assert node.activate(1).error == "io"
    calls = len(node.table())
    time.sleep(2)
    assert len(node.table()) == calls
    node.sh(f"umount {STATE}")
    wait(lambda: not node.path(f"{STATE}/pending").exists())
    wait(lambda: is_back(node))
    assert node.observe().all("stuck") == []


def test_a_rollback_that_cannot_load_is_closed_and_tried_again(node: Node) -> None:
    """Neither generation runs then; when the old one can be loaded, it does."""
    pending(node)
    path = node.path(f"{STATE}/generations/1/firewall.nft")
    good = path.read_text()
    path.write_text("nonsense\n")
    overdue(node)
    wait(lambda: "UP" not in node.links()[INTERFACE]["flags"])  # type: ignore[operator]
    assert node.observe()["live"] == "1"
    path.write_text(good)
    wait(lambda: node.observe()["interface"] == "up", 15)
    wholly_old(node)


def test_a_timer_holds_nothing_of_who_started_it(node: Node) -> None:
    """No lock, no output and no input of the request outlives it."""
    node.stage(node.parcel())
    work = subprocess.Popen(
        node.enter(SELF, "request", "activate", NAME, "1", "600", "none"),
        stdout=subprocess.PIPE,
    )
    assert b"result\tok" in work.communicate(timeout=20)[0]
    (timer,) = node.timers()
    held = {str(fd.readlink()) for fd in node.path(f"/proc/{timer}/fd").iterdir()}
    assert held <= {f"/run/tailgit/{NAME}/timer", "/dev/null", SELF}


def test_down_gives_up_what_is_pending(node: Node) -> None:
    """What the owner takes down, no timer brings back."""
    pending(node)
    node.run(SELF, "down", NAME)
    wait(lambda: node.timers() == [] == node.guards(), 5)
    time.sleep(1.2)
    assert INTERFACE not in node.links()
    seen = node.observe()
    assert (seen["live"], seen["pending"], seen["rolledback"]) == ("none", "none", "2")


def test_a_quiet_timer_costs_little(node: Node) -> None:
    """While it waits it starts nothing but its sleep."""
    node.stage(node.parcel())
    node.activate(1)
    (timer,) = node.timers()
    before = spent(node, timer)
    time.sleep(4)
    assert spent(node, timer) - before < 0.2


def spent(node: Node, pid: int) -> float:
    words = Path(node.path(f"/proc/{pid}/stat")).read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / 100


def test_who_only_observes_cannot_keep_it_waiting(node: Node) -> None:
    """Reads that follow each other without a gap: a roll-back gets its turn."""
    pending(node)
    reads = f"while :; do {SELF} request observe {NAME} >/dev/null; done"
    loops = [subprocess.Popen(node.enter("sh", "-c", reads)) for _ in range(4)]
    try:
        time.sleep(1)
        overdue(node)
        wait(lambda: not node.path(f"{STATE}/pending").exists(), 15)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
