"""Damaged policies in HuJSON: bytes changed at random, and what must never happen.

    python -m tests.load.fuzz_hujson SECONDS [SEED]

looks for failures that long and prints each with its file. A policy alone is loaded
and checked; whatever it says, there is no traceback, no hang, and every finding has a
place inside the file. What is read is read the same without its comments.
"""

from __future__ import annotations

import json
import re
import sys
import time
from random import Random

from tailgit.check import examine
from tailgit.load import load_from
from tailgit.model.codes import CODES
from tests.load.policies import Memory

SECONDS = 2.0
POLICY = """\
// The policy of a small office, with everything that it may say.
{
  "groups": {"group:dev": ["ana@acme.com", "kim@acme.com"], "group:none": []},
  "hosts": {"srv": "10.1.0.1", "lan": "10.2.0.0/16",},
  "ipsets": {"ipset:a": ["add lan", "remove 10.2.1.0/24"], "ipset:b": ["ipset:a"]},
  "tagOwners": {"tag:db": ["group:dev", "autogroup:admin"], "tag:web": []},
  "postures": {"posture:p": ["node:os == 'linux'", "custom:t IN ['a', 'b']"]},
  "defaultSrcPosture": ["posture:p"],
  "ACLs": [
    /* People reach
     * the database. */
    {"action": "accept", "users": ["autogroup:members"], "ports": ["tag:db:22,80-90"]},
    {"action": "accept", "proto": "icmp", "src": ["*"], "dst": ["[fd00::1]/64:*"]},
  ],
  "grants": [
    {"src": ["group:dev"], "dst": ["10.9.0.0/16"], "ip": ["22"], "via": ["tag:web"]},
    {"src": ["ipset:a"], "dst": ["autogroup:internet"], "ip": ["*", "47:*"],
     "srcPosture": ["posture:p"]},
    {"src": ["*"], "dst": ["tag:db"], "app": {"acme.com/x": [{"a": [1, null, true]}]}},
  ],
  "ssh": [
    {"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"],
     "users": ["autogroup:nonroot", "root"], "checkPeriod": "1h30m"},
  ],
  "nodeAttrs": [{"target": ["*"], "attr": ["funnel"], "ipPool": ["100.81.0.0/16"]}],
  "autoApprovers": {"routes": {"10.9.0.0/16": ["tag:web"]}, "exitNode": ["tag:web"]},
  "randomizeClientPort": true,
  "tests": [{"src": "ana@acme.com", "accept": ["tag:db:22"], "deny": ["srv:23"]}],
  "sshTests": [{"src": "ana@acme.com", "dst": ["tag:db"], "deny": ["root"]}],
}
"""
TOKENS = [
    *("{", "}", "[", "]", ",", ":", '"', "'", "\\", "/", "//", "/*", "*/", "#", "\n"),
    *("null", "true", "1e9", "-0", "01", "NaN", '""', '"*"', '"\\ud800"', "${x}", "{{"),
    *('"autogroup:self"', '"tag:"', '"group:dev"', '"ipset:b"', '"host:srv"', '"::/0"'),
    *('"posture:p"', '"user:*@a"', '"svc:x"', '"10.0.0.0/8"', '"add ipset:b"', "\x00"),
    *('"src"', '"dst"', '"users"', '"acls"', '"GRANTS"', '"via"', '"app"', "\u202e"),
    *("[" * 40, '{"a":' * 40, "/*" * 9, "\xff", "\r", "\u2028", "\ufeff", "168h0m1s"),
    *('"node:os IN ["', "'\\''", "é" * 9, "9" * 400, '"' + "x" * 5000 + '"', "- a\n"),
]

WORDS = [
    *("null", "true", "1e9", "-0", "[]", "{}", '""', '"*"', '"\\ud800"', '"\\u0000"'),
    *('"autogroup:self"', '"tag:"', '"group:dev"', '"ipset:b"', '"host:srv"', '"::/0"'),
    *('"posture:p"', '"user:*@a"', '"svc:x"', '"10.0.0.0/8"', '"add ipset:b"', '"acl"'),
    *('"src"', '"dst"', '"users"', '"acls"', '"GRANTS"', '"via"', '"app"', '"\u202e"'),
    *('"10.0.0.1:22"', '"remove 0.0.0.0/0"', '"custom:x IS SET"', '"node:os IN []"'),
    *('"always"', '"-1m"', '"168h0m1s"', '"deny"', '"check"', '"autogroup:nonroot"'),
    *('"localpart:*@acme.com"', '"autogroup:danger-all"', '"[fd00::1]:1"', '"a b"'),
    *('[["x"]]', '{"x": "y"}', '["*", "*"]', '"group:none"', '"tag:\u0441"', '"#x"'),
]
_TEXT = re.compile(rb'"[^"\n]*"')


def changed(random: Random) -> bytes:
    """The policy with other values, or with bytes cut out, doubled or replaced."""
    text = POLICY.encode()
    for _ in range(random.choice([0, 1, 1, 2, 5])):
        spans = [each.span() for each in _TEXT.finditer(text)]
        start, end = random.choice(spans)
        other, stop = random.choice(spans)
        token = random.choice(WORDS).encode()
        new = random.choice([text[other:stop], token])
        text = text[:start] + new + text[end:]
    if random.random() < 0.7:
        return text
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        start = random.randrange(len(text) + 1)
        end = min(len(text), start + random.choice([0, 0, 1, 2, 5, 40]))
        match random.randrange(4):
            case 0:
                new = random.choice(TOKENS).encode("utf-8", "surrogatepass")
            case 1:
                new = bytes(random.randrange(256) for _ in range(random.randrange(4)))
            case 2:
                other = random.randrange(len(text) + 1)
                new = text[other : other + random.choice([3, 20, 200])]
            case _:
                new = b""
        text = text[:start] + new + text[end:]
    return text


def judge(data: bytes) -> None:
    """Loads and checks the policy; `AssertionError` if anything must not be so."""
    loaded = load_from(Memory({"policy.hujson": data}), "")
    findings = examine(loaded)
    assert (loaded.tailnet is None) == any(each.is_error for each in loaded.findings)
    lines = data.count(b"\n") + 1
    for each in findings:
        assert each.code in CODES, each
        assert each.message.isprintable(), each
        assert each.help.isprintable(), each
        assert each.place.file == "policy.hujson", each
        assert 1 <= each.place.line <= lines, each


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    random = Random(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    end, count, bad = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        data = changed(random)
        start = time.monotonic()
        try:
            judge(data)
            assert time.monotonic() - start < 5, "slow"
        except Exception as error:
            bad += 1
            print(
                f"{type(error).__name__}: {error}\n{json.dumps(data.decode('latin1'))}"
            )
            if bad > 20:
                break
        count += 1
    print(f"{count} policies, {bad} failures")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
