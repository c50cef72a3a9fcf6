"""What a node refuses to load, whoever signed it."""

from __future__ import annotations

import pytest

from tests.node.nodes import Node
from tests.node.parcel import FILES, PEER, WIREGUARD

pytestmark = pytest.mark.live

OTHER_PEER = "B" * 42 + "A="

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
    "nft: a set on one line": (
        "firewall.nft",
        "  chain raw {",
        "  set x { type ipv4_addr; }\n  chain raw {",
    ),
}


@pytest.mark.parametrize("case", BENIGN)
def test_text_within_the_grammar_runs(node: Node, case: str) -> None:
    """The grammar keeps no good bundle out, and observe finds all of it again."""
    file, old, new = BENIGN[case]
    text = FILES[file].replace(old, new) if old else FILES[file] + new
    node.apply(node.parcel(files=dict(FILES, **{file: text})))
