"""The policy's own tests one target at a time, each failure with the way of its packet.

`run_tests` decides; this asks it about one target after the other, so that each has its
verdict, and adds for a failure what a person would trace by hand: from which device, by
which rule or past which, over which router, to which device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tailgit.access.deadlines import as_of
from tailgit.access.ends import End, ends_of
from tailgit.access.examples import run_tests
from tailgit.access.explain import explain
from tailgit.access.logins import explain_login
from tailgit.access.matching import matches
from tailgit.access.relation import Relation
from tailgit.access.selectors import devices_of
from tailgit.access.ssh_tests import run_ssh_tests
from tailgit.load.bare import with_stand_ins
from tailgit.model.deadline import Deadline
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import Attribute, Rule, SshTest, Target, Test
from tailgit.model.ports import DEFAULT_PROTOCOLS
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Tailnet

MOST_WAYS = 3
"""Shown of one failure: a group of many devices has as many."""

Wanted = Literal["accept", "check", "deny"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One target of a test, or one login: it holds if nothing was found.

    `ways` trace single packets; `more` counts those that are not traced.
    """

    text: str
    wanted: Wanted
    place: Place
    findings: tuple[Finding, ...] = ()
    ways: tuple[str, ...] = ()
    more: int = 0

    @property
    def holds(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class Tried:
    """One test with all its trials."""

    section: Literal["tests", "sshTests"]
    place: Place
    trials: tuple[Trial, ...]

    @property
    def holds(self) -> bool:
        return all(trial.holds for trial in self.trials)


def try_all(tailnet: Tailnet, at: Deadline | None = None) -> tuple[Tried, ...]:
    """Every test of a tailnet, at a time or of everything that is written."""
    tailnet = as_of(with_stand_ins(tailnet), at)
    relation = Relation.of(tailnet)
    return (
        *(_tried(relation, test) for test in tailnet.tests),
        *(_tried_ssh(tailnet, test) for test in tailnet.ssh_tests),
    )


# Packets


def _tried(relation: Relation, test: Test) -> Tried:
    trials = [_trial(relation, test, each, "accept") for each in test.accept]
    trials += [_trial(relation, test, each, "deny") for each in test.deny]
    return Tried("tests", test.place, tuple(trials))


def _trial(relation: Relation, test: Test, target: Target, wanted: Wanted) -> Trial:
    accept, deny = ((target,), ()) if wanted == "accept" else ((), (target,))
    single = replace(test, accept=accept, deny=deny)
    alone = replace(relation.tailnet, tests=(single,), ssh_tests=())
    found = run_tests(alone, relation)
    ways = tuple(_ways(alone, test, target, wanted)) if found else ()
    return Trial(
        f"{test.src} -> {target.text}",
        wanted,
        target.place,
        found,
        ways[:MOST_WAYS],
        max(0, len(ways) - MOST_WAYS),
    )


def _ways(
    tailnet: Tailnet, test: Test, target: Target, wanted: Wanted
) -> Iterator[str]:
    """A line for each source that does not get what the test says."""
    given = _given(tailnet, ends_of(tailnet, test.src), test.attributes)
    seen: set[str] = set()
    for src in ends_of(given, test.src):
        there = [dst for dst in _there(given, src, target) if _alike(src, dst)]
        found = ((dst, _rules(given, test, src, dst, target)) for dst in there)
        opened = [(dst, rules) for dst, rules in found if rules]
        # A device has two addresses and mostly one story.
        if str(src) in seen or not there or bool(opened) == (wanted == "accept"):
            continue
        seen.add(str(src))
        if opened:
            yield _way(src, *opened[0])
        else:
            yield _blocked(given, test, src, there[0], target)


def _there(tailnet: Tailnet, src: End, target: Target) -> tuple[End, ...]:
    """The ends behind a target; of `autogroup:self` the source's own devices."""
    if target.selector.kind is not Kind.SELF:
        return ends_of(tailnet, target.selector)
    owner = src.device.owner if src.device and not src.device.tags else None
    if owner is None:
        return ()
    return ends_of(tailnet, Selector(Kind.USER, owner))


def _alike(src: End, dst: End) -> bool:
    return src.address.version == dst.address.version


def _rules(
    tailnet: Tailnet, test: Test, src: End, dst: End, target: Target
) -> tuple[Rule, ...]:
    """The rules that join two ends on the port of a test."""
    protocols = DEFAULT_PROTOCOLS if test.protocol is None else (test.protocol,)
    return tuple(
        match.rule
        for match in matches(tailnet, src, dst)
        if match.holds
        and any(match.rule.ports.allows(each, target.port) for each in protocols)
    )


def _way(src: End, dst: End, rules: tuple[Rule, ...]) -> str:
    by = ", ".join(_rule(rule) for rule in rules[:3])
    return f"{_end(src)} -> {by} -> {_end(dst)}"


def _blocked(tailnet: Tailnet, test: Test, src: End, dst: End, target: Target) -> str:
    one, other = str(src.address), str(dst.address)
    answer = explain(tailnet, one, other, test.protocol, target.port)
    why = answer.notes[0] if answer.notes else "no rule names both"
    return f"{_end(src)} -x {_end(dst)}: {why}"


def _rule(rule: Rule) -> str:
    name = f" {rule.name}" if rule.name else ""
    return f"{rule.place.file}:{rule.place.line}{name} ({rule.ports})"


def _end(end: End) -> str:
    """Where a packet is: the device with its address, or the router before it."""
    if end.device is None:
        return str(end.address)
    if end.is_own:
        return f"{end.device.name} ({end.address})"
    return f"router {end.device.name} -> {end.address}"


def _given(
    tailnet: Tailnet,
    sources: tuple[End, ...],
    attributes: tuple[tuple[str, Attribute], ...],
) -> Tailnet:
    """The tailnet in which the sources have the attributes that a test gives them."""
    if not attributes:
        return tailnet
    changed = {
        src.device.name: replace(
            src.device,
            attributes=tuple(sorted(dict(src.device.attributes + attributes).items())),
        )
        for src in sources
        if src.device is not None and src.is_own
    }
    return replace(tailnet, devices={**tailnet.devices, **changed})


# Logins


def _tried_ssh(tailnet: Tailnet, test: SshTest) -> Tried:
    failed = bool(run_ssh_tests(replace(tailnet, ssh_tests=(test,))))
    lists: tuple[tuple[Wanted, tuple[str, ...]], ...] = (
        ("accept", test.accept),
        ("check", test.check),
        ("deny", test.deny),
    )
    trials = tuple(
        _login(tailnet, test, dst, wanted, login, failed=failed)
        for dst in test.dst
        for wanted, logins in lists
        for login in dict.fromkeys(logins)
    )
    return Tried("sshTests", test.place, trials)


def _login(
    tailnet: Tailnet,
    test: SshTest,
    dst: Selector,
    wanted: Wanted,
    login: str,
    *,
    failed: bool,
) -> Trial:
    text, place = f"{test.src} -> {dst} as {login}", dst.place or test.place
    if not failed:
        return Trial(text, wanted, place)
    single = replace(
        test,
        dst=(dst,),
        accept=(login,) if wanted == "accept" else (),
        check=(login,) if wanted == "check" else (),
        deny=(login,) if wanted == "deny" else (),
    )
    found = run_ssh_tests(replace(tailnet, ssh_tests=(single,)))
    if not found:
        return Trial(text, wanted, place)
    ways = tuple(_login_ways(tailnet, test, dst, login))
    more = max(0, len(ways) - MOST_WAYS)
    return Trial(text, wanted, place, found, ways[:MOST_WAYS], more)


def _login_ways(
    tailnet: Tailnet, test: SshTest, dst: Selector, login: str
) -> Iterator[str]:
    sources = tuple(end for end in ends_of(tailnet, test.src) if end.is_own)
    given = _given(tailnet, sources, test.attributes)
    for src in devices_of(given, test.src):
        if dst.kind is Kind.SELF and (src.tags or src.owner is None):
            continue
        to = str(dst) if dst.kind is not Kind.SELF else str(src.owner)
        answer = explain_login(given, src.name, to, login)
        by = ", ".join(
            f"{rule.place.file}:{rule.place.line} ({rule.action})"
            for rule in answer.rules[:3]
        )
        why = by or (answer.notes[0] if answer.notes else "no ssh rule names both")
        yield f"{src.name} {'->' if by else '-x'} {to}: {why}"
