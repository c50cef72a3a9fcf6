"""The guard: the filter is there, or the interface is down."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.nodes import NAME, SELF, STATE, Answer, Node, parse, wait
from tests.node.parcel import FILES, INTERFACE

pytestmark = pytest.mark.live

# Flushes and polls in one process, so the measurement has no start-up of its own.
MEASURE = """
nft flush ruleset
until nft list chain inet tailgit_acme in >/dev/null 2>&1; do :; done
"""


def is_up(node: Node) -> bool:
    return "UP" in node.links()[INTERFACE]["flags"]  # type: ignore[operator]


def running(node: Node) -> int:
    """Wait for the one guard and its nft; the guard's process id in the node."""
    wait(lambda: len(node.guards()) == 1)
    wait(lambda: b"monitor" in node.run("ps", "-ef").stdout)
    return node.guards()[0]


def kill(node: Node, number: int, pid: int) -> None:
    node.run("sh", "-c", f"kill -{number} {pid}")


def test_a_flushed_ruleset_is_back_at_once(
    node: Node, record_property: pytest.RecordProperty
) -> None:
    """Of 20 times the table is back within 0.5 s at the median, 1.5 s at the worst."""
    node.apply(node.parcel())
    running(node)
    took = []
    for _ in range(20):
        time.sleep(0.05)
        started = time.monotonic()
        node.sh(MEASURE)
        took.append(time.monotonic() - started)
    record_property("median", statistics.median(took))
    record_property("worst", max(took))
    print(f"median {statistics.median(took):.3f} s, worst {max(took):.3f} s")
    assert statistics.median(took) < 0.5
    assert max(took) < 1.5
    wait(lambda: node.observe()["filter"] == "ok")
    assert is_up(node)
    wait(lambda: node.read(f"{STATE}/audit.log").count("guard\t1\treloaded") == 20)


def test_a_dead_guard_is_reported_and_replaced(node: Node) -> None:
    """`observe` says that nobody guards; the next `activate` starts a new guard."""
    node.apply(node.parcel())
    assert node.observe()["guard"] == "ok"
    kill(node, signal.SIGKILL, running(node))
    wait(lambda: node.observe()["guard"] == "absent")
    assert node.activate(1)["result"] == "ok"
    assert node.observe()["guard"] == "ok"


@pytest.mark.parametrize(
    "damage",
    [
        "insert rule inet tailgit_acme in accept",
        "flush chain inet tailgit_acme in",
        "delete chain inet tailgit_acme forward",
        "delete table inet tailgit_acme",
        "add chain inet tailgit_acme more { type filter hook input priority 0 ; }",
    ],
)
def test_a_changed_table_is_loaded_again(node: Node, damage: str) -> None:
    """A table with other rules is no better than none."""
    node.apply(node.parcel())
    running(node)
    node.run("nft", damage)
    wait(lambda: "guard\t1\treloaded" in node.read(f"{STATE}/audit.log"), 3)
    assert node.observe()["filter"] == "ok"
    assert is_up(node)


def test_a_filter_that_cannot_be_loaded_takes_the_interface_down(node: Node) -> None:
    """Fail closed; and when it can be loaded again, all of it comes back."""
    node.apply(node.parcel())
    running(node)
    path = node.path(f"{STATE}/generations/1/firewall.nft")
    good = path.read_text()
    path.write_text(good.replace("chain in", "chain in {"))
    node.run("nft", "flush", "ruleset")
    wait(lambda: not is_up(node), 3)
    wait(lambda: "guard\t1\tclosed" in node.read(f"{STATE}/audit.log"))
    path.write_text(good)
    wait(lambda: is_up(node), 15)
    wait(lambda: node.observe()["routes"] == "ok")
    assert node.observe()["filter"] == "ok"


def test_the_table_of_an_older_generation_does_not_count(node: Node) -> None:
    """What was right before the last activation is wrong after it."""
    node.apply(node.parcel())
    running(node)
    old = node.read(f"{STATE}/generations/1/firewall.nft")
    time.sleep(1.2)
    files = dict(FILES, **{"firewall.nft": old.replace("tcp . 22, ", "")})
    node.apply(node.parcel(height=8, files=files))
    node.run("nft", "-f", "-", stdin=old.encode())
    wait(lambda: "tcp . 22" not in node.table(), 3)


def test_an_activation_opens_what_the_guard_closed(node: Node) -> None:
    """A good generation needs no waiting for the guard's next try."""
    node.apply(node.parcel())
    running(node)
    node.path(f"{STATE}/generations/1/firewall.nft").write_text("nonsense\n")
    node.run("nft", "flush", "ruleset")
    wait(lambda: not is_up(node), 3)
    node.apply(node.parcel(height=8))
    assert is_up(node)
    assert node.observe()["filter"] == "ok"


def test_the_guard_does_not_undo_an_activation(node: Node) -> None:
    """While generations change, no reload of an older filter gets in between."""
    node.apply(node.parcel(height=1))
    running(node)
    for height in range(2, 8):
        number = node.apply(node.parcel(height=height))
        assert node.observe()["live"] == number
    time.sleep(1.2)
    assert "reloaded" not in node.read(f"{STATE}/audit.log")
    assert node.observe()["filter"] == "ok"


def test_it_outlives_its_nft_monitor(node: Node) -> None:
    """With nft killed again and again the one-second look still works."""
    node.apply(node.parcel())
    guard = running(node)
    for _ in range(3):
        running(node)
        node.sh("kill -9 $(ps -ef | awk '/nft [m]onitor/ { print $2 }')")
        node.run("nft", "flush", "ruleset")
        wait(lambda: node.table() != "", 3)
    assert node.guards() == [guard]
    wait(lambda: node.run("ps", "-ef").stdout.count(b"nft monitor") == 1)


def test_without_any_nft_monitor_it_looks_once_a_second(node: Node) -> None:
    """An nft that can't monitor makes it slower, not blind, and it does not spin."""
    wrapper = (
        '#!/bin/sh\n[ "$1" != monitor ] || { echo >>/run/monitors; exit 1; }\n'
        'exec /usr/sbin/nft "$@"\n'
    )
    node.write("/usr/local/sbin/nft", wrapper, 0o755)
    node.apply(node.parcel())
    wait(lambda: len(node.guards()) == 1)
    time.sleep(3)
    assert len(node.read("/run/monitors").splitlines()) <= 5
    node.run("nft", "flush", "ruleset")
    wait(lambda: node.table() != "", 3)


def test_there_is_one_guard(node: Node) -> None:
    """A second one ends at once, as the first holds the lock."""
    node.apply(node.parcel())
    guard = running(node)
    node.run(SELF, "guard", NAME)
    node.activate(1)
    node.run(SELF, "boot", NAME)
    wait(lambda: node.guards() == [guard])


def test_a_killed_guard_leaves_nothing_and_is_started_again(node: Node) -> None:
    """Its helpers end by themselves; the next activate brings a new guard."""
    node.apply(node.parcel())
    kill(node, 9, running(node))
    wait(lambda: b"monitor" not in node.run("ps", "-ef").stdout, 5)
    node.activate(1)
    running(node)


def test_the_guard_obeys_a_plain_kill(node: Node) -> None:
    """It was started by a script that ignores signals, but does not ignore them."""
    node.apply(node.parcel())
    kill(node, 15, running(node))
    wait(lambda: node.guards() == [])


def test_it_ends_with_the_tailnet(node: Node) -> None:
    """After `down` there is nothing to guard, and no process stays."""
    node.apply(node.parcel())
    running(node)
    node.run(SELF, "down", NAME)
    wait(lambda: node.guards() == [])
    wait(lambda: b"tg-acme" not in node.run("ps", "-ef").stdout, 5)
    wait(lambda: b"monitor" not in node.run("ps", "-ef").stdout, 5)


def test_it_holds_nothing_open_of_who_started_it(node: Node) -> None:
    """The request's standard output ends with the request, not with the guard."""
    node.stage(node.parcel())
    work = subprocess.Popen(
        node.enter(SELF, "request", "activate", NAME, "1", "600", "none"),
        stdout=subprocess.PIPE,
    )
    assert b"result\tok" in work.communicate(timeout=20)[0]
    guard = running(node)
    held_by_tunnel = node.sh("ls -l /proc/$(pidof wireguard-go)/fd")
    assert "tailgit" not in held_by_tunnel
    held = {str(fd.readlink()) for fd in (node.path(f"/proc/{guard}/fd")).iterdir()}
    allowed = (
        f"/run/tailgit/{NAME}/guard",
        f"/run/tailgit/{NAME}/events",
        "/dev/null",
        SELF,
    )
    assert {h for h in held if not h.startswith("pipe:")} <= set(allowed)


def test_its_look_costs_little(
    node: Node, record_property: pytest.RecordProperty
) -> None:
    """All that the guard starts in a quiet second is under 5 % of one core."""
    node.apply(node.parcel())
    guard = running(node)
    before, started = spent(node, guard), time.monotonic()
    time.sleep(5)
    share = (spent(node, guard) - before) / (time.monotonic() - started)
    record_property("share", share)
    print(f"guard: {100 * share:.2f} % of a core")
    assert share < 0.05


def spent(node: Node, guard: int) -> float:
    """CPU seconds of the guard, its ticker and all that they waited for."""
    total = 0
    for stat in Path(node.path("/proc")).glob("[0-9]*/stat"):
        pid, _, rest = stat.read_text().partition(" ")
        words = rest.rpartition(")")[2].split()
        if int(pid) == guard or int(words[1]) == guard:
            total += sum(int(word) for word in words[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def test_a_stopped_guard_is_no_open_door_for_long(node: Node) -> None:
    """Frozen by SIGSTOP and woken, it finds what it missed."""
    node.apply(node.parcel())
    guard = running(node)
    kill(node, signal.SIGSTOP, guard)
    node.run("nft", "flush", "ruleset")
    time.sleep(0.5)
    assert node.table() == ""
    kill(node, signal.SIGCONT, guard)
    wait(lambda: node.table() != "", 3)


WIDER = "elements = { 100.64.7.9, 10.20.0.0/16 }"
REVOKED = dict(
    FILES,
    **{
        "firewall.nft": FILES["firewall.nft"].replace(
            WIDER, "elements = { 100.64.7.9 }"
        )
    },
)


@contextlib.contextmanager
def stalled_activation(node: Node, rule: str = "") -> Iterator[list[Answer]]:
    """Generation 2, which revokes an address (and a part of a rule), while it waits
    behind its filter to write the names; its answer is there when the block ends."""
    node.apply(node.parcel())
    running(node)
    files = dict(REVOKED, hosts="")
    files["firewall.nft"] = files["firewall.nft"].replace(rule, "")
    node.stage(node.parcel(height=8, files=files))
    holder = subprocess.Popen(node.enter("flock", "/run/tailgit", "sleep", "60"))
    wait(lambda: b"sleep 60" in node.run("ps", "-ef").stdout)
    work = subprocess.Popen(
        node.enter(SELF, "request", "activate", NAME, "2", "600", "none"),
        stdout=subprocess.PIPE,
    )
    wait(lambda: "10.20.0.0" not in node.table() != "")
    time.sleep(0.5)
    answers: list[Answer] = []
    try:
        yield answers
    finally:
        node.sh("kill -9 $(ps -ef | awk '/[s]leep 60/ { print $2 }')")
        holder.wait()
        answers.append(parse(work.communicate(timeout=30)[0], work.returncode))


def test_the_guard_leaves_a_long_activation_alone(node: Node) -> None:
    """While it has no lock, a table unlike the live one is not its to replace."""
    with stalled_activation(node, "tcp . 22, ") as answers:
        time.sleep(7)
        assert "10.20.0.0" not in node.table()
        assert is_up(node)
    assert answers[0]["result"] == "ok", answers[0].fields
    assert node.confirm(2)["result"] == "ok"
    time.sleep(1.2)
    assert "10.20.0.0" not in node.table()
    assert "guard" not in node.read(f"{STATE}/audit.log")
    assert node.observe()["filter"] == "ok"


def test_an_old_table_that_came_between_fails_the_activation(node: Node) -> None:
    """Also if it differs in set elements alone, which nft's short listing lacks."""
    old = FILES["firewall.nft"]
    with stalled_activation(node) as answers:
        node.run("nft", "-f", "-", stdin=old.encode())
        assert "10.20.0.0" in node.table()
    assert answers[0].error == "activation-failed"
    assert "filter: differs" in answers[0]["message"]
    seen = node.observe()
    assert (seen["live"], seen["current"], seen["rolledback"]) == ("1", "1", "2")
    assert (seen["filter"], seen["interface"]) == ("ok", "up")


def test_without_table_a_long_activation_is_closed(node: Node) -> None:
    """A flush while the lock is taken takes the interface down and loads nothing; the
    activation notices, and what ran before comes back."""
    with stalled_activation(node) as answers:
        node.run("nft", "flush", "ruleset")
        wait(lambda: not is_up(node), 8)
        assert node.table() == ""
        wait(lambda: "guard\t1\tclosed" in node.read(f"{STATE}/audit.log"))
    assert answers[0].error == "activation-failed"
    seen = node.observe()
    assert (seen["live"], seen["filter"], seen["interface"]) == ("1", "ok", "up")
    assert "10.20.0.0" in node.table()
    time.sleep(1.2)
    assert is_up(node)


def test_a_table_that_was_replaced_by_its_like_is_loaded_again(node: Node) -> None:
    """A saved ruleset that somebody restores has the rules, but perhaps not the
    revocations: its handle tells."""
    node.apply(node.parcel(files=REVOKED))
    running(node)
    node.run("nft", "-f", "-", stdin=FILES["firewall.nft"].encode())
    wait(lambda: "10.20.0.0" not in node.table() != "", 3)
    wait(lambda: node.observe()["filter"] == "ok")


def test_a_closed_interface_stays_down(node: Node) -> None:
    """Whoever sets it up again, it is down within a look or two, for as long as the
    filter can't be loaded."""
    node.apply(node.parcel())
    running(node)
    node.path(f"{STATE}/generations/1/firewall.nft").write_text("nonsense\n")
    node.run("nft", "flush", "ruleset")
    wait(lambda: not is_up(node), 3)
    for _ in range(2):
        node.run("ip", "link", "set", "dev", INTERFACE, "up")
        wait(lambda: not is_up(node), 3)
    assert node.table() == ""
    assert node.read(f"{STATE}/audit.log").count("guard\t1\tclosed") == 1


# Fails to set routes as long as /run/no-routes is there.
NO_ROUTES = """#!/bin/sh
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[ "$*" = "-batch -" ] || exec ip "$@"
lines=$(cat)
case $lines in route*) [ ! -e /run/no-routes ] || { echo >>/run/tried; exit 1; } ;; esac
printf '%s\\n' "$lines" | exec ip -batch -
"""


def test_a_reload_that_fails_half_way_closes_again(node: Node) -> None:
    """The interface was up already when the routes failed; it does not stay so."""
    node.write("/usr/local/sbin/ip", NO_ROUTES, 0o755)
    node.apply(node.parcel())
    running(node)
    path = node.path(f"{STATE}/generations/1/firewall.nft")
    good = path.read_text()
    path.write_text("nonsense\n")
    node.run("nft", "flush", "ruleset")
    wait(lambda: not is_up(node), 3)
    node.write("/run/no-routes", "")
    path.write_text(good)
    wait(lambda: node.path("/run/tried").exists(), 15)
    wait(lambda: not is_up(node), 3)
    node.path("/run/no-routes").unlink()
    wait(lambda: is_up(node), 15)
    wait(lambda: node.observe()["routes"] == "ok")


def test_what_cannot_be_taken_away_keeps_its_filter(node: Node) -> None:
    """`down` deletes the table after the interface, or not at all."""
    node.apply(node.parcel())
    path = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for tool, refused in (("ip", "'link delete'*"), ("rm", "*wireguard*")):
        text = f'#!/bin/sh\n{path}\ncase "$*" in {refused}) exit 2 ;; esac\n'
        node.write(f"/usr/local/sbin/{tool}", text + f'exec {tool} "$@"\n', 0o755)
    assert node.run(SELF, "down", NAME, check=False).returncode == 1
    assert not is_up(node)
    assert node.table() != ""
    for tool in ("ip", "rm"):
        node.path(f"/usr/local/sbin/{tool}").unlink()
    node.run(SELF, "down", NAME)
    assert INTERFACE not in node.links()
    assert node.table() == ""
