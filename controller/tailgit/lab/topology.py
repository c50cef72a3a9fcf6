"""Which machines a lab has, where they are in its Internet, and how each is set up.

Everything here is a pure function of the tailnet. The lab's Internet is one router;
each machine hangs on it by a link of its own and has its public addresses as /32 and
/128 with a default route through 169.254.1.1 and fe80::1, as rented servers often
have. So any public address of a repository works, machines are no layer-2 neighbours
of each other (public servers rarely are), nothing grows with the square of their
number, and a packet to nowhere is answered "network unreachable" by the router
instead of waiting for an ARP time-out. NAT routers will hang on it in the same way.

First form: public machines only. A device without an endpoint would be behind NAT.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import Literal

from tailgit.errors import LabError, UsageError
from tailgit.model.addresses import Address
from tailgit.model.tailnet import Device, Tailnet

CONTROLLER = "@controller"
ROUTER = "@internet"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"

Role = Literal["node", "controller", "router", "host"]

_GATEWAY4, _GATEWAY6 = "169.254.1.1", "fe80::1"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_CONTROLLER_RANGES = (IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8:ffff::/120"))


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of a lab: a node, the controller, the router, or a host on a LAN.

    `addresses` are its underlay addresses, `ssh_ports` where its sshd listens,
    `aliases` names that the controller resolves to its first address.
    """

    name: str
    role: Role
    addresses: tuple[Address, ...] = ()
    ssh_ports: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def hostname(self) -> str:
        return self.name.removeprefix("@")


@dataclass(frozen=True, slots=True)
class Topology:
    """A lab on paper: its name and its machines, controller and router last."""

    name: str
    machines: tuple[Machine, ...]

    @property
    def nodes(self) -> tuple[Machine, ...]:
        return tuple(m for m in self.machines if m.role == "node")

    @property
    def on_router(self) -> tuple[tuple[str, Machine], ...]:
        """The machines on the router, each with the name of its link there."""
        linked = (m for m in self.machines if m.role in ("node", "controller"))
        return tuple((f"link{n}", machine) for n, machine in enumerate(linked))


def topology_of(tailnet: Tailnet, name: str | None = None) -> Topology:
    """The lab of a tailnet; `LabError` if it can't be built (yet)."""
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` is no name for a lab",
            "small letters, digits and -, at most 32, a letter or digit first",
        )
    devices = list(tailnet.devices.values())
    if not devices:
        raise LabError(
            f"{tailnet.name} has no devices, so there is nothing to build",
            "a lab has one machine for each entry of `devices:`",
        )
    _refuse_nat(devices)
    nodes = tuple(
        Machine(
            device.name,
            "node",
            tuple(dict.fromkeys(e.address for e in device.endpoints)),
            tuple(sorted({22, device.ssh.port if device.ssh else 22})),
            _aliases(device),
        )
        for device in devices
    )
    _refuse_shared(nodes)
    taken = {address for node in nodes for address in node.addresses}
    controller = Machine(CONTROLLER, "controller", _unused(taken))
    return Topology(
        name or tailnet.name, (*nodes, controller, Machine(ROUTER, "router"))
    )


def _refuse_nat(devices: Iterable[Device]) -> None:
    hidden = [device.name for device in devices if not device.endpoints]
    if hidden:
        many = len(hidden) > 1
        raise LabError(
            f"{', '.join(hidden)} {'have' if many else 'has'} no endpoints, so "
            f"{'they are' if many else 'it is'} behind NAT, which the lab can't "
            "build yet",
            "give each device an endpoint such as 203.0.113.10:51820 to try it here",
        )


def _refuse_shared(nodes: Iterable[Machine]) -> None:
    owner: dict[Address, str] = {}
    for node in nodes:
        for address in node.addresses:
            other = owner.setdefault(address, node.name)
            if other != node.name:
                raise LabError(
                    f"{other} and {node.name} share the endpoint address {address}: "
                    "they are behind one NAT, which the lab can't build yet",
                    "give each its own address to try it here",
                )
            if address.is_loopback or address.is_multicast or address.is_unspecified:
                raise LabError(
                    f"{node.name} has the endpoint address {address}, which no "
                    "machine can be reached at",
                    "use an address that is reachable from outside",
                )


def _aliases(device: Device) -> tuple[str, ...]:
    if device.ssh is None:
        return ()
    try:
        ip_address(device.ssh.host)
    except ValueError:
        return (device.ssh.host,)
    return ()


def _unused(taken: set[Address]) -> tuple[Address, ...]:
    """An address of each family that no node has, the second of its range if free."""
    return tuple(
        next(
            address
            for number in range(2, 256)
            if (address := network[number]) not in taken
        )
        for network in _CONTROLLER_RANGES
    )


def router_script(topology: Topology) -> str:
    """What the router runs once its links are there."""
    lines = ["link set lo up"]
    for link, machine in topology.on_router:
        lines += [
            f"address add {_GATEWAY4}/32 dev {link}",
            f"address add {_GATEWAY6}/64 dev {link} nodad",
            f"link set {link} up",
        ]
        lines += [f"route add {address} dev {link}" for address in machine.addresses]
    return _PLAIN + _FORWARD + batch(lines)


def machine_script(machine: Machine) -> str:
    """What a machine on the router runs: its addresses, then its sshd.

    Prints the public host key where there is an sshd.
    """
    lines = ["link set lo up", "link set eth0 up"]
    for address in machine.addresses:
        nodad = " nodad" if address.version == 6 else ""
        lines.append(f"address add {address} dev eth0{nodad}")
    if any(address.version == 4 for address in machine.addresses):
        lines.append(f"route add default via {_GATEWAY4} dev eth0 onlink")
    if any(address.version == 6 for address in machine.addresses):
        lines.append(f"route add ::/0 via {_GATEWAY6} dev eth0")
    return _PLAIN + batch(lines) + (_SSHD if machine.ssh_ports else "")


def sshd_config(machine: Machine) -> str:
    """A node's sshd: as Debian's, by key alone, on its public addresses alone."""
    listen = [
        f"ListenAddress {f'[{a}]' if a.version == 6 else a}:{port}"
        for a in machine.addresses
        for port in machine.ssh_ports
    ]
    return "\n".join([*listen, *_SSHD_SETTINGS, ""])


def lan_router_script(
    link: str, v4: IPv4Interface | None, v6: IPv6Interface | None, mtu: int
) -> str:
    """What a node runs to have a LAN behind `link`: the first address of each net."""
    lines = [f"link set {link} mtu {mtu}"]
    if v4:
        lines.append(f"address add {v4.network[1]}/{v4.network.prefixlen} dev {link}")
    if v6:
        length = v6.network.prefixlen
        lines.append(f"address add {v6.network[1]}/{length} dev {link} nodad")
    return batch([*lines, f"link set {link} up"])


def lan_host_script(
    v4: IPv4Interface | None, v6: IPv6Interface | None, mtu: int
) -> str:
    """What a host on a LAN runs: its addresses and its router as default route."""
    lines = ["link set lo up", f"link set eth0 mtu {mtu}", "link set eth0 up"]
    if v4:
        lines.append(f"address add {v4} dev eth0")
        lines.append(f"route add default via {v4.network[1]}")
    if v6:
        lines.append(f"address add {v6} dev eth0 nodad")
        lines.append(f"route add ::/0 via {v6.network[1]} dev eth0")
    return _PLAIN + batch(lines)


def batch(lines: Iterable[str]) -> str:
    """Shell text that runs all lines in one `ip -batch`."""
    return "\n".join(["ip -batch - <<'END'", *lines, "END", ""])


# Some settings come from the host into every new namespace; a lab must not depend on
# them. Answers to refused packets are not throttled, else a probe can't tell a drop.
_PLAIN = """\
set -eu
cd /proc/sys/net
for each in all default; do
  echo 2 > ipv4/conf/$each/rp_filter
  echo 0 > ipv4/conf/$each/send_redirects
  echo 0 > ipv6/conf/$each/accept_ra
  echo 0 > ipv6/conf/$each/disable_ipv6
done
echo 0 > ipv4/ip_forward
echo 0 > ipv4/icmp_ratelimit
echo 0 > ipv6/icmp/ratelimit
cd /
"""

_FORWARD = """\
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
"""

# sshd goes to the background before it listens, and writes its pid after that.
_SSHD = """\
ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
mkdir -p -m 755 /run/sshd
"$(command -v sshd)" -f /etc/ssh/sshd_config -E /var/log/sshd.log
tries=0
until [ -s /run/sshd.pid ]; do
  tries=$((tries + 1))
  if [ $tries -gt 250 ]; then cat /var/log/sshd.log >&2; exit 1; fi
  sleep 0.02
done
cat /etc/ssh/ssh_host_ed25519_key.pub
"""

_SSHD_SETTINGS = (
    "HostKey /etc/ssh/ssh_host_ed25519_key",
    "PidFile /run/sshd.pid",
    "PermitRootLogin prohibit-password",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "UsePAM yes",
    "PrintMotd no",
    "MaxStartups 100",
    "Subsystem sftp internal-sftp",
)
