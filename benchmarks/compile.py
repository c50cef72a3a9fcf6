"""Compiling 1,000 devices against merely hashing the result.

    python benchmarks/compile.py [DEVICES]

Makes a sparse tailnet of servers and laptops (groups of people, tags, ports; both
address families), compiles the bundle of every node and takes SHA-256 of the same
bytes, in one process, several rounds in turn. Prints the best round of each and their
ratio (what another tenant of the machine takes is not our cost); exit 1 above 6, which
is the limit for 1,000 devices. The ratio is what carries over
to other machines: both halves slow down together.
"""

from __future__ import annotations

import gc
import sys
from base64 import b64encode
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from random import Random
from time import process_time

from tailgit.compile import Bundle, Compiler
from tailgit.model.addresses import ipv4_of, ipv6_of, listen_port_of
from tailgit.model.findings import Place
from tailgit.model.policy import Rule
from tailgit.model.ports import parse_ip
from tailgit.model.selectors import Selector, parse_selector
from tailgit.model.tailnet import Device, Endpoint, Group, Tailnet, User

LIMIT = 6.0
ROUNDS = 15
NAME = "bench"
POOL, PREFIX = IPv4Network("100.64.0.0/10"), IPv6Network("fd5c:91aa:7be0::/48")
HERE = Place("bench.yaml")


def sparse_tailnet(count: int) -> Tailnet:
    """A third tagged servers, two thirds laptops of people in team-shaped groups."""
    random = Random(count)
    teams = max(4, count // 20)
    people = [f"user{n}@example.com" for n in range(max(2, count // 3))]
    members: dict[str, set[str]] = {f"group:team{n}": set() for n in range(teams)}
    for number, login in enumerate(people):
        members[f"group:team{number % teams}"].add(login)
        if random.random() < 0.25:
            members[f"group:team{random.randrange(teams)}"].add(login)
    devices = {
        d.name: d for d in (_device(random, n, count, people) for n in range(count))
    }
    rules = tuple(_rule(random, teams, devices) for _ in range(max(4, count // 5)))
    return Tailnet(
        name=NAME,
        domain="bench.internal",
        ipv4=POOL,
        ipv6=PREFIX,
        place=HERE,
        users={login: User(login, HERE) for login in people},
        groups={
            name: Group(name, tuple(sorted(logins)), HERE)
            for name, logins in members.items()
        },
        devices=devices,
        rules=rules,
    )


def _device(random: Random, number: int, count: int, people: list[str]) -> Device:
    is_server = random.random() < 0.35
    name = f"{'server' if is_server else 'laptop'}-{number}"
    tags = {f"tag:t{random.randrange(max(4, count // 20))}" for _ in range(2)}
    return Device(
        name=name,
        ipv4=ipv4_of(NAME, name, POOL),
        ipv6=ipv6_of(NAME, name, PREFIX),
        listen_port=listen_port_of(NAME, name),
        place=HERE,
        owner=None if is_server else people[number % len(people)],
        tags=tuple(sorted(tags)) if is_server else (),
        public_key=b64encode(sha256(name.encode()).digest()).decode(),
        endpoints=(Endpoint(IPv4Address(0xC6120000 + number), 51820),)
        if is_server
        else (),
    )


def _rule(random: Random, teams: int, devices: dict[str, Device]) -> Rule:
    def select(text: str) -> Selector:
        return parse_selector(text, devices=devices, hosts=())

    source = f"group:team{random.randrange(teams)}"
    if random.random() < 0.12:
        source = f"tag:t{random.randrange(teams)}"
    port = random.choice(["tcp:22", "tcp:443", "tcp:5432", "udp:53", "8000-8100", "*"])
    target = f"tag:t{random.randrange(teams)}"
    return Rule((select(source),), (select(target),), parse_ip(port), HERE)


def compile_all(tailnet: Tailnet) -> list[Bundle]:
    compiler = Compiler(tailnet)
    return [compiler.bundle(node) for node in compiler.nodes]


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    tailnet = sparse_tailnet(count)
    compile_all(sparse_tailnet(10))
    gc.disable()
    compiling, hashing = [], []
    for _ in range(ROUNDS):
        start = process_time()
        bundles = compile_all(tailnet)
        middle = process_time()
        size = 0
        for bundle in bundles:
            for _, body in bundle.files:
                size += len(body)
                sha256(body).digest()
        compiling.append(middle - start)
        hashing.append(process_time() - middle)
        del bundles, bundle, body  # else the next round works in memory never used
    ratio = min(compiling) / min(hashing)
    classes = len(Compiler(tailnet).relation.classes)
    print(f"{count} devices, {classes} classes, {size / 1e6:.1f} MB in {count} bundles")
    print(f"compile  {min(compiling) * 1e3:8.1f} ms")
    print(f"sha256   {min(hashing) * 1e3:8.1f} ms of the same bytes")
    print(f"ratio    {ratio:8.2f} (limit {LIMIT} at 1000 devices)")
    return 1 if ratio > LIMIT and count == 1000 else 0


if __name__ == "__main__":
    sys.exit(main())
