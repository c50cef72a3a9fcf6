"""The way to a node by the operator's SSH configuration, over real sshds.

The configuration says how; who the node is stays the repository's word.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tailgit.deploy.hostkey import host_keys
from tailgit.deploy.identity import Identity, identity
from tailgit.deploy.jump import Ways
from tailgit.deploy.keychain import Keychain
from tailgit.deploy.ssh import AsyncSsh, Login
from tailgit.deploy.sshconfig import read
from tailgit.errors import (
    HostKeyMismatch,
    LoginRefused,
    NodeError,
    SourceError,
    Unreachable,
)
from tailgit.plan.observed import Observed
from tests.deploy.asking import observe, observe_all
from tests.deploy.frames import observation
from tests.deploy.sshd import Node, make_key, public

pytestmark = pytest.mark.live

MakeNode = Callable[..., Node]


@pytest.fixture
def gate(make_node: MakeNode) -> Node:
    """A jump host: an sshd with an account of the operator's, without a command."""
    return make_node(forced="")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator with nothing but what the test gives."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


def known(home: Path, *gates: Node) -> None:
    lines = [f"[127.0.0.1]:{gate.port} {public(gate.host)}\n" for gate in gates]
    (home / ".ssh" / "known_hosts").write_text("".join(lines))


def block(name: str, gate: Node, more: str = "") -> str:
    """A `Host` block of a jump host."""
    return (
        f"Host {name}\n  HostName 127.0.0.1\n  Port {gate.port}\n"
        f"  IdentityFile {gate.controller}\n  {more}\n"
    )


def executor(node: Node, tmp_path: Path, text: str) -> AsyncSsh:
    file = tmp_path / "ssh_config"
    file.write_text(text)
    return AsyncSsh(identity(node.controller), config=read(str(file)))


def ask(node: Node, tmp_path: Path, text: str, login: Login | None = None) -> Observed:
    """Observe one node by a configuration."""
    node.answers("observe", observation())
    way = executor(node, tmp_path, text)
    return asyncio.run(observe(way, "acme", login or node.login()))


def logins(gate: Node) -> int:
    log = (gate.folder / "sshd.log").read_text()
    return log.count("Accepted publickey")


def test_a_node_is_reached_through_a_jump_host(
    node: Node, gate: Node, home: Path, tmp_path: Path
) -> None:
    """By ProxyJump, with the operator's own key and name there."""
    known(home, gate)
    ask(node, tmp_path, "Host db-1\n  ProxyJump gate\n" + block("gate", gate))
    assert logins(gate) == 1
    assert node.requests == ["observe acme"]


def test_an_unknown_jump_host_is_never_passed(
    node: Node, gate: Node, home: Path, tmp_path: Path
) -> None:
    """Whatever StrictHostKeyChecking says: no key, and another key, are refusals."""
    text = "StrictHostKeyChecking no\nHost db-1\n  ProxyJump gate\n"
    text += block("gate", gate)
    with pytest.raises(HostKeyMismatch, match="not in your known_hosts") as caught:
        ask(node, tmp_path, text)
    assert caught.value.node == "db-1"
    assert f"the jump host 127.0.0.1 port {gate.port} is" in caught.value.message
    assert "StrictHostKeyChecking" in caught.value.help
    other = public(make_key(tmp_path / "other"))
    line = f"[127.0.0.1]:{gate.port} {other}\n"
    (home / ".ssh" / "known_hosts").write_text(line)
    with pytest.raises(HostKeyMismatch, match="not in your known_hosts"):
        ask(node, tmp_path, text)
    # Nor with known hosts that say nothing, or a file that is not there.
    for file in ("/dev/null", "/nonexistent"):
        with pytest.raises(HostKeyMismatch, match="not in your known_hosts"):
            ask(node, tmp_path, text + f"UserKnownHostsFile {file}\n")
    assert logins(gate) == 0
    assert node.requests == []


def test_known_hosts_by_name_alias_and_other_file(
    node: Node, gate: Node, tmp_path: Path
) -> None:
    """The operator's files and HostKeyAlias count for a jump host as for ssh."""
    (tmp_path / "hosts").write_text(f"the-gate {public(gate.host)}\n")
    more = f"UserKnownHostsFile {tmp_path}/hosts\n  HostKeyAlias the-gate"
    ask(node, tmp_path, "Host db-1\n  ProxyJump gate\n" + block("gate", gate, more))
    assert node.requests == ["observe acme"]


def test_pins_hold_behind_a_jump_host(
    node: Node, gate: Node, home: Path, tmp_path: Path
) -> None:
    """A jump host that sends us elsewhere can't show the repository's host key, not
    even with known_hosts and the configuration on its side."""
    known(home, gate, node)
    text = "Host *\n  StrictHostKeyChecking no\nHost db-1\n  ProxyJump gate\n"
    text += f"  HostKeyAlias x\n  UserKnownHostsFile /dev/null\n{block('gate', gate)}"
    ask(node, tmp_path, text.replace("/dev/null", f"{home}/.ssh/known_hosts"))
    other = replace(node.login(), host_key=public(make_key(tmp_path / "other")))
    with pytest.raises(HostKeyMismatch, match="another host key than the repository"):
        ask(node, tmp_path, text, other)
    assert node.requests == ["observe acme"]


def test_who_a_node_is_stays_the_repositorys(node: Node, tmp_path: Path) -> None:
    """Host, port, user and host key of a block for the node have no effect, nor how
    somebody else would log in."""
    other = public(make_key(tmp_path / "other"))
    (tmp_path / "hosts").write_text(f"* {other}\n")
    text = (
        "Host *\n  HostName 192.0.2.1\n  Port 9\n  User nobody\n"
        f"  UserKnownHostsFile {tmp_path}/hosts\n  HostKeyAlias elsewhere\n"
        "  HostKeyAlgorithms ssh-rsa\n  PubkeyAuthentication no\n  Ciphers none\n"
        "  CanonicalizeHostname always\n  PreferredAuthentications password\n"
    )
    assert ask(node, tmp_path, text).node == "db-1"


def test_nothing_is_forwarded_or_run_whatever_the_configuration_says(
    make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agent, X11, ports, environment, terminal, commands and shared connections."""
    script = tmp_path / "free"
    script.write_text(
        f"#!/bin/sh\ncd {tmp_path}\nenv >env; tty >tty\ncat answer\n"
        'echo "$SSH_ORIGINAL_COMMAND" >asked\n'
    )
    script.chmod(0o755)
    node = make_node(
        forced="",
        more=f"ForceCommand {script}\nAllowAgentForwarding yes\nAcceptEnv *\n"
        "X11Forwarding yes\nPermitTunnel yes\n",
    )
    (tmp_path / "answer").write_bytes(observation())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setenv("SECRET", "x")
    text = (
        f"Host *\n  ForwardAgent yes\n  ForwardX11 yes\n  ForwardX11Trusted yes\n"
        f"  LocalForward {port} 127.0.0.1:22\n  RemoteForward {port} 127.0.0.1:22\n"
        f"  DynamicForward {port}\n  Tunnel yes\n  SendEnv *\n  SetEnv GIVEN=x\n"
        f"  RequestTTY force\n  RemoteCommand touch {tmp_path}/remote\n"
        f"  PermitLocalCommand yes\n  LocalCommand touch {tmp_path}/local\n"
        f"  ControlMaster yes\n  ControlPath {tmp_path}/master\n"
        "  ControlPersist yes\n  Compression yes\n  StdinNull yes\n"
    )

    async def run() -> None:
        way = executor(node, tmp_path, text)
        async with way.connect(node.login()) as session:
            reply = await session.run("observe acme", seconds=5)
            assert reply.stdout == observation()
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0

    asyncio.run(run())
    said = (tmp_path / "env").read_text()
    for name in ("SSH_AUTH_SOCK", "DISPLAY", "SECRET", "GIVEN"):
        assert f"{name}=" not in said
    assert (tmp_path / "tty").read_text() == "not a tty\n"
    assert (tmp_path / "asked").read_text() == "observe acme\n"
    for name in ("remote", "local", "master"):
        assert not (tmp_path / name).exists()


def test_jump_hosts_in_a_row(
    node: Node, make_node: MakeNode, home: Path, tmp_path: Path
) -> None:
    """The first is reached by its own block, the second through the first; a block
    for everything does not send a jump host through itself."""
    first, second = make_node(forced=""), make_node(forced="")
    known(home, first, second)
    text = f"Host *\n  ProxyJump one,two\n{block('one', first)}{block('two', second)}"
    ask(node, tmp_path, text)
    assert (logins(first), logins(second)) == (1, 1)
    log = (second.folder / "sshd.log").read_text()
    assert "Accepted publickey" in log
    # Spelt out on the line, and by the second one's own block.
    line = f"Host db-1\n  ProxyJump root@127.0.0.1:{second.port}\n"
    own = f'Match host 127.0.0.1 exec "test %p = {second.port}"\n  ProxyJump one\n'
    keys = f"Host *\n  IdentityFile {second.controller}\n"
    ask(node, tmp_path, line + own + block("one", first) + keys)
    assert (logins(first), logins(second)) == (2, 2)


def test_jump_hosts_in_a_circle_are_named(node: Node, tmp_path: Path) -> None:
    """Instead of a wait for each other without an end."""
    text = "Host db-1\n  ProxyJump one\nHost one\n  ProxyJump two\n"
    text += "Host two\n  ProxyJump one\n"
    with pytest.raises(Unreachable, match="go in a circle: one, two, one"):
        ask(node, tmp_path, text)
    with pytest.raises(SourceError, match=r"ssh_config:1: `a:b:c` is not \[USER@\]"):
        ask(node, tmp_path, "ProxyJump a:b:c\n")


def test_one_connection_to_a_jump_host_serves_all_nodes_behind_it(
    node: Node, gate: Node, home: Path, tmp_path: Path
) -> None:
    """It ends with the last of them, and one that broke is made anew."""
    known(home, gate)
    node.answers("observe", observation())
    text = "Host db-*\n  ProxyJump gate\n" + block("gate", gate)
    way = executor(node, tmp_path, text)
    many = [node.login(f"db-{number}") for number in range(8)]
    seen = asyncio.run(observe_all(way, "acme", many, lambda *_: None, 8))
    assert all(isinstance(one, Observed) for one in seen.values())
    assert logins(gate) == 1

    async def broken() -> None:
        async with way.connect(many[0]) as session:
            await session.run("observe acme", seconds=5)
            of = Path(f"/proc/{gate.process.pid}/task/{gate.process.pid}/children")
            for child in of.read_text().split():
                os.kill(int(child), signal.SIGKILL)
            with pytest.raises(Unreachable):
                await session.run("observe acme", seconds=5)
            async with way.connect(many[1]) as other:
                await other.run("observe acme", seconds=5)

    asyncio.run(broken())
    assert logins(gate) == 3  # one for the eight, one that was killed, one anew


def test_what_fails_at_a_jump_host_is_said_of_it(
    node: Node, make_node: MakeNode, home: Path, tmp_path: Path
) -> None:
    """Down, no key for it, no forwarding there, nothing behind it: each in words."""
    gate = make_node(forced="")
    known(home, gate)
    text = "Host db-1\n  ProxyJump gate\n" + block("gate", gate)
    stranger = make_key(tmp_path / "stranger")
    with pytest.raises(LoginRefused, match=r"the jump host .* does not let ") as caught:
        ask(node, tmp_path, text.replace(str(gate.controller), str(stranger)))
    assert "IdentityFile" in caught.value.help
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = replace(node.login(), port=free.getsockname()[1])
    with pytest.raises(Unreachable, match="the jump host gate says: ") as said:
        ask(node, tmp_path, text, closed)
    assert f"127.0.0.1 port {closed.port}: the jump host" in said.value.message
    gate.configured("AllowTcpForwarding no\n")
    with pytest.raises(Unreachable, match="gate says: connections onwards are forbid"):
        ask(node, tmp_path, text)
    gate.close()
    with pytest.raises(Unreachable, match=r"the jump host 127.* refuses the conn"):
        ask(node, tmp_path, text)
    gate.configured("")
    assert node.requests == []


def test_host_keys_of_a_new_machine_are_fetched_through_the_jump_host(
    node: Node, gate: Node, home: Path
) -> None:
    """A machine behind a jump host can be enrolled."""
    known(home, gate)
    (home / ".ssh" / "config").write_text(
        "Host db-1\n  ProxyJump gate\n" + block("gate", gate)
    )

    async def fetch(ways: Ways | None) -> list[str]:
        found = host_keys("db-1", "127.0.0.1", node.port, ways)
        return [key async for key in found]

    for ways in (None, Ways(read(None), Keychain())):
        assert asyncio.run(fetch(ways)) == [public(node.host)]
    assert logins(gate) >= 2


RELAY = """
import os, socket, sys, threading
print("a word that is no SSH", file=sys.stderr, flush=True)
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := there.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    there.sendall(data)
"""


def test_a_proxy_command_makes_the_connection(node: Node, tmp_path: Path) -> None:
    """It is run by a shell, what it writes to stderr is not SSH, and it is ended."""
    (tmp_path / "relay").write_text(RELAY)
    command = f"echo $$ >{tmp_path}/pid; {sys.executable} {tmp_path}/relay %h %p | cat"
    text = f"Host db-1\n  ProxyCommand sh -c '{command}'\n"
    ask(node, tmp_path, text)
    assert node.requests == ["observe acme"]
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()


def test_what_a_proxy_command_says_stands_in_the_message(
    node: Node, tmp_path: Path
) -> None:
    """Its last line on stderr, escaped, and the process is gone after the time."""
    text = "ProxyCommand sh -c 'printf \"no such\\033[31m vpn\\n\" >&2; exit 1'\n"
    with pytest.raises(Unreachable, match=r"says: no such\\x1b\[31m vpn"):
        ask(node, tmp_path, text)
    text = f"ConnectTimeout 1\nProxyCommand sh -c 'echo $$ >{tmp_path}/pid; sleep 60'\n"
    started = time.monotonic()
    with pytest.raises(Unreachable, match="within 1 s"):
        ask(node, tmp_path, text)
    assert time.monotonic() - started < 6
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_the_address_that_a_connection_comes_from(node: Node, tmp_path: Path) -> None:
    """BindAddress and AddressFamily count for the node itself."""
    ask(node, tmp_path, "BindAddress 127.0.0.9\nAddressFamily inet\n")
    assert "from 127.0.0.9 port" in (node.folder / "sshd.log").read_text()
    with pytest.raises(NodeError):
        ask(node, tmp_path, "AddressFamily inet6\n")


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_connect_timeout_of_the_configuration_and_of_the_caller(
    node: Node, silent: int, tmp_path: Path
) -> None:
    """ConnectTimeout counts for the nodes that it matches; the caller's goes first."""
    login = replace(node.login(), port=silent)
    started = time.monotonic()
    with pytest.raises(Unreachable, match="within 1 s"):
        ask(node, tmp_path, "Host db-1\n  ConnectTimeout 1\n", login)
    assert time.monotonic() - started < 5
    config = read(str(tmp_path / "ssh_config"))
    quick = AsyncSsh(Identity(), config=config, connect_seconds=2)
    with pytest.raises(Unreachable, match="within 2 s"):
        asyncio.run(observe(quick, "acme", login))


def test_a_jump_host_that_says_nothing_is_given_up_in_time(
    node: Node, silent: int, tmp_path: Path
) -> None:
    """Once for all that wait for it, not once for each."""
    text = f"ConnectTimeout 1\nHost db-*\n  ProxyJump 127.0.0.1:{silent}\n"
    way = executor(node, tmp_path, text)
    many = [node.login(f"db-{number}") for number in range(8)]
    started = time.monotonic()
    seen = asyncio.run(observe_all(way, "acme", many, lambda *_: None, 8))
    assert time.monotonic() - started < 5
    for name, one in seen.items():
        assert isinstance(one, Unreachable)
        assert one.node == name
        assert "no answer from the jump host" in one.message
