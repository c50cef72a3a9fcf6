"""What a device hangs on by name: its gateway, its exit node; and the controller's.

A device with `gateway:` has that one peer, which filters for it. So a gateway must be
a node of ours that everybody can reach: it has an endpoint, no gateway of its own, and
it is not a wg-quick device, on which nobody filters. Other judgements build on that:
a device with a gateway has a path to everybody (`check.paths`).

A sentence names what is wrong with the gateway and not who has it: one `gateway:` in
`deviceDefaults` is then one finding, not one for each device of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailgit.access.routes import is_exit_node
from tailgit.access.selectors import active_devices
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.near import Near
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.model.text import shown


def check_attachments(tailnet: Tailnet) -> Iterator[Finding]:
    """Findings about every name of a device that is not in the policy."""
    known = _Devices(tailnet)
    for device in tailnet.devices.values():
        if device.gateway is not None:
            yield from known.gateway(device, device.gateway)
        if device.use_exit_node is not None:
            yield from known.exit_node(device, device.use_exit_node)
    yield from known.controller()
    yield from _not_approved(tailnet)


class _Devices:
    """The devices of a tailnet, with guesses for names that are none."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.tailnet = tailnet
        self.active = active_devices(tailnet)
        self.near = Near(tailnet.devices)

    def gateway(self, device: Device, name: str) -> Iterator[Finding]:
        at = _at(device, "gateway")
        gateway = self.tailnet.devices.get(name)
        if gateway is None:
            yield self.unknown(name, at)
        elif why := self.no_gateway(device, gateway):
            message, help_ = f"`{name}` can't be the gateway: {why[0]}", why[1]
            yield finding("not-a-gateway", at, message, help_, [gateway.place])

    def no_gateway(self, device: Device, gateway: Device) -> tuple[str, str] | None:
        """Why a device can't be the other's gateway, and what to do; None if it can."""
        if gateway.name == device.name:
            help_ = "take `gateway` out: a gateway is reached itself"
            return "it is the device itself", help_
        if gateway.name not in self.active:
            return self.off(gateway), "switch it on, or name another one"
        if gateway.gateway is not None:
            help_ = "gateways don't chain: name one that is reached itself"
            return f"it has a gateway itself, `{shown(gateway.gateway)}`", help_
        if not gateway.endpoints:
            help_ = "add `endpoints` to it, or name a device that has them"
            return "it has no endpoint, so it can't be reached from everywhere", help_
        if gateway.delivery is Delivery.WG_QUICK:
            help_ = "name a Linux device with another delivery"
            return "with `delivery: wg-quick` nothing on it filters", help_
        return None

    def exit_node(self, device: Device, name: str) -> Iterator[Finding]:
        at = _at(device, "useExitNode")
        exit_node = self.tailnet.devices.get(name)
        if exit_node is None:
            yield self.unknown(name, at)
            return
        if name == device.name:
            why, help_ = "it is the device itself", "take `useExitNode` out"
        elif not exit_node.exit_node:
            why = "it does not say `exitNode: true`"
            help_ = f"write that at `{name}`, or name another one"
        elif name not in self.active:
            why, help_ = self.off(exit_node), "switch it on, or name another one"
        else:
            return
        message = f"`{name}` can't be the exit node: {why}"
        yield finding("not-an-exit-node", at, message, help_, [exit_node.place])

    def controller(self) -> Iterator[Finding]:
        controller = self.tailnet.controller
        if controller is None or controller.device is None:
            return
        if controller.device not in self.tailnet.devices:
            yield self.unknown(controller.device, controller.place)

    def unknown(self, name: str, at: Place) -> Finding:
        message = f"no device `{shown(name)}`"
        help_ = self.near.meant(name)
        guess = help_.removeprefix("did you mean `").removesuffix("`?")
        device = self.tailnet.devices.get(guess)
        see = [device.place] if device is not None else []
        help_ = help_ or "name one of `devices`"
        return finding("unknown-device", at, message, help_, see)

    @staticmethod
    def off(device: Device) -> str:
        return "it is disabled" if device.disabled else "its owner is disabled"


def _not_approved(tailnet: Tailnet) -> Iterator[Finding]:
    """Exit nodes that offer themselves and that nobody has approved."""
    for device in active_devices(tailnet).values():
        own = device.tags[0] if device.tags else device.owner
        if device.exit_node and own and not is_exit_node(tailnet, device):
            yield finding(
                "route-not-approved",
                _at(device, "exitNode"),
                f"the exit node `{device.name}` is not approved, so it carries "
                "nobody's traffic to the internet",
                f"add `{shown(own)}` to `autoApprovers.exitNode`",
            )


def _at(device: Device, key: str) -> Place:
    return device.origin.at(key) if device.origin is not None else device.place
