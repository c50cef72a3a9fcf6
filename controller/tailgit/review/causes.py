"""Why a line of access changed: the line of the repository that did it.

Mostly that is the rule itself: new, removed, edited. Where the rule stands as it was,
something that it names has changed far from it: who is in a group, what a device is
tagged with, what a host stands for, which route is approved. A cause is the first
difference between both sides that keeps an end from being named by the rule on the
other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tailgit.access.deadlines import device_deadline
from tailgit.access.postures import wanted_postures
from tailgit.access.rules import Term
from tailgit.model.findings import Place
from tailgit.model.policy import Rule
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Tailnet
from tailgit.review.boxes import Box
from tailgit.review.exact import Exact
from tailgit.review.identity import same_devices
from tailgit.review.named import RuleSet
from tailgit.review.reasons import Reason, Reasons
from tailgit.review.world import NEVER, NEW, OLD, Bits, each_of

MOST = 40
"""Devices of a line that are asked for their reason; there are seldom several."""


COMES_OR_GOES = ("new device", "device removed")


@dataclass(frozen=True, slots=True)
class Cause:
    """What was changed, where, and whom that concerns.

    `is_old` says that the place is one of the old revision: it is no longer there.
    """

    text: str
    place: Place
    is_old: bool = False
    who: tuple[str, ...] = ()
    is_rule: bool = False


class Causes:
    """Finds what caused the boxes of one difference."""

    def __init__(
        self,
        found: Exact,
        tailnets: tuple[Tailnet, Tailnet],
        unreal: frozenset[str] = frozenset(),
    ) -> None:
        """`tailnets` are both sides whole, with what is over or switched off."""
        self._found = found
        self._world = found.world
        self._unreal = unreal
        self.rules = (RuleSet(found, OLD), RuleSet(found, NEW))
        self._same = same_devices(*tailnets)
        self._reasons = Reasons(tailnets, self._same)
        self._rules_of = tuple(each.rules for each in tailnets)
        self._by_content: tuple[dict[object, int], ...] = tuple(
            {self._content(each.rule, side): n for n, each in enumerate(rules.rules)}
            for side, rules in enumerate(self.rules)
        )
        self._devices = (1 << len(found.world.atoms)) - 1
        self._free: dict[int, list[Rule]] = {}
        self._found_causes: dict[object, tuple[Cause, ...]] = {}

    # Rules

    def _content(self, rule: Rule, side: int) -> tuple[object, ...]:
        """What a rule says, whatever its name, its place and its remarks."""
        posture = wanted_postures(self._world.sides[side].tailnet, rule)
        ends = tuple(
            frozenset(self._selector(each, side) for each in some)
            for some in (rule.src, rule.dst)
        )
        via = frozenset(rule.via)
        return (*ends, rule.ports, rule.expires, frozenset(posture), via)

    def _selector(self, selector: Selector, side: int) -> Selector:
        """A device by its old name, so that a renaming edits no rule."""
        if side == NEW and selector.kind is Kind.DEVICE:
            return replace(
                selector, value=self._same.get(selector.value, selector.value)
            )
        return selector

    def of(self, box: Box, side: int) -> tuple[Cause, ...]:
        """The causes of a box, the first rule's first."""
        key = (side, box.rules, box.sources, box.atoms, box.places, box.was, box.until)
        if key not in self._found_causes:
            causes = (c for n in box.rules for c in self._of_rule(box, n, side))
            merged: dict[tuple[str, Place, bool], Cause] = {}
            for each in causes:
                about = (each.text, each.place, each.is_old)
                seen = merged.get(about)
                who = dict.fromkeys((*(seen.who if seen else ()), *each.who))
                merged[about] = replace(each, who=tuple(who))
            self._found_causes[key] = tuple(merged.values())
        return self._found_causes[key]

    def _of_rule(self, box: Box, number: int, side: int) -> Iterator[Cause]:
        rule = self.rules[side].rules[number].rule
        twin = self._by_content[1 - side].get(self._content(rule, side))
        if twin is None:
            yield self._of_policy(rule, side)
            return
        found = list(self._of_ends(box, number, twin, side))
        if not found and box.was != NEVER != box.until:
            found = list(self._of_deadlines(box))
        yield from found or [Cause("the rule is the same", rule.place, side == OLD)]

    def _of_policy(self, rule: Rule, side: int) -> Cause:
        """A rule that the other side has not, or not like that."""
        other = self._counterpart(rule, 1 - side)
        noun = "grant" if rule.section == "grants" else "acl"
        name = f"{noun} {rule.name}" if rule.name else noun
        is_new = side == NEW
        if other is None:
            text = f"new {name}" if is_new else f"{name} removed"
            return Cause(text, rule.place, not is_new, is_rule=True)
        what = "edited"
        if other.disabled:
            what = "enabled" if is_new else "disabled"
        place = rule.place if is_new else other.place
        return Cause(f"{name} {what}", place, is_rule=True)

    def _counterpart(self, rule: Rule, side: int) -> Rule | None:
        """The rule of the other side that this one most likely was or became."""
        if side not in self._free:
            taken = self._by_content[1 - side]
            self._free[side] = [
                each
                for each in self._rules_of[side]
                if each.disabled or self._content(each, side) not in taken
            ]
        free = self._free[side]
        named = [each for each in free if rule.name and each.name == rule.name]
        if named:
            return named[0]

        def alike(other: Rule) -> int:
            return (
                (set(rule.src) == set(other.src))
                + (set(rule.dst) == set(other.dst))
                + (rule.ports == other.ports)
            )

        near = [
            each
            for each in free
            if each.place.file == rule.place.file and not each.name and not rule.name
        ]
        best = max(near, key=alike, default=None)
        return best if best is not None and alike(best) >= 2 else None

    # Ends

    def _of_ends(self, box: Box, number: int, twin: int, side: int) -> Iterator[Cause]:
        theirs = self.rules[1 - side]
        ends = self.rules[side].rules[number]
        fresh: Bits = 0
        for version, bits in zip((4, 6), box.sources, strict=True):
            fresh |= bits & ~theirs.sources(twin, version, of_self=box.is_self)
        sources = [
            *self._of_atoms(fresh, ends.sources, side),
            *self._of_regions(fresh, ends.sources, side),
        ]
        if box.is_self:
            yield from sources
            return
        known = frozenset(theirs.rules[twin].targets)
        atoms = box.atoms
        for term in known:
            atoms &= ~self._world.target(1 - side, term)
        targets = [
            *self._of_atoms(atoms, ends.targets, side),
            *self._of_places(box, ends.targets, known, side),
        ]
        # What comes or goes altogether is reason enough for everything about it.
        if targets and atoms == box.atoms and all(_is_whole(each) for each in targets):
            yield from targets
        elif (
            sources
            and all(_is_whole(each) for each in sources)
            and (fresh == box.sources[0] | box.sources[1])
        ):
            yield from sources
        else:
            yield from (*sources, *targets)

    def _of_places(
        self, box: Box, terms: Sequence[int], known: frozenset[int], side: int
    ) -> Iterator[Cause]:
        for number in sorted(box.places):
            row = self._found.places[number]
            if row.terms[1 - side] & known or row.place is None:
                continue
            behind = row.place.behind
            told = self._reasons.of_place(
                behind if isinstance(behind, str) else self._pair(behind),
                row.place.region,
                [self._term(term, side) for term in terms],
                side,
            )
            yield from self._told(told)

    def _of_atoms(self, bits: Bits, terms: Iterable[int], side: int) -> Iterator[Cause]:
        listed = tuple(terms)
        for identity in self._members(bits):
            number = self._world.number(identity, side)
            if number is None:
                continue
            device = self._world.sides[side].devices[number]
            if device.name in self._unreal and bits.bit_count() > 1:
                continue
            own = self._world.sides[side].class_of(device.name).address_ids
            through = [self._term(term, side) for term in listed if term in own]
            told = self._reasons.of_device(self._pair(identity), through, side)
            yield from self._told(told, (device.name,))

    def _members(self, bits: Bits) -> list[int]:
        found: list[int] = []
        for number in each_of(bits & self._devices):
            found.extend(self._world.atoms[number].members)
            if len(found) > MOST:
                break
        return found[:MOST]

    def _pair(self, identity: int) -> tuple[Device | None, Device | None]:
        return self._world.device(identity, OLD), self._world.device(identity, NEW)

    def _term(self, term: int, side: int) -> Term:
        return self._world.sides[side].rules.selectors[term]

    def _of_regions(
        self, bits: Bits, terms: Iterable[int], side: int
    ) -> Iterator[Cause]:
        for number in self._world.regions:
            if bits >> number & 1:
                for term in terms:
                    if self._world.source(side, 4, term) >> number & 1 or (
                        self._world.source(side, 6, term) >> number & 1
                    ):
                        told = self._reasons.of_addresses(self._term(term, side))
                        yield from self._told(told)

    def _told(self, told: Reason | None, who: tuple[str, ...] = ()) -> Iterator[Cause]:
        if told is not None:
            text, place, at = told
            named = tuple(each for each in who if each not in self._unreal)
            yield Cause(text, place, at == OLD, named)

    # Deadlines

    def _of_deadlines(self, box: Box) -> Iterator[Cause]:
        """Devices or their owners that end at another time."""
        bits = (box.sources[0] | box.sources[1] | box.atoms) & self._world.moved
        places = (self._found.places[n].place for n in box.places)
        behind = (p.behind for p in places if p is not None)
        routers = [each for each in behind if isinstance(each, int)]
        for identity in (*self._members(bits), *routers):
            old, new = self._pair(identity)
            if old is None or new is None:
                continue
            before, after = self._world.sides
            if device_deadline(before.tailnet, old) == device_deadline(
                after.tailnet, new
            ):
                continue
            yield from self._told(self._reasons.of_end(old, new), (new.name,))


def _is_whole(cause: Cause) -> bool:
    return cause.text in COMES_OR_GOES
