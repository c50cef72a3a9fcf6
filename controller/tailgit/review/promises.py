"""What the policy promises by example, and what it says that is no packet.

A test is a reviewer's only proof that a rule does what it was meant to: each thing that
a test asks for is compared by itself, so that splitting a test in two takes nothing
away. Logins, capabilities of applications and attributes of nodes are compared as rules
and by what they come to, and named; who may log in where is not listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from tailgit.load.located import Items, Map
from tailgit.load.unite import Sections
from tailgit.model.findings import Place
from tailgit.model.policy import App, NodeAttr, Rule, SshRule, Target
from tailgit.model.ports import NAMES
from tailgit.model.tailnet import Tailnet
from tailgit.review.standing import (
    Part,
    TrustLine,
    Weight,
    canonical,
    differing,
    joined,
    told,
)

Raw = tuple[Sections, Sections]
Said = tuple[str, str, Place, Hashable]
"""What it is about, what it says, where, and what makes it the same as another."""


def promise_lines(
    old: Tailnet, new: Tailnet, raw: Raw, others: Iterable[str]
) -> Iterator[TrustLine]:
    """Tests, ssh rules, capabilities, attributes of nodes, the default posture."""
    both = old, new
    yield from _each("test", "test", both, _tests, Weight.DANGER)
    yield from _each("ssh-test", "ssh test", both, _ssh_tests, Weight.DANGER)
    found: dict[str, list[TrustLine]] = {
        "ssh rules": [
            *_listed("ssh-rule", "ssh rule", _ssh(old, raw[0]), _ssh(new, raw[1]))
        ],
        "app grants": [*_each("app", "capability", both, _apps)],
        "node attributes": [*_each("node-attr", "node attributes", both, _attributes)],
    }
    for name, lines in found.items():
        yield from lines
        if name in others and not lines:
            yield _far(name, new, old)
    yield from _default_posture(old, new, raw)


def _far(name: str, new: Tailnet, old: Tailnet) -> TrustLine:
    """The rules are the same; their order, or what they name, is not."""
    text = f"{name} mean something else now; not compared in detail"
    held = (each for side in (new, old) for each in _places(name, side))
    place = next(iter(held), new.place)
    return TrustLine(name.replace(" ", "-"), Part.TRUST, "policy", text, place)


def _places(name: str, tailnet: Tailnet) -> Iterator[Place]:
    rules: Sequence[SshRule | Rule | NodeAttr] = tailnet.ssh_rules
    if name == "app grants":
        rules = [each for each in tailnet.rules if each.app]
    elif name == "node attributes":
        rules = tailnet.node_attrs
    yield from (each.place for each in rules)


def _each(
    kind: str,
    word: str,
    both: tuple[Tailnet, Tailnet],
    said: Callable[[Tailnet], Iterator[Said]],
    gone: Weight = Weight.NOTABLE,
) -> Iterator[TrustLine]:
    yield from _listed(kind, word, list(said(both[0])), list(said(both[1])), gone)


def _listed(
    kind: str,
    word: str,
    old: Sequence[Said],
    new: Sequence[Said],
    gone: Weight = Weight.NOTABLE,
) -> Iterator[TrustLine]:
    """What only one side says; where it says it twice, that counts twice."""
    for said, others, is_old in ((old, new, True), (new, old, False)):
        left = Counter(each[3] for each in others)
        for about, text, place, key in said:
            if left[key]:
                left[key] -= 1
                continue
            weight = gone if is_old else Weight.NOTABLE
            if not is_old and gone is Weight.DANGER:
                weight = Weight.PLAIN  # another test takes nobody's trust
            come = "removed" if is_old else "added"
            head = f"{word} removed" if is_old else f"new {word}"
            what = f"{kind}-{come}", Part.TRUST, about, f"{head}: {text}"
            values = (text, None) if is_old else (None, text)
            yield told(what, (place, is_old), weight, values)


# What each says


def _tests(tailnet: Tailnet) -> Iterator[Said]:
    for test in tailnet.tests:
        asks: tuple[tuple[str, tuple[Target, ...]], ...]
        asks = ("reaches", test.accept), ("does not reach", test.deny)
        protocol = test.protocol
        by = "" if protocol is None else f" by {NAMES.get(protocol, protocol)}"
        having = _having(test.attributes)
        for verb, targets in asks:
            for each in dict.fromkeys(targets):
                text = f"{test.src} {verb} {each.text}{by}{having}"
                key = (str(test.src), verb, str(each.selector), each.port, by, having)
                yield str(test.src), text, each.place, key


def _ssh_tests(tailnet: Tailnet) -> Iterator[Said]:
    for test in tailnet.ssh_tests:
        having = _having(test.attributes)
        asks = {
            "may log in as": test.accept,
            "may not log in as": test.deny,
            "is checked before it logs in as": test.check,
        }
        for verb, logins in asks.items():
            for login in dict.fromkeys(logins):
                for dst in dict.fromkeys(map(str, test.dst)):
                    text = f"{test.src} {verb} {login} at {dst}{having}"
                    yield str(test.src), text, test.place, text


def _having(attributes: Iterable[tuple[str, object]]) -> str:
    said = [f"{name} {canonical(value)}" for name, value in attributes]
    return f" with {', '.join(said)}" if said else ""


def _login(rule: SshRule) -> str:
    ends = f"{_names(rule.src)} -> {_names(rule.dst)}"
    return f"{rule.action} {ends} as {', '.join(rule.users)}"


def _ssh(tailnet: Tailnet, sections: Sections) -> list[Said]:
    return [
        (
            _names(rule.src),
            _login(rule),
            rule.place,
            (
                *(rule.action, frozenset(rule.src), frozenset(rule.dst)),
                *(frozenset(rule.users), rule.check_period),
                *(frozenset(rule.accept_env), frozenset(rule.posture)),
                _unread(sections, rule),
            ),
        )
        for rule in tailnet.ssh_rules
        if not rule.disabled
    ]


_READ = frozenset(
    {
        *("action", "src", "dst", "users", "checkPeriod", "acceptEnv", "srcPosture"),
        *("name", "disabled"),
    }
)


def _unread(sections: Sections, rule: SshRule) -> str:
    """Fields of a rule that nothing reads yet, as they are written."""
    items = sections.single.get("ssh")
    if isinstance(items, Items):
        for index, item in enumerate(items):
            if isinstance(item, Map) and rule.place in (items.at(index), item.at()):
                return canonical({k: v for k, v in item.items() if k not in _READ})
    return ""


def _apps(tailnet: Tailnet) -> Iterator[Said]:
    for rule in tailnet.rules:
        if rule.app and not rule.disabled:
            ends = f"{_names(rule.src)} -> {_names(rule.dst)}"
            text = f"{ends} {_capabilities(rule.app)}"
            about = (frozenset(rule.src), frozenset(rule.dst), frozenset(rule.app))
            bounds = (frozenset(rule.posture), frozenset(rule.via), rule.expires)
            yield _names(rule.src), text, rule.place, (*about, *bounds)


def _attributes(tailnet: Tailnet) -> Iterator[Said]:
    for each in tailnet.node_attrs:
        given = [*each.attributes, *(f"addresses of {pool}" for pool in each.ip_pool)]
        given += [_capabilities(each.app)] if each.app else []
        text = f"{_names(each.target)} have {', '.join(given)}"
        key = (frozenset(each.target), frozenset(each.attributes), each.ip_pool)
        yield _names(each.target), text, each.place, (*key, frozenset(each.app))


def _capabilities(apps: Iterable[App]) -> str:
    return ", ".join(
        f"{each.capability} {' '.join(each.values)}".rstrip() for each in apps
    )


def _names(selectors: Iterable[object]) -> str:
    return ", ".join(map(str, selectors))


def _default_posture(old: Tailnet, new: Tailnet, raw: Raw) -> Iterator[TrustLine]:
    come, gone = differing(old.default_src_posture, new.default_src_posture)
    if not come and not gone:
        return
    held = ((raw[1], False), (raw[0], True))
    found = (
        (items.at(), is_old)
        for sections, is_old in held
        if (items := sections.single.get("defaultSrcPosture")) is not None
    )
    was, now = (", ".join(each.default_src_posture) or None for each in (old, new))
    text = f"posture of rules without one: {joined(come, gone)}"
    what = "default-posture", Part.TRUST, "policy", text
    yield told(what, next(found, (new.place, False)), Weight.DANGER, (was, now))
