"""The policy's own examples: `tests:` entries, judged by the relation.

`accept` holds if every source address reaches some destination address of its family
on the port, `deny` if none reaches any (POLICY.md §8, read strictly). A test without
a protocol asks for TCP, UDP and ICMP: one that a rule lists suffices. A destination
is checked against the rules, not against who owns it: it need not be a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tailgit.access.between import ports_between
from tailgit.access.ends import End, ends_of
from tailgit.access.relation import Relation
from tailgit.access.ssh_tests import run_ssh_tests
from tailgit.load.bare import with_stand_ins
from tailgit.model.findings import Finding
from tailgit.model.policy import Target, Test
from tailgit.model.ports import DEFAULT_PROTOCOLS
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Tailnet


def run_tests(
    tailnet: Tailnet, relation: Relation | None = None
) -> tuple[Finding, ...]:
    """A finding for each target of each test that does not hold, `sshTests` as well."""
    found: tuple[Finding, ...] = ()
    if tailnet.is_bare:
        tailnet, relation = with_stand_ins(tailnet), None
    if tailnet.tests:
        relation = relation or Relation.of(tailnet)
        found = tuple(each for test in tailnet.tests for each in _run(relation, test))
    return (*found, *run_ssh_tests(tailnet))


def _run(relation: Relation, test: Test) -> Iterator[Finding]:
    sources = ends_of(relation.tailnet, test.src)
    for targets, wanted in ((test.accept, True), (test.deny, False)):
        for target in targets:
            there = _targets(relation.tailnet, target, sources)
            yield from _judge(relation, test, target, sources, there, wanted=wanted)


def _targets(
    tailnet: Tailnet, target: Target, sources: Iterable[End]
) -> tuple[End, ...]:
    """The ends behind a target; of `autogroup:self` the sources' own devices."""
    if target.selector.kind is not Kind.SELF:
        return ends_of(tailnet, target.selector)
    people = {s.device.owner for s in sources if s.device and not s.device.tags}
    return tuple(
        End(address, device, True)
        for device in tailnet.devices.values()
        if device.owner in people and not device.tags
        for address in device.addresses
    )


def _judge(
    relation: Relation,
    test: Test,
    target: Target,
    sources: tuple[End, ...],
    there: tuple[End, ...],
    *,
    wanted: bool,
) -> Iterator[Finding]:
    expected, got = ("ALLOWED", "DENIED") if wanted else ("DENIED", "ALLOWED")
    if not sources or not there:
        empty = str(test.src) if not sources else str(target.selector)
        yield Finding(
            "test-failed",
            target.place,
            f"{test.src} -> {target.text}: nobody is behind `{empty}`",
            "a test needs a device at both ends",
        )
        return
    reached = _reached(relation, test, target.port, sources, there)
    if reached and all(passes == wanted for _, passes in reached):
        return
    wrong = [str(src) for src, passes in reached if passes != wanted]
    yield Finding(
        "test-failed",
        target.place,
        f"{test.src} -> {target.text}: expected {expected}, got {got}"
        + (f" for {_names(wrong)}" if wrong else ""),
        f"ask `tailgit explain {test.src} {target.text}` why",
    )


def _reached(
    relation: Relation,
    test: Test,
    port: int,
    sources: tuple[End, ...],
    there: tuple[End, ...],
) -> list[tuple[End, bool]]:
    """Each source that has a family in common, and whether it reaches any of `there`.

    Ends that every rule treats alike are judged once.
    """
    versions = {dst.address.version for dst in there}
    alike = list({_alike(relation, dst): dst for dst in there}.values())
    known: dict[object, bool] = {}
    found = []
    for src in sources:
        if src.address.version not in versions:
            continue
        key = _alike(relation, src)
        if key not in known or test.attributes:
            known[key] = any(_passes(relation, test, src, dst, port) for dst in alike)
        found.append((src, known[key]))
    return found


def _alike(relation: Relation, end: End) -> object:
    """Ends that every rule treats alike: of one class, and of one person for self."""
    if end.device is None or not end.is_own:
        return end.address
    person = None if end.device.tags else end.device.owner
    number = relation.position.get(end.device.name)
    view = relation.view(end.device.name) if number is not None else end.address
    return view, person, end.address.version


def _passes(relation: Relation, test: Test, src: End, dst: End, port: int) -> bool:
    if src.address.version != dst.address.version:
        return False
    given = {**dict(src.device.attributes if src.device and src.is_own else ())}
    given.update(test.attributes)
    attributes = given if test.attributes else None
    ports = ports_between(relation, src.address, dst.address, attributes)
    protocols = DEFAULT_PROTOCOLS if test.protocol is None else (test.protocol,)
    return ports is not None and any(ports.allows(each, port) for each in protocols)


def _names(items: Iterable[str]) -> str:
    listed = list(dict.fromkeys(items))
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
