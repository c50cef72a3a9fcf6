"""The nftables table of a node: one text for each view, plus its own addresses.

What the table does (DESIGN §5), chain by chain:

- `raw` drops our own addresses arriving from anywhere but our interfaces: Linux
  answers for an address on any interface, and a LAN neighbour would get past WireGuard.
- `in` sits before destination NAT, so input, forwarding, Docker's published ports and
  NodePorts are judged alike, by the address that the sender wrote.
- `out` is its mirror, after routing and after source NAT, so that a published port's
  answers carry the address and port that the other end knows. It sees local and
  forwarded packets alike. Without it two nodes that no rule joins could punch a hole
  by both sending first.
- `forward` never lets one peer reach another with this node's identity, and lets
  others into the tunnel only from approved routes; it clamps TCP's MSS.

A packet passes if a rule allows it as it stands, or if conntrack knows it as the reply
of a flow that a rule allows *now*: replies are judged against the same sets with the
ends and ports swapped. So a revoked flow dies in both directions at once, also UDP
that only the server still sends. Related ICMP errors pass, else path MTU discovery
breaks.

Sources (or destinations) are grouped by exactly the ports they have; each group is one
hash set and one rule that jumps to the chain of those ports. What ends has a rule of
its own with `meta time < EPOCH`, so that it ends when nobody is there to take it out;
an integer, since nft reads a date in the node's time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from tailgit.access import Opening
from tailgit.compile.stencil import Stencil
from tailgit.model.addresses import Network
from tailgit.model.ports import ALL, ICMP, ICMPV6, NAMES, TCP, UDP, Ports

_KEYWORD = {4: "ip", 6: "ip6"}
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
_HOLES = (
    *("own", "sets", "here", "inward", "outward", "replies_in", "replies_out"),
    *("carried", "nat", "ports"),
)
_NAME_LIMIT = 48
_WORDS = {TCP: "tcp", UDP: "udp"}
"""Protocols that nft knows by itself; for others it reads /etc/protocols, which a bare
machine need not have, so they are written as numbers."""


Elements = Callable[[int, tuple[int, ...]], str]
ChainOf = Callable[[Ports], tuple[str, str]]


class Firewall:
    """Makes the tables of one tailnet."""

    def __init__(self, tailnet: str, ipv4: Sequence[str], ipv6: Sequence[str]) -> None:
        """`ipv4` and `ipv6` are the addresses of all devices by number."""
        self._addresses = {4: ipv4, 6: ipv6}
        self._ours = f'{{ "tg-{tailnet}", "tgr-{tailnet}" }}'
        self._stencil = Stencil(
            "nftables/table.nft.j2",
            _HOLES,
            table=table_name(tailnet),
            direct=f"tg-{tailnet}",
            relayed=f"tgr-{tailnet}",
        )
        self._sets: dict[tuple[int, tuple[int, ...]], str] = {}
        self._chains: dict[Ports, tuple[str, str]] = {}

    def body(
        self,
        inward: dict[int, tuple[Opening, ...]],
        outward: dict[int, tuple[Opening, ...]],
        routes: tuple[Network, ...],
    ) -> tuple[bytes, bytes]:
        """The text before and after a node's own sets, the same for a whole view."""
        rules = _Rules(self._elements, self._chain)
        come, answers_to_them = rules.lines("in", "saddr", "daddr", inward)
        go, answers_to_us = rules.lines("out", "daddr", "saddr", outward)
        text = self._stencil.fill(
            {
                "own": b"\0",
                "here": "".join(_here_lines(routes)).encode(),
                "inward": come.encode(),
                "outward": go.encode(),
                "replies_in": answers_to_us.encode(),
                "replies_out": answers_to_them.encode(),
                "sets": rules.sets().encode(),
                "carried": "".join(_carried_lines(routes)).encode(),
                "nat": self._nat_chain(routes).encode(),
                "ports": rules.chains().encode(),
            }
        )
        before, after = text.split(b"\0")
        return before, after

    def own_sets(self, ipv4: str, ipv6: str) -> bytes:
        """The two sets that differ between nodes of a view."""
        return (
            f"\tset own4 {{\n\t\ttype ipv4_addr\n\t\telements = {{ {ipv4} }}\n"
            f"\t}}\n\n\tset own6 {{\n\t\ttype ipv6_addr\n"
            f"\t\telements = {{ {ipv6} }}\n\t}}\n\n"
        ).encode()

    def _elements(self, version: int, numbers: tuple[int, ...]) -> str:
        """The inside of a set of devices; many views share one."""
        key = (version, numbers)
        if key not in self._sets:
            addresses = self._addresses[version]
            listed = ",\n\t\t\t".join([addresses[number] for number in numbers])
            self._sets[key] = (
                f"\t\ttype {_TYPE[version]}\n\t\telements = {{ {listed} }}\n"
            )
        return self._sets[key]

    def _chain(self, ports: Ports) -> tuple[str, str]:
        if ports not in self._chains:
            slug = port_slug(ports)
            self._chains[ports] = slug, _port_chains(slug, ports)
        return self._chains[ports]

    def _nat_chain(self, routes: tuple[Network, ...]) -> str:
        """Peers reach a subnet with this router's address there, so that hosts in it
        need no route back."""
        if not routes:
            return ""
        lines = "".join(
            f"\t\tiifname {self._ours} oifname != {self._ours} "
            f"{_KEYWORD[version]} daddr {carried} masquerade\n"
            for version in (4, 6)
            if (carried := _braced(r for r in routes if r.version == version))
        )
        return (
            "\n\tchain nat {\n"
            "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
            f"{lines}\t}}\n"
        )


class _Rules:
    """Collects the sets and port chains that the rules of one table name."""

    def __init__(self, elements: Elements, chain: ChainOf) -> None:
        self._elements = elements
        self._chain = chain
        self._sets: dict[str, str] = {}
        self._used: dict[str, str] = {}

    def lines(
        self,
        direction: str,
        there: str,
        here: str,
        openings: dict[int, tuple[Opening, ...]],
    ) -> tuple[str, str]:
        """The rules of one direction and those of its replies.

        `there` and `here` say which of saddr and daddr is whose in a packet of the
        original direction; in a reply it is the other way round.
        """
        originals: list[str] = []
        replies: list[str] = []
        for version, listed in openings.items():
            word = _KEYWORD[version]
            for opening in listed:
                slug, chain = self._chain(opening.ports)
                self._used[slug] = chain
                label = f"{direction}{version}_{slug}"
                before = ""
                if opening.until is not None:
                    label += f"_until_{opening.until}"
                    before = f"meta time < {opening.until} "
                for peers in self._peers(label, version, opening):
                    for lines, theirs, ours, verb in (
                        (originals, there, here, "allow"),
                        (replies, here, there, "reply"),
                    ):
                        scope = f"{word} {ours} {opening.here} " if opening.here else ""
                        match = f"{word} {theirs} {peers}" if peers else ""
                        match = match or f"meta nfproto ipv{version}"
                        lines.append(f"\t\t{before}{scope}{match} jump {verb}_{slug}\n")
        return "".join(originals), "".join(replies)

    def _peers(self, label: str, version: int, opening: Opening) -> Iterable[str]:
        """What an address is compared with: a set, prefixes, or "" for all."""
        if opening.devices:
            yield f"@{self._set(label, version, opening.devices)}"
        if opening.prefixes:
            everywhere = opening.prefixes[0].prefixlen == 0
            yield "" if everywhere else _braced(opening.prefixes)

    def _set(self, wanted: str, version: int, numbers: tuple[int, ...]) -> str:
        body = self._elements(version, numbers)
        name, count = wanted, 1
        while self._sets.setdefault(name, body) is not body:
            count += 1
            name = f"{wanted}_{count}"
        return name

    def sets(self) -> str:
        return "".join(
            f"\tset {name} {{\n{body}\t}}\n\n" for name, body in self._sets.items()
        )

    def chains(self) -> str:
        return "".join(self._used[slug] for slug in sorted(self._used))


def table_name(tailnet: str) -> str:
    return f"tailgit_{tailnet.replace('-', '_')}"


def port_slug(ports: Ports) -> str:
    """A name for a port set that an operator can read: `tcp_22_443`, `any`."""
    parts = []
    for number in sorted({protocol for protocol, _, _ in ports.ranges}):
        if number in (ICMP, ICMPV6):
            continue
        spans = [(a, b) for protocol, a, b in ports.ranges if protocol == number]
        texts = [] if spans == [ALL] else [_span(a, b, "to") for a, b in spans]
        parts.append("_".join([NAMES.get(number, f"proto{number}"), *texts]))
    slug = "__".join(parts).replace("-", "") or "icmp"
    if len(slug) > _NAME_LIMIT:
        # The whole digest: two port lists with one name would open each other's ports.
        slug = f"ports_{sha256(str(ports.ranges).encode()).hexdigest()}"
    return slug


def _port_chains(slug: str, ports: Ports) -> str:
    """The chain for packets to these ports, and the one for replies from them."""
    whole, pairs = [], []
    for protocol, first, last in ports.ranges:
        if protocol in (ICMP, ICMPV6):
            continue
        word = _WORDS.get(protocol, str(protocol))
        if (first, last) == ALL:
            whole.append(word)
        else:
            pairs.append(f"{word} . {_span(first, last, '-')}")
    # Any rule between two addresses lets them ping each other (POLICY.md §5).
    rest = f"\t\tmeta l4proto {{ {', '.join([*whole, 'icmp', 'icmpv6'])} }} accept\n"
    text = ""
    for verb, field in (("allow", "dport"), ("reply", "sport")):
        line = f"\t\tmeta l4proto . th {field} {{ {', '.join(pairs)} }} accept\n"
        text += f"\n\tchain {verb}_{slug} {{\n{line if pairs else ''}{rest}\t}}\n"
    return text


def _here_lines(routes: tuple[Network, ...]) -> Iterable[str]:
    """Drop what is not addressed to this node or to what it carries."""
    for version in (4, 6):
        word = _KEYWORD[version]
        carried = _braced(r for r in routes if r.version == version)
        also = f" {word} daddr != {carried}" if carried else ""
        yield f"\t\t{word} daddr != @own{version}{also} counter drop\n"


def _carried_lines(routes: tuple[Network, ...]) -> Iterable[str]:
    """What a router may forward into the tunnel: sources inside approved routes."""
    for version in (4, 6):
        carried = _braced(r for r in routes if r.version == version)
        if carried:
            yield f"\t\t{_KEYWORD[version]} saddr {carried} accept\n"


def _braced(prefixes: Iterable[Network]) -> str:
    listed = ", ".join(str(prefix) for prefix in prefixes)
    return f"{{ {listed} }}" if listed else ""


def _span(first: int, last: int, between: str) -> str:
    return str(first) if first == last else f"{first}{between}{last}"
