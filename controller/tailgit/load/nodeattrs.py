"""The section `nodeAttrs`: attributes for devices, handed through as they are."""

from __future__ import annotations

from collections.abc import Iterator

from tailgit.load.apps import read_settings
from tailgit.load.located import Map
from tailgit.load.networks import parse_network
from tailgit.load.selectors import Selectors, texts
from tailgit.load.unite import Sections
from tailgit.model.addresses import RESERVED, Network
from tailgit.model.findings import Place
from tailgit.model.policy import NodeAttr
from tailgit.model.selectors import Kind, Selector


def read_node_attr(item: Map, at: Place, selectors: Selectors) -> NodeAttr:
    """One entry; an empty one is legal and says nothing (POLICY.md §7)."""
    return NodeAttr(
        selectors.listed(item, "target", "target"),
        at,
        tuple(str(text) for _, text in texts(item, "attr")),
        _pools(item, selectors),
        read_settings(item),
    )


def random_ports(sections: Sections) -> Iterator[NodeAttr]:
    """`randomizeClientPort: true` is an attribute of every device, said at the top."""
    for document in sections.documents.values():
        if document.sections.get("randomizeClientPort") is True:
            at = document.sections.key("randomizeClientPort")
            everybody = (Selector(Kind.ANY, "*", place=at),)
            yield NodeAttr(everybody, at, ("randomize-client-port",))


def _pools(item: Map, selectors: Selectors) -> tuple[Network, ...]:
    found = []
    for index, text in texts(item, "ipPool"):
        at = item.at("ipPool", index)
        pool = parse_network(text.strip(), at, selectors.findings, host_bits=True)
        if pool is None:
            continue
        if any(pool.version == 4 and pool.overlaps(each) for each in RESERVED):
            message = f"IPPool({pool}): network within reserved range"
            help_ = "another range in 100.64.0.0/10: 100.81.0.0/16"
            selectors.add("bad-attribute", at, message, help_)
            continue
        found.append(pool)
    return tuple(found)
