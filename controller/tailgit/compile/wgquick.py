"""The same configuration as a wg-quick(8) file, for machines without a login for us.

It names where the private key lies instead of holding it, and brings no filter of
its own: what this device may reach is still judged by every node at the other end.
"""

from __future__ import annotations

from tailgit.compile.compiler import Compiler
from tailgit.compile.wireguard import FWMARK, MTU
from tailgit.model.tailnet import Device, Tailnet
from tailgit.resources import template


def wg_quick(tailnet: Tailnet, device: Device) -> str:
    """The whole file; `KeyError` if the device is disabled or awaits its key."""
    head = template("wireguard/quick.conf.j2").render(
        device=device.name,
        domain=tailnet.domain,
        tailnet=tailnet.name,
        interface=tailnet.interface,
        addresses=f"{device.ipv4}/32, {device.ipv6}/128",
        port=device.listen_port,
        mark=FWMARK,
        mtu=MTU,
    )
    return head + Compiler(tailnet).peer_sections(device.name).decode()


def app_file(tailnet: Tailnet, name: str, private: str) -> str:
    """The file of device `name` with its private key inside, as apps for phones want
    it: without a mark or commands, which they refuse."""
    device = tailnet.devices[name]
    head = template("wireguard/app.conf.j2").render(
        device=name,
        domain=tailnet.domain,
        tailnet=tailnet.name,
        private=private,
        addresses=f"{device.ipv4}/32, {device.ipv6}/128",
        port=device.listen_port,
        mtu=MTU,
    )
    return head + Compiler(tailnet).peer_sections(name).decode()
