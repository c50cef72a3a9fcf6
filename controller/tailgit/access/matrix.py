"""Who may reach what, in as few lines as the policy itself has: `tailgit access`.

An answer is about one party: what it may reach, or who may reach it. The matrix is an
answer for everybody, by group, tag, person or device; those who have the same share
one, and no pair of devices is looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tailgit.access.extents import Extent, Numbers, extent_of, union
from tailgit.access.lines import Line, Lines, Naming
from tailgit.access.parties import Member, Parties, Party
from tailgit.access.relation import Relation
from tailgit.model.selectors import Kind, Selector

By = Literal["group", "tag", "device", "user"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one party may reach or, with `inward`, who may reach it.

    `devices` and `subnets` count what is at the other ends of its lines; `ending` are
    the devices at any end that have a deadline, `carried` those behind a gateway.
    """

    party: Party
    lines: tuple[Line, ...]
    inward: bool = False
    devices: int = 0
    subnets: int = 0
    ending: tuple[Member, ...] = ()
    carried: tuple[Member, ...] = ()


_Row = tuple[tuple[str, ...], Kind | None, Extent]
"""A party of the matrix: its names, what sort of name they are, who it is."""


def reach(relation: Relation, who: Selector) -> Answer:
    """What `who` may reach; `UsageError` for `autogroup:self`."""
    return _about(relation, who, inward=False)


def reached_by(relation: Relation, what: Selector) -> Answer:
    """Who may reach `what`, wholly or in part; `UsageError` for `autogroup:self`."""
    return _about(relation, what, inward=True)


def _about(relation: Relation, asked: Selector, *, inward: bool) -> Answer:
    parties = Parties(relation)
    lines, extent = Lines(parties), parties.asked(asked)
    if not extent:
        found = lines.naming(asked, inward=inward)
    else:
        found = lines.reaching(extent) if inward else lines.reached_from(extent)
    party = parties.party((str(asked),), asked.kind, extent)
    named = lines.named(found, _naming(parties, party), extent)
    return _answer(party, named, inward=inward)


def policy_lines(relation: Relation) -> tuple[Line, ...]:
    """The whole relation, between the parties that the policy names."""
    parties = Parties(relation)
    lines = Lines(parties)
    return lines.named(lines.all(), parties.part, Extent())


def matrix(relation: Relation, by: By) -> tuple[Answer, ...]:
    """What everybody may reach.

    By group (who is in none, and tags, come after it), tag, user or device; last what
    is behind routers, and addresses that are nobody's.
    """
    parties = Parties(relation)
    lines = Lines(parties)
    found = [_outward(parties, lines, row) for row in _rows(parties, by)]
    return (*found, *_addresses(parties, lines))


def _outward(parties: Parties, lines: Lines, row: _Row) -> Answer:
    names, kind, who = row
    party = parties.party(names, kind, who)
    if not who and kind is not None:
        found = lines.naming(Selector(kind, names[0]), inward=False)
    else:
        found = lines.reached_from(who)
    return _answer(
        party, lines.named(found, _naming(parties, party), who), inward=False
    )


def _naming(parties: Parties, party: Party) -> Naming:
    """The name of a part: the party's own where it is all of it."""
    return lambda part: party if part.holds(party.extent) else parties.part(part)


def _answer(party: Party, lines: tuple[Line, ...], *, inward: bool) -> Answer:
    others = [line.src if inward else line.dst for line in lines if line.ports.ranges]
    involved = [m for each in (party, *others) for m in each.members]
    return Answer(
        party,
        lines,
        inward,
        len({member.name for each in others for member in each.members}),
        len({subnet.prefix for each in others for subnet in each.subnets}),
        _by_name(each for each in involved if each.until is not None),
        _by_name(each for each in involved if each.gateway),
    )


def _by_name(members: Iterable[Member]) -> tuple[Member, ...]:
    """Each device once; by which of its addresses does not matter here."""
    found = {member.name: member for member in members}
    return tuple(found[name] for name in sorted(found))


def _addresses(parties: Parties, lines: Lines) -> Iterator[Answer]:
    """What rules open to addresses that are neither devices' nor behind routers."""
    terms = parties.elsewhere
    found = {ends: why for ends, why in lines.all().items() if ends.src in terms}
    if found:
        named = lines.named(found, parties.part, Extent())
        names = tuple(dict.fromkeys(line.src.name for line in named))
        extent = union(line.src.extent for line in named)
        yield _answer(parties.party(names, None, extent), named, inward=False)


# Rows of the matrix


def _rows(parties: Parties, by: By) -> Iterator[_Row]:
    relation = parties.relation
    if by == "device":
        found = {d.name: frozenset((n,)) for n, d in enumerate(relation.devices)}
        yield from _alike(parties, found, Kind.DEVICE)
    else:
        people = parties.devices_by_owner
        if by == "group":
            for name, group in relation.tailnet.groups.items():
                members = [people.get(login, frozenset()) for login in group.members]
                yield (name,), Kind.GROUP, extent_of(frozenset().union(*members))
            grouped = {m for g in relation.tailnet.groups.values() for m in g.members}
            alone = {who: each for who, each in people.items() if who not in grouped}
            yield from _alike(parties, alone, Kind.USER)
        elif by == "user":
            yield from _alike(parties, people, Kind.USER)
        tags = {tag: set[int]() for tag in relation.tailnet.tag_owners}
        for number, device in enumerate(relation.devices):
            for tag in device.tags:
                tags.setdefault(tag, set()).add(number)
        for tag in sorted(tags):
            yield (tag,), Kind.TAG, extent_of(frozenset(tags[tag]))
        if by == "tag":
            everyone = frozenset().union(*people.values())
            yield (Kind.MEMBER.value,), Kind.MEMBER, extent_of(everyone)
    for route, routers in parties.routers.items():
        yield (str(route),), Kind.PREFIX, Extent(carried=((route, routers),))


def _alike(
    parties: Parties, named: Mapping[str, Numbers], kind: Kind
) -> Iterator[_Row]:
    """Names whose devices are of the same classes share a row."""
    relation = parties.relation
    alike: dict[frozenset[object], list[str]] = defaultdict(list)
    for name, numbers in named.items():
        views = (relation.view(relation.devices[n].name) for n in numbers)
        alike[frozenset(view.class_id for view in views)].append(name)
    for names in alike.values():
        extent = extent_of(frozenset().union(*(named[name] for name in names)))
        yield tuple(names), kind if len(names) == 1 else None, extent
