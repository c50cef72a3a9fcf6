"""Lines of access: who may reach what on which ports, and by which rules.

A line says that one party may reach another on some ports until some time, and names
the rules behind it. Lines are taken from the rules, term by term, and rules only add
up; so all lines of an answer together are exactly the relation, and a line for what
another one says too does no harm. That is a property test: lines expanded again to
addresses and ports give what the nodes let through.

Of one party and one destination, ports that lie in what holds longer are not said
again with an earlier end; their rule then stands behind the longer line.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from tailgit.access.deadlines import Until, deadline_order
from tailgit.access.extents import Extent, extent_of, union
from tailgit.access.parties import Parties, Party
from tailgit.access.postures import wanted_postures
from tailgit.access.rules import WITH_A_SELF, Term, without
from tailgit.model.policy import Rule
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind, Selector

OWN = "autogroup:self"

ALL_KINDS = frozenset(Kind)

_ORDER = (
    *(Kind.ANY, Kind.DANGER_ALL, Kind.MEMBER, Kind.TAGGED, Kind.ROLE, Kind.DOMAIN),
    *(Kind.SELF, Kind.GROUP, Kind.TAG, Kind.USER, Kind.DEVICE, Kind.HOST, Kind.IPSET),
    *(Kind.PREFIX, Kind.INTERNET, Kind.SHARED),
)
"""What comes first: everybody, then groups and tags, then single things."""

_RANK = {kind: number for number, kind in enumerate(_ORDER)}


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule behind a line; `through` is what names there the party in question."""

    rule: Rule
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """`src` may reach `dst` on `ports`, before `until`, for these reasons.

    `is_whole` says that it holds for all of the party that was asked for. With
    `is_self` each person's devices reach that person's own devices only. Without any
    port the two only see each other, for the sake of `apps`.
    """

    src: Party
    dst: Party
    ports: Ports
    reasons: tuple[Reason, ...]
    until: Until = None
    is_whole: bool = True
    is_self: bool = False
    apps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a line before they have names: a term by its number, or an extent
    that is part of what was asked for; None is everybody's own devices."""

    src: Extent | int
    dst: Extent | int | None
    is_self: bool = False


Found = dict[Ends, list[Reason]]
"""What joins two ends, in file order."""

Naming = Callable[[Extent], Party]


class Lines:
    """Finds the lines of one relation from either end."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._relation = parties.relation
        rules = self._relation.tailnet.rules
        self._rules = [rule for rule in rules if not rule.disabled]

    # From one end to the other

    def reached_from(self, who: Extent) -> Found:
        """What an extent may reach, wholly or in part."""
        found: Found = {}
        for rule in self._rules:
            part, reason = self._part(rule, who)
            if part:
                for number in self._targets(rule):
                    _put(found, Ends(part, number), reason)
            if _has_self(rule):
                part, reason = self._part(rule, who, WITH_A_SELF)
                if own := self._untagged(part):
                    _put(found, Ends(own, None, is_self=True), reason)
        return found

    def reaching(self, what: Extent) -> Found:
        """Who may reach an extent, wholly or in part."""
        found: Found = {}
        for rule in self._rules:
            shares = [
                (number, what & self._parties.target(number))
                for number in self._targets(rule)
            ]
            part = union(share for _, share in shares)
            if part:
                reason = self._reason(rule, shares)
                for number in self._sources(rule, ALL_KINDS):
                    _put(found, Ends(number, part), reason)
            if _has_self(rule):
                self._own(found, rule, self._untagged(what))
        return found

    def _own(self, found: Found, rule: Rule, own: Extent) -> None:
        """The people whose own devices are asked for, as far as the rule names them."""
        people = self._parties.devices_by_owner.values()
        theirs = union(extent_of(each) for each in people if each & own.devices)
        sources, reason = self._part(rule, theirs, WITH_A_SELF)
        if sources:
            named = union(extent_of(each) for each in people if each & sources.devices)
            _put(found, Ends(sources, own & named, is_self=True), reason)

    def all(self) -> Found:
        """Everything, between the parties that the policy names."""
        found: Found = {}
        for rule in self._rules:
            targets = self._targets(rule)
            for number in self._sources(rule, ALL_KINDS):
                for target in targets:
                    _put(found, Ends(number, target), Reason(rule))
            if _has_self(rule):
                for number in self._sources(rule, WITH_A_SELF):
                    _put(found, Ends(number, None, is_self=True), Reason(rule))
        return found

    def naming(self, selector: Selector, *, inward: bool) -> Found:
        """What rules say of a name that nobody has yet, by that name."""
        found: Found = {}
        for rule in self._rules:
            if selector not in (rule.dst if inward else rule.src):
                continue
            for number in self._sources(rule, ALL_KINDS):
                for target in self._targets(rule):
                    one = target if inward else number
                    if self._relation.rules.selectors[one].selector == selector:
                        _put(found, Ends(number, target), Reason(rule))
        return found

    # Terms of a rule

    def _sources(self, rule: Rule, kinds: Container[Kind]) -> list[int]:
        numbers = self._relation.rules.numbers
        posture = wanted_postures(self._relation.tailnet, rule)
        terms = (Term("src", each, posture) for each in rule.src if each.kind in kinds)
        return [numbers[term] for term in terms]

    def _targets(self, rule: Rule) -> list[int]:
        numbers = self._relation.rules.numbers
        plain = (each for each in rule.dst if each.kind is not Kind.SELF)
        return [numbers[Term("dst", each, via=rule.via)] for each in plain]

    def _part(
        self, rule: Rule, who: Extent, kinds: Container[Kind] = ALL_KINDS
    ) -> tuple[Extent, Reason]:
        """Who of an extent a rule has among its sources, and by which names."""
        shares = [
            (number, who & self._parties.source(number))
            for number in self._sources(rule, kinds)
        ]
        return union(share for _, share in shares), self._reason(rule, shares)

    def _reason(self, rule: Rule, shares: list[tuple[int, Extent]]) -> Reason:
        terms = self._relation.rules.selectors
        names = (str(terms[number].selector) for number, share in shares if share)
        return Reason(rule, tuple(dict.fromkeys(names)))

    def _untagged(self, extent: Extent) -> Extent:
        """Its devices that are somebody's; nothing of what lies beyond them."""
        people = self._parties.devices_by_owner.values()
        owned = frozenset[int]().union(*people)
        return Extent(extent.four & owned, extent.six & owned)

    # With names

    def named(self, found: Found, naming: Naming, whole: Extent) -> tuple[Line, ...]:
        """The lines in order; `naming` gives parts of `whole` their party."""
        lines = (
            line
            for ends, rules in found.items()
            for line in self._spans(ends, rules, naming, whole)
        )
        return tuple(sorted(lines, key=_line_order))

    def _spans(
        self, ends: Ends, reasons: list[Reason], naming: Naming, whole: Extent
    ) -> Iterator[Line]:
        """A line for each deadline: what lasts longest first."""
        src = self._party(ends.src, naming, whole)
        if ends.dst is None:
            dst = self._own_devices(src)
        else:
            dst = self._party(ends.dst, naming, whole)
        asked = next((e for e in (ends.dst, ends.src) if isinstance(e, Extent)), whole)
        for ports, until, behind in _by_deadline(reasons):
            ordered = sorted(behind, key=lambda reason: reason.rule.place)
            apps = {app.capability for each in behind for app in each.rule.app}
            yield Line(
                src,
                dst,
                ports,
                tuple(ordered),
                until,
                asked.holds(whole),
                ends.is_self,
                tuple(sorted(apps)),
            )

    def _party(self, end: Extent | int, naming: Naming, whole: Extent) -> Party:
        if isinstance(end, int):
            return self._parties.of_term(end)
        # With `autogroup:self` both ends are extents, and only one was asked for.
        return naming(end) if whole.holds(end) else self._parties.part(end)

    def _own_devices(self, src: Party) -> Party:
        """All untagged devices of the people of a party."""
        mine = src.extent.devices
        people = self._parties.devices_by_owner.values()
        own = union(extent_of(each) for each in people if each & mine)
        return self._parties.party((OWN,), Kind.SELF, own)


def _has_self(rule: Rule) -> bool:
    """No router carries somebody's own devices."""
    return not rule.via and any(each.kind is Kind.SELF for each in rule.dst)


def _put(found: Found, ends: Ends, reason: Reason) -> None:
    reasons = found.setdefault(ends, [])
    # Rules come one after the other, and comparing whole ones costs.
    if not reasons or reasons[-1].rule is not reason.rule:
        reasons.append(reason)


def _by_deadline(
    reasons: list[Reason],
) -> list[tuple[Ports, Until, list[Reason]]]:
    """Ports by how long they hold, the longest first; none is said twice.

    What opens a part of ports that hold longer stands behind those.
    """
    opened: list[tuple[Ports, Until, list[Reason]]] = []
    for until in sorted({each.rule.expires for each in reasons}, key=_latest_first):
        some = [each for each in reasons if each.rule.expires == until]
        ports = Ports.of(span for each in some for span in each.rule.ports.ranges)
        for before, _, behind in opened:
            behind += [each for each in some if _share(each.rule, before)]
            ports = without(ports, before)
        if ports.ranges:
            some = [each for each in some if _share(each.rule, ports)]
        if ports.ranges or not opened:
            opened.append((ports, until, some))
    return opened


def _share(rule: Rule, ports: Ports) -> bool:
    """Whether the rule opens some of the ports."""
    return without(ports, rule.ports) != ports


def _latest_first(until: Until) -> tuple[bool, int]:
    ends, at = deadline_order(until)
    return not ends, -at


def _line_order(line: Line) -> tuple[object, ...]:
    return (
        not line.ports.ranges,
        not line.is_whole,
        party_order(line.src),
        party_order(line.dst),
        _latest_first(line.until),
        line.reasons[0].rule.place if line.reasons else None,
    )


def party_order(party: Party) -> tuple[object, ...]:
    """Groups and tags before people and devices; parts last, by name."""
    rank = _RANK[party.kind] if party.kind is not None else len(_RANK)
    return rank, party.name, party.via, party.asks
