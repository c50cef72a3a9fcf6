"""Proof, before anything is written, that the controller still reaches every node.

A node that is reached at an address outside of the tailnet stays reached: what is
loaded there acts on the tunnel's interfaces and on nothing else, and the node holds it
to that (docs/node-protocol.md, the grammar of firewall.nft). A node that is reached
through the tunnel is another matter: the new policy itself has to let the controller's
device in, on the port that sshd listens on.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from tailgit.access.between import ports_between
from tailgit.access.relation import Relation
from tailgit.guard.guard import Guard
from tailgit.model.addresses import Address
from tailgit.model.tailnet import Device, Tailnet

TCP = 6


def lockout(tailnet: Tailnet, nodes: Iterable[str]) -> Guard:
    """Which of `nodes`, that a change is written to, would be out of reach then."""
    locked: list[str] = []
    why: list[str] = []
    written = sorted(nodes, key=str.encode)
    for node in written:
        sentence = _locked_out(tailnet, tailnet.devices[node])
        if sentence:
            locked.append(node)
            why.append(f"{node}: {sentence}")
    return Guard("lockout", tuple(locked), len(written), 0, tuple(why))


def _locked_out(tailnet: Tailnet, device: Device) -> str:
    """Why `device` could not be reached any more; "" if it can."""
    inside = _inside(tailnet, device)
    if inside is None or device.ssh is None:
        return ""
    controller = tailnet.controller
    if controller is None or controller.device is None:
        return (
            f"it is reached through the tunnel ({device.ssh.host}), and nothing says "
            "from which device; write tailnet.controller: {device: NAME}"
        )
    own = tailnet.devices.get(controller.device)
    if own is None or own.disabled or own.public_key is None:
        return f"the controller's device {controller.device} is not in the tailnet"
    if own.name == device.name:
        return ""
    src = own.ipv4 if inside.version == 4 else own.ipv6
    ports = ports_between(Relation.of(tailnet), src, inside)
    if ports is None or not ports.allows(TCP, device.ssh.port):
        return f"no rule lets {own.name} reach it at tcp port {device.ssh.port}"
    return ""


def _inside(tailnet: Tailnet, device: Device) -> Address | None:
    """The tailnet address that the controller logs in at; None if it is outside."""
    if device.ssh is None:
        return None
    host = device.ssh.host
    if host in (device.name, f"{device.name}.{tailnet.domain}"):
        return device.ipv4
    try:
        address = ip_address(host)
    except ValueError:
        return None
    own = (tailnet.ipv4, tailnet.ipv6)
    return address if any(address in each for each in own) else None
