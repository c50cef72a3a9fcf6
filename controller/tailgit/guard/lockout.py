"""Proof, before anything is written, that the controller still reaches every node.

A node that is reached outside of the tailnet stays reached: what is loaded there acts
on the tunnel's interfaces and on nothing else, and the node holds it to that
(docs/node-protocol.md, the grammar of firewall.nft). A node that is reached through
the tunnel, at an address of the tailnet or in a subnet behind a router, is another
matter: the new policy itself has to let the controller's device in, on the port that
sshd listens on.

What ends by itself is no proof. A node ends a rule when its time is over, nobody is
asked then, and nothing could be written any more that would mend it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from ipaddress import IPv6Address, ip_address

from tailgit.access.between import owner_of, ports_between
from tailgit.access.deadlines import device_deadline
from tailgit.access.relation import Relation
from tailgit.access.routes import approved_routes
from tailgit.guard.guard import Guard
from tailgit.model.addresses import Address, Network
from tailgit.model.deadline import deadline_text
from tailgit.model.tailnet import Device, Ssh, Tailnet

TCP = 6

_SAY_WHERE = "nothing says from which device; write tailnet.controller: {device: NAME}"


def lockout(tailnet: Tailnet, nodes: Iterable[str], base: Tailnet | None) -> Guard:
    """Which of `nodes`, that a change is written to, would be out of reach then.

    `base` is what was applied before; it tells which way a node was reached so far.
    """
    way = _Way(tailnet, base)
    written = sorted(nodes, key=str.encode)
    said = [(node, way.objection(tailnet.devices[node])) for node in written]
    locked = tuple(node for node, sentence in said if sentence)
    why = tuple(f"{node}: {sentence}" for node, sentence in said if sentence)
    return Guard("lockout", locked, len(written), 0, why)


class _Way:
    """The controller's way to nodes after a change."""

    def __init__(self, tailnet: Tailnet, base: Tailnet | None) -> None:
        self.tailnet = tailnet
        self.base = base
        self.approved = approved_routes(tailnet)

    @cached_property
    def now(self) -> Relation:
        return Relation.of(self.tailnet)

    @cached_property
    def lasting(self) -> Relation:
        """What is left once all rules are over that end."""
        rules = tuple(rule for rule in self.tailnet.rules if rule.expires is None)
        return Relation.of(replace(self.tailnet, rules=rules))

    @cached_property
    def before(self) -> Relation | None:
        return None if self.base is None else Relation.of(self.base)

    def objection(self, node: Device) -> str:
        """Why `node` could not be reached any more; "" if it can."""
        if node.ssh is None:
            return ""
        targets = _addresses(self.tailnet, node.ssh.host)
        if targets is None:
            return ""
        if not targets:
            host = node.ssh.host
            return f"`{host}` is in the tailnet's own domain, and nothing there has it"
        inside = [each for each in targets if self._is_inside(each)]
        for target in inside:
            if said := self._inside(node, node.ssh, target):
                return said
        for target in targets:
            if target not in inside and (said := self._behind(node.ssh, target)):
                return said
        return ""

    def _is_inside(self, address: Address) -> bool:
        own = (self.tailnet.ipv4, self.tailnet.ipv6)
        return any(address in each for each in own)

    def _inside(self, node: Device, ssh: Ssh, target: Address) -> str:
        """A tailnet address: the node's own or that of a device it hides behind."""
        controller = self.tailnet.controller
        if controller is None:
            return f"it is reached through the tunnel ({ssh.host}), and {_SAY_WHERE}"
        if controller.device is None:
            return (
                f"it is reached through the tunnel ({ssh.host}), and the controller is "
                "outside of it; give it an ssh.host outside"
            )
        owner = owner_of(self.now, target)
        if owner is None or owner.public_key is None:
            return f"no device of the tailnet has the address {target}"
        if owner.name == controller.device:
            return ""
        if owner.name != node.name and (said := self._ends(owner)):
            return said
        return self._let_in(controller.device, ssh, target)

    def _behind(self, ssh: Ssh, target: Address) -> str:
        """An address outside of the tailnet's: does a router's subnet hold it?"""
        routers = {
            name: prefix
            for name, prefixes in self.approved.items()
            for prefix in prefixes
            if target.version == prefix.version and target in prefix
        }
        controller = self.tailnet.controller
        if controller is None and routers:
            first = min(routers)
            return (
                f"{ssh.host} lies in {routers[first]}, which {first} carries, and "
                "nothing says whether the controller is there; write "
                "tailnet.controller: {outside: true} or {device: NAME}"
            )
        if controller is None or controller.device is None:
            return ""
        if self._is_there(controller.device, routers):
            return ""
        router = _carrier(self.now, controller.device, target)
        if router is None:
            return self._was_behind(controller.device, target)
        if said := self._ends(self.tailnet.devices[router]):
            return said
        return self._let_in(controller.device, ssh, target)

    def _is_there(self, controller: str, routers: Mapping[str, Network]) -> bool:
        """Whether the controller's device stands in that subnet itself."""
        own = self.tailnet.devices.get(controller)
        if own is None:
            return False
        sites = {self.tailnet.devices[name].site for name in routers}
        return controller in routers or (own.site is not None and own.site in sites)

    def _was_behind(self, controller: str, target: Address) -> str:
        """Nothing leads there through the tunnel; that is bad if something did."""
        if self.before is None:
            return ""
        router = _carrier(self.before, controller, target)
        if router is None:
            return ""
        return (
            f"{controller} reaches it behind {router}, and would get no route any more"
        )

    def _let_in(self, controller: str, ssh: Ssh, target: Address) -> str:
        own = self.tailnet.devices.get(controller)
        if own is None or own.name not in self.now.position or own.public_key is None:
            return f"the controller's device {controller} is not in the tailnet"
        if said := self._ends(own):
            return said
        src = own.ipv4 if target.version == 4 else own.ipv6
        what = f"{controller} reach it at {target} tcp port {ssh.port}"
        if _allows(self.lasting, src, target, ssh.port):
            return ""
        if _allows(self.now, src, target, ssh.port):
            return f"only rules that end let {what}; one without `expires` has to"
        return f"no rule lets {what}"

    def _ends(self, device: Device) -> str:
        """Why one device is no lasting part of the way."""
        until = device_deadline(self.tailnet, device)
        if until is None:
            return ""
        end = deadline_text(until)
        return f"the way there goes through {device.name}, which ends ({end})"


def _allows(relation: Relation, src: Address, dst: Address, port: int) -> bool:
    ports = ports_between(relation, src, dst)
    return ports is not None and ports.allows(TCP, port)


def _carrier(relation: Relation, controller: str, target: Address) -> str | None:
    """The router through which the controller's device is sent to an address."""
    if controller not in relation.position:
        return None
    routes = relation.routes_through(relation.view(controller))
    found = [
        (prefix.prefixlen, relation.devices[number].name)
        for number, prefixes in routes.items()
        for prefix in prefixes
        if target.version == prefix.version and target in prefix
        if relation.devices[number].public_key is not None
    ]
    return max(found)[1] if found else None


def _addresses(tailnet: Tailnet, host: str) -> tuple[Address, ...] | None:
    """What the host of a login stands for in this tailnet, every address of it.

    None is a name of somewhere else, taken to lead outside. A name of the tailnet may
    be asked for in either family, so both have to be open.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return _named(tailnet, host.lower().rstrip("."), 8)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return (address.ipv4_mapped,)
    return (address,)


def _named(tailnet: Tailnet, host: str, links: int) -> tuple[Address, ...] | None:
    end = f".{tailnet.domain}"
    name = host.removesuffix(end)
    if name in tailnet.devices:
        return tailnet.devices[name].addresses
    if name == host:
        return None
    found: list[Address] = []
    for record in tailnet.dns.records:
        if record.name != name:
            continue
        if record.type in ("A", "AAAA"):
            found.append(ip_address(record.value))
        elif record.type == "CNAME" and links:
            value = record.value.lower().rstrip(".")
            value = value if "." in value else value + end
            return _named(tailnet, value, links - 1)
    return tuple(found)
