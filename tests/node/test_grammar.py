"""What a node refuses to load, whoever signed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.nodes import Node
from tests.node.parcel import FILES, PEER, WIREGUARD

pytestmark = pytest.mark.live

OTHER_PEER = "B" * 42 + "A="

# Rules that end, other than as `meta time < EPOCH … accept` or a jump to a chain that
# does nothing but accept: to leave them out, when the clock is wrong, might open.
DROPS = "chain x {\n tcp dport 22 drop\n ip saddr @src1 accept\n}\nchain y {\n"
ACCEPTS = "chain x {\n tcp dport 22 accept\n}\nchain y {\n"
JUMPS = "chain z {\n drop\n}\nchain x {\n jump z\n}\nchain y {\n"
ENDS = [
    ("a drop that ends", "meta time < 1800000000 ip saddr @src1 counter drop", ACCEPTS),
    ("an end that jumps to drops", "meta time < 1800000000 tcp dport 1 jump x", DROPS),
    ("an end that jumps to jumps", "meta time < 1800000000 tcp dport 1 jump x", JUMPS),
    ("a rule that begins", "meta time > 1800000000 ip saddr @src1 accept", ACCEPTS),
    ("a rule that ends at once", "meta time <= 1800000000 tcp dport 1 accept", ACCEPTS),
    ("an end behind a match", "ip saddr @src1 meta time < 1800000000 accept", ACCEPTS),
    ("an end with a tab", "meta\ttime < 1800000000 ip saddr @src1 accept", ACCEPTS),
    ("two ends", "meta time < 1800000000 meta time > 17 tcp dport 1 accept", ACCEPTS),
    ("an end in a range", "meta time 1700000000-1800000000 accept", ACCEPTS),
    ("an end that only counts", "meta time < 1800000000 counter", ACCEPTS),
]

# name: (file, text to replace, what to put there); "" for the text means append.
HOSTILE = {
    "nft: a brace closes the table": ("firewall.nft", "counter drop", "}\n}\n"),
    "nft: out and in again on one line": (
        "firewall.nft",
        "    counter drop\n",
        "    drop } } table ip evil { chain c { accept\n",
    ),
    "nft: a table after the last line": ("firewall.nft", "", "table ip evil {}\n"),
    "nft: a flush after the last line": ("firewall.nft", "", "flush ruleset\n"),
    "nft: a blank line after the end": ("firewall.nft", "", "\n"),
    "nft: another first line": (
        "firewall.nft",
        "inet tailgit_acme {}",
        "inet other {}",
    ),
    "nft: it deletes another table": (
        "firewall.nft",
        "delete table inet tailgit_acme",
        "delete table inet filter",
    ),
    "nft: it flushes everything": (
        "firewall.nft",
        "delete table inet tailgit_acme",
        "flush ruleset",
    ),
    "nft: a command behind the opening": (
        "firewall.nft",
        "delete table inet tailgit_acme",
        "delete table inet tailgit_acme; flush ruleset",
    ),
    "nft: another family": (
        "firewall.nft",
        "table inet tailgit_acme {\n",
        "table ip tailgit_acme {\n",
    ),
    "nft: another tailnet's table": ("firewall.nft", "tailgit_acme", "tailgit_other"),
    "nft: include": ("firewall.nft", "    counter drop", '    include "passwd"'),
    "nft: include of a path": (
        "firewall.nft",
        "    counter drop",
        '    include "/etc/passwd"',
    ),
    "nft: include after a semicolon": (
        "firewall.nft",
        "    counter drop",
        '    drop; include "x.nft"',
    ),
    "nft: include glued to a number": (
        "firewall.nft",
        "    counter drop",
        '    mark 7include "x.nft"',
    ),
    "nft: a comment": ("firewall.nft", "    counter drop", "    counter drop # }"),
    "nft: a comment hides the end": (
        "firewall.nft",
        "    counter drop\n",
        "    drop\n} # {\n",
    ),
    "nft: a quoted brace": ("firewall.nft", '"lo"', '"l}o"'),
    "nft: a quote that never ends": ("firewall.nft", '"lo"', '"lo'),
    "nft: a quoted blank": ("firewall.nft", '"lo"', '"l o"'),
    "nft: quotes that pair the other way": ("firewall.nft", '"lo"', '"x y"z"w k"'),
    "nft: a quoted wildcard": ("firewall.nft", '"lo"', '"tg-*"'),
    "nft: a variable": ("firewall.nft", "100.64.1.1 }", "$evil }"),
    "nft: a define": ("firewall.nft", "    counter drop", "    define a = $b"),
    "nft: a continued line": (
        "firewall.nft",
        "    counter drop",
        "    counter \\\n drop",
    ),
    "nft: a backquote": ("firewall.nft", '"lo"', "`id`"),
    "nft: not ASCII": ("firewall.nft", "counter drop", "counter dröp"),
    "nft: a NUL": ("firewall.nft", "counter drop", "counter\0 drop"),
    "nft: a carriage return": ("firewall.nft", "counter drop\n", "counter drop\r\n"),
    "nft: an escape sequence": ("firewall.nft", "counter drop", "\x1b[2J drop"),
    "nft: cut in the middle": ("firewall.nft", FILES["firewall.nft"][300:], "\n"),
    "nft: no last newline": ("firewall.nft", FILES["firewall.nft"][-3:], "}\n}"),
    "nft: empty": ("firewall.nft", FILES["firewall.nft"], ""),
    "nft: the opening alone": ("firewall.nft", FILES["firewall.nft"][90:], ""),
    "nft: a policy that drops": (
        "firewall.nft",
        "srcnat - 10; policy accept;",
        "srcnat - 10; policy drop;",
    ),
    "nft: a chain on output": (
        "firewall.nft",
        "hook forward priority filter",
        "hook output priority filter",
    ),
    "nft: a chain on input": (
        "firewall.nft",
        "hook forward priority filter",
        "hook input priority filter",
    ),
    "nft: a chain on ingress": (
        "firewall.nft",
        "type filter hook forward priority filter",
        'type filter hook ingress device "eth0" priority filter',
    ),
    "nft: a chain that changes routes": ("firewall.nft", "type filter", "type route"),
    "nft: destination NAT": (
        "firewall.nft",
        "type filter hook prerouting priority dstnat - 10",
        "type nat hook prerouting priority dstnat",
    ),
    "nft: a base chain made late": (
        "firewall.nft",
        "    ct state related meta",
        "    type filter hook output priority filter; policy drop;\n    ct state",
    ),
    "nft: a rule for every interface": (
        "firewall.nft",
        '    iifname "tg-acme" oifname "tg-acme" counter drop',
        "    counter drop",
    ),
    "nft: a rule for another interface": (
        "firewall.nft",
        'iifname "tg-acme" oifname',
        'iifname "eth0" oifname',
    ),
    "nft: a rule for loopback": (
        "firewall.nft",
        'iifname "tg-acme" oifname',
        'iifname "lo" oifname',
    ),
    "nft: a rule for all but ours": (
        "firewall.nft",
        'iifname "tg-acme" oifname',
        'iifname != "tg-acme" oifname',
    ),
    "nft: another interface among ours": (
        "firewall.nft",
        '{ "tg-acme", "tgr-acme" }',
        '{ "tg-acme", "eth0" }',
    ),
    "nft: our interface not first": (
        "firewall.nft",
        'iifname "tg-acme" oifname "tg-acme"',
        'ct state new iifname "tg-acme"',
    ),
    "nft: all addresses from elsewhere": (
        "firewall.nft",
        "ip daddr @own4 counter drop",
        "counter drop",
    ),
    "nft: a peer's address as our own": (
        "firewall.nft",
        "elements = { 100.64.1.1 }",
        "elements = { 192.168.0.1 }",
    ),
    "nft: a range as our own": (
        "firewall.nft",
        "type ipv4_addr\n    elements = { 100.64.1.1 }",
        "type ipv4_addr\n    flags interval\n    elements = { 0.0.0.0/0 }",
    ),
    "nft: a second statement": (
        "firewall.nft",
        "    iifname { ",
        "    drop; iifname { ",
    ),
    "nft: a second statement behind": (
        "firewall.nft",
        "jump from_peers",
        "jump from_peers; drop",
    ),
    "nft: a rule that ends the chain": (
        "firewall.nft",
        "    ip saddr @src1 ",
        "    accept } chain x { ip saddr @src1 ",
    ),
    "nft: a map of verdicts": (
        "firewall.nft",
        "    ip saddr @src1 ",
        "    ip protocol vmap { tcp : accept } ip saddr @src1 ",
    ),
    "nft: a flowtable": (
        "firewall.nft",
        "  chain raw {",
        "  flowtable f {\n  hook ingress priority 0\n  }\n  chain raw {",
    ),
    "nft: a helper": (
        "firewall.nft",
        "  chain raw {",
        '  ct helper h {\n  type "ftp" protocol tcp;\n  }\n  chain raw {',
    ),
    "nft: a set of interfaces": ("firewall.nft", "type ipv4_addr", "type ifname"),
    "nft: a set with a time": (
        "firewall.nft",
        "flags interval",
        "flags interval\n    timeout 5s",
    ),
    **{
        f"nft: an action: {action}": (
            "firewall.nft",
            "    ip saddr @src1 ",
            f"    {action}\n    ip saddr @src1 ",
        )
        for action in (
            "dnat ip to 10.0.0.1",
            "ip daddr 10.0.0.1 snat ip to 10.0.0.2",
            "masquerade",
            "redirect to 22",
            "queue",
            "queue to 1",
            "log",
            'log prefix "x" accept',
            "tproxy ip to 127.0.0.1",
            'dup to 10.0.0.1 device "eth0"',
            'fwd to "eth0"',
            "notrack",
            "reject",
            "reject with icmp type host-unreachable",
            "meta mark set 1",
            "ct mark set 1",
            "ip dscp set 1",
            "ip daddr set 10.0.0.1",
            "tcp option maxseg size set 9",
            "tcp option maxseg size set rt mtu counter accept",
            "flow add @f",
            "add @src1 { ip saddr }",
            "update @src1 { ip saddr timeout 1s }",
            'ct helper set "h"',
            "counter name x",
            "limit rate 1/second accept",
            "goto from_peers",
            "return",
            "continue",
            'comment "x"',
        )
    },
    "wg: a private key": ("wireguard.conf", "FwMark", f"PrivateKey = {PEER}\nFwMark"),
    "wg: a preshared key": (
        "wireguard.conf",
        "Endpoint",
        f"PresharedKey = {PEER}\nEndpoint",
    ),
    "wg: PostUp": ("wireguard.conf", "FwMark", "PostUp = id\nFwMark"),
    "wg: PostUp of a peer": ("wireguard.conf", "", "PostUp = id\n"),
    "wg: SaveConfig": ("wireguard.conf", "FwMark", "SaveConfig = true\nFwMark"),
    "wg: a private key, spaced": (
        "wireguard.conf",
        "FwMark",
        f"PrivateKey={PEER}\nFwMark",
    ),
    "wg: a private key, other case": (
        "wireguard.conf",
        "FwMark",
        f"privatekey = {PEER}\nFwMark",
    ),
    "wg: a private key, indented": (
        "wireguard.conf",
        "FwMark",
        f" PrivateKey = {PEER}\nFwMark",
    ),
    "wg: a private key behind a comment": (
        "wireguard.conf",
        "# db-1",
        f"# db-1 PrivateKey = {PEER}",
    ),
    "wg: a second interface section": (
        "wireguard.conf",
        "",
        "[Interface]\nFwMark = 0x1\n",
    ),
    "wg: an interface section late": ("wireguard.conf", "[Interface]", "[Peer]"),
    "wg: a section of its own": ("wireguard.conf", "", "[Evil]\n"),
    "wg: no FwMark": ("wireguard.conf", "FwMark = 0x7467\n", ""),
    "wg: no ListenPort": ("wireguard.conf", "ListenPort = 51820\n", ""),
    "wg: FwMark off": ("wireguard.conf", "0x7467", "off"),
    "wg: a port too high": (
        "wireguard.conf",
        "ListenPort = 51820",
        "ListenPort = 65536",
    ),
    "wg: port twice": ("wireguard.conf", "FwMark", "ListenPort = 1\nFwMark"),
    "wg: a peer without key": ("wireguard.conf", f"PublicKey = {PEER}\n", ""),
    "wg: a key too short": ("wireguard.conf", PEER, PEER[1:]),
    "wg: a key that wg refuses": ("wireguard.conf", PEER, PEER[:42] + "B="),
    "wg: a peer twice": ("wireguard.conf", "", f"\n[Peer]\nPublicKey = {PEER}\n"),
    "wg: an endpoint by name": (
        "wireguard.conf",
        "203.0.113.10:51820",
        "evil.test:51820",
    ),
    **{
        f"nft: {case}": ("firewall.nft", "    counter drop\n", rule + "\n}\n" + more)
        for case, rule, more in ENDS
    },
    "wg: an endpoint without port": (
        "wireguard.conf",
        "203.0.113.10:51820",
        "203.0.113.10",
    ),
    "wg: a range that is none": (
        "wireguard.conf",
        "100.64.7.9/32",
        "100.64.7.9/32; id",
    ),
    "wg: a range of two peers": (
        "wireguard.conf",
        "",
        f"\n[Peer]\nPublicKey = {OTHER_PEER}\nAllowedIPs = 100.64.7.9/32\n",
    ),
    "wg: empty": ("wireguard.conf", WIREGUARD, ""),
    "ip: another interface": ("interface", "dev tg-acme\n", "dev eth0\n"),
    "ip: an interface that begins like ours": (
        "interface",
        "dev tg-acme\n",
        "dev tg-acme2\n",
    ),
    "ip: it sets another link down": ("interface", "", "link set dev eth0 down\n"),
    "ip: it deletes a link": ("interface", "", "link delete dev tg-acme\n"),
    "ip: it flushes routes": ("interface", "", "route flush table main\n"),
    "ip: a route through a gateway": (
        "interface",
        "",
        "route replace 10.0.0.0/8 via 10.0.0.1 dev tg-acme\n",
    ),
    "ip: another metric": (
        "interface",
        "",
        "route replace 10.0.0.0/8 dev tg-acme metric 1\n",
    ),
    "ip: more than a metric": (
        "interface",
        "",
        "route replace 10.0.0.0/8 dev tg-acme metric 4096 table 7\n",
    ),
    "ip: an address with a metric": (
        "interface",
        "",
        "address replace 10.0.0.1/32 dev tg-acme metric 4096\n",
    ),
    "ip: a route in another table": (
        "interface",
        "",
        "route replace 10.0.0.0/8 dev tg-acme table 7\n",
    ),
    "ip: an address that is none": ("interface", "100.64.1.1/32", "evil"),
    "ip: no prefix length": ("interface", "100.64.1.1/32", "100.64.1.1"),
    "ip: two blanks": ("interface", "link set", "link  set"),
    "ip: a rule": ("interface", "", "rule add from all lookup 7\n"),
    "ip: another namespace": ("interface", "", "netns exec x id\n"),
    "ip: a silly MTU": ("interface", "mtu 1420", "mtu 99999"),
    "ip: an MTU that is none": ("interface", "mtu 1420", "mtu 1420;id"),
    "hosts: a foreign domain": ("hosts", "", "203.0.113.9 www.bank.example www\n"),
    "hosts: a name that only ends so": ("hosts", "", "1.2.3.4 aacme.internal a\n"),
    "hosts: more names": ("hosts", "", "1.2.3.4 a.acme.internal a www.bank.example\n"),
    "hosts: a bare name": ("hosts", "", "1.2.3.4 github.com\n"),
    "hosts: the short name is another": ("hosts", "", "1.2.3.4 a.acme.internal bank\n"),
    "hosts: localhost": ("hosts", "", "1.2.3.4 localhost.acme.internal localhost\n"),
    "hosts: our own end mark": ("hosts", "", "# tailgit acme: end\n"),
    "hosts: a comment": ("hosts", "", "1.2.3.4 a.acme.internal #\n"),
    "hosts: no address": ("hosts", "100.64.1.1", "evil"),
    "sysctl: another setting": ("sysctl", "", "kernel.core_pattern=|/tmp/x\n"),
    "sysctl: another value": ("sysctl", "", "net.ipv4.ip_forward=0\n"),
    "sysctl: another interface": ("sysctl", "tg-acme", "all"),
    "sysctl: a path": ("sysctl", "", "net/ipv4/../../kernel/sysrq=1\n"),
    "zone: it includes a file": ("zone", "", "$INCLUDE /etc/shadow\n"),
    "zone: includes, in small letters": ("zone", "", "$include /etc/shadow\n"),
    "zone: not ASCII": ("zone", "", "b\xfccher A 1.2.3.4\n"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_text_outside_the_grammar_is_refused(refusing: Node, case: str) -> None:
    """Rightly signed and hashed, it is still `bad-grammar`, and names the file."""
    file, old, new = HOSTILE[case]
    text = FILES[file]
    assert old in text
    changed = text.replace(old, new) if old else text + new
    assert changed != text
    answer = refusing.stage(refusing.parcel(files=dict(FILES, **{file: changed})))
    assert answer.error == "bad-grammar"
    assert answer["message"].startswith(f"{file}:")
    assert refusing.generations() == []


def test_there_are_enough_hostile_cases() -> None:
    """Each file of a bundle has cases, and the whole is no token gesture."""
    assert {file for file, _, _ in HOSTILE.values()} == set(FILES)
    assert len(HOSTILE) >= 80


SUBNETS = """\
route replace 10.20.0.0/16 dev tg-acme metric 4096
route replace fd00:20::/64 dev tg-acme metric 4096
"""

ROUTERS_CHAINS = """\
  chain reply_x {
    meta l4proto . th sport { tcp . 22, udp . 53-60 } accept
    meta l4proto { 132, icmp, icmpv6 } accept
  }
  chain to_tunnel {
    ct direction reply ct state established ip saddr @src1 jump reply_x
    ip daddr != @own4 ip daddr != { 10.20.0.0/16 } counter drop
    meta nfproto ipv6 ip6 saddr { fd00:20::/64 } accept
  }

  chain clamp {
    type filter hook forward priority filter; policy accept;
    oifname { "tg-acme", "tgr-acme" } tcp flags & (syn | rst) == syn CLAMP
    oifname { "tg-acme", "tgr-acme" } jump to_tunnel
  }
  chain late {
    type filter hook postrouting priority srcnat + 10; policy accept;
  }
  chain nat {
    type nat hook postrouting priority srcnat; policy accept;
    iifname "tg-acme" oifname != "tg-acme" ip daddr { 10.20.0.0/16 } masquerade
  }
""".replace("CLAMP", "tcp option maxseg size set rt mtu")

BENIGN = {
    "wg: a peer with its key alone": (
        "wireguard.conf",
        "",
        f"\n[Peer]\n# x.y_z-1\nPublicKey = {OTHER_PEER}\n",
    ),
    "wg: an IPv6 endpoint": (
        "wireguard.conf",
        "203.0.113.10:51820",
        "[2001:db8::1]:51820",
    ),
    "wg: no peer": ("wireguard.conf", WIREGUARD[WIREGUARD.index("\n[Peer]") :], ""),
    "wg: a low port": ("wireguard.conf", "ListenPort = 51820", "ListenPort = 9"),
    "ip: routes to everything": (
        "interface",
        "",
        "route replace 0.0.0.0/0 dev tg-acme\nroute replace ::/0 dev tg-acme\n",
    ),
    "hosts: nobody": ("hosts", FILES["hosts"], ""),
    "sysctl: a router": (
        "sysctl",
        "",
        "net.ipv4.ip_forward=1\nnet.ipv6.conf.all.forwarding=1\n",
    ),
    "ip: a route that gives way": (
        "interface",
        "",
        SUBNETS,
    ),
    "nft: rules that end": (
        "firewall.nft",
        "    counter drop\n",
        (
            "    meta time < 1800000000 ip saddr @src1 jump x\n"
            "    meta time < 1800000000 ip6 saddr fd00:20::/64 tcp dport 22 accept\n"
            "    counter drop\n  }\n"
            "  chain x {\n    meta l4proto . th dport { tcp . 22, udp . 53 } accept\n"
            "    meta l4proto { icmp, icmpv6 } counter accept\n"
        ),
    ),
    "nft: what a router's table has": (
        "firewall.nft",
        "  chain out {",
        ROUTERS_CHAINS + "  chain out {",
    ),
}


@pytest.mark.parametrize("case", BENIGN)
def test_text_within_the_grammar_runs(node: Node, case: str) -> None:
    """The grammar keeps no good bundle out, and observe finds all of it again."""
    file, old, new = BENIGN[case]
    text = FILES[file].replace(old, new) if old else FILES[file] + new
    node.apply(node.parcel(files=dict(FILES, **{file: text})))


COMPILED = Path(__file__).parents[1] / "compile"
GOLDEN = COMPILED / "golden"
ENDINGS = COMPILED / "endings" / "web-1"


def test_what_the_compiler_writes_is_within_the_grammar(node: Node) -> None:
    """The bundles of the compiler's own golden tests may be staged, each of them."""
    folders = [folder for folder in GOLDEN.iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        files = {name: (folder / name).read_text() for name in FILES}
        files["hosts"] = ""  # Those of another domain than this manifest's, perhaps.
        answer = node.stage(node.parcel(files=files))
        assert answer["result"] == "ok", (folder.name, answer.fields)


def test_what_the_compiler_writes_for_an_end_is_within_the_grammar(node: Node) -> None:
    """Rules that end and a list of deadlines, as they are compiled."""
    firewall = (ENDINGS / "firewall.nft").read_text()
    assert "meta time <" in firewall
    own = [line.split()[3] for line in firewall.splitlines() if "elements" in line][:2]
    interface = "link set dev tg-acme mtu 1420\n"
    for address in own:
        width, flag = ("/128", " nodad") if ":" in address else ("/32", "")
        interface += f"address replace {address}{width} dev tg-acme{flag}\n"
    files = dict(FILES, interface=interface, deadlines="")
    files["firewall.nft"] = firewall
    files["deadlines"] = (ENDINGS / "deadlines").read_text()
    answer = node.stage(node.parcel(files=files))
    assert answer["result"] == "ok", answer.fields
