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


STOPS = {
    "reading the parcel": ("stage", "head", "*67108865*"),
    "checking the signature": ("stage", "ssh-keygen", "*verify*"),
    "syncing the new generation": ("stage", "sync", "*generation/*"),
    "naming the new generation": ("stage", "mv", "*generations/2"),
    "naming `pending`": ("activate", "mv", "*pending.new*"),
    "loading the filter": ("activate", "nft", "-f*"),
    "setting the peers": ("activate", "wg", "syncconf*"),
    "setting the addresses": ("activate", "ip", "-batch*"),
    "writing the names": ("activate", "mv", "*hosts.new*"),
    "writing what is live": ("activate", "mv", "*live.new*"),
    "moving `current`": ("confirm", "mv", "*pending*current"),
}

WORDS = {
    "stage": ["stage", NAME, "none"],
    "activate": ["activate", NAME, "1", "600", "none"],
    "confirm": ["confirm", NAME, "1", "none"],
}


@pytest.mark.parametrize("place", STOPS)
def test_killed_while_at_work(node: Node, place: str) -> None:
    """kill -9 at this place leaves `current`, and the next run does all of it."""
    verb, tool, pattern = STOPS[place]
    node.apply(node.parcel(height=1))
    changed = dict(FILES, hosts="100.64.1.1 web-1.acme.internal web-1\n")
    changed["wireguard.conf"] = FILES["wireguard.conf"].replace(
        "51820\nFw", "51999\nFw"
    )
    parcel = node.parcel(height=2, files=changed).build()
    if verb != "stage":
        node.stage(parcel)
    if verb == "confirm":
        node.activate(2)
    wrapper = WRAPPER.format(tool=tool, pattern=pattern)
    node.write(f"/usr/local/sbin/{tool}", wrapper, 0o755)
    words = WORDS[verb]
    killed = subprocess.Popen(
        node.enter(SELF, "request", *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert killed.stdin is not None
    killed.stdin.write(parcel if verb == "stage" else b"")
    killed.stdin.close()
    wait(lambda: node.path("/run/reached").exists())
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert killed.stdout is not None
    assert killed.stdout.read() == b""
    killed.stdout.close()

    assert node.current() == "1"
    node.path(f"/usr/local/sbin/{tool}").unlink()
    assert node.observe()["current"] == "1"
    assert node.stage(parcel)["generation"] == "2"
    assert node.activate(2)["result"] == "ok"
    assert node.confirm(2)["result"] == "ok"
    assert node.observe()["listenPort"] == "51999"


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
    for verb in ("activate", "confirm"):
        gone = subprocess.Popen(
            node.enter(SELF, "request", *WORDS[verb]), stdout=subprocess.PIPE
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
