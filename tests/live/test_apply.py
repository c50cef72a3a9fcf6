"""Plan and apply against real nodes: idempotence, order of commits, missing nodes."""

from __future__ import annotations

import pytest

from tailgit.errors import Exit
from tailgit.lab import CONTROLLER

pytestmark = pytest.mark.live

STATE_OF_A_NODE = """
    find /var/lib/tailgit /etc/tailgit /run/tailgit /etc/hosts /usr/local/lib/tailgit \
        ! -name lock ! -name events -printf '%p %i %T@ %C@ %m %s\\n' | sort
    nft -a list ruleset | sed 's/counter packets [0-9]* bytes [0-9]*/counter/'
    ip -d address show dev tg-small; ip route show dev tg-small
    ip -6 route show dev tg-small; cat /etc/hosts
    wg show tg-small latest-handshakes | sort
"""


def tailgit(network, *words, expect=Exit.DONE):
    """A command on the controller; what it printed on stdout, then on stderr."""
    done = network.lab.run(
        CONTROLLER,
        [network.lab.python, "-m", "tailgit", *words, "--repo", str(network.repo)],
        timeout=120,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == expect, out + err
    return out, err


def commit(network, script):
    """Change the lab's clone of the repository by a shell script, and commit."""
    who = "-c user.name=Test -c user.email=test@example.com"
    return network.sh(
        CONTROLLER,
        f"cd {network.repo}; git rev-parse HEAD; {script}\n"
        f"git add -A; git {who} commit -qm 'A test'",
    ).strip()


def states(network):
    return {node: network.sh(node, STATE_OF_A_NODE) for node in network.lab.nodes}


def differences(before, after):
    return [
        (node, old, new)
        for node in before
        for old, new in zip(
            before[node].splitlines(), after[node].splitlines(), strict=False
        )
        if old != new
    ]


def test_second_apply_touches_nothing(network):
    """A repeated apply finds nothing to do: no inode, no time of a file, no nft handle
    and no handshake changes on any node."""
    tailgit(network, "apply", "--yes")
    before = states(network)
    assert "tg-small" in before["beta"]
    out, _ = tailgit(network, "apply", "--yes")
    assert "3 unchanged" in out
    assert differences(before, states(network)) == []
    tailgit(network, "plan", "--detailed-exitcode")


def test_commit_without_meaning_touches_nothing(network):
    """A commit that only edits a README leaves every node as it is."""
    before = states(network)
    commit(network, "date > README.md")
    assert "3 unchanged" in tailgit(network, "apply", "--yes")[0]
    assert differences(before, states(network)) == []


_SERVER = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 8125))
print('ready', flush=True)
client = sock.recvfrom(10)[1]
for _ in range(1200):
    try:
        sock.sendto(b'x', client)
    except PermissionError:
        pass
    time.sleep(0.05)
"""

_CLIENT = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((sys.argv[1], 8125))
sock.settimeout(1)
for _ in range(8):
    try:
        sock.send(b'x')
        sock.recv(10)
        break
    except TimeoutError:
        pass
    except ConnectionError:
        time.sleep(0.5)  # the server is not there yet
print('ready', flush=True)
sys.stdin.read()
sock.setblocking(False)
while True:
    try:
        sock.recv(10)
    except BlockingIOError:
        break
time.sleep(2)
got = 0
while True:
    try:
        sock.recv(10)
        got += 1
    except BlockingIOError:
        break
print(got, flush=True)
"""


def still_arriving(network, change):
    """Datagrams that reach alpha within two seconds after `change` was done, on a flow
    that alpha opened and on which only beta goes on sending."""
    address = str(network.tailnet.devices["beta"].ipv4)
    python = [network.lab.python, "-I", "-c"]
    with (
        network.lab.spawn("beta", [*python, _SERVER, address]) as server,
        network.lab.spawn("alpha", [*python, _CLIENT, address]) as client,
    ):
        try:
            assert server.stdout.readline() == b"ready\n"
            assert client.stdout.readline() == b"ready\n"
            change()
            return int(client.communicate(timeout=20)[0])
        finally:
            server.kill()
            client.kill()


def test_revoked_flow_dies_though_only_the_server_sends(network):
    """Replies are judged, too: a subscription ends when its rule does, while another
    rule keeps the two nodes peers. Without the change it goes on."""
    assert still_arriving(network, lambda: None) > 20

    def revoke():
        commit(network, "sed -i '/name: feed/d' policy.yaml")
        tailgit(network, "apply", "--yes")

    assert still_arriving(network, revoke) == 0
    shown = network.sh("alpha", "wg show tg-small allowed-ips")
    assert str(network.tailnet.devices["beta"].ipv4) in shown
    commit(network, "git show HEAD~1:policy.yaml > policy.yaml")
    tailgit(network, "apply", "--yes")


def test_older_commit_is_refused(network):
    """What does not contain the commit that nodes have is refused, and says so."""
    old = commit(network, "sed -i 's/:8080/:8088/' policy.yaml")
    tailgit(network, "apply", "--yes")
    try:
        before = states(network)
        _, said = tailgit(
            network, "apply", "--yes", "--commit", old, expect=Exit.REFUSED
        )
        assert "to go back, see `tailgit rollback --help`" in " ".join(said.split())
        assert differences(before, states(network)) == []
    finally:
        commit(network, "sed -i 's/:8088/:8080/' policy.yaml")
        tailgit(network, "apply", "--yes")


def test_unreachable_node_is_a_row_and_exit_5(network):
    """A node whose sshd hangs is named, the others get theirs, and the exit says that
    something is missing; once it is back the next apply finishes the job."""
    commit(network, """sed -i 's/"tcp:631"/"tcp:631", "tcp:700"/' policy.yaml""")
    network.sh("gamma", "kill -STOP $(cat /run/sshd.pid)")
    try:
        out, _ = tailgit(network, "apply", "--yes", expect=Exit.INCOMPLETE)
    finally:
        network.sh("gamma", "kill -CONT $(cat /run/sshd.pid)")
    row = next(line for line in out.splitlines() if "gamma" in line)
    assert "unreachable" in row
    assert "tcp . 700" in network.firewall("alpha")
    assert "tcp . 700" not in network.firewall("gamma")
    commit(network, """sed -i 's/"tcp:631", "tcp:700"/"tcp:631"/' policy.yaml""")
    tailgit(network, "apply", "--yes")
    assert "tcp . 700" not in network.firewall("alpha")


def test_another_host_key_is_refused(network):
    """A machine that does not have the pinned host key is not even logged in to."""
    network.sh(
        "gamma",
        """
        cp -p /etc/ssh/ssh_host_ed25519_key /tmp/key
        yes | ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key >/dev/null
        kill -HUP $(cat /run/sshd.pid); sleep 0.3
        """,
    )
    try:
        out, _ = tailgit(network, "plan", expect=Exit.INCOMPLETE)
    finally:
        network.sh(
            "gamma",
            "mv /tmp/key /etc/ssh/ssh_host_ed25519_key;"
            "kill -HUP $(cat /run/sshd.pid); sleep 0.3",
        )
    assert "  ? gamma  unreachable" in out
    assert "another host key" in " ".join(out.split())
    tailgit(network, "plan", "--detailed-exitcode")


def test_drift_is_seen_and_mended(network):
    """A peer that somebody removed by hand is a difference to the plan, and the next
    apply of the same commit puts it back."""
    key = network.sh("beta", "wg show tg-small peers").split()[0]
    network.sh("beta", f"wg set tg-small peer {key} remove")
    out, _ = tailgit(network, "plan", "--detailed-exitcode", expect=Exit.CHANGES)
    assert "peers differs" in out
    tailgit(network, "apply", "--yes")
    assert key in network.sh("beta", "wg show tg-small peers")
    tailgit(network, "plan", "--detailed-exitcode")
