"""What differs about a device, a group, a host or a route, in words and with its line.

Each answer is one sentence for one end that a rule names on one side only: what was
gained on the new side, what was lost on the old one. Places are the new revision's
wherever the thing is still there, since that is what reviewers have before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tailgit.access.deadlines import first_of
from tailgit.access.rules import Term
from tailgit.access.selectors import is_identity_of
from tailgit.model.deadline import deadline_text
from tailgit.model.findings import Place
from tailgit.model.selectors import Kind, Selector
from tailgit.model.tailnet import Device, Group, Tailnet, User
from tailgit.review.space import Region
from tailgit.review.world import NEW, OLD

Reason = tuple[str, Place, int]
"""What happened, where it stands, and on which side that place is."""

Pair = tuple[Device | None, Device | None]


class Reasons:
    """Compares what two tailnets say of one thing."""

    def __init__(
        self, tailnets: tuple[Tailnet, Tailnet], same: Mapping[str, str]
    ) -> None:
        self._tailnets = tailnets
        self._old_name = same
        self._new_name = {old: new for new, old in same.items()}

    # Devices

    def of_device(self, pair: Pair, through: Sequence[Term], side: int) -> Reason:
        """Why terms of a rule name a device on one side and not on the other."""
        here = pair[side]
        assert here is not None
        gone = self._absent(here, pair[1 - side], side)
        if gone is not None:
            return gone
        old, new = self._both(here, side)
        for term in through:
            told = self._by_selector(old, new, term, side)
            if told is not None:
                return told
        for term in through:
            told = self._by_posture(old, new, term)
            if told is not None:
                return told
        if (old.owner, old.tags) != (new.owner, new.tags):
            return _by_owner(old, new)
        return "device changed", new.place, NEW

    def _both(self, device: Device, side: int) -> tuple[Device, Device]:
        """What both sides declare of a device, switched off or not."""
        old, new = self._tailnets
        if side == NEW:
            return old.devices[self._old_name[device.name]], device
        return device, new.devices[self._new_name[device.name]]

    def _absent(self, here: Device, there: Device | None, side: int) -> Reason | None:
        """Why the other side has no such device, if so."""
        if there is not None:
            return None
        names = self._old_name if side == NEW else self._new_name
        if here.name not in names:
            if side == NEW:
                return "new device", here.place, NEW
            return "device removed", here.place, OLD
        old, new = self._both(here, side)
        off = old if side == NEW else new
        if off.disabled:
            what = "enabled" if side == NEW else "disabled"
            return f"device {what}", _at(new, "disabled"), NEW
        users = [self._user(off.owner, n) for n in (OLD, NEW)]
        if any(user is not None and user.disabled for user in users):
            user = users[NEW] or users[OLD]
            assert user is not None
            what = "enabled" if side == NEW else "disabled"
            return f"{user.login} {what}", user.place, NEW if users[NEW] else OLD
        return self.of_end(old, new) or ("device changed", new.place, NEW)

    def of_end(self, old: Device, new: Device) -> Reason | None:
        """A deadline of the device or its owner that is another now."""
        if old.expires != new.expires:
            end = "no longer ends" if new.expires is None else "ends with "
            end += "" if new.expires is None else deadline_text(new.expires)
            return f"device {end}", _at(new, "expires"), NEW
        before, after = self._user(old.owner, OLD), self._user(new.owner, NEW)
        ends = [first_of([u.expires if u else None]) for u in (before, after)]
        if ends[0] != ends[1]:
            user = after or before
            assert user is not None
            end = "no longer ends" if ends[1] is None else "ends with "
            end += "" if ends[1] is None else deadline_text(ends[1])
            return f"{user.login} {end}", user.place, NEW if after else OLD
        return None

    def _user(self, login: str | None, side: int) -> User | None:
        return self._tailnets[side].users.get(login or "")

    # Selectors

    def _by_selector(
        self, old: Device, new: Device, term: Term, side: int
    ) -> Reason | None:
        selector = term.selector
        is_gain = side == NEW
        if self._still(old, new, selector, side):
            return None
        match selector.kind:
            case Kind.TAG:
                what = "tagged" if is_gain else "no longer tagged"
                return f"{what} {selector}", _at(new, "tags"), NEW
            case Kind.TAGGED:
                return "tags changed", _at(new, "tags"), NEW
            case _ if (old.owner, old.tags) != (new.owner, new.tags):
                return _by_owner(old, new)
            case Kind.GROUP:
                login = (new if is_gain else old).owner or ""
                what = "joined" if is_gain else "left"
                return f"{what} {selector}", *self._in_group(selector.value, login)
            case Kind.ROLE:
                user = self._user(new.owner, NEW) or self._user(old.owner, OLD)
                place = user.place if user is not None else new.place
                return f"role of {new.owner} changed", place, NEW
            case Kind.HOST | Kind.IPSET | Kind.PREFIX:
                if old.addresses != new.addresses:
                    return "address changed", new.place, NEW
                return self.of_addresses(term)
            case _:
                return None

    def _still(self, old: Device, new: Device, selector: Selector, side: int) -> bool:
        """Whether the selector names the device as who it is on both sides."""
        if selector.kind is Kind.ANY:
            return True
        device, tailnet = (
            (old, self._tailnets[OLD]) if side == NEW else (new, self._tailnets[NEW])
        )
        if selector.kind is Kind.DEVICE:
            return True
        return is_identity_of(tailnet, selector, device)

    def _in_group(self, name: str, login: str) -> tuple[Place, int]:
        """Where a group names somebody; where it stands, if it does no longer."""
        group = self._tailnets[NEW].groups.get(name)
        if group is not None:
            return _member(group, login), NEW
        former = self._tailnets[OLD].groups[name]
        return _member(former, login), OLD

    def _by_posture(self, old: Device, new: Device, term: Term) -> Reason | None:
        if not term.posture:
            return None
        if old.attributes != new.attributes:
            return "attributes changed", _at(new, "attributes"), NEW
        for name in term.posture:
            before, after = (each.postures.get(name) for each in self._tailnets)
            conditions = [each and each.conditions for each in (before, after)]
            if conditions[0] != conditions[1]:
                at = NEW if after is not None else OLD
                posture = after or before
                assert posture is not None
                return f"{name} changed", posture.place, at
        return None

    # Addresses

    def of_addresses(self, term: Term) -> Reason | None:
        """Why a term stands for addresses on one side only."""
        selector = term.selector
        old, new = self._tailnets
        match selector.kind:
            case Kind.HOST:
                known = [each.hosts.get(selector.value) for each in (old, new)]
                found = known[NEW] or known[OLD]
                prefixes = {each.prefix if each else None for each in known}
            case Kind.IPSET:
                sets = [each.ipsets.get(selector.value) for each in (old, new)]
                name = selector.value
                chosen = sets[NEW] or sets[OLD]
                if chosen is None or len({s and s.prefixes for s in sets}) == 1:
                    return None
                return f"{name} changed", chosen.place, NEW if sets[NEW] else OLD
            case Kind.ANY:
                return "routes changed", self._tailnets[NEW].place, NEW
            case _:
                return None
        if found is None or len(prefixes) == 1:
            return None
        text = f"host {selector.value} changed"
        return text, found.place, NEW if known[NEW] else OLD

    def of_place(
        self, behind: str | Pair, region: Region, terms: Iterable[Term], side: int
    ) -> Reason | None:
        """Why addresses behind a device are a destination on one side only."""
        for term in terms:
            told = self.of_addresses(term)
            if term.selector.kind is not Kind.ANY and told is not None:
                return told
        if isinstance(behind, str):
            return None
        here = behind[side]
        if here is None:
            return None
        gone = self._absent(here, behind[1 - side], side)
        if gone is not None:
            return gone
        old, new = self._both(here, side)
        if old.exit_node != new.exit_node:
            what = "is an" if new.exit_node else "is no longer an"
            return f"{new.name} {what} exit node", _at(new, "exitNode"), NEW
        if old.tags != new.tags:
            return f"tags of {new.name} changed", _at(new, "tags"), NEW
        before, after = ({r.prefix for r in each.routes} for each in (old, new))
        touched = before ^ after
        if any(p.version == region.version for p in touched):
            return f"routes of {new.name} changed", _at(new, "routes"), NEW
        place = self._tailnets[NEW].place
        return "approval of its routes changed", place, NEW


def _by_owner(old: Device, new: Device) -> Reason:
    if new.owner is not None and not new.tags:
        return f"now {new.owner}'s", _at(new, "owner"), NEW
    text = f"no longer {old.owner}'s" if old.owner else "tags changed"
    return text, _at(new, "tags"), NEW


def _at(device: Device, *path: str) -> Place:
    return device.origin.at(*path) if device.origin is not None else device.place


def _member(group: Group, login: str) -> Place:
    if group.origin is not None and login in group.members:
        return group.origin.at(group.members.index(login))
    return group.place
