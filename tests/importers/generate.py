"""Policies as people write them, at random: for the devices of `worlds.DEVICES`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NAMES = ("ana-laptop", "ana-phone", "ben-laptop", "db-1", "web-1", "web-2", "gw-1")
PEOPLE = ("ana@example.com", "ben@example.com", "kim@example.org")
TAGS = ("tag:db", "tag:web", "tag:ci", "tag:router")
SOURCES = (
    *("*", *PEOPLE, *TAGS, "group:dev", "group:none", "autogroup:member"),
    *("autogroup:tagged", "autogroup:admin", "user:*@example.com", "printer"),
    *("10.20.1.0/24", "fd00:20::5", "ipset:office", " tag:web "),
)
TARGETS = (*SOURCES, "lan6", "10.20.0.0/16")
PORTS = ("*", "22", "443", "80-443", "22,80,8000-8010")
IPS = ("*", "22", "80-443", "tcp:443", "udp:*", "icmp:*", "tcp:1-1024", "47:*")
BASE: dict[str, Any] = {
    "groups": {"group:dev": ["ana@example.com", "ben@example.com"], "group:none": []},
    "hosts": {"printer": "10.20.0.9", "lan6": "fd00:20::/64"},
    "ipsets": {"ipset:office": ["add 10.20.0.0/16", "remove 10.20.9.0/24"]},
    "tagOwners": {"tag:db": ["group:dev"], "tag:web": [], "tag:ci": ["tag:web"]}
    | {"tag:router": ["autogroup:admin"]},
    "autoApprovers": {
        "routes": {"10.20.0.0/16": ["tag:router"], "fd00:20::/64": ["tag:router"]},
        "exitNode": ["tag:router"],
    },
    "postures": {"posture:prod": ["custom:tier == 'prod'"]},
}
WORDS = (
    "who may do what",
    "{not: yaml}",
    "a # b",
    "- dash",
    "“quoted”",
    "/ slash",
    "x:",
)


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=3)


@st.composite
def rules(draw: st.DrawFn, *, devices: bool) -> dict[str, Any]:
    """One acl or grant, perhaps with more fields; `devices` may be named then."""
    names = NAMES if devices else ()
    src = draw(some((*SOURCES, *names)))
    rule: dict[str, Any] = {"src": src}
    if draw(st.booleans()):
        heads = draw(some((*TARGETS, *names)))
        rule |= {"action": "accept"}
        rule["dst"] = [
            f"{head.strip()}:{draw(st.sampled_from(PORTS))}" for head in heads
        ]
        if draw(st.booleans()):
            rule["proto"] = draw(st.sampled_from(["tcp", "udp", "TCP", "6", "sctp"]))
        return rule
    rule["dst"] = draw(some((*TARGETS, *names, "autogroup:internet")))
    rule["ip"] = draw(st.lists(st.sampled_from(IPS), min_size=1, max_size=3))
    if draw(st.integers(0, 4)) == 0:
        rule["via"] = ["tag:router"]
    if draw(st.integers(0, 4)) == 0:
        rule["srcPosture"] = ["posture:prod"]
    return rule


@st.composite
def policies(draw: st.DrawFn, *, devices: bool = False) -> dict[str, Any]:
    """A whole policy; some are rejected, as some of people's are."""
    policy: dict[str, Any] = dict(BASE)
    for rule in draw(st.lists(rules(devices=devices), max_size=6)):
        policy.setdefault("acls" if "action" in rule else "grants", []).append(rule)
    if not {"acls", "grants"} & set(policy):
        policy["grants"] = []
    if draw(st.booleans()):
        policy["nodeAttrs"] = [{"target": draw(some(TAGS)), "attr": ["funnel"]}]
    if draw(st.booleans()):
        logins = draw(
            st.lists(st.sampled_from(["root", "autogroup:nonroot", "no", "1"]))
        )
        policy["ssh"] = [
            {
                "action": draw(st.sampled_from(["accept", "check"])),
                "src": draw(some((*PEOPLE, "group:dev", "autogroup:member"))),
                "dst": draw(some(TAGS)),
                "users": logins or ["root"],
            }
        ]
    return policy


@st.composite
def written(draw: st.DrawFn, policy: dict[str, Any]) -> str:
    """The policy as HuJSON: comments, line breaks, commas and older spellings."""
    return _value(draw, policy, 0) + draw(_gaps())


_SPELLINGS = {"acls": "ACLs", "groups": "Groups", "tagOwners": "TagOwners"}


def _gaps() -> st.SearchStrategy[str]:
    line = st.sampled_from(WORDS).map(lambda text: f" // {text}\n")
    block = st.sampled_from(WORDS).map(lambda text: f" /* {text}\n * {text} */")
    return st.lists(
        st.one_of(st.sampled_from(["", "", "\n", "\n\n", "  "]), line, block),
        max_size=3,
    ).map("".join)


def _value(draw: st.DrawFn, value: Any, depth: int) -> str:
    gap = draw(_gaps()) if depth < 4 else " "
    if not isinstance(value, dict | list) or not value:
        return f"{gap}{json.dumps(value, ensure_ascii=draw(st.booleans()))}"
    parts = []
    pairs = value.items() if isinstance(value, dict) else ((None, v) for v in value)
    for key, inner in pairs:
        text = _value(draw, inner, depth + 1)
        if key is not None:
            older = _SPELLINGS.get(key, key) if draw(st.booleans()) else key
            text = f"{draw(_gaps())}{json.dumps(older)}:{text}"
        parts.append(text + (draw(_gaps()) if depth < 3 else ""))
    left, right = "{}" if isinstance(value, dict) else "[]"
    last = draw(st.sampled_from(["", ","]))
    return f"{gap}{left}{','.join(parts)}{last}{draw(_gaps())}{right}"
