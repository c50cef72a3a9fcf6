"""What the filter lets through, each denial shown to hang on its rule."""

from __future__ import annotations

import subprocess
import time
from ipaddress import IPv4Interface, IPv6Interface, ip_address

import pytest

from tailgit.lab import CONTROLLER
from tailgit.probe.probes import Probe, Result
from tests.live.network import SENDS_ANYTHING

pytestmark = pytest.mark.live

RELATED = "\t\tct state related meta l4proto { icmp, icmpv6 } accept\n"


def takes_any_reply(way):
    """A change to a table, after which replies pass whatever the rules say."""
    return f"established jump replies_{way}", "established accept"


def both(network, src, dst, protocol, port, *, machine=None):
    """The probe in both families; `machine` listens in the place of `dst`."""
    device = network.tailnet.devices[dst]
    return [
        Probe(src, machine or dst, protocol, address, port)
        for address in device.addresses
    ]


def test_what_a_rule_allows_passes(network):
    """A granted port is reached in both families, its neighbour is not."""
    assert network.passes(*both(network, "alpha", "beta", "tcp", 8080))
    assert not network.passes(*both(network, "alpha", "beta", "tcp", 8081))
    assert not network.passes(*both(network, "alpha", "beta", "udp", 8080))


@pytest.fixture(scope="module")
def container(network):
    """A host behind beta, published on two ports as Docker does it."""
    network.lab.add_lan("beta", "box", v4=IPv4Interface("172.17.0.2/16"))
    network.sh(
        "beta",
        """
        echo 1 > /proc/sys/net/ipv4/ip_forward
        nft -f - <<'END'
        table ip dockerlike {
            chain pre {
                type nat hook prerouting priority dstnat;
                fib daddr type local tcp dport { 8080, 8081 } dnat to 172.17.0.2:80
            }
        }
END
        """,
    )
    yield "box"
    network.sh("beta", "nft delete table ip dockerlike")


def published(network, port):
    """A probe to a published port: beta's address, the container's listener."""
    return fetch(network, "alpha", network.tailnet.devices["beta"].ipv4, port)


def fetch(network, machine, address, port, *, size=0):
    """How many bytes a TCP client on `machine` gets within its time."""
    script = f"""
import socket
got = 0
try:
    with socket.create_connection(({str(address)!r}, {port}), timeout=3) as client:
        client.settimeout(4)
        while data := client.recv(65536):
            got += len(data)
            if got >= {size} > 0: break
except OSError as error:
    pass
print(got)
"""
    done = network.lab.run(
        machine, [network.lab.python, "-I", "-c", script], timeout=30
    )
    return int(done.stdout)


def serving(network, machine, address, port, size):
    """A server on `machine` that gives `size` bytes to whoever connects."""
    script = f"""
import socket, sys
family = socket.AF_INET6 if ':' in {str(address)!r} else socket.AF_INET
server = socket.create_server(({str(address)!r}, {port}), family=family)
print('ready', flush=True)
while True:
    client, _ = server.accept()
    client.settimeout(5)
    try:
        client.sendall(b'x' * {size})
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    except OSError:
        pass
    client.close()
"""
    process = network.lab.spawn(
        machine, [network.lab.python, "-I", "-c", script], stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n", process.stderr.read()
    return process


def test_published_container_port_is_filtered_like_any_other(network, container):
    """DNAT does not go around the policy: the port that the sender wrote is judged."""
    with serving(network, container, "172.17.0.2", 80, 1000) as server:
        try:
            assert published(network, 8080) == 1000
            with network.spoiled("alpha", SENDS_ANYTHING, takes_any_reply("in")):
                assert published(network, 8081) == 0
                # Judged at input, as firewalls usually do, it would be bypassed.
                hook = "hook prerouting priority dstnat - 10"
                late = (hook, "hook input priority filter")
                with network.spoiled("beta", late, takes_any_reply("out")):
                    assert published(network, 8081) == 1000
        finally:
            server.kill()


@pytest.fixture(scope="module")
def office(network):
    """A host in the routed subnet, whose LAN takes packets of 1280 bytes at most.

    The host itself does not know: only ICMP tells the server at the other end.
    """
    v4, v6 = IPv4Interface("10.20.0.9/16"), IPv6Interface("fd00:20::9/64")
    network.lab.add_lan("gamma", "printer", v4=v4, v6=v6)
    link = network.sh(
        "gamma", "ip -o -4 addr show | awk '/10.20.0.1/ { print $2 }'"
    ).strip()
    network.sh("gamma", f"ip link set {link} mtu 1280")
    return "printer"


@pytest.mark.parametrize("family", [4, 6])
def test_small_mtu_behind_a_router_downloads(network, office, family):
    """A client behind a 1280-byte LAN downloads 300 kB from a node: related ICMP of the
    original direction gets in, also where no router on the way clamps TCP's MSS."""
    beta = network.tailnet.devices["beta"]
    address = beta.ipv4 if family == 4 else beta.ipv6
    with serving(network, "beta", address, 9000, BIG) as server:
        try:
            # In this order: beta remembers a path MTU that it has once been told.
            with network.spoiled("beta", (RELATED, "")):
                assert fetch(network, office, address, 9000, size=BIG) == BIG
                with network.spoiled("gamma", *no_clamp(network)):
                    assert fetch(network, office, address, 9000, size=BIG) < BIG
            with network.spoiled("gamma", *no_clamp(network)):
                assert fetch(network, office, address, 9000, size=BIG) == BIG
        finally:
            server.kill()


BIG = 300_000


def no_clamp(network):
    """gamma's table without its two MSS lines: a router further on has none either."""
    lines = network.firewall("gamma").splitlines(keepends=True)
    return [(line, "") for line in lines if "maxseg size set rt mtu" in line]


@pytest.mark.parametrize("family", [4, 6])
def test_both_sending_first_punches_no_hole(network, family):
    """Two peers without a rule for it can't talk UDP by both sending first. Judging
    what goes out prevents it, and so does judging replies: without both they could."""
    assert exchanged(network, family) == [0, 0]
    last = "\t\tcounter drop\n\t}\n\n\tchain replies_out"
    out = (last, last.replace("counter drop", "accept"))
    replies = takes_any_reply("in")
    with network.spoiled("alpha", out), network.spoiled("beta", out):
        assert exchanged(network, family) == [0, 0]
    with network.spoiled("alpha", replies), network.spoiled("beta", replies):
        assert exchanged(network, family) == [0, 0]
    with network.spoiled("alpha", out, replies), network.spoiled("beta", out, replies):
        assert min(exchanged(network, family)) > 0


def exchanged(network, family):
    """Datagrams that each of alpha and beta got from the other, both sending 5000 ->
    5000 at the same time."""
    devices = network.tailnet.devices
    one, other = (
        device.ipv4 if family == 4 else device.ipv6
        for device in (devices["alpha"], devices["beta"])
    )
    processes = [
        network.lab.spawn(
            machine,
            [network.lab.python, "-I", "-c", _PUNCH, str(mine), str(theirs)],
            stderr=subprocess.PIPE,
        )
        for machine, mine, theirs in (("alpha", one, other), ("beta", other, one))
    ]
    return [int(process.communicate(timeout=20)[0]) for process in processes]


_PUNCH = """
import select, socket, sys, time
mine, theirs = sys.argv[1:]
family = socket.AF_INET6 if ':' in mine else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM)
sock.bind((mine, 5000))
got, end = 0, time.monotonic() + 3
while time.monotonic() < end:
    try:
        sock.sendto(b'x', (theirs, 5000))
    except PermissionError:
        pass
    while select.select([sock], [], [], 0.1)[0]:
        sock.recv(100)
        got += 1
print(got)
"""


@pytest.mark.usefixtures("office")
def test_no_way_through_a_third_node(network):
    """alpha can't reach beta through gamma, although gamma forwards for its LAN: each
    of two rules stops it, and without both the packet leaves gamma."""
    assert through_gamma(network) == 0
    here = next(
        line
        for line in network.firewall("gamma").splitlines(keepends=True)
        if "ip daddr != @own4" in line
    )
    ours = '{ "tg-small", "tgr-small" }'
    hairpin = f"\t\tiifname {ours} oifname {ours} counter drop\n"
    anyone = "\tchain from_peers {\n"
    open_in = (anyone, anyone + "\t\taccept\n")
    carried = ("\tchain to_tunnel {\n", "\tchain to_tunnel {\n\t\taccept\n")
    with network.spoiled("gamma", (here, ""), (hairpin, "")):
        assert through_gamma(network) == 0
    with network.spoiled("gamma", open_in, SENDS_ANYTHING, carried):
        assert through_gamma(network) == 0
    with network.spoiled("gamma", (hairpin, ""), open_in, SENDS_ANYTHING, carried):
        assert through_gamma(network) > 0


def through_gamma(network):
    """Packets from alpha that gamma sends on to beta, alpha having been tampered with:
    it gives gamma beta's address."""
    devices = network.tailnet.devices
    alpha, beta, gamma = devices["alpha"], devices["beta"], devices["gamma"]
    keys = network.sh("alpha", "wg show tg-small allowed-ips")
    key = next(line.split()[0] for line in keys.splitlines() if str(gamma.ipv4) in line)
    own = next(line.split()[0] for line in keys.splitlines() if str(beta.ipv4) in line)
    count = f"""
    nft -f - <<'END'
    table inet count {{
        chain out {{
            type filter hook postrouting priority srcnat + 10
            oifname "tg-small" ip saddr {alpha.ipv4} ip daddr {beta.ipv4} counter
        }}
    }}
END
    """
    network.sh("gamma", count)
    try:
        with network.spoiled("alpha", SENDS_ANYTHING):
            network.sh(
                "alpha",
                f"wg set tg-small peer {key} allowed-ips {gamma.ipv4},{beta.ipv4}\n"
                f"ping -c 3 -i 0.2 -W 1 {beta.ipv4} || true",
            )
        listing = network.sh("gamma", "nft list table inet count")
    finally:
        network.sh("gamma", "nft delete table inet count")
        network.sh(
            "alpha",
            f"wg set tg-small peer {key} allowed-ips {gamma.ipv4}/32,{gamma.ipv6}/128,"
            "10.20.0.0/16,fd00:20::/64\n"
            f"wg set tg-small peer {own} allowed-ips {beta.ipv4}/32,{beta.ipv6}/128",
        )
    return int(listing.split("counter packets ")[1].split()[0])


@pytest.mark.parametrize("family", [4, 6])
def test_neighbour_without_the_tunnel_is_kept_out(network, family):
    """A machine on the same network, which sends a node's tailnet address straight to
    it, gets nothing; without the raw chain it would be answered."""
    beta = network.tailnet.devices["beta"]
    network.lab.add_lan(
        "beta",
        f"neighbour{family}",
        v4=IPv4Interface("192.168.77.2/24") if family == 4 else None,
        v6=IPv6Interface("fd77::2/64") if family == 6 else None,
    )
    address = beta.ipv4 if family == 4 else beta.ipv6
    with serving(network, "beta", address, 7000, 1000) as server:
        try:
            neighbour = f"neighbour{family}"
            assert fetch(network, neighbour, address, 7000) == 0
            word = "ip" if family == 4 else "ip6"
            drop = f"{word} daddr @own{family} counter drop"
            with network.spoiled(
                "beta", (f'"tgr-small" }} {drop}', '"tgr-small" } counter')
            ):
                assert fetch(network, neighbour, address, 7000) == 1000
        finally:
            server.kill()


def test_router_reaches_its_subnet_for_a_peer(network, office):
    """alpha reaches the granted port of a host in the approved subnet, no other, and
    the host sees the router's address."""
    for address in ("10.20.0.9", "fd00:20::9"):
        with serving(network, office, address, 631, 500) as server:
            try:
                assert fetch(network, "alpha", ip_address(address), 631) == 500
            finally:
                server.kill()
        with serving(network, office, address, 632, 500) as server:
            try:
                assert fetch(network, "alpha", ip_address(address), 632) == 0
            finally:
                server.kill()


def test_no_answer_of_a_node_contains_its_key(network):
    """Whatever the controller asks, the private key stays: not in the answers of any
    verb, the kept answer, the log, the bundles or the process list."""
    key = network.sh("beta", f"cat /etc/tailgit/{'small'}/keys/*").strip()
    assert len(key) == 44
    node = "/usr/local/lib/tailgit/tailgit-node"
    said = network.sh(
        "beta",
        f"""
        for verb in observe stage activate confirm; do
            {node} request $verb small 1 </dev/null || true
            {node} request $verb small </dev/null || true
        done
        cat /var/lib/tailgit/small/answer /var/lib/tailgit/small/audit.log
        cat /var/lib/tailgit/small/generations/*/*
        ps -ef; cat /proc/[0-9]*/cmdline | tr '\\0' ' '
        """,
    )
    assert "publicKey" in said
    assert key not in said


def test_nothing_is_left_of_what_the_tests_spoiled(network):
    """After all of the above the nodes report that they run what was applied."""
    shown = network.lab.run(
        CONTROLLER,
        [
            *(network.lab.python, "-m", "tailgit", "plan"),
            *("--repo", str(network.repo), "--detailed-exitcode"),
        ],
        timeout=60,
    )
    assert shown.returncode == 0, shown.stdout.decode() + shown.stderr.decode()


def test_a_rule_ends_by_the_clock_of_the_node(network):
    """A rule with a deadline lets packets through until then; nobody takes it out.

    The words are those that `tests/compile/test_deadlines.py` finds in a compiled
    table.
    """
    # In IPv6: the container of other tests has taken the port in IPv4.
    way = both(network, "alpha", "beta", "tcp", 8080)[1:]
    ends = int(time.time()) + 8
    deadlines = [
        (f"\t\t{word} saddr @in", f"\t\tmeta time < {ends} {word} saddr @in")
        for word in ("ip", "ip6")
    ]
    with network.spoiled("beta", *deadlines):
        outcomes = network.probe(*way)
        passed = {outcome.result for outcome in outcomes} == {Result.PASSED}
        assert passed or time.time() > ends - 1  # a machine that is too busy to say
        time.sleep(max(0.0, ends + 0.5 - time.time()))
        assert not network.passes(*way)
    assert network.passes(*way)
