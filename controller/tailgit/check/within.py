"""Whether one rule lies within another, for reasons that stay true.

A rule for `group:a` is not dead because of one for `group:b` that has the same members
today: somebody joins tomorrow, and the rule that was taken out is missed. So a
selector counts as inside another one only if it is so whatever devices and members
there are:

- it is the same selector; aliases of `hosts` and addresses are compared as prefixes,
  so that spelling means nothing,
- it is a prefix inside a prefix,
- it is a user, group, role or domain inside `autogroup:member`, a tag inside
  `autogroup:tagged`,
- it is anything inside the `*` of a dst; in the `*` of a src, which is no more than
  the tailnet and its approved routes, anything but a prefix outside of the tailnet.

A device inside its owner or its tag does not count, nor a user inside a group: both
are edited without a look at the rules. Nor does a selector that only several others
cover together.

A rule is within another if every pair of its sources and destinations is within one
pair of the other's, its ports and applications are among the other's, it goes by the
same routers (`via`), asks for no other posture, and does not end later.
`autogroup:self` means, for each person, their own devices: with the source `ana` it is
the pair `ana` to `ana`, and for any source it is inside a dst that the source itself
is inside of. As a source of such pairs `*` means no more than `autogroup:member`.

Rules are compared with those alone that a sieve leaves: the rules with a selector
around the rarest one of the rule. For policies that nobody writes by hand the number
of comparisons is limited; what is beyond the limit is not called dead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from tailgit.access.routes import covers
from tailgit.access.selectors import prefix_of
from tailgit.model.addresses import Network
from tailgit.model.findings import Place
from tailgit.model.policy import App, Rule
from tailgit.model.ports import Ports
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Tailnet

Side = Literal["src", "dst"]

MOST_WORK = 3_000_000
"""Selectors and rules that are looked at altogether: two or three seconds."""

_ANY, _MEMBER, _TAGGED, _SELF = (
    (kind, str(kind)) for kind in (Kind.ANY, Kind.MEMBER, Kind.TAGGED, Kind.SELF)
)
_Key = Hashable
"""A selector so that equal meaning is equal: kind and name, or a prefix in numbers."""


@dataclass(frozen=True, slots=True)
class _Box:
    """One `Rule`: every source to every destination on these ports, until then.

    For sources with one of the postures only, if there are any; by routers with one of
    the `via` tags.
    """

    src: frozenset[_Key]
    dst: frozenset[_Key]
    ports: Ports
    expires: int | None
    posture: frozenset[str] = frozenset()
    via: frozenset[str] = frozenset()
    app: frozenset[App] = frozenset()


class _Exhausted(Exception):
    """The limit is reached."""


class Containment:
    """The rules of a tailnet, and which of them lie within another one.

    Rules are numbered in the order of their places.
    """

    def __init__(
        self, tailnet: Tailnet, written: Mapping[Place, Sequence[Rule]]
    ) -> None:
        self._tailnet = tailnet
        self._keys: dict[tuple[Kind, str], _Key] = {}
        self._prefixes: dict[_Key, Network] = {}
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
        self._left = MOST_WORK
        self._written = tuple(sorted(written))
        self._boxes: dict[int, tuple[_Box, ...]] = {}
        self._same: dict[int, int] = {}
        self._first_of: dict[frozenset[_Box], int] = {}
        self._rules: dict[Side, dict[_Key, list[int]]] = {
            "src": defaultdict(list),
            "dst": defaultdict(list),
        }
        with suppress(_Exhausted):
            for number, place in enumerate(self._written):
                self._add(number, written[place])

    def dead(self) -> dict[Place, Place]:
        """Each rule that another one already says, with the first such rule.

        Of two that say the same the later is dead. A rule that is dead itself is named
        for no other: what it lies within says that, too.
        """
        around: dict[int, list[int]] = {}
        with suppress(_Exhausted):
            for number, boxes in self._boxes.items():
                holding = [
                    other
                    for other in self._candidates(boxes[0])
                    if other != number and self._makes_dead(other, number)
                ]
                if holding:
                    around[number] = holding
        found = {
            number: next((each for each in holding if each not in around), holding[0])
            for number, holding in around.items()
        }
        for number, first in self._same.items():
            found[number] = found.get(first, first)
        return {self._written[n]: self._written[other] for n, other in found.items()}

    # The index: rules that say exactly the same are one of them

    def _add(self, number: int, rules: Sequence[Rule]) -> None:
        if any(not (rule.src and rule.dst and rule.ports.ranges) for rule in rules):
            return  # it opens nothing, so it would lie within every other
        boxes = tuple(dict.fromkeys(self._box(rule) for rule in rules))
        first = self._first_of.setdefault(frozenset(boxes), number)
        if first != number:
            self._same[number] = first
            return
        self._boxes[number] = boxes
        for key in {key for box in boxes for key in box.src}:
            self._rules["src"][key].append(number)
        for key in {key for box in boxes for key in box.dst}:
            self._rules["dst"][key].append(number)

    def _box(self, rule: Rule) -> _Box:
        self._pay(len(rule.src) + len(rule.dst))
        src = frozenset(self._key(selector) for selector in rule.src)
        dst = frozenset(self._key(selector) for selector in rule.dst)
        if dst == {_SELF} and _ANY in src:
            src = src - {_ANY} | {_MEMBER}
        posture = frozenset(rule.posture or self._tailnet.default_src_posture)
        via, app = frozenset(rule.via), frozenset(rule.app)
        return _Box(src, dst, rule.ports, rule.expires, posture, via, app)

    def _key(self, selector: Selector) -> _Key:
        name = selector.kind, selector.value
        if name not in self._keys:
            prefix = prefix_of(self._tailnet, selector)
            key: _Key = name
            if prefix is not None:
                key = prefix.version, prefix.prefixlen, int(prefix.network_address)
                self._prefixes[key] = prefix
                self._lengths[prefix.version].add(prefix.prefixlen)
            self._keys[name] = key
        return self._keys[name]

    # One rule within another

    def _makes_dead(self, other: int, number: int) -> bool:
        boxes, around = self._boxes[number], self._boxes[other]
        if not self._within(boxes, around):
            return False
        return other < number or not self._within(around, boxes)

    def _candidates(self, box: _Box) -> list[int]:
        """The rules that may hold this one: those around its rarest selector."""
        best: list[list[int]] | None = None
        sides: tuple[tuple[Side, frozenset[_Key]], ...]
        sides = ("src", box.src), ("dst", box.dst)
        for side, keys in sides:
            for key in keys:
                if key == _SELF:
                    continue  # other selectors may hold it, depending on the source
                lists = [
                    numbers
                    for wider in self._around(key, side)
                    if (numbers := self._rules[side].get(wider))
                ]
                if side == "dst" and box.src == {key}:
                    # From one person to the same one: autogroup:self holds that.
                    lists.append(self._rules["dst"].get(_SELF, []))
                self._pay(len(lists))
                if best is None or sum(map(len, lists)) < sum(map(len, best)):
                    best = lists
        self._pay(sum(map(len, best or ())))
        return sorted({number for numbers in best or () for number in numbers})

    def _within(self, inner: Iterable[_Box], outer: Sequence[_Box]) -> bool:
        return all(any(self._holds(wide, box) for wide in outer) for box in inner)

    def _holds(self, wide: _Box, box: _Box) -> bool:
        self._pay(1)
        if not _among(box.ports, wide.ports) or _ends_later(box, wide):
            return False
        if box.via != wide.via or not box.app <= wide.app:
            return False
        if wide.posture and not (box.posture and box.posture <= wide.posture):
            return False
        if not all(self._covered(key, wide.src, "src") for key in box.src):
            return False
        return all(
            self._reached(source, target, wide)
            for target in box.dst
            for source in (box.src if target == _SELF or _SELF in wide.dst else [None])
        )

    def _reached(self, source: _Key, target: _Key, wide: _Box) -> bool:
        """Whether a destination of this source (None: of any) is among the wide ones.

        That the source is among them is known.
        """
        if self._covered(target, wide.dst, "dst"):
            return True
        if target == _SELF:
            # The own devices of whoever the source names are inside the source.
            person = _MEMBER if source == _ANY else source
            return self._covered(person, wide.dst, "dst")
        return _SELF in wide.dst and source == target and _is_user(source)

    def _covered(self, key: _Key, among: frozenset[_Key], side: Side) -> bool:
        self._pay(1)
        return key in among or any(each in among for each in self._around(key, side))

    def _around(self, key: _Key, side: Side) -> Iterator[_Key]:
        """The selectors that this one is always inside of, itself first."""
        yield key
        prefix = self._prefixes.get(key)
        if prefix is not None:
            yield from self._wider(prefix)
            pools = self._tailnet.ipv4, self._tailnet.ipv6
            if side == "dst" or any(covers(pool, prefix) for pool in pools):
                yield _ANY
            return
        match key:
            case (Kind.USER | Kind.GROUP | Kind.ROLE | Kind.DOMAIN, _):
                yield _MEMBER
            case (Kind.TAG, _):
                yield _TAGGED
            case (Kind.DANGER_ALL | Kind.IPSET | Kind.SHARED, _) if side == "src":
                return  # more than the tailnet, or something else
            case _:
                pass
        if key != _ANY:
            yield _ANY

    def _wider(self, prefix: Network) -> Iterator[_Key]:
        bits, number = prefix.max_prefixlen, int(prefix.network_address)
        for length in self._lengths[prefix.version]:
            if length < prefix.prefixlen:
                self._pay(1)
                hole = bits - length
                yield prefix.version, length, number >> hole << hole

    def _pay(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise _Exhausted


def _is_user(key: _Key) -> bool:
    return isinstance(key, tuple) and key[0] is Kind.USER


def _among(ports: Ports, wide: Ports) -> bool:
    """Whether each range lies in one of the others, which are merged."""
    return ports == wide or all(
        any(
            p == protocol and low <= first and last <= high
            for p, low, high in wide.ranges
        )
        for protocol, first, last in ports.ranges
    )


def _ends_later(box: _Box, wide: _Box) -> bool:
    if wide.expires is None:
        return False
    return box.expires is None or box.expires > wide.expires
