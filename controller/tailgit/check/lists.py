"""The same entry twice in a list, or the same test twice: it means nothing more.

Mostly the second one was to be something else. What is the same is judged by meaning,
so `10.0.0.1` and `10.0.0.1/32` are, and a test is said already if another one of the
same source and protocol asks for all that it asks for. One finding for each list.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from tailgit.access.selectors import prefix_of
from tailgit.load.located import Items, Map
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Origin, Place
from tailgit.model.policy import Rule, Target, Test
from tailgit.model.selectors import Selector
from tailgit.model.tailnet import Device, Tailnet
from tailgit.model.text import shown

Entry = tuple[Hashable, str, Place]
"""What an entry means, how it is written, where it stands."""

_MOST_COMPARED = 8
"""Tests with a target in common that a test is held against."""


def check_lists(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about entries that their list has already."""
    for entries in _lists(tailnet):
        yield from _twice(entries)
    yield from _tests(tailnet)


def _lists(tailnet: Tailnet) -> Iterator[Iterable[Entry]]:
    for device in tailnet.devices.values():
        yield _tags(device)
    for group in tailnet.groups.values():
        yield _texts(group.members, group.origin, group.place)
    for tag in tailnet.tag_owners.values():
        yield _texts(tag.owners, tag.origin, tag.place)
    approvers = tailnet.auto_approvers
    for (_, who), origin in zip(approvers.routes, approvers.origins, strict=False):
        yield _texts(who, origin, tailnet.place)
    exits = zip(approvers.exit_node, approvers.exit_origins, strict=False)
    yield [(each, each, place) for each, place in exits]
    # An acl's src is the same in all rules that came of it.
    seen: set[Place] = set()
    for rule in tailnet.rules:
        if rule.place not in seen:
            yield _selectors(tailnet, rule, rule.src)
        seen.add(rule.place)
        yield _selectors(tailnet, rule, rule.dst)
    for test in tailnet.tests:
        for targets in (test.accept, test.deny):
            yield [(_target(tailnet, each), each.text, each.place) for each in targets]


def _twice(entries: Iterable[Entry]) -> Iterator[Finding]:
    first: dict[Hashable, Place] = {}
    again: list[tuple[str, Place, Place]] = []
    for meaning, text, place in entries:
        if meaning in first:
            again.append((text, place, first[meaning]))
        else:
            first[meaning] = place
    if again:
        text, place, before = again[0]
        more = f", as {len(again) - 1} more are" if len(again) > 1 else ""
        yield finding(
            "said-twice",
            place,
            f"`{shown(text)}` is in the list already{more}",
            "take it out, or write what was meant",
            [before],
        )


def _texts(
    texts: Iterable[str], origin: Origin | None, place: Place
) -> Iterator[Entry]:
    for number, each in enumerate(texts):
        yield each, each, origin.at(number) if origin is not None else place


def _tags(device: Device) -> Iterator[Entry]:
    """The tags as they are written: in the device itself each stands once."""
    written = device.origin.get("tags") if isinstance(device.origin, Map) else None
    if not isinstance(written, Items) or len(written) == len(device.tags):
        return
    for number, each in enumerate(written):
        if isinstance(each, str):
            yield each.strip(), each, written.at(number)


def _selectors(
    tailnet: Tailnet, rule: Rule, selectors: Iterable[Selector]
) -> Iterator[Entry]:
    for each in selectors:
        yield _meaning(tailnet, each), each.value, each.place or rule.place


def _meaning(tailnet: Tailnet, selector: Selector) -> Hashable:
    """Aliases stay apart: who lists one beside its address names two things."""
    if selector.prefix is not None:
        return prefix_of(tailnet, selector)
    return selector.kind, selector.value


def _target(tailnet: Tailnet, target: Target) -> Hashable:
    return _meaning(tailnet, target.selector), target.port


# Tests that ask for nothing new


def _tests(tailnet: Tailnet) -> Iterator[Finding]:
    asked: dict[Hashable, list[tuple[Test, frozenset[Hashable]]]] = {}
    for test in sorted(tailnet.tests, key=lambda test: test.place):
        wanted = frozenset(_questions(tailnet, test))
        if not wanted:
            continue
        about = _meaning(tailnet, test.src), test.protocol
        for question in wanted:
            asked.setdefault((about, question), [])
        nearest = min(
            (asked[about, question] for question in wanted), key=lambda each: len(each)
        )
        for other, before in nearest[:_MOST_COMPARED]:
            if wanted <= before:
                yield finding(
                    "said-twice",
                    test.place,
                    "another test asks for all of this already",
                    "take it out, or write what was meant",
                    [other.place],
                )
                break
        for question in wanted:
            asked[about, question].append((test, wanted))


def _questions(tailnet: Tailnet, test: Test) -> Iterator[Hashable]:
    for wanted, targets in ((True, test.accept), (False, test.deny)):
        for target in targets:
            yield wanted, _target(tailnet, target)
