"""Which keys are offered to whom: files, agents and certificates, on real sshds."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailgit.deploy.identity import Identity, at_hand, identity
from tailgit.deploy.ssh import AsyncSsh
from tailgit.deploy.sshconfig import read
from tailgit.errors import LoginRefused
from tailgit.plan.observed import Observed
from tests.deploy.asking import observe, observe_all
from tests.deploy.frames import observation
from tests.deploy.sshd import Node, make_key, public

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator with nothing but what the test gives."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`make_agent(name)`: an ssh-agent of the test's own; its socket."""
    processes = []

    def make(name: str) -> Path:
        path = tmp_path / name
        words = ["ssh-agent", "-D", "-a", path]
        processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
        while not path.exists():
            time.sleep(0.01)
        return path

    yield make
    for process in processes:
        process.terminate()
        process.wait(10)


def add(agent: Path, *files: Path) -> None:
    for file in files:
        subprocess.run(
            ["ssh-add", "-q", file], check=True, env={"SSH_AUTH_SOCK": str(agent)}
        )


def sign(ca: Path, key: Path, *options: str, principal: str = "root") -> Path:
    """A user certificate for `key` by `ca`, beside the key."""
    words = ["-q", "-s", ca, "-I", "ana", "-n", principal, *options, f"{key}.pub"]
    subprocess.run(["ssh-keygen", *words], check=True)
    return Path(f"{key}-cert.pub")


def ask(node: Node, who: Identity, text: str = "") -> Observed:
    """Observe one node with the keys of `who` and a configuration."""
    node.answers("observe", observation())
    file = node.folder / "ssh_config"
    file.write_text(text)
    executor = AsyncSsh(who, config=read(str(file)))
    return asyncio.run(observe(executor, "acme", node.login()))


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return make_key(tmp_path / "ca")


@pytest.fixture
def trusting(make_node: Callable[..., Node], ca: Path) -> Node:
    """A node that lets in who has a certificate of the CA, and no bare key."""
    script = ca.parent / "answer"
    script.write_text(f"#!/bin/sh\ncat {ca.parent}/node0/answer-observe\n")
    script.chmod(0o755)
    node = make_node(
        more=f"TrustedUserCAKeys {ca}.pub\nForceCommand {script}\nMaxAuthTries 2"
    )
    (node.folder / "authorized_keys").write_text("")
    return node


def test_a_certificate_beside_the_key_is_offered(
    trusting: Node, ca: Path, tmp_path: Path
) -> None:
    """KEY-cert.pub, as ssh-keygen puts it there; the bare key follows it."""
    key = make_key(tmp_path / "key")
    with pytest.raises(LoginRefused):
        ask(trusting, identity(key))
    sign(ca, key)
    ask(trusting, identity(key))
    assert "ED25519-CERT" in (trusting.folder / "sshd.log").read_text()
    line = f"{public(key)}\n"
    (trusting.folder / "authorized_keys").write_text(line)
    sign(ca, key, "-V", "20200101:20200102")  # one that is over does no harm
    ask(trusting, identity(key))


def test_a_certificate_for_somebody_else_does_not_let_in(
    trusting: Node, ca: Path, tmp_path: Path
) -> None:
    """The principal is sshd's to judge; another CA's certificate is none."""
    key = make_key(tmp_path / "key")
    sign(ca, key, principal="nobody")
    with pytest.raises(LoginRefused):
        ask(trusting, identity(key))
    sign(make_key(tmp_path / "other-ca"), key)
    with pytest.raises(LoginRefused):
        ask(trusting, identity(key))


def test_a_certificate_file_of_the_configuration_is_offered(
    trusting: Node, ca: Path, tmp_path: Path
) -> None:
    """CertificateFile goes with the key that it certifies, chosen or configured."""
    key, other = make_key(tmp_path / "key"), make_key(tmp_path / "other")
    moved = sign(ca, key).rename(tmp_path / "elsewhere.pub")
    wrong = sign(ca, other).rename(tmp_path / "wrong.pub")
    text = f"CertificateFile {wrong}\nCertificateFile {moved}\n"
    ask(trusting, identity(key), text)
    ask(trusting, Identity(), f"{text}IdentityFile {key}\n")
    with pytest.raises(LoginRefused):
        ask(trusting, identity(key), f"CertificateFile {wrong}\n")


def test_an_agents_certificates_are_offered(
    trusting: Node,
    ca: Path,
    tmp_path: Path,
    make_agent: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that the agent holds, and one that lies beside a key that it holds."""
    key, agent = make_key(tmp_path / "key"), make_agent("agent")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    sign(ca, key)
    add(agent, key)  # adds the certificate, too
    half = Path(f"{key}.pub")
    ask(trusting, Identity())
    ask(trusting, identity(half))
    subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True)
    beside = Path(f"{key}-cert.pub").rename(tmp_path / "aside")
    add(agent, key)  # now without
    with pytest.raises(LoginRefused):
        ask(trusting, identity(half))
    beside.rename(f"{key}-cert.pub")
    ask(trusting, identity(half))
    ask(trusting, identity(Path(f"{key}-cert.pub")))
    assert asyncio.run(at_hand(identity(half)))


def test_an_identity_file_of_the_configuration_is_offered(
    node: Node, tmp_path: Path, home: Path
) -> None:
    """For the nodes that it matches, with `none` and missing files passed over; a key
    chosen by --identity is offered alone."""
    missing = tmp_path / "missing"
    text = f"Host db-*\n  IdentityFile {missing}\n  IdentityFile {node.controller}\n"
    ask(node, Identity(), text)
    with pytest.raises(LoginRefused):
        ask(node, Identity(), text.replace("db-*", "web-*"))
    with pytest.raises(LoginRefused):
        ask(node, identity(make_key(tmp_path / "chosen")), text)
    Path(node.controller).rename(home / ".ssh" / "id_ed25519")
    ask(node, Identity())
    with pytest.raises(LoginRefused):
        ask(node, Identity(), "IdentityFile none\n")


def test_which_agent_counts_and_whether_all_of_its_keys(
    node: Node,
    tmp_path: Path,
    make_agent: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """IdentityAgent chooses one, `none` none; IdentitiesOnly keeps its others back."""
    usual, own = make_agent("usual"), make_agent("own")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(usual))
    add(own, node.controller)
    ask(node, Identity(), f"IdentityAgent {own}\n")
    with pytest.raises(LoginRefused):
        ask(node, Identity())
    add(usual, *(make_key(tmp_path / f"extra{number}") for number in range(7)))
    add(usual, node.controller)
    ask(node, Identity(), f"IdentityAgent none\nIdentityFile {node.controller}\n")
    with pytest.raises(LoginRefused, match="more keys than it wants"):
        ask(node, Identity())
    only = f"IdentitiesOnly yes\nIdentityFile {node.controller}.pub\n"
    ask(node, Identity(), only)
    with pytest.raises(LoginRefused):
        ask(node, Identity(), "IdentityAgent none\n" + only)


def test_the_agent_is_asked_once_for_all_nodes(
    node: Node,
    make_agent: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It signs for each login, over one connection that ends with the last of them."""
    agent, seen = make_agent("agent"), tmp_path / "watched"
    add(agent, node.controller)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(seen))
    node.answers("observe", observation())
    connections = 0

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        there, back = await asyncio.open_unix_connection(agent)

        async def copy(a: asyncio.StreamReader, b: asyncio.StreamWriter) -> None:
            while data := await a.read(65536):
                b.write(data)
            b.close()

        await asyncio.gather(copy(reader, back), copy(there, writer))

    async def run() -> None:
        server = await asyncio.start_unix_server(watch, seen)
        async with server:
            logins = [node.login(f"n{number}") for number in range(8)]
            executor = AsyncSsh(Identity(), config=read("none"))
            got = await observe_all(executor, "acme", logins, lambda *_: None, 8)
            assert all(isinstance(one, Observed) for one in got.values()), got

    asyncio.run(run())
    assert connections == 1
