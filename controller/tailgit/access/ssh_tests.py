"""The policy's own examples of its `ssh` rules: `sshTests`, judged by the lists.

`accept` holds if every source may log in at every destination under the name, with a
check or without; `check` if each time with a check; `deny` if never (POLICY.md §8).
The rules for packets have no say here: that port 22 is open is another question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tailgit.access.selectors import devices_of
from tailgit.access.ssh import DENY, Admission, Decision, person_of, ssh_lists
from tailgit.load.bare import with_stand_ins
from tailgit.model.findings import Finding, Place
from tailgit.model.policy import SshTest
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet

FAILED = "ssh-test-failed"

Lists = dict[str, tuple[Admission, ...]]

WANTED = {
    "accept": frozenset({"accept", "check"}),
    "check": frozenset({"check"}),
    "deny": frozenset({"deny"}),
}
"""What a source may get, by the list of the test that holds the login name."""


@dataclass(frozen=True, slots=True)
class _Miss:
    """A source that gets something else than the test says, at one device."""

    src: str
    dst: str
    got: Decision

    def __str__(self) -> str:
        return f"{self.src} -> {self.dst}"


def run_ssh_tests(tailnet: Tailnet) -> tuple[Finding, ...]:
    """A finding for each destination and login name of a test that do not hold."""
    if not tailnet.ssh_tests:
        return ()
    tailnet = with_stand_ins(tailnet)
    lists = ssh_lists(tailnet)
    return tuple(
        finding for test in tailnet.ssh_tests for finding in _run(tailnet, lists, test)
    )


def _run(tailnet: Tailnet, lists: Lists, test: SshTest) -> Iterator[Finding]:
    yield from _mistakes(test)
    sources = devices_of(tailnet, test.src)
    if not sources:
        yield _nobody(test, test.src)
        return
    if test.attributes:
        lists = ssh_lists(_with_attributes(tailnet, sources, test))
    for selector in test.dst:
        there = _targets(tailnet, selector, sources)
        if not all(there.values()):
            yield _nobody(test, selector)
            continue
        for action, login in _asked(test):
            if login:
                yield from _judge(test, selector, action, login, lists, there)


def _asked(test: SshTest) -> list[tuple[str, str]]:
    """Each login name of the test with the list that holds it."""
    return [
        (action, login)
        for action in WANTED
        for login in dict.fromkeys(getattr(test, action))
    ]


def _mistakes(test: SshTest) -> Iterator[Finding]:
    """What is wrong with a test whatever the rules are; the loader says most of it."""
    asked = _asked(test)
    if not asked:
        yield _mistake(test, "neither accept, check nor deny names a login", "name one")
    if not test.dst:
        yield _mistake(test, "no dst", "name a device, a tag or a user")
    for action, login in asked:
        if not login:
            message = f"an empty login name in `{action}`"
            yield _mistake(test, message, "name an account")


def _judge(
    test: SshTest,
    selector: Selector,
    action: str,
    login: str,
    lists: Lists,
    there: dict[str, tuple[str, ...]],
) -> Iterator[Finding]:
    misses = [
        _Miss(src, dst, got)
        for dst, sources in _turned(there).items()
        for src, got in _decisions(lists[dst], sources, login).items()
        if got.action not in WANTED[action]
    ]
    if not misses:
        return
    got = " or ".join(sorted({miss.got.action for miss in misses}))
    rules = {miss.got.rule.place: None for miss in misses if miss.got.rule}
    yield Finding(
        FAILED,
        selector.place or test.place,
        f"{test.src} -> {selector} as `{login}`: expected {action}, got {got}"
        f" for {_listed(misses)}",
        _help(action, let_in=bool(rules)),
        see=tuple(rules)[:3],
    )


def _decisions(
    admissions: Iterable[Admission], sources: frozenset[str], login: str
) -> dict[str, Decision]:
    """What each source gets at the device that has these admissions: the first one."""
    found: dict[str, Decision] = {}
    for admission in admissions:
        if admission.logins.holds(login):
            for device in admission.sources:
                if device.name in sources and device.name not in found:
                    rule = admission.rule
                    found[device.name] = Decision(rule.action, rule)
    return {name: found.get(name, DENY) for name in sorted(sources)}


def _targets(
    tailnet: Tailnet, selector: Selector, sources: tuple[Device, ...]
) -> dict[str, tuple[str, ...]]:
    """Where each source is to log in; `autogroup:self` is each person's own devices."""
    if selector.kind is not Kind.SELF:
        names = tuple(device.name for device in devices_of(tailnet, selector))
        return {device.name: names for device in sources}
    everything = devices_of(tailnet, Selector(Kind.MEMBER, Kind.MEMBER.value))
    own: dict[str | None, tuple[str, ...]] = {}
    for device in everything:
        person = person_of(device)
        own[person] = (*own.get(person, ()), device.name)
    return {device.name: own.get(person_of(device), ()) for device in sources}


def _turned(there: dict[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """From «each source and its destinations» to «each destination and its sources»."""
    found: dict[str, set[str]] = {}
    for src, names in there.items():
        for dst in names:
            found.setdefault(dst, set()).add(src)
    return {dst: frozenset(found[dst]) for dst in sorted(found)}


def _with_attributes(
    tailnet: Tailnet, sources: tuple[Device, ...], test: SshTest
) -> Tailnet:
    """The tailnet in which the sources have the attributes that the test gives them."""
    changed = {
        device.name: replace(
            device,
            attributes=tuple(sorted(dict(device.attributes + test.attributes).items())),
        )
        for device in sources
    }
    return replace(tailnet, devices={**tailnet.devices, **changed})


def _help(action: str, *, let_in: bool) -> str:
    """What to do; the rules that let somebody in stand behind it, as other places."""
    if not let_in:
        return "no ssh rule lets them in under that name; add one, or mend the test"
    if action == "deny":
        return "an ssh rule lets them in; narrow it, or mend the test"
    return "an ssh rule accepts without a check; write `action: check` there"


def _nobody(test: SshTest, selector: Selector) -> Finding:
    message = f"nobody is behind `{selector}`"
    advice = "a test needs a device at both ends"
    return _mistake(test, message, advice, selector.place)


def _mistake(
    test: SshTest, message: str, advice: str, place: Place | None = None
) -> Finding:
    place = place or test.place
    return Finding(FAILED, place, f"ssh test of {test.src}: {message}", advice)


def _listed(misses: list[_Miss]) -> str:
    more = f" and {len(misses) - 3} more" if len(misses) > 3 else ""
    return ", ".join(str(miss) for miss in misses[:3]) + more
