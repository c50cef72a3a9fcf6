"""What the machines of a lab are to each other: separate, and joined by SSH alone."""

from __future__ import annotations

import os
import subprocess
import time
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

import tailgit
from tailgit.errors import LabError
from tailgit.lab import CONTROLLER, Lab, running
from tests.lab.small import A4, B4, topology

pytestmark = pytest.mark.live


def said(lab: Lab, machine: str, script: str) -> str:
    done = lab.run(machine, ["sh", "-c", script])
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_every_node_is_a_machine_of_its_own(lab: Lab) -> None:
    """Hostname, host key, /etc, processes and files are a node's own."""
    for node in lab.nodes:
        assert said(lab, node, "hostname") == node
        said(
            lab,
            node,
            f"echo 192.0.2.99 {node}.example > /etc/h && mv /etc/h /etc/hosts",
        )
        said(lab, node, "useradd -M guest && mkdir /etc/tailgit /usr/local/lib/tailgit")
        said(lab, node, f"echo {node} > /tmp/mine; echo {node} > /root/mine")
    for node in lab.nodes:
        assert said(lab, node, "cat /etc/hosts") == f"192.0.2.99 {node}.example"
        assert said(lab, node, "cat /tmp/mine /root/mine") == f"{node}\n{node}"
        assert "bash" not in said(lab, node, "ps -e -o comm=").split()
        assert said(lab, node, "cat /proc/1/comm").startswith("python")
    assert len({lab.fingerprint(node) for node in lab.nodes}) == 2
    assert "example" not in Path("/etc/hosts").read_text()
    assert not Path("/usr/local/lib/tailgit").exists()


def test_a_node_cannot_write_on_this_machine(lab: Lab, tmp_path: Path) -> None:
    """What is not private to a node is read-only to it."""
    file = Path(tailgit.__file__)
    done = lab.run("node-a", ["sh", "-c", f"echo x >> {file}; touch /boot/x"])
    assert done.stderr.count(b"Read-only file system") == 2
    done = lab.run("node-a", ["ls", str(tmp_path)])
    assert done.returncode != 0  # /tmp is the node's own


def test_the_controller_reaches_every_node_by_ssh(lab: Lab) -> None:
    """By name and by each address, with the admin's key and the pinned host key."""
    places = ["node-a", "node-b", *lab.addresses("node-a"), *lab.addresses("node-b")]
    for place in places:
        out = said(lab, CONTROLLER, f"ssh -o BatchMode=yes root@{place} hostname")
        assert out in lab.nodes
    assert said(lab, CONTROLLER, "ssh -p 2222 root@node-b hostname") == "node-b"


def test_another_key_does_not_open_a_node(lab: Lab) -> None:
    """sshd takes the admin's key and nothing else."""
    script = (
        "ssh-keygen -q -t ed25519 -N '' -f $TMPDIR/other <<<y >/dev/null; "
        "ssh -o BatchMode=yes -o IdentitiesOnly=yes -F /dev/null "
        "-o UserKnownHostsFile=/run/tailgit-lab/known_hosts -i $TMPDIR/other "
        "root@node-a true"
    )
    done = lab.run(CONTROLLER, ["bash", "-c", script])
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


def test_the_internet_answers_for_nobody(lab: Lab) -> None:
    """An address that no machine has is unreachable at once, not after a time-out."""
    started = time.monotonic()
    done = lab.run("node-a", ["ping", "-c1", "-W5", "9.9.9.9"])
    assert b"Destination Net Unreachable" in done.stdout
    assert time.monotonic() - started < 2


def test_wireguard_runs_between_nodes(lab: Lab) -> None:
    """A node can have a tunnel: /dev/net/tun and /run/wireguard are there for it."""
    keys = {}
    for node in lab.nodes:
        said(lab, node, "wg genkey > /root/key && wg pubkey < /root/key > /root/pub")
        said(
            lab,
            node,
            "ip link add wg0 type wireguard 2>/dev/null || "
            "wireguard-go wg0 >/dev/null 2>&1",
        )
        keys[node] = said(lab, node, "cat /root/pub")
    ends = {
        "node-a": ("10.9.0.1", "10.9.0.2", B4),
        "node-b": ("10.9.0.2", "10.9.0.1", A4),
    }
    for node, (here, there, address) in ends.items():
        (peer,) = set(lab.nodes) - {node}
        said(
            lab,
            node,
            f"wg set wg0 private-key /root/key listen-port 51820 peer {keys[peer]} "
            f"allowed-ips {there}/32 endpoint {address}:51820 && "
            f"ip address add {here}/24 dev wg0 && ip link set wg0 up",
        )
    assert "1 received" in said(lab, "node-a", "ping -c1 -W5 10.9.0.2")


def test_a_command_is_killed_when_its_time_is_up(lab: Lab) -> None:
    """`run` with a timeout leaves no process on the node."""
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run("node-a", ["sleep", "4711"], timeout=0.3)
    process = lab.spawn("node-a", ["sleep", "4712"])
    process.kill()
    process.wait(5)
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()
    assert "471" not in said(lab, "node-a", "ps -e -o args= | grep '[s]leep' || true")


def test_input_output_and_status_pass_through(lab: Lab) -> None:
    """What a command reads, writes and returns is what the caller gave and gets."""
    done = lab.run("node-b", ["sh", "-c", "cat; echo e >&2; exit 7"], input=b"\0in")
    assert (done.stdout, done.stderr, done.returncode) == (b"\0in", b"e\n", 7)


def test_an_unknown_machine_is_named(lab: Lab) -> None:
    """A typo gets the list of machines."""
    with pytest.raises(LabError, match="no machine node-x") as caught:
        lab.run("node-x", ["true"])
    assert caught.value.help == "it has @controller, node-a, node-b"


def test_a_lan_hangs_behind_its_router(lab: Lab) -> None:
    """A host on a LAN reaches its router, with the MTU asked for, and nobody else
    until the router forwards."""
    lab.add_lan(
        "node-a",
        "printer",
        v4=IPv4Interface("10.20.0.9/24"),
        v6=IPv6Interface("fd00:20::9/64"),
        mtu=1280,
    )
    assert "1 received" in said(lab, "printer", "ping -c1 -W2 10.20.0.1")
    assert "1 received" in said(lab, "printer", "ping -c1 -W2 fd00:20::1")
    assert "mtu 1280" in said(lab, "printer", "ip link show eth0")
    assert "mtu 1280" in said(lab, "node-a", "ip link show lan0")
    assert lab.run("printer", ["ping", "-c1", "-W1", str(B4)]).returncode != 0
    assert "printer" not in lab.nodes


def test_two_labs_at_once_and_never_two_of_one_name() -> None:
    """Labs of different names don't meet; a name is taken while its lab is up."""
    one, two = f"one-{os.getpid()}", f"two-{os.getpid()}"
    with Lab.up(topology(one)) as first, Lab.up(topology(two)) as second:
        assert {one, two} <= set(running())
        said(first, "node-a", "touch /root/here")
        assert said(second, "node-a", "ls /root") == ""
        assert first.fingerprint("node-a") != second.fingerprint("node-a")
        with pytest.raises(LabError, match=f"lab {one} is already up"):
            Lab.up(topology(one))
        again = Lab.open(one)
        assert again.nodes == first.nodes
        assert said(again, "node-a", "ls /root") == "here"
    assert not {one, two} & set(running())
    with pytest.raises(LabError, match=f"no lab {one} is up"):
        Lab.open(one)


def test_a_lab_that_cannot_be_built_leaves_nothing() -> None:
    """If a machine can't be set up, the error says which and the lab is gone."""
    name = f"broken-{os.getpid()}"
    machines = list(topology(name).machines)
    machines.append(machines[0])
    with pytest.raises(LabError):
        Lab.up(type(topology(name))(name, tuple(machines)))
    assert name not in running()


def test_paths_in_tmp_can_be_shown(tmp_path: Path) -> None:
    """A repository below /tmp is where it was, in every machine."""
    (tmp_path / "tailnet.yaml").write_text("x")
    with Lab.up(topology(f"seen-{os.getpid()}"), repo=tmp_path) as lab:
        for machine in (CONTROLLER, *lab.nodes):
            assert said(lab, machine, f"cat {tmp_path}/tailnet.yaml") == "x"
        assert Lab.open(lab.name).repo == str(tmp_path)
