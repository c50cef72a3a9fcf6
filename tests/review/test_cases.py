"""Single edits that the difference has to get right, each before brute force."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tailgit.load import load
from tailgit.review.access import difference
from tailgit.review.witnesses import with_witnesses
from tests.review.brute import Brute
from tests.review.test_causes import BEFORE, SAID, said, tailnet
from tests.review.test_exact import wrong

ALL = '  - {src: ["*"], dst: [tag:db], ip: ["tcp:25"]}\n'
VIA = '  - {src: [group:dev], dst: ["10.20.0.0/16"], ip: ["tcp:80"], via: [tag:gw]}\n'
SOON = '  - {src: [group:dev], dst: [printer], ip: ["tcp:80"], expires: 2030-01-31}\n'
GATEWAY = "gw-1: {tags: [tag:gw], routes: [10.20.0.0/16]}"

Edit = tuple[str, str]

CASES: dict[str, tuple[list[Edit], list[Edit]]] = {
    # what is done before, and what is done then
    "a rule through routers": ([], [("", VIA)]),
    "a rule through other routers": ([("", VIA)], [("via: [tag:gw]", "via: [tag:db]")]),
    "everybody, with a route": ([("", ALL)], [(GATEWAY, "gw-1: {tags: [tag:gw]}")]),
    "everybody, with a route that ends": (
        [("", ALL)],
        [(GATEWAY, GATEWAY.replace("}", ", expires: 2030-01-31}"))],
    ),
    "a route that ends": (
        [],
        [(GATEWAY, GATEWAY.replace("}", ", expires: 2030-01-31}"))],
    ),
    "two routers of one route": (
        [],
        [(GATEWAY, f"{GATEWAY}\n  gw-2: {{tags: [tag:gw], routes: [10.20.0.0/16]}}")],
    ),
    "addresses that nobody has": (
        [],
        [("", '  - {src: ["100.100.7.0/24"], dst: [tag:db], ip: ["tcp:1"]}\n')],
    ),
    "addresses from outside": (
        [],
        [("", '  - {src: ["8.8.8.0/24"], dst: [tag:db], ip: ["tcp:1"]}\n')],
    ),
    "one address of a device": (
        [],
        [("", '  - {src: ["100.64.0.0/11"], dst: [ana-laptop], ip: ["tcp:1"]}\n')],
    ),
    "an end that another rule outlasts": (
        [("", SOON)],
        [("", SOON.replace("2030-01-31", "2031-01-31"))],
    ),
    "an end, and a rule without": (
        [("", SOON)],
        [("", SOON.replace(", expires: 2030-01-31", ""))],
    ),
    "a part of what is open": (
        [],
        [("", '  - {src: [group:dev], dst: [tag:db], ip: ["tcp:5000-6000"]}\n')],
    ),
    "a device by a new name": (
        [],
        [("  db-2: {", "  db-3: {formerly: [db-2], ")],
    ),
    "a new name, and another tag": (
        [],
        [("  db-2: {tags: [tag:db]}", "  db-3: {formerly: [db-2], tags: [tag:gw]}")],
    ),
    "a device with another address": ([], [("db-2: {", "db-2: {ipv4: 100.64.9.9, ")]),
    "self for some": (
        [],
        [
            (
                "[autogroup:member], dst: [autogroup:self]",
                "[group:ops], dst: [autogroup:self]",
            )
        ],
    ),
    "what self says already": (
        [],
        [("", '  - {src: [group:dev], dst: [group:dev], ip: ["tcp:22-23"]}\n')],
    ),
    "self that ends": (
        [],
        [("dst: [autogroup:self],", "dst: [autogroup:self], expires: 2030-01-31,")],
    ),
    "everything to everybody": (
        [],
        [("", '  - {src: ["*"], dst: ["*"], ip: ["*"]}\n')],
    ),
    "all but a little": (
        [("", '  - {src: ["*"], dst: ["*"], ip: ["*"]}\n')],
        [('["*"], dst: ["*"], ip: ["*"]', '[group:dev], dst: ["*"], ip: ["tcp:1-99"]')],
    ),
    "two exit nodes": (
        [],
        [("  db-2: {tags: [tag:db]}", "  db-2: {tags: [tag:exit], exitNode: true}")],
    ),
    "no ports but ping": (
        [],
        [("", '  - {src: [group:dev], dst: [tag:gw], ip: ["icmp:*"]}\n')],
    ),
} | {each[3] + each[2]: ([], [(each[0], each[1])]) for each in SAID}


def edited(text: str, edits: list[Edit]) -> str:
    """The text with one thing after the other replaced; "" is its end."""
    for there, instead in edits:
        assert not there or text.count(there) == 1, there
        text = text.replace(there, instead) if there else text + instead
    return text


@pytest.mark.parametrize("name", CASES)
def test_case_is_exact(name: str, tmp_path: Path) -> None:
    """There and back: what lines say is what packets do, at all times, counts too."""
    before, then = CASES[name]
    one = edited(BEFORE, before)
    old, new = tailnet(tmp_path / "a", one), tailnet(tmp_path / "b", edited(one, then))
    for some, others in ((old, new), (new, old)):
        seen: Counter[object] = Counter()
        found = difference(some, others)
        bad = next(wrong(found, Brute(some, others), seen), None)
        assert bad is None, (bad, said(found))


POLICY = """\
{
  "groups": {"group:eng": ["ana@x.com", "ben@x.com"], "group:none": []},
  "tagOwners": {"tag:web": [], "tag:db": []},
  "hosts": {"office": "10.1.0.0/16"},
  "acls": [
    {"action": "accept", "src": ["group:eng"], "dst": ["tag:web:443", "office:80"]},
    {"action": "accept", "src": ["tag:web", "group:none"], "dst": ["tag:db:5432"]},
    {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]},
  ],
}
"""

ALONE = [
    (', "ben@x.com"', ""),
    ('"group:none": []', '"group:none": ["cy@x.com"]'),
    ('"tag:db:5432"', '"tag:db:5432", "tag:web:9090"'),
    ('["tag:web", "group:none"]', '["*"]'),
    ('"tag:web:443"', '"*:443"'),
    ('"autogroup:self:*"', '"autogroup:self:22"'),
    ("10.1.0.0/16", "10.1.0.0/17"),
    (POLICY[POLICY.index('  "acls"') :], "}\n"),
]


@pytest.mark.parametrize("edit", ALONE, ids=[each[1][:30] for each in ALONE])
def test_policy_alone_is_exact(edit: Edit, tmp_path: Path) -> None:
    """A policy without any device: the two of each name are devices to brute force."""
    sides = []
    for name, text in (("a", POLICY), ("b", edited(POLICY, [edit]))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.hujson").write_text(text)
        sides.append(load(tmp_path / name).tailnet)
    one, other = sides
    assert one is not None
    assert other is not None
    for some, others in ((one, other), (other, one)):
        found = difference(some, others)
        old, new, unreal = with_witnesses(some, others)
        assert unreal
        assert not found.is_noop
        seen: Counter[object] = Counter()
        bad = next(wrong(found, Brute(old, new), seen), None)
        assert bad is None, (bad, said(found))
        assert found.counts.gain == found.counts.lose == 0
