"""`autogroup:self`: what the devices of one person may do to each other.

A rule to self joins the devices of a person that its source names with all untagged
devices of that person. Mostly that is all with all; a posture may leave some out as
sources, so it is kept by device.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from tailgit.access.rules import Ids, Mask, RuleIndex
from tailgit.model.tailnet import Device


class People:
    """The self rules of one tailnet by person."""

    def __init__(
        self,
        rules: RuleIndex,
        devices: Sequence[Device],
        terms_of: Callable[[int], Ids],
    ) -> None:
        """`terms_of` gives the terms that match a device by its own addresses."""
        self._rules = rules
        self._devices = devices
        self._terms_of = terms_of

    @cached_property
    def masks(self) -> Mapping[str, Mapping[int, Mask]]:
        """By person with a self rule, what each of their devices may do to the rest."""
        found: dict[str, dict[int, Mask]] = defaultdict(dict)
        if self._rules.to_self:
            for number, device in enumerate(self._devices):
                if device.owner is not None and not device.tags:
                    found[device.owner][number] = self.mask(self._terms_of(number))
        return {who: masks for who, masks in found.items() if any(masks.values())}

    def mask(self, ids: Iterable[int]) -> Mask:
        """What a device that these terms match may do to others of its person."""
        mask = 0
        for term in ids:
            mask |= self._rules.to_self.get(term, 0)
        return mask

    def ends(self, person: str, ids: Ids, *, inward: bool) -> Mapping[int, Mask]:
        """What a person's devices may do to one that these terms match, or have done
        to them by it, where that opens anything."""
        opening, masks = self._rules.opening, self.masks[person]
        if inward:
            return {n: mask & opening for n, mask in masks.items() if mask & opening}
        mine = self.mask(ids) & opening
        return dict.fromkeys(masks, mine) if mine else {}

    def peers(self, person: str | None, ids: Ids) -> Iterable[int]:
        """The person's devices that see one of them, which these terms match.

        Both ends see each other if either may reach the other.
        """
        masks = self.masks[person] if person is not None else {}
        if self.mask(ids):
            return masks
        return [number for number, mask in masks.items() if mask]

    def reached(self, person: str | None, ids: Ids) -> Iterable[int]:
        """Those of the person's devices that one of them may reach on some port."""
        opens = person is not None and self.mask(ids) & self._rules.opening
        return self.masks[person] if person is not None and opens else ()
