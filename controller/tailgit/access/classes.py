"""Device classes: devices that every rule of the policy treats alike.

Two devices are one class if the same *referenced* terms match them: a group that no
rule mentions splits nothing. Everything that costs is then done between classes,
never between pairs of devices (PERFORMANCE.md, P3). A device with approved routes is
a class of its own, since rules may also name parts of its subnets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailgit.access.index import Families, TermIndex
from tailgit.access.routes import Approvals, exits_of, subnets_of
from tailgit.access.rules import Ids, Term
from tailgit.model.addresses import Network
from tailgit.model.tailnet import Device, Tailnet


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """Devices that match the same terms.

    `members` are indices into the relation's devices, ascending. `own` holds, for
    each family, the terms that cover the members' own address of that family;
    `carried` those that stand for part of its approved subnets or, at an exit node,
    of the internet.
    """

    members: tuple[int, ...]
    own: Families
    carried: Ids = frozenset()
    routes: tuple[Network, ...] = ()
    is_exit: bool = False

    @property
    def address_ids(self) -> Ids:
        """Terms that cover an own address of either family."""
        return self.own[4] | self.own[6]

    @property
    def ids(self) -> Ids:
        """Terms that cover anything of the members in either family."""
        return self.address_ids | self.carried


def classify(
    tailnet: Tailnet,
    devices: Sequence[Device],
    terms: Sequence[Term],
    approved: Approvals,
    index: TermIndex | None = None,
) -> tuple[DeviceClass, ...]:
    """The classes of `devices`, in order of their first member."""
    index = index or TermIndex(tailnet, terms)
    routes, exits = subnets_of(approved), exits_of(approved)
    found: dict[tuple[Ids, Ids, str], list[int]] = {}
    for number, device in enumerate(devices):
        own = index.own(device)
        name = device.name if device.name in approved else ""
        found.setdefault((own[4], own[6], name), []).append(number)
    return tuple(
        DeviceClass(
            tuple(members),
            {4: four, 6: six},
            index.carried(
                devices[members[0]], routes.get(name, ()), exits=name in exits
            )
            if name
            else frozenset(),
            routes.get(name, ()),
            name in exits,
        )
        for (four, six, name), members in found.items()
    )
