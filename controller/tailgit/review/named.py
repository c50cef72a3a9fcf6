"""The rules of one side in the numbers of a difference: what each names, as atoms."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tailgit.access.postures import wanted_postures
from tailgit.access.rules import WITH_A_SELF, Ids, Term
from tailgit.model.policy import Rule
from tailgit.model.ports import Range
from tailgit.model.selectors import Kind
from tailgit.review.exact import Exact
from tailgit.review.world import Bits, effective, moment


@dataclass(frozen=True, slots=True)
class RuleEnds:
    """A rule in the numbers of its relation."""

    rule: Rule
    sources: tuple[int, ...]
    self_sources: tuple[int, ...]
    targets: tuple[int, ...]
    ranges: tuple[Range, ...]
    until: int


class RuleSet:
    """The rules of one side of a difference, and what each names."""

    def __init__(self, found: Exact, side: int) -> None:
        self.side = side
        self._world = found.world
        relation = found.world.sides[side]
        self.rules: list[RuleEnds] = []
        self.at: dict[int, list[int]] = defaultdict(list)
        """Rules by the terms of their destinations."""
        self.to_self: list[int] = []
        numbers = relation.rules.numbers
        for rule in relation.tailnet.rules:
            if rule.disabled or not rule.ports.ranges:
                continue
            posture = wanted_postures(relation.tailnet, rule)
            targets = tuple(
                numbers[Term("dst", each, via=rule.via)]
                for each in rule.dst
                if each.kind is not Kind.SELF
            )
            for term in dict.fromkeys(targets):
                self.at[term].append(len(self.rules))
            has_self = not rule.via and any(each.kind is Kind.SELF for each in rule.dst)
            if has_self:
                self.to_self.append(len(self.rules))
            of = [(numbers[Term("src", each, posture)], each.kind) for each in rule.src]
            self.rules.append(
                RuleEnds(
                    rule,
                    tuple(term for term, _ in of),
                    tuple(term for term, k in of if has_self and k in WITH_A_SELF),
                    targets,
                    effective(rule.ports.ranges),
                    moment(rule.expires),
                )
            )
        self._sources: dict[tuple[int, int, bool], Bits] = {}

    def sources(self, number: int, version: int, *, of_self: bool = False) -> Bits:
        key = (number, version, of_self)
        if key not in self._sources:
            each = self.rules[number]
            found = 0
            for term in each.self_sources if of_self else each.sources:
                found |= self._world.source(self.side, version, term)
            self._sources[key] = found
        return self._sources[key]

    def towards(self, terms: Ids) -> list[int]:
        """Rules that name one of the terms as destination, in file order."""
        return sorted({n for term in terms for n in self.at.get(term, ())})
