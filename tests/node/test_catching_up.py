"""A laptop that is left alone: what it gives up, when it waits, when it wakes."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.node.conftest import SHELLS
from tests.node.nodes import NAME, SCRIPT, SELF, STATE, Node, wait
from tests.node.parcel import FILES, Signer, sha256
from tests.node.post import Post, make_post

pytestmark = pytest.mark.live


@pytest.fixture(params=SHELLS)
def post(
    request: pytest.FixtureRequest, tmp_path: Path, signer: Signer
) -> Iterator[Post]:
    """A laptop that has the parcel of second 1, and its mailbox."""
    with ExitStack() as stack:
        made = make_post(request.param, tmp_path, signer, 1, stack)
        made.deposit(made.own(1))
        assert made.pull().returncode == 0
        assert made.laptop.current() == "1"
        yield made


def cut_off(post: Post, second: int) -> bytes:
    """A parcel that sends what is for the mailbox into the tunnel, where it ends."""
    host = post.lines[0].split()[0]
    made = post.own(second)
    made.files["interface"] += f"route replace {host}/32 dev tg-{NAME}\n"
    made.files["wireguard.conf"] = FILES["wireguard.conf"].replace(
        "100.64.7.9/32", f"100.64.7.9/32, {host}/32"
    )
    return made.build()


def shorter(post: Post, seconds: int = 15) -> None:
    """The same script with a shorter time to be confirmed in."""
    text = SCRIPT.read_text()
    assert "PULL_SECONDS=120\n" in text
    text = text.replace("PULL_SECONDS=120\n", f"PULL_SECONDS={seconds}\n")
    post.laptop.write(
        SELF, text.replace("ConnectTimeout=15", "ConnectTimeout=2"), 0o755
    )


def test_what_cuts_it_off_is_rolled_back(post: Post) -> None:
    """Without a mailbox over a new connection nothing is confirmed; what ran before
    runs again, the mailbox hears of it, and the same parcel has to wait."""
    shorter(post)
    data = cut_off(post, 2)
    assert post.deposit(data)["result"] == "ok"
    assert post.pull().returncode == 0
    assert post.laptop.current() == "1"
    seen = post.laptop.observe()
    assert (seen["live"], seen["pending"], seen["rolledback"]) == ("1", "none", "2")
    assert (seen["routes"], seen["peers"]) == ("ok", "ok")
    assert post.log()[-1][0] == "rolledback"
    for _ in range(2):
        assert post.pull().returncode == 0
        assert post.laptop.observe()["rolledback"] == "2"
    assert post.seen()[1] == sha256(post.own(1).overrides["envelope"])
    assert post.seen()[2] == "ok"
    post.deposit(post.own(3))
    assert post.pull().returncode == 0
    assert post.laptop.observe()["envelope"] == sha256(
        post.own(3).overrides["envelope"]
    )
    assert not post.laptop.path(f"{STATE}/pull/tried").exists()


def test_it_is_tried_again_after_an_hour(post: Post) -> None:
    """What failed for want of a network may do later; a clock ahead is no excuse."""
    parcel = post.own(2)
    post.deposit(parcel)
    now = int(post.laptop.sh("date +%s"))
    envelope = sha256(parcel.overrides["envelope"])
    post.laptop.write(f"{STATE}/pull/tried", f"{envelope} {now - 60}\n")
    assert post.pull().returncode == 0
    assert post.laptop.current() == "1"
    for at in (now - 3700, now + 90_000):
        post.laptop.write(f"{STATE}/pull/tried", f"{envelope} {at}\n")
    assert post.pull().returncode == 0
    assert post.laptop.current() == "2"


def test_a_killed_turn_is_no_harm(post: Post) -> None:
    """kill -9 between switch and confirmation: the timer rolls back."""
    shorter(post, 10)
    post.deposit(cut_off(post, 2))
    turn = subprocess.Popen(
        post.laptop.enter(SELF, "pull", NAME),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait(lambda: post.laptop.path(f"{STATE}/pending").exists(), 30)
    post.laptop.sh(f"pkill -9 -f '{SELF} [p]ull {NAME}'")
    turn.wait(10)
    wait(lambda: post.laptop.observe()["rolledback"] == "2", 30)
    wait(lambda: post.laptop.observe()["live"] == "1", 10)
    post.deposit(post.own(3))
    assert post.pull().returncode == 0
    assert post.laptop.current() == "3"
    assert {p.name for p in post.laptop.path(f"{STATE}/pull").iterdir()} == {
        "complaints",
        "result",
    }


def test_it_waits_while_others_work(post: Post) -> None:
    """A held lock, a suspension, an open confirmation, a tailnet that is down."""
    laptop = post.laptop
    post.deposit(post.own(5))
    token = "0123456789abcdef"
    own = post.own(2)
    number = laptop.stage(own, token)["generation"]
    done = post.pull()
    assert done.returncode == 0
    assert b"not now: ana@acme.com works here since" in done.stderr
    laptop.request("unlock", NAME, token)
    laptop.activate(number)
    assert b"waits for its confirmation" in post.pull().stderr
    laptop.rollback(number)
    until = str(int(laptop.sh("date +%s")) + 600)
    by = b"by Ana\nreason holidays\n"
    asked = laptop.request("suspend", NAME, until, "none", stdin=by)
    assert asked["result"] == "ok", asked.fields
    assert b"suspended by Ana until" in post.pull().stderr
    laptop.request("resume", NAME, "none")
    laptop.run(SELF, "down", NAME)
    assert b"the tailnet is down here" in post.pull().stderr
    assert laptop.current() == "1"
    laptop.run(SELF, "boot", NAME)
    assert post.pull().returncode == 0
    assert laptop.observe()["envelope"] == sha256(post.own(5).overrides["envelope"])


def test_two_turns_at_once_are_one(post: Post) -> None:
    """The second sees the first at work and leaves."""
    post.laptop.sh(
        f"flock /run/tailgit/{NAME}/pull sleep 5 >/dev/null 2>&1 & sleep 0.5"
    )
    done = post.pull()
    assert done.returncode == 0
    assert b"another pull of acme is at work" in done.stderr


def start_loop(laptop: Node) -> subprocess.Popen[bytes]:
    """`puller`, with turns that only say when they were taken."""
    laptop.write(
        "/run/turns-only",
        "#!/bin/sh\ncase $1 in pull) cat /proc/uptime >>/run/turns; exit $(cat "
        f'/run/turn-ends) ;; esac\nexec {SELF}.true "$@"\n',
        0o755,
    )
    laptop.write("/run/turn-ends", "0\n")
    laptop.sh(f"cp {SELF} {SELF}.true; cp /run/turns-only {SELF}")
    text = laptop.read(f"{SELF}.true").replace("sleep 5 6>&-", "sleep 0.2 6>&-")
    laptop.write(f"{SELF}.true", text, 0o755)
    # The clock of the test: a file in the place of the kernel's.
    laptop.write("/run/uptime", "1000.00 0\n", 0o644)
    laptop.sh("mount --bind /run/uptime /proc/uptime")
    return subprocess.Popen(laptop.enter(f"{SELF}.true", "puller", NAME))


def turns(laptop: Node) -> int:
    path = laptop.path("/run/turns")
    return len(path.read_text().splitlines()) if path.exists() else 0


def set_clock(laptop: Node, seconds: int) -> None:
    """In place, as the file is a mount."""
    with laptop.path("/run/uptime").open("r+") as file:
        file.write(f"{seconds}.00 0\n")


def test_the_loop_takes_a_turn_when_the_laptop_wakes(post: Post) -> None:
    """Soon after the start, then every few minutes; at once after a sleep, which
    /proc/uptime counts; soon again while there is no network; one loop only."""
    laptop = post.laptop
    loop = start_loop(laptop)
    try:
        now = 1000
        while turns(laptop) == 0 and now < 1020:
            now += 2
            set_clock(laptop, now)
            time.sleep(0.7)
        assert turns(laptop) == 1
        for _ in range(5):
            now += 20
            set_clock(laptop, now)
            time.sleep(0.7)
        assert turns(laptop) == 1, "too soon"
        now += 20_000
        laptop.write("/run/turn-ends", "1\n")
        set_clock(laptop, now)
        wait(lambda: turns(laptop) == 2)
        time.sleep(0.7)
        now += 16
        set_clock(laptop, now)
        wait(lambda: turns(laptop) == 3)
        time.sleep(0.7)
        now += 16
        set_clock(laptop, now)
        time.sleep(1)
        assert turns(laptop) == 3, "not ever more often"
        second = subprocess.run(
            laptop.enter(f"{SELF}.true", "puller", NAME), timeout=10, check=False
        )
        assert second.returncode == 0
        laptop.path(f"/etc/tailgit/{NAME}/pull.key").unlink()
        assert loop.wait(10) == 0
    finally:
        loop.kill()
        loop.wait()


def test_boot_and_join_start_the_loop(post: Post) -> None:
    """Where there is no systemd, nobody has to remember it."""
    laptop = post.laptop
    laptop.path("/usr/local/sbin/setsid").unlink()
    running = f"pgrep -f '{SELF} [p]uller {NAME}' | wc -l"
    laptop.run(SELF, "boot", NAME)
    wait(lambda: laptop.sh(running).strip() == "1")
    assert post.join()["result"] == "ok"
    time.sleep(1)
    assert laptop.sh(running).strip() == "1"
    wait(lambda: post.seen()[2] == "ok", 40)


def test_a_parcel_can_be_carried(post: Post) -> None:
    """`load` stages and activates like a push; --yes keeps it, no answer does not."""
    laptop = post.laptop
    done = laptop.run(SELF, "load", NAME, stdin=post.own(2).build(), check=False)
    assert done.returncode == 1
    assert b"what ran before runs again" in done.stderr
    assert laptop.observe()["live"] == "1"
    done = laptop.run(SELF, "load", NAME, "--yes", stdin=post.own(3).build())
    assert done.stdout == b"generation 3 is kept\n"
    assert laptop.current() == "3"
    done = laptop.run(
        SELF, "load", NAME, "--yes", stdin=post.own(1).build(), check=False
    )
    assert b"refused: " in done.stderr
    assert b"(older)" in done.stderr
    assert laptop.run(SELF, "load", NAME, "-y", check=False).returncode == 64


def test_a_person_at_the_terminal_says_so(post: Post) -> None:
    """On a terminal it asks, and only yes keeps it."""
    for second, said, kept in ((2, "n", "1"), (3, "y", "3")):
        post.laptop.path("/run/parcel").write_bytes(post.own(second).build())
        command = f"{SELF} load {NAME} </run/parcel"
        done = subprocess.run(
            post.laptop.enter("script", "-qec", command, "/dev/null"),
            input=f"{said}\n".encode(),
            capture_output=True,
            timeout=60,
        )
        assert b"shall it stay? [y/N]" in done.stdout
        assert post.laptop.current() == kept, done.stdout


def test_with_systemd_a_timer_takes_the_turns(post: Post, tmp_path: Path) -> None:
    """Its units are what systemd accepts; the calendar's timer is due after a sleep,
    which one that counts from the last turn would not be."""
    laptop = post.laptop
    laptop.path("/run/systemd/system").mkdir(parents=True)
    called = '#!/bin/sh\necho "$*" >>/run/systemctl\n'
    laptop.write("/usr/local/sbin/systemctl", called, 0o755)
    laptop.sh("rm -rf /etc/systemd/system/tailgit*; mkdir -p /etc/systemd/system")
    assert post.join()["result"] == "ok"
    assert {
        f"--quiet enable tailgit-pull@{NAME}.timer",
        f"--no-block start tailgit-pull@{NAME}.timer",
        f"--quiet enable tailgit@{NAME}.service",
    } <= set(laptop.read("/run/systemctl").splitlines())
    timer = laptop.read("/etc/systemd/system/tailgit-pull@.timer")
    assert "OnCalendar=*:0/5\nRandomizedDelaySec=60\n" in timer
    service = laptop.read("/etc/systemd/system/tailgit-pull@.service")
    assert f"Type=oneshot\nExecStart={SELF} pull %i\n" in service
    if shutil.which("systemd-analyze") is None:
        return
    stand_in = tmp_path / "tailgit-node"
    shutil.copy(SCRIPT, stand_in)
    for name, text in (("service", service), ("timer", timer)):
        file = tmp_path / f"tailgit-pull@{NAME}.{name}"
        file.write_text(text.replace(SELF, str(stand_in)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / f"tailgit-pull@{NAME}.timer")],
        capture_output=True,
        text=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "tailgit-pull" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr
