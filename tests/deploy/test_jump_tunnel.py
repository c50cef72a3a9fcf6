"""A node that the controller reaches only through another node's tunnel.

Two machines in namespaces with WireGuard between them: the controller has a way to the
first, and none to the second's sshd, which listens on its tunnel address alone.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tailgit.deploy.identity import identity
from tailgit.deploy.ssh import AsyncSsh, Login
from tailgit.deploy.sshconfig import read
from tailgit.errors import HostKeyMismatch, Unreachable
from tests.deploy.machine import Machine
from tests.deploy.sshd import make_key, public

pytestmark = pytest.mark.live

INSIDE = "100.64.7.2"
SETUP = """
set -e
ip link set under up
ip address add 192.0.2.{own}/24 dev under
umask 077; wg genkey >/etc/machine/wg
if ! ip link add tg type wireguard 2>/dev/null; then
    setsid wireguard-go --foreground tg </dev/null >/dev/null 2>&1 &
    until wg show tg >/dev/null 2>&1; do sleep 0.1; done
fi
wg set tg listen-port 51820 private-key /etc/machine/wg
ip address add 100.64.7.{own}/24 dev tg
ip link set tg up
wg pubkey </etc/machine/wg
"""


class Pair:
    """`first` can be logged in to from outside, `second` only through the tunnel."""

    def __init__(self, folder: Path) -> None:
        for name in ("first", "second"):
            (folder / name).mkdir()
        self.first, self.second = Machine(folder / "first"), Machine(folder / "second")
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        first, second = self.first, self.second
        inside = ["nsenter", "--target", str(first.pid), "--net", "--"]
        link = ["ip", "link", "add", "under", "type", "veth", "peer", "name", "under"]
        subprocess.run([*inside, *link, "netns", str(second.pid)], check=True)
        keys = [
            machine.run("sh", "-c", SETUP.format(own=own)).strip()
            for own, machine in enumerate((first, second), 1)
        ]
        for machine, key, other in ((first, keys[1], 2), (second, keys[0], 1)):
            peer = ["peer", key, "endpoint", f"192.0.2.{other}:51820"]
            machine.run("wg", "set", "tg", *peer, "allowed-ips", f"100.64.7.{other}/32")
        listen = f"ListenAddress {INSIDE}\nPidFile /run/sshd.pid\n"
        with (second.root / "etc/machine/sshd_config").open("a") as config:
            config.write(listen)
        second.run("/usr/sbin/sshd", "-f", "/etc/machine/sshd_config")

    def close(self) -> None:
        self.first.close()
        self.second.close()

    def login(self) -> Login:
        return Login("db-1", INSIDE, 22, "root", public(self.second.host))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def says(executor: AsyncSsh, login: Login) -> str:
    async def run() -> str:
        async with executor.connect(login) as session:
            reply = await session.run("echo $SSH_CONNECTION", seconds=10)
            return reply.stdout.decode()

    return asyncio.run(run())


def test_a_node_is_reached_through_another_nodes_tunnel(
    pair: Pair, tmp_path: Path
) -> None:
    """Its host key is the repository's there, too; without the jump there is no way."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{pair.first.port} {public(pair.first.host)}\n")
    config = tmp_path / "config"
    config.write_text(
        f"Host 100.64.7.*\n  ProxyJump gate\nHost gate\n  HostName 127.0.0.1\n"
        f"  Port {pair.first.port}\n  User root\n  IdentityFile {pair.first.admin}\n"
        f"  UserKnownHostsFile {known}\n"
    )
    keys = identity(pair.second.admin)
    through = AsyncSsh(keys, config=read(str(config)))
    assert says(through, pair.login()).startswith("100.64.7.1 ")
    assert "received" in pair.second.run("wg", "show", "tg")
    straight = AsyncSsh(keys, config=read("none"), connect_seconds=2)
    with pytest.raises(Unreachable):
        says(straight, pair.login())
    other = public(make_key(tmp_path / "other"))
    with pytest.raises(HostKeyMismatch, match="another host key"):
        says(through, replace(pair.login(), host_key=other))
