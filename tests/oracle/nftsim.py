"""What an nftables rule set would do to a packet, read from its text alone.

The interpreter knows what a filter of ours may use and refuses the rest, so that no
new construct passes unjudged. `test_nftsim` holds it against the kernel.

The order of things is netfilter's: all base chains of a hook by priority; `drop` is
final everywhere, `accept` and the policy only for their base chain; `jump` comes back
behind itself, `goto` to whatever its chain was jumped from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tailgit.model.addresses import Address
from tests.oracle.nfttext import (
    HOOKS,
    UNREADABLE,
    Chain,
    Table,
    Test,
    Unknown,
    Value,
    Verdict,
    constant,
    elements,
    parse,
)

WITH_PORTS = (6, 17, 132)
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg")


@dataclass(frozen=True)
class Packet:
    """One packet at a hook; a TCP packet of state `new` is a SYN."""

    src: Address
    dst: Address
    protocol: int
    port: int = 0
    sport: int = 40000
    iif: str = ""
    oif: str = ""
    state: str = "new"
    direction: str = "original"
    icmp_type: int | None = None
    mark: int = 0
    time: int = 0

    @property
    def type(self) -> int:
        """The ICMP type: an echo request unless said otherwise."""
        if self.icmp_type is not None:
            return self.icmp_type
        return 8 if self.src.version == 4 else 128

    @property
    def flags(self) -> frozenset[str]:
        return frozenset({"syn"} if self.state == "new" else {"ack"})


def judge(text: str, hook: str, packet: Packet) -> Verdict:
    """The verdict of all tables of `text` together on a packet at `hook`."""
    return Firewall.of(text).judge(hook, packet)


Outcome = bool | tuple[str, ...]
"""Of one step of a rule: it matches, it doesn't, or it is the verdict."""
Step = Callable[[Packet], Outcome]
Getter = Callable[[Packet], Value | None]
"""A field's value; None where the packet has no such field, which ends the rule."""


@dataclass(frozen=True)
class _Base:
    chain: Chain
    rules: dict[str, list[list[Step]]]
    name: str


@dataclass(frozen=True)
class Firewall:
    """A rule set made ready to judge many packets."""

    bases: dict[str, list[_Base]] = field(default_factory=dict)

    @staticmethod
    def of(text: str) -> Firewall:
        """`Unknown` if the text holds anything that is not understood."""
        bases: dict[str, list[_Base]] = {hook: [] for hook in HOOKS}
        for table in parse(text).values():
            rules = {
                name: [_Rule(table, words).steps() for words in chain.rules]
                for name, chain in table.chains.items()
            }
            for name, chain in table.chains.items():
                if chain.hook:
                    bases[chain.hook].append(_Base(chain, rules, name))
        for found in bases.values():
            found.sort(key=lambda base: base.chain.priority)
        return Firewall(bases)

    def judge(self, hook: str, packet: Packet) -> Verdict:
        """`accept` unless some base chain of the hook drops the packet."""
        for base in self.bases[hook]:
            if base.chain.kind == "nat" and packet.state != "new":
                continue
            if (_run(base.rules, base.name, packet) or base.chain.policy) == "drop":
                return "drop"
        return "accept"


def _run(
    rules: dict[str, list[list[Step]]], name: str, packet: Packet
) -> Verdict | None:
    """What a chain says; None if it comes to its end or returns."""
    for steps in rules[name]:
        match _verdict(steps, packet):
            case ("accept",):
                return "accept"
            case ("drop",):
                return "drop"
            case ("return",):
                return None
            case ("goto", target):
                return _run(rules, target, packet)
            case ("jump", target):
                if verdict := _run(rules, target, packet):
                    return verdict
            case ():
                pass
            case odd:
                raise Unknown(f"verdict {odd}")
    return None


def _verdict(steps: list[Step], packet: Packet) -> tuple[str, ...]:
    for step in steps:
        outcome = step(packet)
        if isinstance(outcome, tuple):
            return outcome
        if not outcome:
            break
    return ()


class _Rule:
    """Reads one rule's words, left to right."""

    def __init__(self, table: Table, words: list[str]) -> None:
        self.table = table
        self.words = list(words)
        self.text = " ".join(words)

    def steps(self) -> list[Step]:
        steps: list[Step] = []
        final = False
        while self.words:
            if final and self.words[0] != "comment":
                raise self.odd("something behind a verdict")
            step, final = self.statement()
            steps.append(step)
        return steps

    def odd(self, what: str) -> Unknown:
        return Unknown(f"{what} in `{self.text}`")

    def take(self, *wanted: str) -> str:
        if not self.words or (wanted and self.words[0] not in wanted):
            raise self.odd(f"no {' or '.join(wanted) or 'word'}")
        return self.words.pop(0)

    def has(self, *wanted: str) -> bool:
        """Take these words if they come next."""
        if self.words[: len(wanted)] != list(wanted):
            return False
        del self.words[: len(wanted)]
        return True

    def statement(self) -> tuple[Step, bool]:
        """The next statement, and whether it ends the rule."""
        if self.has("counter"):
            if self.has("packets"):
                self.take()
                self.take("bytes")
                self.take()
            return (lambda _: True), False
        if self.has("comment"):
            self.take()
            return (lambda _: True), False
        if self.has("tcp", "option", "maxseg", "size", "set", "rt", "mtu"):
            return (lambda packet: packet.protocol == 6), False
        if self.words[0] in ("accept", "drop", "return", "jump", "goto"):
            words = self.verdict(self.words)
            self.words = self.words[len(words) :]
            return (lambda _: words), True
        if self.has("masquerade"):
            return (lambda _: ("accept",)), True
        return self.match()

    def verdict(self, words: list[str]) -> tuple[str, ...]:
        if words[0] in ("jump", "goto"):
            if len(words) < 2 or words[1] not in self.table.chains:
                raise self.odd("a chain that isn't there")
            return words[0], words[1]
        if words[0] not in ("accept", "drop", "return"):
            raise self.odd(f"verdict {words[0]}")
        return (words[0],)

    def match(self) -> tuple[Step, bool]:
        """`FIELD [. FIELD …] [==|!=] VALUE|@SET|{ SET }`, `FIELD vmap MAP` or
        `meta time < EPOCH`."""
        if self.has("tcp", "flags"):
            return self.flags(), False
        if self.has("meta", "time", "<"):
            until = int(self.take())  # an integer: a date depends on the time zone
            return lambda packet: packet.time < until, False
        getters, kinds = self.fields()
        if self.has("vmap"):
            return self.map(getters, kinds), True
        wanted = not self.has("!=")
        if wanted:
            self.has("==")
        holds = self.values(kinds)

        def step(packet: Packet) -> bool:
            values = _values(getters, packet)
            return values is not None and holds(values) is wanted

        return step, False

    def fields(self) -> tuple[list[Getter], tuple[str, ...]]:
        getters, kinds = [], []
        while True:
            getter, kind = self.field()
            getters.append(getter)
            kinds.append(kind)
            if not self.has("."):
                return getters, tuple(kinds)

    def field(self) -> tuple[Getter, str]:
        head = self.take()
        if head in ("iifname", "oifname"):
            self.words.insert(0, head)
            head = "meta"
        key = f"{head} {self.take()}"
        if key not in FIELDS:
            raise self.odd(f"field {key}")
        return FIELDS[key]

    def values(self, kinds: tuple[str, ...]) -> Callable[[tuple[Value, ...]], bool]:
        if self.words and self.words[0].startswith("@"):
            name = self.take()[1:]
            if name not in self.table.sets or self.table.sets[name].types != kinds:
                raise self.odd(f"set {name}")
            found = self.table.sets[name].elements
            return lambda values: any(e.holds(values) for e in found)
        if self.words and self.words[0] == "{":
            listed = elements(self.braced(), kinds)
            return lambda values: any(e.holds(values) for e in listed)
        if len(kinds) != 1:
            raise self.odd("a concatenation without a set")
        tests: list[Test] = [constant(self.take(), kinds[0])]
        while self.has(","):
            if kinds[0] != "ct_state":
                raise self.odd("a list outside braces")
            tests.append(constant(self.take(), kinds[0]))
        return lambda values: any(test(values[0]) for test in tests)

    def map(self, getters: list[Getter], kinds: tuple[str, ...]) -> Step:
        if self.words and self.words[0].startswith("@"):
            name = self.take()[1:]
            if name not in self.table.maps or self.table.maps[name].types != kinds:
                raise self.odd(f"map {name}")
            found = self.table.maps[name].elements
        else:
            found = elements(self.braced(), kinds, verdicts=True)
        leads = [(e, self.verdict(list(e.verdict))) for e in found]

        def step(packet: Packet) -> Outcome:
            values = _values(getters, packet)
            if values is None:
                return False
            return next((to for e, to in leads if e.holds(values)), False)

        return step

    def braced(self) -> list[str]:
        self.take("{")
        if "}" not in self.words:
            raise self.odd("an open brace")
        end = self.words.index("}")
        inner, self.words = self.words[:end], self.words[end + 1 :]
        return inner

    def flags(self) -> Step:
        """`syn / syn,rst`, `& (syn | rst) == syn`, `syn`."""
        if self.has("&"):
            self.take("(")
            mask = self.listed("|")
            self.take(")")
            self.take("==")
            wanted = self.listed("|")
        else:
            wanted = self.listed(",")
            if not self.has("/"):
                some = frozenset(wanted)
                return lambda packet: packet.protocol == 6 and bool(packet.flags & some)
            mask = self.listed(",")
        inside, right = frozenset(mask), frozenset(wanted)
        return lambda packet: packet.protocol == 6 and packet.flags & inside == right

    def listed(self, by: str) -> list[str]:
        found = [self.take(*FLAGS)]
        while self.has(by):
            found.append(self.take(*FLAGS))
        return found


def _values(getters: list[Getter], packet: Packet) -> tuple[Value, ...] | None:
    values = [getter(packet) for getter in getters]
    present = tuple(value for value in values if value is not None)
    return present if len(present) == len(values) else None


def _address(side: str, version: int) -> Getter:
    def get(packet: Packet) -> Value | None:
        address: Address = getattr(packet, side)
        return int(address) if address.version == version else None

    return get


def _port(side: str, protocol: int | None = None) -> Getter:
    """`th` reads any header there; the others bring their protocol along."""

    def get(packet: Packet) -> Value | None:
        if protocol is None:
            readable = packet.protocol in WITH_PORTS
            return int(getattr(packet, side)) if readable else UNREADABLE
        return int(getattr(packet, side)) if packet.protocol == protocol else None

    return get


def _type(protocol: int) -> Getter:
    return lambda packet: packet.type if packet.protocol == protocol else None


FIELDS: dict[str, tuple[Getter, str]] = {
    "meta iifname": (lambda packet: packet.iif, "ifname"),
    "meta oifname": (lambda packet: packet.oif, "ifname"),
    "meta l4proto": (lambda packet: packet.protocol, "inet_proto"),
    "meta nfproto": (lambda packet: packet.src.version, "nf_proto"),
    "meta mark": (lambda packet: packet.mark, "mark"),
    "ct state": (lambda packet: packet.state, "ct_state"),
    "ct direction": (
        lambda p: None if p.state in ("untracked", "invalid") else p.direction,
        "ct_dir",
    ),
    "ip saddr": (_address("src", 4), "ipv4_addr"),
    "ip daddr": (_address("dst", 4), "ipv4_addr"),
    "ip6 saddr": (_address("src", 6), "ipv6_addr"),
    "ip6 daddr": (_address("dst", 6), "ipv6_addr"),
    "icmp type": (_type(1), "icmp_type"),
    "icmpv6 type": (_type(58), "icmpv6_type"),
    "th dport": (_port("port"), "inet_service"),
    "th sport": (_port("sport"), "inet_service"),
    "tcp dport": (_port("port", 6), "inet_service"),
    "tcp sport": (_port("sport", 6), "inet_service"),
    "udp dport": (_port("port", 17), "inet_service"),
    "udp sport": (_port("sport", 17), "inet_service"),
    "sctp dport": (_port("port", 132), "inet_service"),
    "sctp sport": (_port("sport", 132), "inet_service"),
}
