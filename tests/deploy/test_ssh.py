"""SSH against OpenSSH's own sshd: what it takes for trust, and every way to fail."""

from __future__ import annotations

import asyncio
import errno
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tailgit.deploy.answer import LARGEST
from tailgit.deploy.enroll import find_host_key
from tailgit.deploy.failure import cause
from tailgit.deploy.hostkey import fingerprint, host_keys
from tailgit.deploy.identity import Identity, at_hand, identity
from tailgit.deploy.ssh import AsyncSsh, Login
from tailgit.errors import (
    BadAnswer,
    HostKeyMismatch,
    LoginRefused,
    NodeError,
    NodeRefused,
    SourceError,
    Unreachable,
)
from tailgit.plan.observed import Observed
from tests.deploy.asking import observe, observe_all
from tests.deploy.frames import error, observation
from tests.deploy.sshd import Node, make_key, public

pytestmark = pytest.mark.live


def ask(node: Node, login: Login | None = None, key: Path | None = None) -> Observed:
    """Observe one node with its own controller key."""
    executor = AsyncSsh(identity(key or node.controller), connect_seconds=5)
    return asyncio.run(observe(executor, "acme", login or node.login()))


def test_a_node_is_observed_over_real_ssh(node: Node) -> None:
    """One connection, one exec, and the request is exactly the protocol's."""
    node.answers("observe", observation(public_keys=["k1"]))
    seen = ask(node)
    assert (seen.node, seen.public_keys, seen.current) == ("db-1", ("k1",), None)
    assert node.requests == ["observe acme"]


def test_another_host_key_is_refused_before_the_login(node: Node) -> None:
    """The pinned key is the only one taken, and ours is never offered to another."""
    login = replace(node.login(), host_key=public(make_key(node.folder / "other")))
    with pytest.raises(HostKeyMismatch, match="another host key") as caught:
        ask(node, login)
    assert "enrol it again" in caught.value.help
    assert node.requests == []
    assert "Accepted publickey" not in (node.folder / "sshd.log").read_text()


def test_a_host_key_of_another_type_is_a_mismatch_too(node: Node) -> None:
    """A server without a key of the pinned type can't talk its way round the pin."""
    other = make_key(node.folder / "ecdsa", kind="ecdsa")
    with pytest.raises(HostKeyMismatch, match="another host key"):
        ask(node, replace(node.login(), host_key=public(other)))


def certified(
    node: Node, principal: str, *, options: tuple[str, ...] = (), key: str = "host"
) -> str:
    """A CA's public key; the node shows a certificate by it from now on."""
    ca = node.folder / "ca"
    if not ca.exists():
        make_key(ca)
    words = ["-q", "-s", ca, "-I", "x", "-h", "-n", principal, *options]
    subprocess.run(["ssh-keygen", *words, node.folder / f"{key}.pub"], check=True)
    return public(ca)


def test_a_host_certificate_is_taken_for_its_name_only(node: Node) -> None:
    """A CA of the tailnet vouches for a machine by name, and for no other machine."""
    ca = certified(node, "db-1.acme.internal")
    more = f"HostCertificate {node.folder}/host-cert.pub\n"
    node.configured(more)
    node.answers("observe", observation(public_keys=["k1"]))
    plain = replace(node.login(), host_key="", host_cas=(ca,))
    seen = ask(node, replace(plain, principal="db-1.acme.internal"))
    assert seen.public_keys == ("k1",)
    with pytest.raises(
        HostKeyMismatch, match="no valid certificate for db-2"
    ) as caught:
        ask(node, replace(plain, principal="db-2.acme.internal"))
    assert "hostCA" in caught.value.message
    other = replace(plain, host_cas=(public(make_key(node.folder / "other-ca")),))
    with pytest.raises(HostKeyMismatch, match="no valid certificate"):
        ask(node, replace(other, principal="db-1.acme.internal"))
    assert node.requests == ["observe acme"]


def test_what_is_no_host_certificate(node: Node) -> None:
    """An expired certificate, a user's certificate and none at all are refused."""
    login = replace(node.login(), host_key="", principal="db-1")
    ca = certified(node, "db-1", options=("-V", "20200101:20200102"))
    with pytest.raises(HostKeyMismatch, match="no valid certificate"):
        ask(node, replace(login, host_cas=(ca,)))  # the server shows none so far
    node.configured(f"HostCertificate {node.folder}/host-cert.pub\n")
    with pytest.raises(HostKeyMismatch, match="no valid certificate"):
        ask(node, replace(login, host_cas=(ca,)))
    assert node.requests == []


def test_known_hosts_and_the_users_configuration_have_no_say(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known_hosts file that vouches for it, and a Host block, change nothing."""
    ssh = tmp_path / "home" / ".ssh"
    ssh.mkdir(parents=True)
    known = f"[127.0.0.1]:{node.port} {public(node.host)}\n"
    (ssh / "known_hosts").write_text(known)
    (ssh / "config").write_text("Host *\n  Port 9\n  StrictHostKeyChecking no\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    node.answers("observe", observation())
    ask(node)
    other = public(make_key(tmp_path / "other"))
    with pytest.raises(HostKeyMismatch):
        ask(node, replace(node.login(), host_key=other))


def test_a_key_that_the_node_does_not_know_is_refused(node: Node) -> None:
    """The sentence says who was refused where, the help what to try."""
    with pytest.raises(
        LoginRefused, match=r"does not let .* in with our key"
    ) as caught:
        ask(node, key=make_key(node.folder / "stranger"))
    assert "--identity" in caught.value.help


def test_nobody_listening_is_unreachable(node: Node) -> None:
    """A closed port is said with host and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        login = replace(node.login(), port=free.getsockname()[1])
        with pytest.raises(Unreachable, match="refuses the connection") as caught:
            ask(node, login)
        said = f"127.0.0.1 port {login.port} refuses the connection"
        assert caught.value.message == said


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(
                "Multiple exceptions: "
                "[Errno 111] Connect call failed ('2001:db8::1', 22, 0, 0), "
                "[Errno 111] Connect call failed ('203.0.113.72', 22)"
            ),
            "host port 22 refuses the connection",
        ),
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('x', 22)"), "no way from"),
        (OSError(errno.ENETUNREACH, "Connect call failed ('x', 22)"), "no way from"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "port 22 closed the connection"),
        (PermissionError(errno.EPERM, "x"), "this machine's own rules forbid"),
        (socket.gaierror(-2, "Name or service not known"), "host has no address here"),
        (OSError(errno.ENOBUFS, "Connect call failed"), "22: No buffer space"),
        (OSError("odd"), "host port 22: odd"),
    ],
)
def test_errors_of_the_system_are_told_in_words(error: OSError, sentence: str) -> None:
    """What they mean for reaching the node, never what asyncio makes of them."""
    said = cause(Login("db-1", "host", 22, "tailgit", ""), error, 15)
    assert isinstance(said, Unreachable)
    assert sentence in said.message
    assert "Connect call" not in said.message


def test_a_name_that_does_not_exist_is_unreachable(node: Node) -> None:
    """Resolving is part of reaching."""
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
        ask(node, replace(node.login(), host="no-such-host.invalid"))


def test_a_port_that_accepts_and_says_nothing_runs_into_the_time_limit(
    node: Node,
) -> None:
    """A tarpit costs the connect limit and no more."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        login = replace(node.login(), port=silent.getsockname()[1])
        executor = AsyncSsh(identity(node.controller), connect_seconds=1)
        started = time.monotonic()
        with pytest.raises(Unreachable, match=r"no answer from .* within 1 s"):
            asyncio.run(observe(executor, "acme", login))
        assert time.monotonic() - started < 4


def test_something_that_is_not_ssh_is_unreachable(node: Node) -> None:
    """An HTTP server on the port is no node."""
    with socket.socket() as web:
        web.bind(("127.0.0.1", 0))
        web.listen()
        login = replace(node.login(), port=web.getsockname()[1])

        async def both() -> None:
            async def serve() -> None:
                loop = asyncio.get_running_loop()
                web.setblocking(False)
                taken, _ = await loop.sock_accept(web)
                await loop.sock_sendall(taken, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                taken.close()

            server = asyncio.create_task(serve())
            executor = AsyncSsh(identity(node.controller), connect_seconds=5)
            try:
                await observe(executor, "acme", login)
            finally:
                await server

        with pytest.raises(Unreachable):
            asyncio.run(both())


def test_a_banner_and_chatter_before_the_answer_do_no_harm(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    """sshd's Banner and a shell that greets are passed over."""
    banner = tmp_path / "banner"
    banner.write_text("TAILGIT 1\nauthorised use only\n" * 40)
    node = make_node(more=f"Banner {banner}")
    chatter = "echo Welcome; echo 'last login: never' >&2\n"
    node.answers("observe", observation(), before=chatter)
    assert ask(node).interface == "absent"


def test_garbage_is_a_bad_answer_with_what_the_node_wrote(node: Node) -> None:
    """The last line of stderr is shown, with nothing left that steers a terminal."""
    noise = "printf 'sudo: \\033[31mno tty\\n' >&2\n"
    node.answers("observe", b"\x00\xff garbage", before=noise)
    with pytest.raises(BadAnswer, match="no first line; it wrote: sudo:") as caught:
        ask(node)
    assert "\\x1b[31mno tty" in caught.value.message


def test_a_huge_answer_is_cut_off(node: Node) -> None:
    """More than the bound is neither kept nor waited for."""
    flood = f"head -c {LARGEST * 4} /dev/zero\n"
    node.answers("observe", b"", before=flood)
    with pytest.raises(BadAnswer, match=f"more than {LARGEST} bytes"):
        ask(node)


def test_a_flood_on_stderr_does_not_stop_the_answer(node: Node) -> None:
    """stderr is emptied while stdout is read, and only its beginning is kept."""
    flood = "head -c 6000000 /dev/zero >&2\n"
    node.answers("observe", observation(), before=flood)
    assert ask(node).version == "1"


def test_a_node_that_hangs_runs_into_its_time_limit(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exec that never ends is Unreachable, with the limit in the sentence."""
    monkeypatch.setitem(
        __import__("tailgit.deploy.request", fromlist=["SECONDS"]).SECONDS,
        "observe",
        1.0,
    )
    node.answers("observe", observation(), before="sleep 20\n")
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"no answer from .* within 1 s"):
        ask(node)
    assert time.monotonic() - started < 5


def test_a_connection_that_dies_half_way_is_unreachable(node: Node) -> None:
    """sshd killed in the middle of an answer: no answer, and never a wrong one."""
    kill = "echo TAILGIT 1; kill -9 $PPID; sleep 1\n"
    node.answers("observe", observation(), before=kill)
    with pytest.raises(Unreachable, match=r"closed the connection|Connection"):
        ask(node)


def test_a_refusal_of_the_node_carries_its_word(node: Node) -> None:
    """`error` becomes the code, `message` the sentence."""
    node.answers("observe", error("observe", "acme", "not-enrolled", "not here"))
    with pytest.raises(NodeRefused, match="not here") as caught:
        ask(node)
    assert caught.value.code == "not-enrolled"


def test_an_answer_to_another_request_is_no_answer(node: Node) -> None:
    """A node can't answer for another tailnet."""
    node.answers("observe", observation(tailnet="other"))
    with pytest.raises(BadAnswer, match="answers another request"):
        ask(node)


def test_there_is_no_standard_input_to_wait_for(node: Node) -> None:
    """A request without input ends the node's standard input at once."""
    node.answers("observe", observation(), before="cat >rest\n")
    ask(node)
    assert (node.folder / "rest").read_bytes() == b""


def test_nothing_is_forwarded_and_no_terminal_asked_for(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    """With a key that is allowed everything, still nothing is requested."""
    dump = "env >env; tty >tty || :\n"
    script = tmp_path / "free"
    script.write_text(f"#!/bin/sh\ncd {tmp_path}\n{dump}cat answer\n")
    script.chmod(0o755)
    node = make_node(forced="", more=f"ForceCommand {script}\nAllowAgentForwarding yes")
    (tmp_path / "answer").write_bytes(observation())
    ask(node)
    said = (tmp_path / "env").read_text()
    assert "SSH_AUTH_SOCK" not in said
    assert "DISPLAY" not in said
    assert (tmp_path / "tty").read_text() == "not a tty\n"


def test_nodes_are_observed_together_and_fail_alone(
    make_node: Callable[..., Node],
) -> None:
    """One that is down and one that talks nonsense are values beside the good one."""
    good, bad = make_node(), make_node()
    good.answers("observe", observation())
    bad.answers("observe", b"nonsense\n")
    # All three take the same key.
    allowed = (good.folder / "authorized_keys").read_text()
    ours = f'restrict,command="{bad.folder}/forced" {public(good.controller)}\n'
    (bad.folder / "authorized_keys").write_text(ours)
    assert allowed != ours
    down = replace(good.login("down"), port=1)
    said: list[tuple[str, str]] = []
    seen = asyncio.run(
        observe_all(
            AsyncSsh(identity(good.controller)),
            "acme",
            [good.login("good"), bad.login("bad"), down],
            lambda node, what: said.append((node, what)),
            8,
        )
    )
    assert isinstance(seen["good"], Observed)
    assert isinstance(seen["bad"], BadAnswer)
    assert isinstance(seen["down"], Unreachable)
    assert ("good", "observed") in said
    assert {node for node, _ in said} == {"good", "bad", "down"}


def test_many_nodes_are_asked_at_the_same_time_but_not_more(node: Node) -> None:
    """Eight nodes that take half a second each: two at a time, about two seconds."""
    node.answers("observe", observation(), before="sleep 0.5\n")
    executor = AsyncSsh(identity(node.controller))
    logins = [node.login(f"n{i}") for i in range(8)]
    started = time.monotonic()
    seen = asyncio.run(observe_all(executor, "acme", logins, lambda *_: None, 2))
    took = time.monotonic() - started
    assert all(isinstance(one, Observed) for one in seen.values())
    assert 1.9 < took < 6
    started = time.monotonic()
    asyncio.run(observe_all(executor, "acme", logins, lambda *_: None, 8))
    assert time.monotonic() - started < took / 1.5


def test_one_connection_serves_many_requests_in_turn_and_at_once(node: Node) -> None:
    """An apply asks a node several times over the connection that it keeps."""
    node.answers("observe", observation())

    async def run() -> list[bytes]:
        executor = AsyncSsh(identity(node.controller))
        async with executor.connect(node.login()) as session:
            first = await session.run("observe acme", seconds=5)
            more = [session.run("observe acme", seconds=5) for _ in range(5)]
            return [first.stdout, *(one.stdout for one in await asyncio.gather(*more))]

    assert asyncio.run(run()) == [observation()] * 6
    assert len(set(node.connections)) == 1


@pytest.fixture
def few_files() -> Iterator[int]:
    """A shell's low limit of open files; the hard limit stays as it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_a_shell_allows_files(
    make_node: Callable[..., Node], few_files: int
) -> None:
    """The limit is raised, so a hundred nodes can be kept open at a time."""
    node = make_node(more="MaxStartups 300\n")
    node.answers("observe", observation())

    async def run() -> int:
        executor = AsyncSsh(identity(node.controller))
        async with AsyncExitStack() as stack:
            for number in range(100):
                login = node.login(f"n{number}")
                await stack.enter_async_context(executor.connect(login))
            return len(list(Path("/proc/self/fd").iterdir()))

    assert asyncio.run(run()) > 100
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == few_files


def test_an_encrypted_key_is_left_to_the_agent(tmp_path: Path) -> None:
    """Nobody can type a passphrase once for each node; OpenSSH's own format tells
    the public half, an old one needs its .pub file."""
    file = make_key(tmp_path / "locked", passphrase="secret")
    old = make_key(tmp_path / "old", passphrase="secret", kind="rsa", form="PEM")
    for one in (file, old):
        assert identity(one) == Identity(agent=public(one))
    Path(f"{old}.pub").unlink()
    with pytest.raises(SourceError, match=r"is encrypted .* no old\.pub"):
        identity(old)


def test_what_is_no_key_is_said_to_be_none(tmp_path: Path) -> None:
    """A wrong file and a missing one are errors before any node is asked."""
    (tmp_path / "junk").write_text("hello\n")
    with pytest.raises(SourceError, match="not an SSH key"):
        identity(tmp_path / "junk")
    with pytest.raises(SourceError, match="No such file"):
        identity(tmp_path / "missing")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ssh-agent of the test's own."""
    path = tmp_path / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL
    )
    while not path.exists():
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield
    process.send_signal(signal.SIGTERM)
    process.wait(10)


@pytest.mark.usefixtures("agent")
def test_a_key_in_the_agent_is_used_by_its_public_half(node: Node) -> None:
    """With a .pub file the agent signs, and no other key of it is offered."""
    node.answers("observe", observation())
    pub = Path(f"{node.controller}.pub")
    for i in range(7):
        subprocess.run(
            ["ssh-add", "-q", make_key(node.folder / f"extra{i}")],
            check=True,
        )
    subprocess.run(["ssh-add", "-q", node.controller], check=True)
    with pytest.raises(LoginRefused, match="more keys than it wants"):
        asyncio.run(observe(AsyncSsh(Identity()), "acme", node.login()))
    ask(node, key=pub)
    subprocess.run(["ssh-add", "-q", "-D"], check=True, stderr=subprocess.DEVNULL)
    assert not asyncio.run(at_hand(identity(pub)))
    with pytest.raises(LoginRefused, match="not in the SSH agent"):
        ask(node, key=pub)


def test_a_host_key_that_is_no_key_is_refused(node: Node) -> None:
    """A garbled ssh.hostKey pins nothing, so nothing is done."""
    with pytest.raises(HostKeyMismatch, match="not a public key"):
        ask(node, replace(node.login(), host_key="ssh-ed25519 AAAA"))


def test_an_unknown_machines_host_keys_are_fetched_without_a_login(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    """The best type first, every type that is there, and nothing is authenticated."""
    ecdsa = make_key(tmp_path / "ecdsa", kind="ecdsa")
    node = make_node(more=f"HostKey {ecdsa}")

    async def fetch() -> list[str]:
        return [key async for key in host_keys("n", "127.0.0.1", node.port)]

    assert asyncio.run(fetch()) == [public(node.host), public(ecdsa)]
    log = (node.folder / "sshd.log").read_text()
    assert "userauth" not in log
    assert "Accepted" not in log


def test_the_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path) -> None:
    """People compare it with `ssh-keygen -lf` on the machine."""
    for kind in ("ed25519", "ecdsa", "rsa"):
        file = make_key(tmp_path / kind, kind=kind)
        shown = subprocess.run(
            ["ssh-keygen", "-lf", f"{file}.pub"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        expected = f"{shown[-1].strip('()')} {shown[1]}"
        assert fingerprint(public(file)) == expected


def test_a_wanted_fingerprint_is_found_among_all_types(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    """`--host-key` may name any of the machine's keys; none of them is a refusal."""
    ecdsa = make_key(tmp_path / "ecdsa", kind="ecdsa")
    node = make_node(more=f"HostKey {ecdsa}")

    def find(wanted: str | None) -> str:
        return asyncio.run(find_host_key("n", "127.0.0.1", node.port, wanted))

    assert find(fingerprint(public(ecdsa)).split()[1]) == public(ecdsa)
    assert find(None) == public(node.host)
    with pytest.raises(HostKeyMismatch, match="it has ED25519 SHA256:") as caught:
        find(f"SHA256:{'A' * 43}")
    assert isinstance(caught.value, NodeError)
