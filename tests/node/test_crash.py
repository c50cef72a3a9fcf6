"""Cut, killed and repeated at any byte: `current` never moves by accident."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.node.nodes import NAME, SELF, STATE, Node, parse, wait
from tests.node.parcel import FILES, INTERFACE, MEMBERS, Parcel

pytestmark = pytest.mark.live

# Stops a chosen call of a chosen tool until it is killed.
WRAPPER = """#!/bin/sh
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
case "$*" in {pattern})
    if [ ! -e /run/reached ]; then echo >/run/reached; sleep 60; fi ;;
esac
exec {tool} "$@"
"""

LOGGER = """#!/bin/sh
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
echo "{tool} $*" >>/run/calls
exec {tool} "$@"
"""


def cuts(parcel: Parcel) -> list[int]:
    """Where to cut a parcel: member boundaries of both tars, and places around them."""
    offsets, at = {0, 1, 100}, 0
    for name, data in parcel.members():
        padded = -(-len(data) // 512) * 512
        for edge in (at, at + 512, at + 512 + len(data), at + 512 + padded):
            offsets |= {edge - 1, edge, edge + 1}
        if name == "bundle.tar":
            offsets |= set(range(at + 512, at + 512 + len(data), 512))
            end = at + 512 + len(data.rstrip(b"\0"))
        at += 512 + padded
    return sorted(offset for offset in offsets if 0 <= offset < end)


def test_a_parcel_cut_at_any_byte_is_no_generation(node: Node) -> None:
    """Also at a member's boundary, where tar itself says that all is well."""
    node.apply(node.parcel(height=1))
    parcel = node.parcel(height=2)
    whole = parcel.build()
    places = cuts(parcel)
    assert len(places) >= 50
    for offset in places:
        answer = node.stage(whole[:offset])
        assert answer.error in ("bad-parcel", "bad-signature", "bad-path", "bad-hash")
        assert node.generations() == ["1"], offset
    assert node.current() == "1"
    assert list(node.path(f"{STATE}/incoming").iterdir()) == []
    assert node.stage(whole)["generation"] == "2"


CHANGED = dict(
    FILES,
    **{
        "hosts": "100.64.1.1 web-1.acme.internal web-1\n",
        "wireguard.conf": FILES["wireguard.conf"].replace("51820\nF", "51999\nF"),
        "firewall.nft": FILES["firewall.nft"].replace("tcp . 22, ", ""),
    },
)
TOKEN = "0123456789abcdef"
PARTS = ("filter", "peers", "addresses", "routes", "names")

# place: (tool, the call that stops)
STAGE = {
    "reading the parcel": ("head", "*67108865*"),
    "checking the signature": ("ssh-keygen", "*verify*"),
    "syncing the new generation": ("sync", "*generation/*"),
    "naming the new generation": ("mv", "*generations/2"),
    "taking the lock": ("mv", "*held.new*"),
    "keeping the answer of stage": ("mv", "*answer.new*"),
}
LOAD = {
    "loading the filter": ("nft", "-f*"),
    "setting the peers": ("wg", "syncconf*"),
    "setting the addresses": ("ip", "-batch*"),
    "writing the names": ("mv", "*hosts.new*"),
    "writing what is live": ("mv", "*live.new*"),
}
ACTIVATE = {
    "naming `pending`": ("mv", "*pending.new*"),
    "syncing `pending`": ("sync", "*pending"),
    "starting the timer": ("setsid", "*timer*"),
    **LOAD,
    "judging what was loaded": ("wg", "show*allowed-ips"),
    "keeping the answer": ("mv", "*answer.new*"),
}
CONFIRM = {
    "judging what runs": ("wg", "show*allowed-ips"),
    "moving `current`": ("mv", "*pending*current"),
    "syncing `current`": ("sync", "*/acme"),
    "ending the lock": ("rm", "*held*"),
}
ROLLBACK = {
    "moving `rolledback`": ("mv", "*pending*rolledback"),
    "syncing `rolledback`": ("sync", "*/acme"),
    **LOAD,
}


def stop_at(node: Node, place: tuple[str, str]) -> None:
    tool, pattern = place
    wrapper = WRAPPER.format(tool=tool, pattern=pattern)
    node.write(f"/usr/local/sbin/{tool}", wrapper, 0o755)


def go_on(node: Node, place: tuple[str, str]) -> None:
    node.path(f"/usr/local/sbin/{place[0]}").unlink()


def kill_request(
    node: Node, place: tuple[str, str], *words: str, data: bytes = b""
) -> None:
    """Ask, and kill the script and all that it waits for where it stops."""
    stop_at(node, place)
    killed = subprocess.Popen(
        node.enter(SELF, "request", *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert killed.stdin is not None
    killed.stdin.write(data)
    killed.stdin.close()
    wait(lambda: node.path("/run/reached").exists(), 20)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert killed.stdout is not None
    assert killed.stdout.read() == b""
    killed.stdout.close()
    go_on(node, place)


def runs(node: Node, number: str, port: str) -> bool:
    """Whether all of a generation runs, and nothing waits to be done."""
    seen = node.observe()
    return (
        (seen["live"], seen["listenPort"]) == (number, port)
        and [seen[part] for part in PARTS] == ["ok"] * len(PARTS)
        and seen["interface"] == "up"
        and not node.path(f"/run/tailgit/{NAME}/changing").read_text()
    )


def is_old(node: Node) -> bool:
    return node.observe()["pending"] == "none" and runs(node, "1", "51820")


def two(node: Node, *, activated: bool = True) -> bytes:
    """Generation 1 confirmed and guarded, generation 2 staged, perhaps activated."""
    node.apply(node.parcel(height=1))
    wait(lambda: len(node.guards()) == 1)
    parcel = node.parcel(height=2, files=CHANGED).build()
    if activated:
        node.stage(parcel, TOKEN)
        assert node.activate(2, token=TOKEN)["result"] == "ok"
    return parcel


def finishes(node: Node, parcel: bytes) -> None:
    """The next run does all of it, with or without the lock of the killed one."""
    node.request("unlock", NAME, TOKEN)
    assert node.stage(parcel)["generation"] == "2"
    assert node.activate(2)["result"] == "ok"
    assert node.confirm(2)["result"] == "ok"
    assert runs(node, "2", "51999")


@pytest.mark.parametrize("place", STAGE)
def test_a_killed_stage_changes_nothing(node: Node, place: str) -> None:
    """kill -9 at this place leaves what runs, and the next run does all of it."""
    parcel = two(node, activated=False)
    kill_request(node, STAGE[place], "stage", NAME, TOKEN, data=parcel)
    assert node.current() == "1"
    assert is_old(node)
    finishes(node, parcel)


@pytest.mark.parametrize("place", ACTIVATE)
def test_a_killed_activate_is_undone_or_done(node: Node, place: str) -> None:
    """Within seconds, and long before its time is over, either all of the old
    generation runs or all of the new one, which is then still pending."""
    parcel = two(node, activated=False)
    node.stage(parcel, TOKEN)
    words = ("activate", NAME, "2", "600", TOKEN)
    kill_request(node, ACTIVATE[place], *words)
    assert node.current() == "1"
    if place == "keeping the answer":
        assert runs(node, "2", "51999")
        assert node.observe()["pending"] == "2"
    else:
        wait(lambda: is_old(node), 20)
    finishes(node, parcel)


@pytest.mark.parametrize("place", CONFIRM)
def test_a_killed_confirm_is_the_one_or_the_other(node: Node, place: str) -> None:
    """The new generation runs in any case; `current` moved or it did not, and asking
    again tells."""
    two(node)
    kill_request(node, CONFIRM[place], "confirm", NAME, "2", TOKEN)
    moved = place in ("syncing `current`", "ending the lock")
    assert node.current() == ("2" if moved else "1")
    time.sleep(1.5)
    assert runs(node, "2", "51999")
    assert node.confirm(2, TOKEN)["result"] == "ok"
    assert node.current() == "2"
    assert node.observe().all("lock") == []


@pytest.mark.parametrize("place", ROLLBACK)
def test_a_killed_rollback_is_done_by_who_watches(node: Node, place: str) -> None:
    """Once it is decided, timer or guard bring the old generation back whole; no
    `confirm` says ok for a node in between."""
    two(node)
    kill_request(node, ROLLBACK[place], "rollback", NAME, "2", TOKEN)
    assert node.current() == "1"
    if place == "moving `rolledback`":
        assert runs(node, "2", "51999")
        assert node.rollback(2, TOKEN)["result"] == "ok"
    else:
        answer = node.confirm(1, "none")
        assert answer["result"] == "error" or is_old(node)
        wait(lambda: is_old(node), 20)
    node.request("unlock", NAME, TOKEN)
    assert node.confirm(2).error == "not-pending"


def stop(node: Node, pid: int) -> None:
    """Stop it where it holds no lock: a dead one would let go of it."""
    free = f"flock -n /run/tailgit/{NAME}/lock flock -n {STATE} true"
    while True:
        node.sh(f"kill -STOP -{pid}")
        time.sleep(0.2)
        if node.run("sh", "-c", free, check=False).returncode == 0:
            return
        node.sh(f"kill -CONT -{pid}")
        time.sleep(0.3)


@pytest.mark.parametrize("watch", ["timer", "guard"])
@pytest.mark.parametrize("place", ROLLBACK)
def test_a_killed_watch_is_followed_by_the_other(
    node: Node, watch: str, place: str
) -> None:
    """The timer or the guard is killed while it rolls back; the other one ends it."""
    two(node)
    (timer,), (guard,) = node.timers(), node.guards()
    doing, waiting = (timer, guard) if watch == "timer" else (guard, timer)
    stop(node, waiting)
    stop_at(node, ROLLBACK[place])
    node.write(f"{STATE}/pending", "2 1\n")
    wait(lambda: node.path("/run/reached").exists(), 20)
    node.sh(f"kill -9 -{doing}")
    go_on(node, ROLLBACK[place])
    node.sh(f"kill -CONT -{waiting}")
    wait(lambda: is_old(node), 20)
    assert node.current() == "1"
    assert node.observe()["rolledback"] == "2"
    assert node.confirm(2, TOKEN).error == "not-pending"


@pytest.mark.parametrize("place", LOAD)
def test_killed_in_a_first_activation(node: Node, place: str) -> None:
    """Nothing was ever confirmed: the timer takes all of it away."""
    hosts = node.read("/etc/hosts")
    node.stage(node.parcel())
    kill_request(node, LOAD[place], "activate", NAME, "1", "600", "none")
    wait(lambda: INTERFACE not in node.links() and node.table() == "", 20)
    wait(lambda: node.observe()["pending"] == "none")
    assert node.read("/etc/hosts") == hosts
    assert node.current() is None


@pytest.mark.parametrize("place", [each for each in LOAD if "names" not in each])
def test_killed_in_a_boot(node: Node, place: str) -> None:
    """A boot that was cut off may be repeated."""
    node.apply(node.parcel())
    node.reboot()
    stop_at(node, LOAD[place])
    boot = subprocess.Popen(node.enter(SELF, "boot", NAME), start_new_session=True)
    wait(lambda: node.path("/run/reached").exists(), 20)
    os.killpg(boot.pid, signal.SIGKILL)
    boot.wait()
    go_on(node, LOAD[place])
    node.run(SELF, "boot", NAME)
    assert runs(node, "1", "51820")


def test_killed_at_random_moments(node: Node) -> None:
    """Whenever it is killed, what is confirmed stays, and boot starts it."""
    node.apply(node.parcel(height=1))
    node.stage(node.parcel(height=2))
    for step in range(12):
        killed = subprocess.Popen(
            node.enter(SELF, "request", "activate", NAME, "2", "600", "none"),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(0.02 * step)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        assert node.current() == "1"
    node.reboot()
    node.run(SELF, "boot", NAME)
    seen = node.observe()
    assert (seen["live"], seen["current"], seen["pending"]) == ("1", "1", "none")
    assert (seen["interface"], seen["filter"]) == ("up", "ok")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_do_not_stop_a_change(node: Node, number: signal.Signals) -> None:
    """A lost connection or a shutdown's SIGTERM lets the work come to its end."""
    node.stage(node.parcel())
    work = subprocess.Popen(
        node.enter(SELF, "request", "activate", NAME, "1", "600", "none"),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    wait(lambda: node.path(f"{STATE}/pending").exists())
    # nsenter has forked into the process namespace; its child is the script.
    children = Path(f"/proc/{work.pid}/task/{work.pid}/children")
    os.kill(int(children.read_text()), number)
    answer = parse(work.communicate(timeout=30)[0])
    assert answer["result"] == "ok"
    assert node.observe()["live"] == "1"


def test_a_reader_that_went_away_loses_the_answer_only(node: Node) -> None:
    """With standard output closed the work is done, and the answer is in its file."""
    node.stage(node.parcel())
    for verb, more in (("activate", ["600", "none"]), ("confirm", ["none"])):
        gone = subprocess.Popen(
            node.enter(SELF, "request", verb, NAME, "1", *more), stdout=subprocess.PIPE
        )
        assert gone.stdout is not None
        gone.stdout.close()
        gone.wait(timeout=30)
        kept = parse(node.path(f"{STATE}/answer").read_bytes())
        assert (kept["verb"], kept["result"]) == (verb, "ok")
    assert node.current() == "1"
    assert node.observe()["filter"] == "ok"


def test_nothing_is_said_before_the_work_is_done(node: Node) -> None:
    """The first byte of the answer comes after `live` is written."""
    node.stage(node.parcel())
    wrapper = WRAPPER.format(tool="mv", pattern="*live.new*")
    node.write("/usr/local/sbin/mv", wrapper.replace("sleep 60", "sleep 1"), 0o755)
    work = subprocess.Popen(
        node.enter(SELF, "request", "activate", NAME, "1", "600", "none"),
        stdout=subprocess.PIPE,
    )
    wait(lambda: node.path("/run/reached").exists())
    assert work.stdout is not None
    os.set_blocking(work.stdout.fileno(), False)
    assert work.stdout.read() is None
    os.set_blocking(work.stdout.fileno(), True)
    assert parse(work.communicate(timeout=30)[0])["result"] == "ok"


def test_the_filter_is_loaded_before_the_interface_exists(node: Node) -> None:
    """nft comes first, then the interface, its peers, its addresses, and up."""
    for tool in ("nft", "ip", "wg", "wireguard-go"):
        node.write(f"/usr/local/sbin/{tool}", LOGGER.format(tool=tool), 0o755)
    node.apply(node.parcel())
    calls = node.read("/run/calls").splitlines()
    first = [
        next(i for i, call in enumerate(calls) if call.startswith(start))
        for start in (
            "nft -f -",
            f"ip link add dev {INTERFACE}",
            f"wg syncconf {INTERFACE} /dev/stdin",
            "ip -batch -",
            f"ip link set dev {INTERFACE} up",
        )
    ]
    assert first == sorted(first)
    assert not any(node.private in call for call in calls)
    shown = [call.split()[3] for call in calls if call.startswith("wg show ")]
    assert shown
    assert set(shown) <= {
        *("public-key", "listen-port", "fwmark", "allowed-ips"),
        *("persistent-keepalive", "endpoints", "latest-handshakes", "transfer"),
    }


def test_without_a_filter_there_is_no_interface(node: Node) -> None:
    """When nft can't load, the interface is never made."""
    node.stage(node.parcel())
    for tool in ("ip", "wireguard-go"):
        node.write(f"/usr/local/sbin/{tool}", LOGGER.format(tool=tool), 0o755)
    node.write("/usr/local/sbin/nft", "#!/bin/sh\necho 'no room' >&2; exit 1\n", 0o755)
    answer = node.activate(1)
    assert answer.error == "activation-failed"
    assert answer["message"].startswith("no room")
    calls = node.read("/run/calls")
    assert "link add" not in calls
    assert "wireguard-go" not in calls
    assert INTERFACE not in node.links()


def test_nothing_is_extracted_by_a_name_from_outside(node: Node) -> None:
    """tar is only ever asked for one known member at a time, to standard output."""
    node.write("/usr/local/sbin/tar", LOGGER.format(tool="tar"), 0o755)
    node.stage(node.parcel())
    calls = [call.split() for call in node.read("/run/calls").splitlines()]
    known = {*MEMBERS, *FILES, "manifest"}
    for _, flags, _, *names in calls:
        assert (flags, names) == ("-tf", []) or (
            flags == "-xOf" and set(names) <= known
        )
