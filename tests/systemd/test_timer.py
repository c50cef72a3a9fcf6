"""The confirm timer as a unit: it outlives the login that started it.

logind is told to kill whatever a login leaves behind (`KillUserProcesses=yes`); what is
detached but no unit dies with the session, as the first test shows.
"""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.node.nodes import NAME, SELF, STATE, Answer, parse, wait
from tests.systemd.conftest import Pair
from tests.systemd.machine import ADDRESS, Machine
from tests.systemd.test_boot import UNIT, runs

pytestmark = pytest.mark.live

TIMER = f"tailgit-{NAME}-timer.service"
SECONDS = 10
"""The shortest time that a node accepts."""


def login(pair: Pair, user: str, command: str, stdin: bytes = b"") -> bytes:
    """What a real SSH session says, which is closed by then."""
    own = pair.machine.folder / "etc/ssh/machine.pub"
    known = pair.machine.folder / "known_hosts"
    known.write_text(f"{ADDRESS} {own.read_text()}")
    options = [f"-oUserKnownHostsFile={known}", "-oGlobalKnownHostsFile=/dev/null"]
    options += ["-oIdentitiesOnly=yes", "-oBatchMode=yes", "-F/dev/null"]
    done = subprocess.run(
        [
            *("nsenter", f"--net=/proc/{pair.peer.pid}/ns/net", "ssh", *options),
            *("-i", str(pair.machine.signer.key), f"{user}@{ADDRESS}", command),
        ],
        input=stdin,
        capture_output=True,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return done.stdout


def ask(pair: Pair, request: str, stdin: bytes = b"") -> Answer:
    answer = parse(login(pair, "tailgit", request, stdin))
    assert answer["result"] == "ok", answer.fields
    return answer


def sessions(machine: Machine) -> list[str]:
    shown = machine.sh("systemctl list-units --no-legend --plain 'session-*.scope'")
    return shown.split()


def activate_by_ssh(pair: Pair, height: int) -> str:
    """As the controller does, each request in a login of its own; all are over."""
    parcel = pair.parcel(height=height).build()
    number = ask(pair, f"stage {NAME} none", parcel)["generation"]
    ask(pair, f"activate {NAME} {number} {SECONDS} none")
    wait(lambda: sessions(pair.machine) == [])
    return number


def given_up(machine: Machine, number: str) -> bool:
    return machine.number("rolledback") == number and runs(machine)


def who_gave_up(machine: Machine) -> list[list[str]]:
    log = machine.path(f"{STATE}/audit.log").read_text().splitlines()
    lines = [line.split("\t")[1:] for line in log]
    return [words for words in lines if "rolledback" in words]


def test_what_a_login_leaves_behind_is_killed(pair: Pair) -> None:
    """The test's own condition: logind has a session for it, and a detached process
    ends with that session, although it ignores SIGHUP and has a session of its own."""
    left = "setsid nohup sleep 77 </dev/null >/dev/null 2>&1 & cat /proc/self/cgroup"
    assert b"session-" in login(pair, "root", left)
    wait(lambda: sessions(pair.machine) == [])
    assert "sleep 77" not in pair.machine.sh("ps -ef")


def test_the_timer_outlives_the_login(pair: Pair) -> None:
    """The login that activated is gone and the guard is held up: the unit rolls back
    in time, and nothing of it is left."""
    machine = pair.machine
    machine.wait_active(UNIT)
    number = activate_by_ssh(pair, 2)
    started = time.monotonic()
    assert machine.property(TIMER, "ActiveState") == "active"
    assert "system.slice" in machine.property(TIMER, "ControlGroup")
    assert machine.number("pending") == number
    machine.run("systemctl", "kill", "--signal=STOP", UNIT)
    try:
        wait(lambda: machine.number("rolledback") == number, SECONDS + 5)
    finally:
        machine.run("systemctl", "kill", "--signal=CONT", UNIT)
    assert time.monotonic() - started > SECONDS - 5
    wait(lambda: given_up(machine, number))
    assert who_gave_up(machine) == [
        ["timer", number, "rolledback", "it was not confirmed in time"]
    ]
    assert machine.observe()["live"] == "1"
    wait(lambda: machine.property(TIMER, "LoadState") == "not-found")
    assert "tailgit" not in machine.run("systemctl", "--failed", "--no-legend")


def test_without_its_timer_the_guard_rolls_back(pair: Pair) -> None:
    """The unit killed with -9: the guard does its work at the same time."""
    machine = pair.machine
    machine.wait_active(UNIT)
    number = activate_by_ssh(pair, 2)
    machine.run("systemctl", "kill", "--signal=KILL", TIMER)
    wait(lambda: machine.property(TIMER, "ActiveState") != "active")
    assert machine.number("pending") == number
    wait(lambda: machine.number("rolledback") == number, SECONDS + 5)
    wait(lambda: given_up(machine, number))
    assert who_gave_up(machine) == [
        ["guard", number, "rolledback", "it was not confirmed in time"]
    ]


def test_timer_and_guard_killed_the_guard_comes_back_for_it(pair: Pair) -> None:
    """Both killed with -9: systemd starts the unit again, and the generation is given
    up in time all the same."""
    machine = pair.machine
    machine.wait_active(UNIT)
    number = activate_by_ssh(pair, 2)
    machine.run("systemctl", "kill", "--signal=KILL", TIMER, UNIT)
    wait(lambda: machine.number("rolledback") == number, SECONDS + 5)
    wait(lambda: given_up(machine, number))
    assert machine.observe()["live"] == "1"


def test_confirmed_in_time_the_unit_goes(pair: Pair) -> None:
    """After `confirm` the timer ends by itself; the next activation has one again."""
    machine = pair.machine
    for height in (2, 3):
        number = activate_by_ssh(pair, height)
        assert machine.property(TIMER, "ActiveState") == "active"
        ask(pair, f"confirm {NAME} {number} none")
        wait(lambda: machine.property(TIMER, "LoadState") == "not-found")
        assert machine.number("current") == number
    assert who_gave_up(machine) == []


def test_systemd_has_nothing_to_say_about_the_transient_units(pair: Pair) -> None:
    """Timer and wireguard-go run as units that systemd's own check takes."""
    machine = pair.machine
    activate_by_ssh(pair, 2)
    shown = machine.sh("ls /run/systemd/transient/*.service").split()
    assert any(TIMER in path for path in shown)
    for path in shown:
        done = subprocess.run(
            machine.enter("systemd-analyze", "verify", path),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), path
    assert machine.path(SELF).exists()
