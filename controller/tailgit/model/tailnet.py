"""What a tailnet is: frozen values that the loader builds and everything else reads.

After `load` an illegal state is not representable here: names are names, addresses
are `ipaddress` objects, selectors are parsed, every reference to a file keeps its
place. Nothing in this module does I/O or knows the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Any, Literal

from tailgit.model.addresses import Address, Network
from tailgit.model.deadline import Deadline
from tailgit.model.findings import Origin, Place
from tailgit.model.policy import (
    Attribute,
    AutoApprovers,
    IpSet,
    NodeAttr,
    Posture,
    Rule,
    SshRule,
    SshTest,
    Test,
)


class Delivery(StrEnum):
    """How a device gets its bundle (DESIGN §6)."""

    SSH = "ssh"
    PULL = "pull"
    FILE = "file"
    WG_QUICK = "wg-quick"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a device's WireGuard is reached from outside: an address and a UDP port."""

    address: Address
    port: int

    def __str__(self) -> str:
        if self.address.version == 6:
            return f"[{self.address}]:{self.port}"
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Ssh:
    """How the controller logs in, and how it knows that it is the right machine.

    `host_key` (`TYPE BASE64`) is set by enrolment and then the only one taken. Without
    it the host shows a certificate for `principal`, signed by one of `host_cas`.
    """

    host: str
    port: int = 22
    user: str = "tailgit"
    host_key: str | None = None
    host_cas: tuple[str, ...] = ()
    principal: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the host can be told from another machine."""
        return bool(self.host_key or self.host_cas)


@dataclass(frozen=True, slots=True)
class Route:
    """A subnet that a device offers to carry; it counts only once approved.

    `known_as` is the prefix that others know it by, where it is translated one to
    one; of several routers the lowest `priority` goes first.
    """

    prefix: Network
    place: Place
    known_as: Network | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One machine. It has an owner or tags, never both.

    `public_key` is absent while the device awaits its key: it then has its name and
    addresses but is nobody's peer; `next_public_key` is staged for a rotation. `tags`,
    `routes` and `attributes` are sorted; `gateway` and `use_exit_node` name devices.
    """

    name: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    listen_port: int
    place: Place
    owner: str | None = None
    tags: tuple[str, ...] = ()
    public_key: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    routes: tuple[Route, ...] = ()
    delivery: Delivery = Delivery.FILE
    ssh: Ssh | None = None
    disabled: bool = False
    formerly: tuple[str, ...] = ()
    expires: Deadline | None = None
    next_public_key: str | None = None
    site: str | None = None
    exit_node: bool = False
    use_exit_node: str | None = None
    gateway: str | None = None
    relay: bool = False
    relay_slot: int | None = None
    relay_public_key: str | None = None
    mailbox: bool = False
    pull_key: str | None = None
    attributes: tuple[tuple[str, Attribute], ...] = ()
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def addresses(self) -> tuple[IPv4Address, IPv6Address]:
        return self.ipv4, self.ipv6


@dataclass(frozen=True, slots=True)
class User:
    """A person, named by an e-mail address."""

    login: str
    place: Place
    name: str = ""
    role: str = "member"
    disabled: bool = False
    expires: Deadline | None = None
    forge: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """People by login; only users, never groups (POLICY.md §1)."""

    name: str
    members: tuple[str, ...]
    place: Place
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Host:
    """An alias for exactly one address or prefix."""

    name: str
    prefix: Network
    place: Place


@dataclass(frozen=True, slots=True)
class TagOwner:
    """A declared tag and who may put it on a device (unparsed selectors)."""

    name: str
    owners: tuple[str, ...]
    place: Place
    origin: Origin | None = field(default=None, compare=False, repr=False)


RecordType = Literal["A", "AAAA", "CNAME", "TXT", "SRV"]


@dataclass(frozen=True, slots=True)
class Record:
    """A name of the tailnet's zone besides the devices' own; `name` is relative."""

    name: str
    type: RecordType
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Dns:
    """Who resolves what is not the tailnet's: everything, or one domain's names."""

    nameservers: tuple[Address, ...] = ()
    split: tuple[tuple[str, tuple[Address, ...]], ...] = ()
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Controller:
    """From where the controller reaches the nodes: a device of the tailnet, or outside.

    The proof that a change does not lock it out needs to know.
    """

    place: Place
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """What a machine says of a file that it wrote: membership from an IdP, say."""

    file: str
    by: str
    source: str
    at: str
    place: Place


BARE = "policy.invalid"
"""The domain of a policy that stands alone; no tailnet can have it."""


@dataclass(frozen=True, slots=True)
class Tailnet:
    """A whole tailnet: the union of every file below its root.

    Mappings are sorted by key at construction; nothing depends on file order but
    `rules` and `tests`, which keep the bytewise order of their files. `everybody` is
    what `*` in a src means besides approved subnets; the tailnet's own ranges if empty.
    `email_domains` are what `user:*@DOMAIN` may name; those of `users` if empty. What
    follows from a tailnet may be kept in its `memo`; a changed copy has its own.
    """

    name: str
    domain: str
    ipv4: IPv4Network
    ipv6: IPv6Network
    place: Place
    users: Mapping[str, User] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    tag_owners: Mapping[str, TagOwner] = field(default_factory=dict)
    devices: Mapping[str, Device] = field(default_factory=dict)
    auto_approvers: AutoApprovers = field(default_factory=AutoApprovers)
    rules: tuple[Rule, ...] = ()
    tests: tuple[Test, ...] = ()
    dns: Dns = Dns()
    controller: Controller | None = None
    host_cas: tuple[str, ...] = ()
    generated: tuple[Generated, ...] = ()
    ipsets: Mapping[str, IpSet] = field(default_factory=dict)
    postures: Mapping[str, Posture] = field(default_factory=dict)
    default_src_posture: tuple[str, ...] = ()
    ssh_rules: tuple[SshRule, ...] = ()
    ssh_tests: tuple[SshTest, ...] = ()
    node_attrs: tuple[NodeAttr, ...] = ()
    everybody: tuple[Network, ...] = ()
    email_domains: tuple[str, ...] = ()
    memo: dict[object, Any] = field(
        init=False, default_factory=dict, compare=False, repr=False
    )

    @property
    def is_bare(self) -> bool:
        """Whether it is a policy alone, with no tailnet and no devices around it."""
        return self.domain == BARE and not self.devices

    @property
    def interface(self) -> str:
        """The WireGuard interface on every node: `tg-NAME`."""
        return f"tg-{self.name}"

    def outside_host(self, device: Device) -> str | None:
        """Where a device's SSH is reached by who is not in the tailnet yet.

        That is where the controller logs in, unless it does so through the tunnel:
        then the first endpoint's address. None where there is neither.
        """
        if device.ssh is None:
            return None
        try:
            address = ip_address(device.ssh.host)
        except ValueError:
            return device.ssh.host
        if address not in self.ipv4 and address not in self.ipv6:
            return device.ssh.host
        return str(device.endpoints[0].address) if device.endpoints else None
