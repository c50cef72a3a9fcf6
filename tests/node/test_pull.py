"""pull: a laptop catches up by itself, and believes no mailbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.node.conftest import SHELLS
from tests.node.nodes import NAME, STATE, Node, wait
from tests.node.parcel import Signer, sha256
from tests.node.post import AUTHORIZED, BOX, LAPTOP, Post, make_post

pytestmark = pytest.mark.live

Make = Callable[[int], Post]


@pytest.fixture(params=SHELLS)
def make(
    request: pytest.FixtureRequest, tmp_path: Path, signer: Signer
) -> Iterator[Make]:
    """`make(N)`: a laptop and its N mailboxes."""
    with ExitStack() as stack:
        yield lambda boxes: make_post(request.param, tmp_path, signer, boxes, stack)


@pytest.fixture
def post(make: Make) -> Post:
    """A laptop and its one mailbox."""
    return make(1)


@pytest.fixture(scope="module", params=SHELLS)
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    signer: Signer,
) -> Iterator[Post]:
    """A laptop that has the parcel of second 10, for tests that change nothing."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("running")
        made = make_post(request.param, folder, signer, 1, stack)
        made.deposit(made.own(10))
        assert made.pull().returncode == 0
        assert made.laptop.current() == "1"
        yield made


def envelope(post: Post, second: int) -> str:
    return sha256(post.own(second).overrides["envelope"])


def test_a_laptop_gets_its_first_parcel(post: Post) -> None:
    """It fetches, switches, confirms; the mailbox knows what it has."""
    assert post.pull().returncode == 0
    assert post.seen()[1:] == ["none", "none"]
    assert post.deposit(post.own(1))["result"] == "ok"
    done = post.pull()
    assert done.returncode == 0, done.stderr
    assert post.laptop.current() == "1", done.stderr
    assert post.laptop.observe()["interface"] == "up"
    assert post.seen()[1:] == [envelope(post, 1), "confirming"]
    assert post.pull().returncode == 0
    assert post.seen()[1:] == [envelope(post, 1), "ok"]
    assert post.laptop.generations() == ["1"]
    assert not post.laptop.path(f"{STATE}/pull/tried").exists()
    assert post.log() == []


def test_who_slept_gets_the_newest_in_one_step(post: Post) -> None:
    """Three applies while it was off are one switch when it is back."""
    post.deposit(post.own(1))
    post.pull()
    for second in (2, 3, 4):
        assert post.deposit(post.own(second, height=second + 6))["result"] == "ok"
    post.laptop.reboot()
    post.laptop.run("/usr/local/lib/tailgit/tailgit-node", "boot", NAME)
    assert post.pull().returncode == 0
    assert post.laptop.current() == "2"
    assert post.laptop.observe()["envelope"] == sha256(
        post.own(4, height=10).overrides["envelope"]
    )


def test_one_mailbox_that_withholds_is_not_enough(make: Make) -> None:
    """The newest of all is taken, and who holds an older one is told of."""
    post = make(2)
    post.deposit(post.own(1), 0)
    post.deposit(post.own(2), 1)
    assert post.pull().returncode == 0
    assert post.laptop.observe()["envelope"] == envelope(post, 2)
    host = post.lines[0].split()[0]
    said = f"{host}: it holds a parcel of 2026-11-22T13:00:01Z, another mailbox a newer"
    assert [(word, text[: len(said)]) for word, text in post.log()] == [("older", said)]
    assert post.pull().returncode == 0
    for box in (0, 1):
        assert post.seen(box)[1:] == [envelope(post, 2), "older"]
    post.boxes[1].sh("pkill -x sshd || kill $(cat /run/sshd.pid)")
    post.deposit(post.own(3), 0)
    assert post.pull().returncode == 0
    assert post.laptop.observe()["envelope"] == envelope(post, 3)


def put(box: Node, data: bytes) -> None:
    """What root of a mailbox can do: any bytes as the laptop's parcel."""
    box.path(BOX).mkdir(exist_ok=True)
    box.path(f"{BOX}/{LAPTOP}").write_bytes(data)


def test_what_a_mailbox_makes_up_is_refused(running: Post, tmp_path: Path) -> None:
    """Forged, replayed, another's, rubbish: the laptop keeps what it has, says so
    once in its log, and the mailboxes hear the word."""
    post, (box,) = running, running.boxes
    other = Signer.make(tmp_path, "mallory")
    newer = dict(post.own(20).members())
    mixed = post.own(20)
    mixed.overrides["bundle.tar"] = dict(post.own(10).members())["bundle.tar"][:4096]
    elsewhere = post.own(20)
    elsewhere.public_keys = [box.public]
    cases = [
        (post.own(20, signer=other).build(), "bad-signature"),
        (post.own(9).build(), "older"),
        (post.own(20, height=3).build(), "older"),
        (mixed.build(), "bad-"),
        (elsewhere.build(), "wrong-key"),
        (b"no parcel", "bad-parcel"),
        (newer["envelope"], "bad-parcel"),
        (b"\0" * 10240, "bad-parcel"),
    ]
    for data, word in cases:
        put(box, data)
        # Else two cases with one complaint would be one line of the log.
        post.laptop.path(f"{STATE}/pull/complaints").unlink()
        before = len(post.log())
        for _ in range(2):
            assert post.pull().returncode == 0
        assert post.laptop.current() == "1"
        assert post.laptop.observe()["peers"] == "ok"
        logged = post.log()[before:]
        assert [each[0].startswith(word) for each in logged] == [True], (word, logged)
        post.pull()
        assert post.seen()[1] == envelope(post, 10)
        assert post.seen()[2].startswith(word)
    box.path(f"{BOX}/{LAPTOP}").unlink()


def answer(*lines: str, more: bytes = b"") -> bytes:
    text = "TAILGIT 1\n" + "".join(f"{line}\n" for line in lines)
    return text.encode() + f"end\t{sha256(text.encode())}\n".encode() + more


def offer(data: bytes, **wrong: str) -> bytes:
    """An answer to fetch with a parcel behind it."""
    said = {
        "verb": "fetch",
        "tailnet": NAME,
        "result": "ok",
        "node": LAPTOP,
        "state": "new",
        "envelope": "0" * 64,
        "size": str(len(data)),
        "digest": hashlib.sha256(data).hexdigest(),
        **wrong,
    }
    return answer(*(f"{key}\t{value}" for key, value in said.items()), more=data)


def hostile(post: Post, command: str, data: bytes = b"") -> None:
    """The laptop's key runs another command on its mailbox."""
    (box,) = post.boxes
    box.path("/run/evil").write_bytes(data)
    box.path("/run/evil").chmod(0o644)
    lines = [
        line for line in box.read(AUTHORIZED).splitlines() if not line.endswith(":pull")
    ]
    lines.append(f'restrict,command="{command}" {post.pull_key} tailgit:{NAME}:pull')
    box.write(AUTHORIZED, "\n".join(lines) + "\n", 0o644)


def test_a_cut_transfer_is_no_parcel(running: Post) -> None:
    """At whatever byte it breaks off: nothing is staged."""
    post = running
    good = offer(post.own(20).build())
    body = good.index(b"end\t")
    for offset in (1, 11, 60, body, body + 40, body + 68, body + 69, body + 70):
        hostile(post, "cat /run/evil", good[:offset])
        post.pull()
        assert post.laptop.generations() == ["1"], offset
    for part in (0.1, 0.5, 0.9):
        hostile(post, "cat /run/evil", good[: int(len(good) * part)])
        assert post.pull().returncode == 0
        assert post.laptop.generations() == ["1"], part
        assert post.log()[-1][0] == "cut"


def test_a_hostile_answer_costs_a_turn(running: Post) -> None:
    """Huge, endless, garbage, another's, lying about itself: nothing comes of it."""
    post = running
    parcel = post.own(20).build()
    wrong = [
        offer(parcel, size="1"),
        offer(parcel, size="x"),
        offer(parcel, digest="0" * 64),
        offer(parcel, tailnet="other"),
        offer(parcel, verb="observe"),
        offer(parcel, result="error", error="x\x1b[2J", message="y\x1b[2Jz"),
        offer(parcel, state="/etc/passwd"),
        b"noise\n" + offer(parcel),
        answer("verb\tfetch"),
        b"TAILGIT 1\nend\t0\n",
        b"x" * 100_000,
        b"\0" * 100_000,
        b"\n" * 100_000,
        bytes(range(256)) * 400,
    ]
    commands = [("cat /run/evil", data) for data in wrong]
    commands += [("yes", b""), ("cat /dev/zero", b""), ("true", b"")]
    for command, data in commands:
        hostile(post, command, data)
        done = post.pull()
        assert post.laptop.generations() == ["1"], (command, data[:80])
        assert b"\x1b" not in done.stderr
    assert "\x1b" not in post.laptop.read(f"{STATE}/audit.log")
    left = post.laptop.path(f"{STATE}/pull").iterdir()
    assert {path.name for path in left} == {"complaints", "result"}


def test_another_host_key_is_no_mailbox(post: Post) -> None:
    """Whoever answers at the address with another key gets nothing from us."""
    post.deposit(post.own(1))
    (box,) = post.boxes
    box.sh("kill $(ps -ef | awk '/[s]shd -f/ { print $2 }')")
    box.sh(
        "rm -f /run/host_key*; ssh-keygen -q -t ed25519 -N '' -f /run/host_key;"
        "/usr/sbin/sshd -f /dev/null -p 2222 -h /run/host_key -o PidFile=none"
    )
    wait(lambda: post.ssh(f"fetch {NAME} none none none").stdout != b"", 20)
    done = post.pull()
    assert done.returncode == 1
    assert b"no mailbox of acme answered" in done.stderr
    assert post.laptop.current() is None


def test_a_mailbox_that_is_not_there(post: Post) -> None:
    """No network is no news: the turn ends with 1, and nothing is logged."""
    post.laptop.sh("ip link set w0b down")
    done = post.pull()
    assert done.returncode == 1
    assert b"unreachable" in done.stderr.lower()
    assert not post.laptop.path(f"{STATE}/audit.log").exists()


def test_the_owners_ssh_settings_have_no_say(post: Post) -> None:
    """Neither configuration nor known hosts nor an agent of root."""
    post.deposit(post.own(1))
    home = post.laptop.sh("echo ~root").strip()
    evil = "Host *\n ProxyCommand touch /run/pwned\n LocalCommand touch /run/pwned\n"
    # /root is the host's own here: the system's file alone is put there.
    assert home
    post.laptop.write("/etc/ssh/ssh_config", evil, 0o644)
    done = post.pull()
    assert done.returncode == 0, done.stderr
    assert post.laptop.current() == "1"
    assert not post.laptop.path("/run/pwned").exists()


def test_join_is_repeatable_and_makes_no_login(post: Post) -> None:
    """The same keys, no user, no sudo line; a new mailbox takes the old one's place."""
    laptop = post.laptop
    first, key = laptop.public, post.pull_key
    assert post.join()["result"] == "ok"
    assert (laptop.public, post.pull_key) == (first, key)
    assert laptop.run("id", "tailgit", check=False).returncode != 0
    assert not laptop.path("/etc/sudoers.d/tailgit").exists()
    assert not laptop.path(AUTHORIZED).exists()
    path = laptop.path(f"/etc/tailgit/{NAME}/pull.key")
    assert path.stat().st_mode & 0o777 == 0o600
    post.lines[0] = post.lines[0].replace("2222", "2223")
    assert post.join()["result"] == "ok"
    assert " 2223 " in laptop.read(f"/etc/tailgit/{NAME}/mailboxes")


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "mailbox 192.0.2.1 22 KEY\n",
        "signer ana@acme.com KEY\n",
        "signer ana@acme.com KEY\nmailbox -oProxyCommand=x 22 KEY\n",
        "signer ana@acme.com KEY\nmailbox 192.0.2.1 0 KEY\n",
        "signer ana@acme.com KEY\nmailbox 192.0.2.1 22 ssh-ed25519 AAAA\n",
        "signer ana@acme.com KEY\ncontroller KEY\n",
        "signer ana@acme.com KEY\nmailbox 192.0.2.1;id 22 KEY\n",
    ],
)
def test_join_wants_good_lines(bare: Node, lines: str) -> None:
    """Anything else is refused before a thing is changed."""
    text = lines.replace("KEY", bare.signer.public)
    done = bare.run(
        *("sh", "/run/new/tailgit-node", "join", NAME),
        stdin=text.encode(),
        check=False,
    )
    assert b"bad-request" in done.stdout
    assert not bare.path("/etc/tailgit").exists()
