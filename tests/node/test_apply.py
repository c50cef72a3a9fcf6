"""stage, activate, confirm: the way that a generation takes when all is well."""

from __future__ import annotations

import pytest

from tests.node.nodes import NAME, SELF, STATE, Node
from tests.node.parcel import COMMIT, FILES, INTERFACE, PEER, ROUTER, sha256

pytestmark = pytest.mark.live

PARTS = ("filter", "peers", "addresses", "routes", "names")


def test_a_generation_is_staged_activated_and_confirmed(node: Node) -> None:
    """After the three verbs the network is what the files say and `current` says so."""
    parcel = node.parcel()
    staged = node.stage(parcel)
    assert staged["result"] == "ok", staged.fields
    assert staged["generation"] == "1"
    assert node.table() == ""
    assert INTERFACE not in node.links()

    activated = node.activate(1)
    assert activated["result"] == "ok", activated.fields
    assert node.current() is None
    assert node.read(f"{STATE}/pending").split()[0] == "1"

    assert node.confirm(1)["result"] == "ok"
    assert node.current() == "1"
    assert not node.path(f"{STATE}/pending").exists()

    seen = node.observe()
    assert seen["result"] == "ok"
    assert [seen[part] for part in PARTS] == ["ok"] * len(PARTS)
    assert seen["interface"] == "up"
    assert seen["listenPort"] == "51820"
    (peer,) = seen.all("peer")
    assert peer.split(" ")[:3] == [PEER, "203.0.113.10:51820", "0"]
    assert len(peer.split(" ")) == 5
    assert (seen["current"], seen["live"], seen["pending"]) == ("1", "1", "none")
    assert (seen["commit"], seen["height"], seen["kind"]) == (COMMIT, "7", "apply")
    assert (seen["by"], seen["at"]) == (parcel.by, "2026-11-22T13:00:00Z")
    assert seen["envelope"] == sha256(parcel.envelope())
    assert seen["manifest"] == sha256(parcel.manifest())
    assert seen["script"] == sha256(node.path(SELF).read_bytes())
    assert seen.all("publicKey") == [node.public]


def test_the_kernel_says_the_same(node: Node) -> None:
    """Not the script's word but ip, wg, nft and the hosts file show what was loaded."""
    node.apply(node.parcel())
    shown = node.sh(f"ip -o address show dev {INTERFACE} scope global")
    assert "100.64.1.1/32" in shown
    assert "fd5c:91aa:7be0::1/128" in shown
    assert "100.64.7.9 " in node.sh(f"ip route show dev {INTERFACE}")
    assert "fd5c:91aa:7be0::1234 " in node.sh(f"ip -6 route show dev {INTERFACE}")
    assert node.links()[INTERFACE]["mtu"] == 1420
    assert node.sh(f"wg show {INTERFACE} fwmark").strip() == "0x7467"
    assert node.sh(f"wg show {INTERFACE} public-key").strip() == node.public
    assert node.sh(f"wg show {INTERFACE} persistent-keepalive").split() == [PEER, "25"]
    assert "elements = { 10.20.0.0/16, 100.64.7.9 }" in node.table()
    setting = f"/proc/sys/net/ipv4/conf/{INTERFACE}/rp_filter"
    assert node.run("cat", setting).stdout == b"2\n"
    hosts = node.read("/etc/hosts")
    assert hosts.endswith(
        f"# tailgit {NAME}: begin\n{FILES['hosts']}# tailgit {NAME}: end\n"
    )
    assert hosts.startswith("127.0.0.1")


def test_repeats_answer_ok_and_change_nothing(node: Node) -> None:
    """A second stage, activate and confirm leave every inode, time and handle alone."""
    parcel = node.parcel()
    data = parcel.build()
    node.stage(data)
    node.activate(1)
    assert node.activate(1)["result"] == "ok"
    node.confirm(1)
    files, table = node.fingerprint(), node.table()
    peers = node.sh(f"wg show {INTERFACE} latest-handshakes")
    for answer in (node.activate(1), node.confirm(1), node.observe()):
        assert answer["result"] == "ok", answer.fields
    assert node.fingerprint() == files
    assert node.stage(data)["generation"] == "1"
    # The parcel passes through the `incoming` folder, and only through it.
    stamps = node.fingerprint()
    changed = {path for path in stamps if stamps[path] != files.get(path)}
    assert changed <= {f"{STATE.lstrip('/')}/incoming"}
    assert node.table() == table
    assert node.sh(f"wg show {INTERFACE} latest-handshakes") == peers


def test_a_second_generation_replaces_the_first_in_place(node: Node) -> None:
    """Peers, addresses and routes that left are gone; the interface is the same one."""
    node.apply(node.parcel())
    before = node.links()[INTERFACE]["ifindex"]
    changed = dict(FILES)
    changed["interface"] = (
        ROUTER.replace("100.64.7.9", "100.64.8.8")
        .replace("100.64.1.1/32", "100.64.1.2/32")
        .replace("1420", "1380")
        .replace("route replace fd5c:91aa:7be0::1234/128 dev tg-acme\n", "")
    )
    changed["wireguard.conf"] = FILES["wireguard.conf"].replace(
        "100.64.7.9/32, fd5c:91aa:7be0::1234/128", "100.64.8.8/32"
    )
    changed["firewall.nft"] = FILES["firewall.nft"].replace("100.64.1.1", "100.64.1.2")
    changed["hosts"] = ""
    assert node.apply(node.parcel(files=changed, height=8)) == "2"
    assert node.links()[INTERFACE]["ifindex"] == before
    assert node.links()[INTERFACE]["mtu"] == 1380
    assert node.sh(f"ip route show dev {INTERFACE}").split()[0] == "100.64.8.8"
    assert "100.64.1.1" not in node.sh(f"ip address show dev {INTERFACE}")
    assert "1234" not in node.sh(f"ip -6 route show dev {INTERFACE}")
    assert node.sh(f"wg show {INTERFACE} allowed-ips").split() == [
        PEER,
        "100.64.8.8/32",
    ]
    assert "tailgit" not in node.read("/etc/hosts")
    seen = node.observe()
    assert [seen[part] for part in PARTS] == ["ok"] * len(PARTS)


def test_activate_repairs_what_was_changed_by_hand(node: Node) -> None:
    """Each part that differs is seen by observe and put right by another activate."""
    node.apply(node.parcel())
    damages = {
        "peers": f"wg set {INTERFACE} peer {PEER} remove",
        "addresses": f"ip link set dev {INTERFACE} mtu 1300",
        "routes": f"ip route add 100.64.9.9/32 dev {INTERFACE}",
        "names": "sed -i s/db-1/db-2/ /etc/hosts",
    }
    for part, command in damages.items():
        node.sh(command)
        assert node.observe()[part] == "differs", part
        assert node.activate(1)["result"] == "ok"
        assert node.observe()[part] == "ok", part
    assert node.confirm(1)["result"] == "ok"


def test_old_generations_are_pruned_but_never_a_named_one(node: Node) -> None:
    """The newest five stay, and with them what current, live and pending name."""
    node.apply(node.parcel(height=1))
    for height in range(2, 10):
        assert node.stage(node.parcel(height=height))["generation"] == str(height)
    assert node.generations() == ["1", "5", "6", "7", "8", "9"]


def test_the_owners_denials_are_loaded_with_the_filter(node: Node) -> None:
    """local.nft is in the kernel after activate; a broken one stops the activation."""
    local = f"/etc/tailgit/{NAME}/local.nft"
    opening = "table inet mine {}\ndelete table inet mine\n"
    node.write(local, opening + "table inet mine {\n chain c {\n }\n}\n")
    node.apply(node.parcel())
    assert "chain c" in node.sh("nft list table inet mine")
    node.write(local, "table inet mine {")
    assert node.stage(node.parcel(height=8)).error == "own-denials"
    node.write(local, opening)
    node.stage(node.parcel(height=8))
    node.write(local, "table inet mine {")
    assert node.activate(2).error == "activation-failed"
    assert "chain in" in node.table()


def test_a_mounted_hosts_file_is_written_in_place(node: Node) -> None:
    """Containers mount /etc/hosts, so no rename can replace it; the names arrive."""
    node.sh("echo '10.0.0.1 mine' >/etc/own; mount --bind /etc/own /etc/hosts")
    node.apply(node.parcel())
    assert node.read("/etc/own").startswith("10.0.0.1 mine\n# tailgit acme: begin\n")
    assert not node.path("/etc/hosts.new").exists()
    assert node.observe()["names"] == "ok"
    node.run(SELF, "down", NAME)
    assert node.read("/etc/own") == "10.0.0.1 mine\n"


def test_a_lost_end_mark_costs_no_line_of_the_owner(node: Node) -> None:
    """What follows a begin mark without its end is the owner's and stays."""
    node.write("/etc/hosts", "10.0.0.1 a\n# tailgit acme: begin\n10.0.0.2 b\n", 0o644)
    node.apply(node.parcel())
    hosts = node.read("/etc/hosts")
    assert hosts.startswith("10.0.0.1 a\n10.0.0.2 b\n# tailgit acme: begin\n")
    assert node.observe()["names"] == "ok"


def test_down_takes_all_away_but_keys_and_generations(node: Node) -> None:
    """After `down` interface, table and names are gone; activate brings them back."""
    hosts = node.read("/etc/hosts")
    node.apply(node.parcel())
    node.run(SELF, "down", NAME)
    assert INTERFACE not in node.links()
    assert node.table() == ""
    assert node.read("/etc/hosts") == hosts
    seen = node.observe()
    assert (seen["interface"], seen["filter"], seen["live"]) == (
        "absent",
        "absent",
        "none",
    )
    assert (seen["current"], seen["publicKey"]) == ("1", node.public)
    assert node.activate(1)["result"] == "ok"
    assert node.observe()["interface"] == "up"


def test_observe_reports_foreign_chains_that_drop(node: Node) -> None:
    """A base chain of another table with policy drop is named with its hook."""
    node.sh(
        "nft add table inet ufw; nft 'add chain inet ufw input "
        "{ type filter hook input priority 0; policy drop; }'; nft add table ip other;"
        "nft 'add chain ip other f { type filter hook forward priority 0; }'"
    )
    assert node.observe().all("foreign") == ["inet ufw input input"]


def test_observe_writes_nothing(node: Node) -> None:
    """Not a file, inode or time changes, on a fresh node nor on one that runs."""
    fresh = node.fingerprint()
    assert node.observe()["result"] == "ok"
    assert node.fingerprint() == fresh
    node.apply(node.parcel())
    running = node.fingerprint()
    node.observe()
    assert node.fingerprint() == running


def test_no_answer_and_no_log_has_the_private_key(node: Node) -> None:
    """The key is in no answer, in no file but its own and in no process's arguments."""
    answers = [node.stage(node.parcel()), node.activate(1), node.confirm(1)]
    answers += [node.observe(), node.activate(1), node.activate(9)]
    for answer in answers:
        assert node.private.encode() not in answer.raw
    (key,) = node.path(f"/etc/tailgit/{NAME}/keys").iterdir()
    tops = ("/etc", "/var/lib/tailgit", "/run", "/usr/local")
    files = [file for top in tops for file in node.path(top).rglob("*")]
    holders = [
        file
        for file in files
        if file.is_file() and node.private.encode() in file.read_bytes()
    ]
    assert holders == [key]


def test_a_key_file_with_rubbish_does_not_get_into_the_message(node: Node) -> None:
    """wg quotes a line that it can't read; the answer never shows it."""
    node.stage(node.parcel())
    (key,) = node.path(f"/etc/tailgit/{NAME}/keys").iterdir()
    key.write_text(f"{node.private}\n{node.private}\n")
    answer = node.activate(1)
    assert answer.error == "activation-failed"
    assert node.private[:-1].encode() not in answer.raw


def test_the_audit_log_has_a_line_for_each_change(node: Node) -> None:
    """Who, what and how it ended; a repeat that changed nothing leaves no line."""
    node.apply(node.parcel())
    node.activate(1)
    node.stage(b"rubbish")
    node.run(SELF, "down", NAME)
    lines = [line.split("\t") for line in node.read(f"{STATE}/audit.log").splitlines()]
    assert [line[1:4] for line in lines] == [
        ["stage", "1", "ok"],
        ["activate", "1", "ok"],
        ["confirm", "1", "ok"],
        ["stage", "none", "bad-parcel"],
        ["down", "1", "ok"],
    ]
    assert {len(line) for line in lines} == {5}
    assert lines[3][4] == "the parcel is not a tar"
    assert lines[0][4].endswith("by Zoë Lima <ana@acme.com> signed ana@acme.com")


LAN = (
    "ip link add lan0 type veth peer name lan1; ip link set lan0 up;"
    "ip link set lan1 up; ip address add 10.20.0.5/16 dev lan0;"
    "ip address add fd00:20::5/64 dev lan0 nodad"
)


def test_the_route_of_a_nodes_own_lan_wins_and_survives(node: Node) -> None:
    """A subnet route stands behind the kernel's own route of the same prefix."""
    node.sh(LAN)
    shown = "ip -4 route show dev lan0; ip -6 route show dev lan0"
    before = node.sh(shown)
    subnets = ("10.20.0.0/16", "fd00:20::/64")
    lines = "".join(f"route replace {n} dev {INTERFACE} metric 4096\n" for n in subnets)
    routed = dict(FILES, interface=ROUTER + lines)
    for height, files in enumerate((routed, FILES, routed), 7):
        node.apply(node.parcel(files=files, height=height))
        assert node.observe()["routes"] == "ok"
        ours = node.sh(
            f"ip route show dev {INTERFACE}; ip -6 route show dev {INTERFACE}"
        )
        for subnet in subnets:
            assert (subnet in ours) == (files is routed)
        assert node.sh(shown) == before
        assert "dev lan0" in node.sh("ip route get 10.20.0.9")
        assert "dev lan0" in node.sh("ip route get fd00:20::9")
    assert node.activate(3)["result"] == "ok"
    assert not node.path(f"{STATE}/pending").exists()
    node.run(SELF, "down", NAME)
    assert node.sh(shown) == before


def test_a_route_gets_and_loses_its_metric(node: Node) -> None:
    """The same prefix with another metric is another route; the old one goes."""
    plain = (
        f"route replace 10.20.0.0/16 dev {INTERFACE}\n"
        f"route replace fd00:20::/64 dev {INTERFACE}\n"
    )
    behind = plain.replace("\n", " metric 4096\n")
    for height, lines in enumerate((plain, behind, plain), 7):
        files = dict(FILES, interface=ROUTER + lines)
        node.apply(node.parcel(files=files, height=height))
        assert node.observe()["routes"] == "ok"
        shown = node.sh(
            f"ip route show dev {INTERFACE}; ip -6 route show dev {INTERFACE}"
        )
        assert shown.count("10.20.0.0/16") == shown.count("fd00:20::/64") == 1
        assert shown.count("metric 4096") == (2 if lines is behind else 0)
