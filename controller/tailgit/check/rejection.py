"""The one sentence that Tailscale would answer to a policy, if it refuses it.

Tailscale stops at the first mistake, tailgit says all of them. Which is the first
follows from the order in which its control plane looks: the names, the rules section by
section, then the tests, which need everything else to be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tailgit.model.codes import CODES
from tailgit.model.findings import Finding

_ORDER = (
    ("nested-group", "bad-member", "bad-tag"),
    ("bad-ipset", "unknown-ipset", "bad-posture", "unknown-posture"),
    ("bad-action", "empty-grant", "bad-via", "bad-app"),
    ("bad-port", "bad-destination", "autogroup-not-here", "unknown-autogroup"),
    ("unknown-name", "whole-internet", "self-source"),
    ("unknown-tag", "unknown-group"),
    ("bad-domain", "bad-ssh", "bad-attribute"),
    ("bad-ssh-test",),
    ("bad-test", "test-of-nobody", "test-failed", "ssh-test-failed"),
)
_PAIR = re.compile(r'groups\["(.*)"\]: "(.*)": ')
_DEEPEST = 100
_STAGE = {code: stage for stage, codes in enumerate(_ORDER) for code in codes}
TESTS = frozenset(_ORDER[-1])
"""Codes of examples that fail, or ask for nothing: one sentence for all of them."""


def rejection(findings: Iterable[Finding]) -> Finding | None:
    """The finding that Tailscale would report; None if it takes the policy."""
    wrong = [each for each in findings if each.code in _STAGE and each.is_error]
    nested = [each for each in wrong if each.code == "nested-group"]
    if nested:
        return _deepest(nested)
    return min(wrong, key=lambda each: (_STAGE[each.code], each.place), default=None)


def _deepest(nested: list[Finding]) -> Finding:
    """Of groups in groups: the one furthest from the top, and the last by name."""
    pairs = {}
    for each in nested:
        match = _PAIR.match(each.message)
        pairs[each] = (match[1], match[2]) if match else ("", "")
    depth = dict.fromkeys((parent for parent, _ in pairs.values()), 0)
    for _ in range(min(len(depth), _DEEPEST)):  # longer ways are circles
        for parent, member in pairs.values():
            if member in depth:
                depth[member] = max(depth[member], min(depth[parent] + 1, len(depth)))
    return max(pairs, key=lambda each: (depth[pairs[each][0]], pairs[each]))


def rejection_text(finding: Finding) -> str:
    """Tailscale's sentence for it."""
    return "test(s) failed" if finding.code in TESTS else finding.message


def ordered_codes() -> frozenset[str]:
    """Every code with a place in the order: all of the policy's layer, by a test."""
    return frozenset(_STAGE) & frozenset(CODES)
