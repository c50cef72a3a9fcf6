"""Tests of the policy that hold in the network whatever the rules say.

The only one that can't fail is a `deny` of an address that nothing carries: no device
has it, and no device offers a route to it, so no packet gets there. (Judged by rules
alone, as Tailscale judges tests, a rule for everything would still make it fail.)
Mostly the device has gone, or the address is misspelt. A route that is not approved
counts as one that carries, since approval is a part of the policy, and so does a
device that is switched off; and beside an exit node nothing is said.

An `accept` always can fail: without rules. So can a `deny` from a device to itself,
by a rule that joins the two (see `access.examples`), though no such packet ever goes
through the tailnet.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailgit.access.selectors import prefix_of
from tailgit.check.ranges import Outer
from tailgit.model.addresses import Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Tailnet
from tailgit.model.text import shown


def check_examples(tailnet: Tailnet) -> Iterator[Finding]:
    """A finding for each target of a `deny` that nothing could ever carry."""
    if not any(test.deny for test in tailnet.tests):
        return
    carried = _Carried(tailnet)
    for test in tailnet.tests:
        for target in test.deny:
            prefix = prefix_of(tailnet, target.selector)
            if prefix is None or prefix in carried:
                continue
            address = prefix.network_address
            inside = address in (tailnet.ipv4 if address.version == 4 else tailnet.ipv6)
            nobody = "no device has" if inside else "no device has or routes"
            yield finding(
                "test-cannot-fail",
                target.place,
                f"{nobody} {address}, so nothing reaches `{shown(target.text)}` "
                "whatever the rules say",
                "name a device by its name, or take it out",
            )


class _Carried:
    """The addresses that some device has or offers to carry."""

    def __init__(self, tailnet: Tailnet) -> None:
        devices = tailnet.devices.values()
        self._own = {address for each in devices for address in each.addresses}
        self._exit = any(each.exit_node for each in devices)
        self._routes = Outer(
            prefix
            for each in devices
            for route in each.routes
            for prefix in (route.prefix, route.known_as)
            if prefix is not None
        )

    def __contains__(self, prefix: Network) -> bool:
        return (
            self._exit
            or prefix.network_address in self._own
            or self._routes.overlapping(prefix) is not None
        )
