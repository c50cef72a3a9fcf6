"""The access engine against the naive judge, over generated tailnets.

`TAILGIT_ORACLE_EXAMPLES` (default 100) says how many tailnets each question is asked
about. The sequence is the same in every run; a larger number makes it longer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tailgit.model.addresses import Address
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Tailnet
from tests.oracle.generate import over_tailnets
from tests.oracle.meanings import INTERNET
from tests.oracle.naive import Judge, overlap
from tests.oracle.packets import Packet, inbound, outbound, probes
from tests.oracle.sketch import CASES, Case, sketch, where
from tests.oracle.words import DEADLINES, NO_DESTINATIONS, NO_SOURCES

if TYPE_CHECKING:
    from tailgit.access import Relation

EXAMPLES = int(os.environ.get("TAILGIT_ORACLE_EXAMPLES", "100"))
MIXED_AT_LEAST = 0.3
LIVE_AT_LEAST = EXAMPLES // 30


@dataclass
class Tally:
    """What was judged, so that agreement can be shown not to be empty."""

    tailnets: int = 0
    packets: Counter[tuple[str, bool]] = field(default_factory=Counter)
    written: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    live: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    pairs: int = 0
    mixed: int = 0
    couples: int = 0
    lopsided: int = 0

    def add(self, judge: Judge) -> None:
        """Count one tailnet: its selectors and the access of its device pairs."""
        self.tailnets += 1
        for rule in judge.tailnet.rules:
            for side, selectors in (("src", rule.src), ("dst", rule.dst)):
                for selector in selectors:
                    self.written[side, selector.kind] += 1
                    if not rule.disabled and _means_something(judge, selector):
                        self.live[side, selector.kind] += 1
        access = {
            (a, b): tuple(_access(judge, a, b))
            for a in judge.devices
            for b in judge.devices
            if a != b
        }
        self.pairs += len(access)
        self.mixed += sum(any(x) and not all(x) for x in access.values())
        self.couples += len(access) // 2
        self.lopsided += sum(x != access[b, a] for (a, b), x in access.items()) // 2

    def report(self) -> str:
        """The table that the run ends with."""
        packets = ", ".join(
            f"{count} {way} {'allowed' if passed else 'denied'}"
            for (way, passed), count in sorted(self.packets.items())
        )
        mixed, lopsided = self.mixed / self.pairs, self.lopsided / self.couples
        lines = [
            f"{self.tailnets} tailnets; packets: {packets}",
            f"both access and denial: {mixed:.0%} of {self.pairs} ordered device pairs",
            f"other access back than forth: {lopsided:.0%} of {self.couples} couples",
            f"{'selector':<18}{'in src':>9}{'live':>7}{'in dst':>9}{'live':>7}",
        ]
        lines += [
            f"{kind:<18}"
            f"{self.written['src', kind]:>9}{self.live['src', kind]:>7}"
            f"{self.written['dst', kind]:>9}{self.live['dst', kind]:>7}"
            for kind in Kind
        ]
        return "\n".join(lines)

    def rare(self) -> list[tuple[str, Kind]]:
        """Selectors that stood for something too seldom to have been tested."""
        wanted = [("src", kind) for kind in Kind if kind not in NO_SOURCES]
        wanted += [("dst", kind) for kind in Kind if kind not in NO_DESTINATIONS]
        wanted.remove(("src", Kind.SHARED))  # stands for nobody, on purpose
        return [key for key in wanted if self.live[key] < LIVE_AT_LEAST]


def _access(judge: Judge, a: str, b: str) -> Iterator[bool]:
    """What `a` may send to `b`, probe by probe."""
    here, there = judge.devices[a], judge.devices[b]
    for src, dst in ((here.ipv4, there.ipv4), (here.ipv6, there.ipv6)):
        for protocol, port in probes(judge.tailnet):
            yield judge.allows(b, src, dst, protocol, port)


def _means_something(judge: Judge, selector: Selector) -> bool:
    """Whether the selector stands for any device, address or route that exists."""
    if selector.kind is Kind.ANY:
        return True
    if selector.kind is Kind.SELF:
        return any(device.owner for device in judge.devices.values())
    if selector.kind is Kind.INTERNET:
        return any(judge.is_exit(name) for name in judge.devices)
    named = judge.networks(selector)
    return any(overlap(named, judge.own(d)) for d in judge.devices.values())


def _relation(tailnet: Tailnet, at: int | None = None) -> Relation:
    from tailgit.access import Relation

    return Relation.of(tailnet, at)


def test_engine_accepts_what_the_judge_allows(
    record_property: Callable[[str, object], None],
) -> None:
    """At every device, every packet the tunnel can bring is judged alike; every kind
    of selector took part, on both sides, and access and denial are both common."""
    tally = Tally()

    def ask(tailnet: Tailnet) -> None:
        judge, relation = Judge(tailnet), _relation(tailnet)
        tally.add(judge)
        for node in judge.devices:
            for p in inbound(judge, node):
                right = judge.allows(node, p.src, p.dst, p.protocol, p.port)
                tally.packets["inbound", right] += 1
                found = relation.accepts(node, p.src, p.dst, p.protocol, p.port)
                assert found == right, f"{node} accepts {p}: {found}, not {right}"

    over_tailnets(EXAMPLES, ask)
    record_property("oracle", tally.report())
    assert min(tally.packets["inbound", way] for way in (True, False)) > 1000
    assert tally.rare() == []
    assert tally.mixed / tally.pairs >= MIXED_AT_LEAST


def test_engine_sends_what_some_receiver_accepts() -> None:
    """A packet may leave exactly if its source is the sender's own and another device
    that has its destination would accept it; what nobody has goes nowhere."""
    tally = Tally()

    def ask(tailnet: Tailnet) -> None:
        judge, relation = Judge(tailnet), _relation(tailnet)
        for node in judge.devices:
            ways = [ip for ips in relation.peers(node).values() for ip in ips]
            ways = [way for way in ways if way.prefixlen]  # an exit node is no owner
            for p in outbound(judge, node):
                right = judge.may_send(node, p.src, p.dst, p.protocol, p.port)
                tally.packets["outbound", right] += 1
                found = relation.sends(node, p.src, p.dst, p.protocol, p.port)
                if any(p.dst in route for route in judge.approved(node)):
                    continue  # of two routers of a prefix none sends it to the other
                assert found >= right, f"{node} does not send {p}"
                if any(p.dst in network for network in INTERNET) and any(
                    map(judge.is_exit, judge.devices)
                ):
                    continue  # what goes to an exit node that node judges
                if not judge.belongs_to_another(node, p.dst):
                    # The filter may say yes to `*`: WireGuard has no peer for it.
                    found = found and any(p.dst in way for way in ways)
                assert found == right, f"{node} sends {p}: {found}, not {right}"

    over_tailnets(EXAMPLES, ask)
    assert min(tally.packets["outbound", way] for way in (True, False)) > 1000


def test_engine_approves_the_same_routes() -> None:
    """The routes that count are those with an approver, at each device."""
    seen: Counter[bool] = Counter()

    def ask(tailnet: Tailnet) -> None:
        judge, relation = Judge(tailnet), _relation(tailnet)
        for node, device in judge.devices.items():
            right = judge.approved(node)
            seen.update(route.prefix in right for route in device.routes)
            found = relation.approved(node)
            assert len(found) == len(set(found))
            assert set(found) == set(right), f"approved at {node}"

    over_tailnets(EXAMPLES, ask)
    assert min(seen[True], seen[False]) > EXAMPLES // 6


def test_engine_gives_the_same_peers_and_allowed_ips() -> None:
    """Peers are those that may reach or be reached, with the routes that go with it,
    and being a peer is mutual."""
    seen: Counter[str] = Counter()

    def ask(tailnet: Tailnet) -> None:
        judge, relation = Judge(tailnet), _relation(tailnet)
        for node in judge.devices:
            right = judge.peers(node)
            seen["peers"] += len(right)
            seen["strangers"] += len(judge.devices) - 1 - len(right)
            seen["routes"] += sum(len(ips) - 2 for ips in right.values())
            found = {p: frozenset(ips) for p, ips in relation.peers(node).items()}
            assert found == right, f"peers of {node}"
            assert all(node in judge.peers(peer) for peer in right)

    over_tailnets(EXAMPLES, ask)
    assert min(seen.values()) > EXAMPLES // 3


def test_engine_knows_what_is_over() -> None:
    """At each deadline and a second before it the engine, asked for that time, agrees
    with the judge; and what it says without a time, with its own deadlines, too."""
    seen: Counter[bool] = Counter()

    def ask(tailnet: Tailnet) -> None:
        always = _relation(tailnet)
        for at in (DEADLINES[0] - 1, *DEADLINES):
            judge, relation = Judge(tailnet, at), _relation(tailnet, at)
            assert set(relation.position) == set(judge.devices)
            for node in judge.devices:
                right = {n: frozenset(ips) for n, ips in judge.peers(node).items()}
                found = relation.peers(node)
                assert {n: frozenset(ips) for n, ips in found.items()} == right
                lasting = _peers_at(always, node, at)
                mutual = {name for name in lasting if name in judge.devices}
                assert mutual == set(right), f"peers of {node} at {at}"
                for p in list(inbound(judge, node))[::7]:
                    passes = judge.allows(node, p.src, p.dst, p.protocol, p.port)
                    seen[passes] += 1
                    sees = relation.accepts(node, p.src, p.dst, p.protocol, p.port)
                    assert sees == passes, f"{node} at {at}: {p}"
                    if _is_there(judge, p.src) and not judge.is_exit(node):
                        late = _passes_at(always, node, p, at)
                        assert late == passes, f"{node} until {at}: {p}"

    over_tailnets(EXAMPLES // 4, ask)
    assert min(seen[True], seen[False]) > 1000


def _peers_at(relation: Relation, node: str, at: int) -> set[str]:
    """The peers that have not ended, by the relation of all times."""
    ends = relation.peer_deadlines(relation.view(node))
    return {
        name
        for name in relation.peers(node)
        if ends.get(relation.position[name], at + 1) > at
    }


def _is_there(judge: Judge, address: Address) -> bool:
    """Whether somebody has the address now, so that a peer can bring it."""
    return any(judge.belongs_to_another(name, address) for name in judge.devices)


def _passes_at(relation: Relation, node: str, p: Packet, at: int) -> bool:
    """Whether an opening that has not ended lets the packet in."""
    number = relation.number_of_address.get(p.src)
    for opening in relation.inward(relation.view(node), p.dst.version):
        if opening.until is not None and opening.until <= at:
            continue
        if opening.here is None:
            own = (*relation.device(node).addresses,)
            at_end = p.dst in own or any(p.dst in r for r in relation.approved(node))
        else:
            at_end = p.dst in opening.here
        covers = number in opening.devices or any(p.src in n for n in opening.prefixes)
        passes = p.protocol in (1, 58) or opening.ports.allows(p.protocol, p.port)
        if at_end and covers and passes and p.src.version == p.dst.version:
            return True
    return False


HERE = [case for case in CASES if case[4] != "old"]


@pytest.mark.parametrize("case", HERE, ids=[case[0] for case in HERE])
def test_engine_on_hand_made_cases(case: Case) -> None:
    """The engine gives the answers that a reader of the policy would give."""
    _, rules, src, dst, node, protocol, port, right = case
    tailnet = sketch(*rules)
    ends = ip_address(where(src)), ip_address(where(dst))
    assert _relation(tailnet).accepts(node, *ends, protocol, port) == bool(right)


@pytest.mark.parametrize(
    ("rule", "node"),
    [
        ("* > fd00:64::3 on 22", "lap"),
        ("lan > fd00:64::3 on 22", "lap"),
        ("fd00:64::3 > lan on 22", "lap"),
        ("100.64.0.1 > fd00:64::3 on 22", "db"),
    ],
)
def test_peers_are_blind_to_the_family(rule: str, node: str) -> None:
    """Who is a peer and with which routes does not ask whether source and destination
    have one family: so it is in the captures (corpus: routes-r8)."""
    tailnet = sketch(rule)
    found = _relation(tailnet).peers(node)
    right = Judge(tailnet).peers(node)
    assert {peer: frozenset(ips) for peer, ips in found.items()} == right
    assert right
