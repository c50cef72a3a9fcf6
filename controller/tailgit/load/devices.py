"""Devices: names and a few fields in, addresses, ports and defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Any

from tailgit.load.deadlines import read_deadline
from tailgit.load.hostkeys import is_ssh_key
from tailgit.load.located import Map, texts_of
from tailgit.load.networks import parse_network
from tailgit.load.unite import Sections
from tailgit.model.addresses import (
    RESERVED,
    Network,
    ipv4_of,
    ipv6_of,
    listen_port_of,
)
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.tailnet import Delivery, Device, Endpoint, Route, Ssh
from tailgit.model.text import shown

_TAKEN = ("localhost",)


@dataclass(frozen=True, slots=True)
class Common:
    """What all devices of a tailnet share: its name, domain, ranges and host CAs."""

    tailnet: str
    domain: str
    ipv4: IPv4Network
    ipv6: IPv6Network
    host_cas: tuple[str, ...] = ()


def build_devices(
    sections: Sections, common: Common, findings: list[Finding]
) -> dict[str, Device]:
    """Every device by name, in order; what can't be parsed becomes a finding."""
    builder = _Builder(common, findings)
    devices = {}
    for name, section in sorted(sections.keyed["devices"].items()):
        own = section[name]
        if not isinstance(own, Map):
            continue  # the schema has said so
        defaults = sections.documents[section.file].sections.get("deviceDefaults")
        about = own.over(defaults) if isinstance(defaults, Map) else own
        devices[name] = builder.device(name, about, own, section.key(name))
    return devices


class _Builder:
    """From a device's mapping to a device."""

    def __init__(self, common: Common, findings: list[Finding]) -> None:
        self.common = common
        self.tailnet = common.tailnet
        self.ipv4, self.ipv6 = common.ipv4, common.ipv6
        self.findings = findings

    def add(self, code: str, at: Place, message: str, help_: str = "") -> None:
        self.findings.append(finding(code, at, message, help_))

    def device(self, name: str, about: Map, own: Map, at: Place) -> Device:
        if name in _TAKEN:
            message = f"`{name}` means the machine itself, everywhere"
            self.add("bad-value", at, message, "give the device another name")
        formerly = tuple(_texts(about.get("formerly")))
        oldest = formerly[0] if formerly else name
        endpoints = self.endpoints(about)
        ipv4 = self.pinned_ipv4(about) or ipv4_of(self.tailnet, oldest, self.ipv4)
        ipv6 = self.pinned_ipv6(about) or ipv6_of(self.tailnet, oldest, self.ipv6)
        ssh = self.ssh(name, about, endpoints, ipv4, says_so="ssh" in own)
        tags = tuple(sorted(set(_texts(about.get("tags")))))
        owner = about.get("owner")
        return Device(
            name=name,
            ipv4=ipv4,
            ipv6=ipv6,
            listen_port=self.listen_port(about, endpoints, oldest),
            place=at,
            owner=owner.strip() if isinstance(owner, str) else None,
            tags=tags,
            public_key=_text(about, "publicKey"),
            endpoints=endpoints,
            routes=self.routes(about),
            delivery=self.delivery(about, ssh),
            ssh=ssh,
            disabled=about.get("disabled") is True,
            formerly=formerly,
            expires=read_deadline(about, self.findings),
            next_public_key=_text(about, "nextPublicKey"),
            site=_text(about, "site"),
            exit_node=about.get("exitNode") is True,
            use_exit_node=_text(about, "useExitNode"),
            gateway=_text(about, "gateway"),
            relay=about.get("relay") is True,
            relay_slot=_number(about, "relaySlot"),
            relay_public_key=_text(about, "relayPublicKey"),
            mailbox=about.get("mailbox") is True,
            pull_key=self.ssh_key(
                about, "pullKey", "`tailgit device join` on the device says it"
            ),
            attributes=_attributes(about),
            origin=about,
        )

    def listen_port(
        self, about: Map, endpoints: tuple[Endpoint, ...], oldest: str
    ) -> int:
        port = _number(about, "listenPort")
        if port is not None:
            return port
        return endpoints[0].port if endpoints else listen_port_of(self.tailnet, oldest)

    def pinned_ipv4(self, about: Map) -> IPv4Address | None:
        text = about.get("ipv4")
        if not isinstance(text, str):
            return None
        try:
            address = IPv4Address(text)
        except ValueError:
            self.bad_address(about, "ipv4", "it is no IPv4 address")
            return None
        if address not in self.ipv4:
            self.bad_address(about, "ipv4", f"it is outside of {self.ipv4}")
        elif address in (self.ipv4[0], self.ipv4[-1]):
            self.bad_address(about, "ipv4", f"first and last of {self.ipv4} are kept")
        elif any(address in each for each in RESERVED):
            self.bad_address(about, "ipv4", "it is reserved for other software")
        else:
            return address
        return None

    def pinned_ipv6(self, about: Map) -> IPv6Address | None:
        text = about.get("ipv6")
        if not isinstance(text, str):
            return None
        try:
            address = IPv6Address(text)
            if address.scope_id is not None:
                raise ValueError(text)
        except ValueError:
            self.bad_address(about, "ipv6", "it is no IPv6 address")
            return None
        if address not in self.ipv6 or address == self.ipv6[0]:
            why = f"it is outside of {self.ipv6}, or its first address"
            self.bad_address(about, "ipv6", why)
            return None
        return address

    def bad_address(self, about: Map, key: str, why: str) -> None:
        message = f"`{shown(about[key])}` can't be the device's address: {why}"
        help_ = f"leave `{key}` out: the address then follows from the name"
        self.add("bad-address", about.at(key), message, help_)

    def endpoints(self, about: Map) -> tuple[Endpoint, ...]:
        found = []
        for index, text in texts_of(about.get("endpoints")):
            endpoint = _endpoint(text)
            if endpoint is not None:
                found.append(endpoint)
                continue
            at = about.at("endpoints", index)
            message = f"`{shown(text)}` is not an endpoint"
            help_ = 'ADDRESS:PORT, for example "203.0.113.10:51820"'
            self.add("bad-value", at, message, help_)
        return tuple(found)

    def routes(self, about: Map) -> tuple[Route, ...]:
        found: dict[Network, Route] = {}
        for index, item in enumerate(about.get("routes") or ()):
            text = item.get("prefix") if isinstance(item, Map) else item
            if not isinstance(text, str):
                continue
            at = about.at("routes", index)
            prefix = self.route(text, at)
            if prefix is not None:
                found.setdefault(prefix, self.described(prefix, item, at))
        return tuple(
            found[each]
            for each in sorted(
                found, key=lambda n: (n.version, int(n.network_address), n.prefixlen)
            )
        )

    def described(self, prefix: Network, item: Any, at: Place) -> Route:
        """The route with what its mapping says besides the prefix."""
        if not isinstance(item, Map):
            return Route(prefix, at)
        known_as = None
        if isinstance(item.get("as"), str):
            where = item.at("as")
            known_as = parse_network(item["as"], where, self.findings)
            if known_as is not None and (known_as.version, known_as.prefixlen) != (
                prefix.version,
                prefix.prefixlen,
            ):
                message = f"`{known_as}` is not of the size of {prefix}"
                help_ = "addresses are translated one to one"
                self.add("bad-value", where, message, help_)
                known_as = None
        return Route(prefix, at, known_as, _number(item, "priority"))

    def route(self, text: str, at: Place) -> Network | None:
        prefix = parse_network(text, at, self.findings)
        if prefix is None:
            return None
        if prefix.prefixlen == 0:
            message = f"`{prefix}` makes the device an exit node, which this version "
            self.add("not-yet", at, message + "does not have", "take it out")
            return None
        if prefix.is_multicast or prefix.is_loopback or prefix.is_link_local:
            message = f"`{prefix}` can't be routed"
            self.add("bad-value", at, message, "take it out")
            return None
        return prefix

    def ssh(
        self,
        name: str,
        about: Map,
        endpoints: tuple[Endpoint, ...],
        ipv4: IPv4Address,
        *,
        says_so: bool,
    ) -> Ssh | None:
        """The way in; None without a host, an error if the device `says_so` itself."""
        section = about.get("ssh")
        if not isinstance(section, Map):
            section = Map(about.file, about.start)
        host = section.get("host")
        tunnel = section.get("via") == "tunnel"
        if tunnel and host:
            message = "`via: tunnel` goes to the device's own address, not to `host`"
            self.add("bad-value", section.at("host"), message, "take one of them out")
        if tunnel:
            host = str(ipv4)
        elif not host and endpoints:
            host = str(endpoints[0].address)
        if not host:
            # Defaults for a whole file also meet devices that nobody logs in to.
            if says_so:
                at, help_ = about.at("ssh"), "add `host:` to it, or an endpoint"
                self.add("no-ssh-host", at, "`ssh` has no host to log in to", help_)
            return None
        if "%" in str(host):
            message = f"`{shown(str(host))}` has a zone, which is one machine's own"
            self.add("bad-value", section.at("host"), message, "write it without")
            return None
        user = section.get("user")
        return Ssh(
            str(host),
            _number(section, "port") or 22,
            str(user) if isinstance(user, str) else "tailgit",
            self.ssh_key(
                section,
                "hostKey",
                "copy it whole from /etc/ssh/ssh_host_ed25519_key.pub of the device",
            ),
            self.common.host_cas,
            self.principal(name, str(host)),
        )

    def principal(self, name: str, host: str) -> str:
        """What a host certificate must name: an address says nothing of a machine."""
        if not self.common.host_cas:
            return ""
        try:
            ip_address(host)
        except ValueError:
            return host
        return f"{name}.{self.common.domain}"

    def ssh_key(self, section: Map, field: str, help_: str) -> str | None:
        text = section.get(field)
        if not isinstance(text, str):
            return None
        if is_ssh_key(text):
            return str(text)
        kind = "host key" if field == "hostKey" else "public key"
        message = f"`{shown(text[:40])}` is not an SSH {kind}"
        self.add("bad-value", section.at(field), message, help_)
        return None

    def delivery(self, about: Map, ssh: Ssh | None) -> Delivery:
        text = about.get("delivery")
        if text not in list(Delivery):
            return Delivery.SSH if ssh is not None else Delivery.FILE
        if text == Delivery.SSH and ssh is None:
            self.add(
                "no-ssh-host",
                about.at("delivery"),
                "`delivery: ssh` needs a host to log in to",
                "add `ssh: {host: …}` or an endpoint",
            )
        return Delivery(text)


def _endpoint(text: str) -> Endpoint | None:
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return None
    if "%" in host or not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    if bracketed != (address.version == 6):
        return None
    if not 0 < int(port) < 65536 or address.is_unspecified or address.is_multicast:
        return None
    return Endpoint(address, int(port))


def _text(about: Map, key: str) -> str | None:
    value = about.get(key)
    return str(value) if isinstance(value, str) else None


def _number(about: Map, key: str) -> int | None:
    value = about.get(key)
    return value if type(value) is int else None


def _attributes(about: Map) -> tuple[tuple[str, str | int | bool], ...]:
    section = about.get("attributes")
    if not isinstance(section, Map):
        return ()
    return tuple(
        (name, str(value) if isinstance(value, str) else value)
        for name, value in sorted(section.items())
        if isinstance(value, str | int)
    )


def _texts(items: Any) -> list[str]:
    return [str(text) for _, text in texts_of(items)]
