"""Devices for policies, and everything that a policy makes of them, to be compared."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from tailgit.access import Relation, run_tests
from tailgit.access.attributes import node_attributes
from tailgit.access.capabilities import capabilities
from tailgit.access.filters import packet_filter
from tailgit.access.routes import approvals
from tailgit.access.ssh import ssh_lists
from tailgit.importers.draft import judged
from tailgit.model.findings import Finding
from tailgit.model.tailnet import Tailnet

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("TAILGIT_CORPUS") or ROOT.parent / "shared" / "corpus")

Json = dict[str, Any]

DEVICES = b"""\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
users:
  ana@example.com: {role: admin}
  ben@example.com: {}
  kim@example.org: {}
devices:
  ana-laptop: {owner: ana@example.com, attributes: {"node:os": linux}}
  ana-phone: {owner: ana@example.com}
  ben-laptop: {owner: ben@example.com, attributes: {"custom:tier": prod}}
  kim-laptop: {owner: kim@example.org}
  db-1: {tags: [tag:db]}
  web-1: {tags: [tag:web]}
  web-2: {tags: [tag:web, tag:ci]}
  gw-1: {tags: [tag:router], routes: [10.20.0.0/16, "fd00:20::/64"], exitNode: true}
"""


def corpus_cases() -> list[Json]:
    """The captured cases; none where the corpus is not there."""
    file = CORPUS / "cases.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def corpus_devices(topology: Json) -> bytes:
    """A case's nodes and users as a tailnet.yaml (JSON is YAML enough for that)."""
    devices = {}
    for node in topology["nodes"]:
        about: Json = {"ipv4": node["ipv4"], "ipv6": node["ipv6"]}
        about |= {"tags": node["tags"]} if node["tags"] else {"owner": node["user"]}
        subnets = [route for route in node["routes"] if not route.endswith("/0")]
        if subnets:
            about["routes"] = subnets
        if len(subnets) < len(node["routes"]):
            about["exitNode"] = True
        devices[node["name"]] = about
    tailnet: Json = {
        "format": 1,
        "name": "corpus",
        "domain": "corpus.internal",
        "ipv4": "100.64.0.0/10",
        "ipv6": "fd7a:115c:a1e0::/48",
        "emailDomains": topology["tailnet_domains"],
    }
    users = {
        user["email"]: {"role": user["role"]} if user.get("role") else {}
        for user in topology["users"]
    }
    text = {"tailnet": tailnet, "users": users, "devices": devices}
    return json.dumps(text).encode()


def meaning(
    files: Mapping[str, bytes],
) -> tuple[list[tuple[str, str]], Json | None]:
    """The errors of some files, and what their policy means, both without places."""
    loaded, findings = judged(files)
    tailnet = loaded.tailnet
    errors = [each for each in findings if each.is_error]
    if tailnet is not None and not errors:
        errors += run_tests(tailnet)
    return sorted(map(_sentence, errors)), None if tailnet is None else _facts(tailnet)


def _sentence(each: Finding) -> tuple[str, str]:
    return each.code, each.message


def _facts(tailnet: Tailnet) -> Json:
    approved = approvals(tailnet)
    relation = Relation.of(tailnet)
    return {
        "approved": {name: sorted(map(str, got)) for name, got in approved.items()},
        "filters": {name: boxes(relation, name) for name in relation.position},
        "peers": {name: str(relation.peers(name)) for name in relation.position},
        "visible": {
            name: relation.peer_numbers(relation.view(name))
            for name in relation.position
        },
        "routes": {
            name: str(relation.routes_through(relation.view(name)))
            for name in relation.position
        },
        "caps": {name: str(capabilities(relation, name)) for name in relation.position},
        "ssh": {
            name: [
                (str(a.rule.action), sorted(map(str, a.principals)), a.rule.users)
                for a in found
            ]
            for name, found in ssh_lists(tailnet).items()
        },
        "attributes": {n: tuple(got) for n, got in node_attributes(tailnet).items()},
    }


def boxes(relation: Relation, node: str) -> list[tuple[str, str, str]]:
    """Single (source prefix, destination prefix, ports) of a node's filter, united.

    A device written as a name or as its two addresses is the same set of them.
    """
    found: dict[tuple[str, str], Any] = {}
    for box in packet_filter(relation, node):
        for src in box.src:
            for dst in box.dst:
                if ip_network(src).version != ip_network(dst).version:
                    continue
                key = str(src), str(dst)
                found[key] = found[key] | box.ports if key in found else box.ports
    return sorted((src, dst, str(ports)) for (src, dst), ports in found.items())
