"""The naive judge against verdicts of the real control plane.

A judge that shares its author's misunderstandings with the engine proves little, so
it stands trial itself: every case of the policy corpus (`TAILGIT_CORPUS`, default
`../shared/corpus` beside the checkout) that is not a rejection. The policies are read
by the product's loader; what they mean is the judge's own business. The corpus is not
part of the project; without it the test is skipped, visibly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network, summarize_address_range
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tailgit.access import Relation
from tailgit.model.findings import Place
from tailgit.model.policy import Rule
from tailgit.model.ports import WITH_PORTS, parse_acl
from tailgit.model.selectors import parse_selector
from tailgit.model.tailnet import Tailnet
from tests.conformance.answers import read_policy
from tests.oracle.naive import Judge
from tests.oracle.packets import inbound

CORPUS = Path(
    os.environ.get("TAILGIT_CORPUS", Path(__file__).parents[3] / "shared" / "corpus")
)
NOWHERE = Place("case")

Case = dict[str, Any]


def _cases() -> Iterator[tuple[Case, Tailnet]]:
    with (CORPUS / "cases.jsonl").open(encoding="utf-8") as lines:
        for case in map(json.loads, lines):
            if not case["expect"]["error"]:
                tailnet, wrong = read_policy(case["policy"], case["topology"])
                assert tailnet is not None, case["id"]
                assert wrong == []
                yield case, tailnet


def _captured(rules: list[Case], judge: Judge) -> Judge:
    """A judge whose only rules are the literal boxes that the control plane sent."""
    written = []
    for rule in rules:
        src = [parse_selector(s, devices=(), hosts=()) for s in _cidrs(rule["src"])]
        for dst in rule["dst"]:
            for protocol in rule["proto"] or (1, 6, 17, 58):
                target = parse_selector(dst["ip"], devices=(), hosts=())
                named = dst["ports"] if protocol in WITH_PORTS else "*"
                ports = parse_acl(str(protocol), named)
                written.append(Rule(tuple(src), (target,), ports, NOWHERE))
    return Judge(replace(judge.tailnet, rules=tuple(written)))


def _cidrs(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if "-" not in text:
            yield text
            continue
        first, last = map(ip_address, text.split("-"))
        yield from map(str, summarize_address_range(first, last))


@pytest.fixture(scope="module")
def cases() -> list[tuple[Case, Tailnet]]:
    if not (CORPUS / "cases.jsonl").is_file():
        pytest.skip(f"no policy corpus at {CORPUS} (TAILGIT_CORPUS)")
    return list(_cases())


def test_judge_has_the_peers_of_the_control_plane(
    cases: list[tuple[Case, Tailnet]],
) -> None:
    """Peers and AllowedIPs are those captured, but for the one case about a node
    attribute, which the judge does not read."""
    entries = 0
    for case, tailnet in cases:
        if "peers" not in case["checks"] or "disable-ipv4" in str(case["policy"]):
            continue
        judge = Judge(tailnet)
        for node, captured in case["expect"]["peers"].items():
            right = {
                peer: frozenset(map(ip_network, ips)) for peer, ips in captured.items()
            }
            entries += len(right)
            assert judge.peers(node) == right, f"{case['id']}: {node}"
    assert entries > 15_000


def test_judge_lets_the_captured_packets_pass(
    cases: list[tuple[Case, Tailnet]],
) -> None:
    """At each node exactly the packets pass that the captured filter lets pass, with
    the judge and with the openings that firewalls are made of."""
    packets = 0
    for case, tailnet in cases:
        if "per_node" not in case["checks"]:
            continue
        judge, relation = Judge(tailnet), Relation.of(tailnet)
        for name, rows in case["expect"]["per_node"].items():
            other = _captured(rows, judge)
            for p in islice(inbound(judge, name), 0, None, 11):
                packets += 1
                right = other.allows(name, p.src, p.dst, p.protocol, p.port)
                found = judge.allows(name, p.src, p.dst, p.protocol, p.port)
                assert found == right, f"{case['id']}: {name} {p}"
                found = relation.accepts(name, p.src, p.dst, p.protocol, p.port)
                assert found == right, f"{case['id']}: {name} {p}, by the openings"
    assert packets > 50_000
