"""What is done at night, with packets under way: revoke a laptop, rotate a key."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tailgit.errors import Exit
from tailgit.lab import CONTROLLER
from tests.live.network import FILES, Network, small_network
from tests.live.streams import Stream, stream

pytestmark = pytest.mark.live

DEVICES = """\
devices:
  db: {tags: [tag:db], endpoints: ["203.0.113.1:51820"]}   # the only one
  desk: {owner: ben@acme.com, endpoints: ["203.0.113.2:51820"]}
  laptop:
    owner: ana@acme.com   # stolen now and then
    endpoints: ["203.0.113.3:51820"]
  phone:
    owner: ben@acme.com
    publicKey: 6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=
    delivery: wg-quick
"""

POLICY = """\
users:
  ana@acme.com: {name: Ana Lima}
  ben@acme.com: {name: Ben Ode}
tagOwners: {tag:db: []}
grants:
  - {src: [laptop, desk], dst: [db], ip: ["udp:8125", "tcp:8080"]}
  - {src: [phone], dst: [db], ip: ["tcp:22"]}
tests:
  - {src: laptop, proto: tcp, accept: ["db:8080"]}
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A database, two machines of people, and a phone that nobody reaches."""
    files = {**FILES, "devices.yaml": DEVICES, "policy.yaml": POLICY}
    folder = tmp_path_factory.mktemp("office")
    built = small_network(folder, lambda _: None, files, "office")
    yield built
    built.lab.down()


def tailgit(network: Network, *words: str, expect: int = Exit.DONE) -> tuple[str, str]:
    """A command on the controller; what it printed."""
    python = [network.lab.python, "-m", "tailgit"]
    done = network.lab.run(
        CONTROLLER, [*python, *words, "--repo", str(network.repo)], timeout=180
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == expect, out + err
    return out, err


def git(network: Network, script: str) -> str:
    who = 'git() { command git -c user.name=T -c user.email=t@example.com "$@"; }'
    return network.sh(CONTROLLER, f"cd {network.repo}; {who}; {script}").strip()


def key_of(network: Network, node: str) -> str:
    return network.sh(node, "wg show tg-small public-key").strip()


def peers_of(network: Network, node: str) -> list[str]:
    return network.sh(node, "wg show tg-small peers").split()


def rotated(network: Network, node: str, *, proto: str = "tcp") -> Stream:
    """Rotate the key of a node under a stream from the desk to the database."""
    port = 8080 if proto == "tcp" else 8125
    old = key_of(network, node)
    out, _ = tailgit(network, "device", "rotate", node)
    assert f"then tailgit device rotate {node} --finish" in out
    git(network, "git commit -qam 'Stage a key'")
    tailgit(network, "apply", "--yes")
    assert key_of(network, node) == old
    tailgit(network, "device", "rotate", node, "--finish")
    git(network, "git commit -qam 'The new key'")
    with stream(network, proto, "desk", "db", port) as seen:
        time.sleep(1)
        out, err = tailgit(network, "apply", "--yes")
        time.sleep(6)
    assert "a new key of its own" in err
    new = key_of(network, node)
    other = "desk" if node == "db" else "db"
    assert new != old
    assert new in peers_of(network, other)
    assert old not in peers_of(network, other)
    return seen


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("node", ["db", "desk"])
def test_a_stream_outlives_a_rotation(office: Network, node: str, proto: str) -> None:
    """The pair is apart from the switch of one end to that of the other, and no
    connection is lost by it."""
    seen = rotated(office, node, proto=proto)
    gap = seen.longest_gap(0)
    print(f"rotation of {node}, {proto}: longest gap {gap:.2f} s")
    assert seen.lost == ""
    assert gap < 6.0
    assert seen.after(seen.came[-1] - 1) > 20
