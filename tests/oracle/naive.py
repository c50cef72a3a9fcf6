"""Who may reach what, one packet at a time, as literally as the policy is written.

This is the oracle of the access engine: a packet is allowed if it lies in a box that a
rule means at the device (`delivery`), two devices are peers if something of one lies
in a box of the other. The sections of POLICY.md are named where they decide something.

What is left out on purpose: `ssh`, `nodeAttrs`, and what an app's capability says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tailgit.model.addresses import Address, Network
from tailgit.model.tailnet import Device, Tailnet
from tests.oracle.delivery import (
    EVERYWHERE,
    Box,
    Delivered,
    Networks,
    addresses,
    inside,
    overlap,
)
from tests.oracle.meanings import INTERNET

__all__ = ["Box", "Judge", "allows", "may_send", "overlap", "peers"]


def allows(
    tailnet: Tailnet, node: str, src: Address, dst: Address, protocol: int, port: int
) -> bool:
    """Whether a new flow's packet that the tunnel brings to `node` may pass there."""
    return Judge(tailnet).allows(node, src, dst, protocol, port)


def may_send(
    tailnet: Tailnet, node: str, src: Address, dst: Address, protocol: int, port: int
) -> bool:
    """Whether `node` may let a new flow's packet out into the tunnel."""
    return Judge(tailnet).may_send(node, src, dst, protocol, port)


def peers(tailnet: Tailnet, node: str) -> dict[str, frozenset[Network]]:
    """The devices `node` has as WireGuard peers, each with its AllowedIPs."""
    return Judge(tailnet).peers(node)


@dataclass(frozen=True)
class Judge(Delivered):
    """One tailnet's judge at a time, or of all times."""

    _named: dict[tuple[str, Address, Address], list[Box]] = field(default_factory=dict)

    def allows(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """At the receiver: the destination is its own and a rule's box holds it."""
        device = self.devices.get(node)
        if device is None or not inside(dst, self.own(device) + self._beyond(node)):
            return False
        key = (node, src, dst)
        if key not in self._named:
            self._named[key] = [box for box in self.boxes(node) if box.names(src, dst)]
        return any(box.opens(protocol, port) for box in self._named[key])

    def may_send(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """At the sender: the source is its own, and some other device that has the
        destination (as address or inside an approved route) would let it in.

        Both ends judge the original direction by the same relation, so nothing may
        leave that would be refused on arrival, and all may that would be accepted.
        """
        device = self.devices.get(node)
        if device is None or not inside(src, self.own(device)):
            return False
        return any(
            self.allows(other, src, dst, protocol, port)
            for other in self.devices
            if other != node
        )

    def belongs_to_another(self, node: str, address: Address) -> bool:
        """Whether a device other than `node` has the address or a subnet with it."""
        return any(
            inside(address, self.own(other))
            for other in self.devices.values()
            if other.name != node
        )

    def _beyond(self, node: str) -> Networks:
        return INTERNET if self.is_exit(node) else ()

    # Peers

    def peers(self, node: str) -> dict[str, frozenset[Network]]:
        """Who is a peer, with which AllowedIPs (§5); both ends need a key."""
        here = self.devices.get(node)
        if here is None or here.public_key is None:
            return {}
        return {
            there.name: frozenset(self._allowed_ips(here, there))
            for there in self.devices.values()
            if there.name != node
            and there.public_key is not None
            and (self._reaches(here, there) or self._reaches(there, here))
        }

    def _reaches(self, here: Device, there: Device) -> bool:
        mine = self.own(here)
        return any(overlap(box.sources, mine) for box in self.boxes(there.name))

    def _allowed_ips(self, here: Device, there: Device) -> Iterator[Network]:
        """§5. Families are not looked at, as the control plane doesn't: a rule from a
        route to an IPv6 prefix hands out its IPv4 route (corpus r8)."""
        yield from addresses([there])
        for route in self.approved(there.name):
            carriers = self.carriers(route)
            first = self.devices[carriers[0]]
            shared = any(route == mine.prefix for mine in here.routes)
            if shared or self._plainly(here, first, route):
                if there == first:
                    yield route  # (a), (b)
            elif self._via(here, route, carriers) == there.name:
                yield route  # (c)
        mine = self.own(here)
        if self.is_exit(there.name) and any(
            box.is_default and overlap(box.sources, mine)
            for box in self.boxes(there.name)
        ):
            yield from EVERYWHERE  # (d)

    def _plainly(self, here: Device, router: Device, route: Network) -> bool:
        """Whether a rule without via lets one reach part of the route, or the other
        way round."""
        mine = self.own(here)
        towards = any(
            overlap(box.sources, mine) and overlap(box.destinations, (route,))
            for box in self.boxes(router.name)
            if not box.via
        )
        back = any(
            overlap(box.sources, (route,))
            for box in self.boxes(here.name)
            if not box.via
        )
        return towards or back

    def _via(self, here: Device, route: Network, carriers: list[str]) -> str | None:
        """The first router of the route that a rule for `here` goes through."""
        mine = self.own(here)
        return next(
            (
                name
                for name in carriers
                if any(
                    box.via
                    and overlap(box.sources, mine)
                    and overlap(box.destinations, (route,))
                    for box in self.boxes(name)
                )
            ),
            None,
        )
