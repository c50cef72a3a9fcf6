"""The interpreter of nftables' text against the kernel's nftables, and its refusals."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_address

import pytest

from tests.oracle.kernel import Sent, Trial, verdicts
from tests.oracle.nftsim import Firewall, Packet, judge
from tests.oracle.nfttext import Unknown

A4, B4, C4 = "10.0.0.1", "10.0.0.2", "10.7.0.9"
A6, B6, C6 = "fd00::1", "fd00::2", "fd00:7::9"

FRESH = (
    *(
        Sent(src, dst, protocol, port)
        for src, dst in ((A4, B4), (B4, A4), (A4, C4), (C4, B4), (A6, B6), (C6, A6))
        for protocol, port in ((6, 22), (6, 443), (17, 53), (17, 60), (17, 22))
    ),
    Sent(A4, B4, 1),
    Sent(B4, A4, 1, icmp_type=13),
    Sent(A6, B6, 58),
    Sent(C6, A6, 58, icmp_type=144),
    Sent(A4, B4, 47),
    Sent(A6, B6, 47),
    Sent(A4, B4, 132, 3868),
    Sent(A4, B4, 6, 22, sport=1000),
)
"""New flows of every sort; the kernel and the interpreter get each of them."""

RULES = {
    "a protocol's port": "tcp dport 22 accept",
    "a range of ports": "udp dport 53-60 accept",
    "another port": "tcp dport != 22 accept",
    "some ports": "tcp dport { 22, 440-450 } accept",
    "source port": "tcp sport 1000 accept",
    "th behind protocols": "meta l4proto { tcp, udp } th dport 22 accept",
    "protocol and port": "meta l4proto . th dport { tcp . 22, udp . 53-60 } accept",
    "neither of the pairs": (
        "meta l4proto { tcp, udp } "
        "meta l4proto . th dport != { tcp . 22, udp . 53-60 } accept"
    ),
    "a protocol": "meta l4proto udp accept",
    "a protocol's number": "meta l4proto 47 accept",
    "not a protocol": "meta l4proto != tcp accept",
    "icmp of both families": "meta l4proto { icmp, icmpv6 } accept",
    "icmp type": "icmp type echo-request accept",
    "icmpv6 type": "icmpv6 type { 128, 144 } accept",
    "a family": "meta nfproto ipv4 accept",
    "an address": f"ip saddr {A4} accept",
    "a prefix": "ip daddr 10.0.0.0/24 accept",
    "not an address leaves the other family": f"ip saddr != {A4} accept",
    "not in a set": f"ip6 saddr != {{ {A6}, fd00:8::/32 }} accept",
    "an address of IPv6": f"ip6 daddr {A6}/128 accept",
    "a range of addresses": f"ip saddr {A4}-{B4} accept",
    "a named set": "ip saddr @four accept",
    "an interval set": "ip6 daddr @six accept",
    "not in a named set": "ip daddr != @four drop\naccept",
    "two families in turn": "ip daddr != @four drop\nip6 daddr != @six drop\naccept",
    "set of pairs": "ip saddr . th dport @pairs accept",
    "interface": 'IFNAME "lo" tcp dport 22 accept',
    "not the interface": 'IFNAME != { "lo", "tg-x" } accept\nudp dport 53 accept',
    "other direction's interface": 'OTHER != "tg-x" tcp dport 443 accept',
    "jump and come back": "jump ssh\nudp dport 53 accept",
    "jump to the end of a chain": "udp dport 60 jump none\nudp dport 60 accept",
    "return goes back": "tcp dport 22 jump back\ntcp dport 22 accept",
    "goto does not come back": "udp dport 53 goto ssh\nudp dport 53-60 accept",
    "goto inside a jump": "jump over\nudp dport 22 accept",
    "a verdict map": "tcp dport vmap { 22 : accept, 443 : jump back }",
    "a named verdict map": "ip saddr vmap @sources\ntcp dport 443 accept",
    "accept before drop": "tcp dport 22 accept\nmeta l4proto tcp drop\naccept",
    "counters and comments": 'tcp dport 22 counter accept comment "ssh"',
    "syn": "tcp flags & (syn | rst) == syn accept",
    "syn of a mask": "tcp flags syn / syn,rst accept",
    "size of segments": (
        "tcp flags syn tcp option maxseg size set rt mtu\ntcp dport 22 accept"
    ),
    "new": "ct state new tcp dport 22 accept",
    "established": "ct state established,related accept\ntcp dport 22 accept",
    "direction": "ct direction original udp dport 53 accept",
}

TABLE = """
table inet under_test {}
delete table inet under_test
table inet under_test {
    set four { type ipv4_addr; elements = { 10.0.0.1, 10.7.0.9 }; }
    set six { type ipv6_addr; flags interval; elements = { fd00::/64 }; }
    set pairs {
        type ipv4_addr . inet_service
        flags interval
        elements = { 10.0.0.1 . 22, 10.0.0.2 . 50-60 }
    }
    map sources {
        type ipv4_addr : verdict
        elements = { 10.0.0.1 : jump ssh, 10.0.0.2 : drop }
    }
    chain ssh { tcp dport 22 accept; }
    chain none { tcp dport 9 drop; }
    chain back { return; accept; }
    chain over { udp dport 22 goto none; udp dport 60 accept; }
    chain base {
        type filter hook HOOK priority NAMED - 10; policy drop;
        RULES
    }
}
"""

TABLES = {
    "accept is not final for later chains": """
        chain one {
            type filter hook HOOK priority 0; policy accept; tcp dport 22 accept;
        }
        chain two { type filter hook HOOK priority 10; tcp dport { 22, 443 } drop; }
    """,
    "drop is final for later chains": """
        chain two { type filter hook HOOK priority raw; udp dport 53 drop; }
        chain one { type filter hook HOOK priority mangle; policy accept; accept; }
    """,
    "policy of the base chain": """
        chain one { type filter hook HOOK priority 0; policy drop; jump two; }
        chain two { tcp dport 22 accept; udp dport 22 return; udp dport 60 accept; }
    """,
}

needs_kernel = pytest.mark.skipif(
    not shutil.which("nft")
    or subprocess.run(
        ["unshare", "-rn", "nft", "list", "tables"], capture_output=True, check=False
    ).returncode
    != 0,
    reason="needs nft and a network namespace",
)


def _table(hook: str, rules: str) -> str:
    named = {"prerouting": "dstnat", "output": "filter", "postrouting": "srcnat"}
    text = TABLE.replace("HOOK", hook).replace("NAMED", named[hook])
    return text.replace("RULES", rules)


def _texts(hook: str) -> dict[str, str]:
    inward = hook == "prerouting"
    names = {
        name: _table(hook, rules)
        for name, rules in RULES.items()
        if not (inward and "rt mtu" in rules)  # there is no route yet
    }
    names |= {
        name: f"table inet under_test {{ {body} }}" for name, body in TABLES.items()
    }
    return {
        name: text.replace("HOOK", hook)
        .replace("IFNAME", "iifname" if inward else "oifname")
        .replace("OTHER", "oifname" if inward else "iifname")
        for name, text in names.items()
    }


def _packet(sent: Sent, hook: str, state: str = "new", way: str = "original") -> Packet:
    return Packet(
        ip_address(sent.src),
        ip_address(sent.dst),
        sent.protocol,
        sent.port,
        sent.sport,
        iif="lo" if hook == "prerouting" else "",
        oif="" if hook == "prerouting" else "lo",
        state=state,
        direction=way,
        icmp_type=sent.icmp_type,
    )


def _predicted(firewall: Firewall, packet: Packet, hook: str) -> bool | None:
    """None where the interpreter refuses: a port is read that isn't one."""
    try:
        return firewall.judge(hook, packet) == "accept"
    except Unknown:
        return None


@needs_kernel
@pytest.mark.parametrize("hook", ["prerouting", "output", "postrouting"])
def test_interpreter_agrees_with_the_kernel(hook: str) -> None:
    """Each rule set does to each packet what the interpreter says, and passes some
    and stops others."""
    texts = _texts(hook)
    found = verdicts([Trial(text, hook, FRESH) for text in texts.values()])
    refused = 0
    for (name, text), passed in zip(texts.items(), found, strict=True):
        firewall = Firewall.of(text)
        right = [_predicted(firewall, _packet(p, hook), hook) for p in FRESH]
        refused += right.count(None)
        wrong = [
            f"{p}: kernel {'passes' if k else 'drops'}"
            for p, k, r in zip(FRESH, passed, right, strict=True)
            if r is not None and r is not k
        ]
        assert not wrong, f"{name}: {wrong}"
        assert len(set(passed)) == 2, f"{name} does not tell packets apart"
    assert refused < len(FRESH)
    assert len(texts) >= 30


STATES = {
    "replies": "ct direction reply ct state established,related accept",
    "established": "ct state established accept",
    "established of the original direction": (
        "ct direction original ct state established accept"
    ),
    "new": "ct state new accept",
    "related errors": "ct state related meta l4proto { icmp, icmpv6 } accept",
    "not new": "ct state != new accept",
}


@needs_kernel
def test_interpreter_knows_states_as_the_kernel_does() -> None:
    """New, answering, answered and related packets match `ct` as in the kernel."""
    hook = "prerouting"
    there, back = Sent(A4, B4, 17, 53, 5000), Sent(B4, A4, 17, 5000, 53)
    silent = Sent(A4, C4, 17, 53, 5001)
    error = Sent(C4, A4, 1, 53, 5001, icmp_type=3, about=(A4, C4))
    sorts = (
        (there, "established", "original"),
        (back, "established", "reply"),
        (error, "related", "reply"),
        (Sent(A4, B4, 17, 53, 5002), "new", "original"),
        (silent, "new", "original"),
        (Sent(C6, A6, 17, 53, 5003), "new", "original"),
    )
    packets = tuple(sent for sent, _, _ in sorts)
    trials = [
        Trial(
            _table(hook, rules),
            hook,
            packets,
            before=(there, back, silent),
        )
        for rules in STATES.values()
    ]
    for (name, rules), trial, passed in zip(
        STATES.items(), trials, verdicts(trials), strict=True
    ):
        firewall = Firewall.of(trial.text)
        right = [
            firewall.judge(hook, _packet(sent, hook, state, way)) == "accept"
            for sent, state, way in sorts
        ]
        assert right == passed, f"{name}: {rules}"
        assert len(set(passed)) == 2


@pytest.mark.parametrize(
    "rules",
    [
        "ip saddr 10.0.0.1 log accept",
        "ip saddr 10.0.0.1 reject",
        "ip saddr @none accept",
        "ip6 saddr @four accept",
        "ip saddr 10.0.0.0/8 10.0.0.1 accept",
        "ip saddr 10.0.0.1/8 accept",
        "ip saddr fd00::1 accept",
        "ct state establishd accept",
        "tcp dport 65536 accept",
        "tcp dport 60-50 accept",
        "tcp dport 22,443 accept",
        "tcp dport accept",
        "jump nowhere",
        "accept tcp dport 22",
        "meta l4proto . th dport tcp . 22 accept",
        'iifname "tg-*" accept',
        "meta l4proto { tcp accept",
        "tcp dport vmap { 22 : accept, 23 }",
        "limit rate 1/second accept",
        "ip frag-off 1 drop",
        "tcp dport 22 accept # ssh",
        'include "other.nft"',
    ],
)
def test_interpreter_refuses_what_it_does_not_know(rules: str) -> None:
    """Odd words, types that don't fit and half sentences are errors, never skipped."""
    text = _table("prerouting", rules)
    with pytest.raises(Unknown):
        Firewall.of(text)


@pytest.mark.parametrize(
    "text",
    [
        "flush ruleset",
        "table ip x {}",
        "delete table inet x",
        "table inet x { chain a {} chain a {} }",
        "table inet x { chain a {",
        "table inet x {} }",
        "table inet x { set s { type ipv4_addr; elements = { 10.0.0.0/8 } } }",
        "table inet x { set s { type ether_addr; } }",
        "table inet x { set s { elements = { 1 } } }",
        "table inet x { chain a { type filter hook ingress priority 0; } }",
        "table inet x { chain a { type filter hook input priority often; } }",
        "table inet x { flowtable f {} }",
    ],
)
def test_interpreter_refuses_other_tables(text: str) -> None:
    """Other families, statements, types and hooks are errors, as is a cut text."""
    with pytest.raises(Unknown):
        Firewall.of(text)


def test_a_port_is_not_read_from_a_protocol_without_ports() -> None:
    """`th dport 22` on GRE would compare bytes of its header; that is refused,
    unless every value fits or the protocol in front of it doesn't."""
    gre = Packet(ip_address(A4), ip_address(B4), 47)
    with pytest.raises(Unknown):
        judge(_table("prerouting", "th dport 22 accept"), "prerouting", gre)
    pairs = "meta l4proto . th dport { tcp . 22, gre . 0-65535 } accept"
    assert judge(_table("prerouting", pairs), "prerouting", gre) == "accept"
    pairs = "meta l4proto . th dport { tcp . 22 } accept"
    assert judge(_table("prerouting", pairs), "prerouting", gre) == "drop"


def test_nat_chains_see_new_flows_only() -> None:
    """`masquerade` ends its chain with an accept, and a nat chain judges nothing but
    the first packet of a flow."""
    text = """
    table inet x {
        chain nat { type nat hook postrouting priority srcnat; policy drop;
            oifname "eth0" masquerade
        }
    }"""
    packet = Packet(ip_address(A4), ip_address(B4), 6, 22, oif="eth0")
    assert judge(text, "postrouting", packet) == "accept"
    other = Packet(ip_address(A4), ip_address(B4), 6, 22, oif="eth1")
    assert judge(text, "postrouting", other) == "drop"
    later = Packet(
        ip_address(A4), ip_address(B4), 6, 22, oif="eth1", state="established"
    )
    assert judge(text, "postrouting", later) == "accept"
