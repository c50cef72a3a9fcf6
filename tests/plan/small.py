"""A small fleet for tests of plans: devices, bundles, and what nodes say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from tailgit.compile import Bundle
from tailgit.errors import NodeError
from tailgit.model.addresses import ipv4_of, ipv6_of
from tailgit.model.findings import Place
from tailgit.model.tailnet import Delivery, Device, Ssh, Tailnet
from tailgit.plan.make import make
from tailgit.plan.observed import Observed, Record
from tailgit.plan.plan import Commit, Desired, History, Lineage, Order, Plan

V4, V6 = IPv4Network("100.64.0.0/10"), IPv6Network("fd5c:91aa:7be0::/48")
PLACE = Place("devices.yaml")
OLD, NEW = "1" * 40, "2" * 40
COMMIT = Commit(NEW, "Postgres for data", 7)
NOW = 1_800_000_000
AS_USUAL = Order()
PARTS = ("filter", "peers", "addresses", "routes", "names", "guard")


def key_of(name: str) -> str:
    return f"key of {name}"


def device(name: str) -> Device:
    """A device that is enrolled and reached over SSH."""
    return Device(
        name=name,
        ipv4=ipv4_of("acme", name, V4),
        ipv6=ipv6_of("acme", name, V6),
        listen_port=51820,
        place=PLACE,
        tags=("tag:x",),
        public_key=key_of(name),
        delivery=Delivery.SSH,
        ssh=Ssh("192.0.2.1", host_key="ssh-ed25519 AAAA"),
    )


def tailnet(*devices: Device) -> Tailnet:
    return Tailnet(
        "acme", "acme.internal", V4, V6, PLACE, devices={d.name: d for d in devices}
    )


ANCESTOR = History(lineage={OLD: Lineage.ANCESTOR}, declared={OLD: tailnet()})
"""What git knows where nodes have `OLD`; a base without devices, so none can go."""


def bundle(node: str, **files: str) -> Bundle:
    """A bundle; `firewall_nft="…"` names the file firewall.nft."""
    return Bundle.of(
        node,
        [(name.replace("_", "."), text.encode()) for name, text in files.items()],
        tailnet="acme",
        domain="acme.internal",
        interface="tg-acme",
        public_keys=[key_of(node)],
    )


def fresh(node: str) -> Observed:
    """A node that was enrolled and never got anything."""
    return Observed(
        node=node,
        version="0.1.0",
        script="5" * 64,
        time=NOW,
        public_keys=(key_of(node),),
        current=None,
        live=None,
        pending=None,
        rolledback=None,
        record=None,
        interface="absent",
        parts=tuple((part, "absent") for part in PARTS),
        listen_port=None,
        peers=(),
        foreign=(),
    )


def running(bundle: Bundle, commit: str = OLD, height: int = 5) -> Observed:
    """A node that runs `bundle` as it should."""
    return replace(
        fresh(bundle.node),
        current=3,
        live=3,
        record=Record(
            commit,
            height,
            "apply",
            "Ana <ana@acme.com>",
            "2026-11-22T13:00:00Z",
            "e" * 64,
            bundle.digest,
        ),
        interface="up",
        parts=tuple((part, "ok") for part in PARTS),
        listen_port=51820,
    )


def planned(
    net: Tailnet,
    bundles: Mapping[str, Bundle],
    seen: Mapping[str, Observed | NodeError],
    history: History = ANCESTOR,
    order: Order = AS_USUAL,
) -> Plan:
    """The plan of `COMMIT` at `NOW`, for devices that nobody leaves."""
    return make(Desired(net, bundles), seen, COMMIT, history, order, NOW)
