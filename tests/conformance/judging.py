"""Whether a case holds: asked in every way that the access engine can be asked.

A packet that a case allows is accepted by its receiver and sent by its sender, lies in
the literal filter, and has a rule that explains it; one that it denies is and has none
of these. The engine is a value here, so that a broken one can be asked too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from types import ModuleType
from typing import Any

from tailgit.model.addresses import INTERNET, Address, Network
from tailgit.model.deadline import deadline_text
from tailgit.model.ports import protocol_number
from tests.conformance.cases import Case, Json


@dataclass(frozen=True)
class Engine:
    """The parts of one access engine."""

    access: ModuleType
    filters: ModuleType
    capabilities: ModuleType
    explain: ModuleType
    deadlines: ModuleType

    @staticmethod
    def of(get: Callable[[str], ModuleType]) -> Engine:
        parts = ("filters", "capabilities", "explain", "deadlines")
        return Engine(
            get("tailgit.access"), *(get(f"tailgit.access.{part}") for part in parts)
        )


def complaints(engine: Engine, case: Case) -> Iterator[str]:
    """What of a case does not hold; nothing if all of it does."""
    rejected = case.claims.get("rejected")
    if rejected is not None:
        if not any(rejected in each for each in case.rejections):
            yield f"not rejected with {rejected!r}: {case.rejections}"
        return
    if case.rejections or case.tailnet is None:
        yield f"rejected: {case.rejections}"
        return
    yield from _Judging(engine, case).all()


class _Judging:
    def __init__(self, engine: Engine, case: Case) -> None:
        assert case.tailnet is not None
        self.engine, self.claims = engine, case.claims
        self.tailnet = engine.deadlines.as_of(case.tailnet, case.at)
        self.relation = engine.access.Relation.of(case.tailnet, case.at)

    def all(self) -> Iterator[str]:
        for line in self.claims.get("allow", ()):
            yield from self.packet(line, right=True)
        for line in self.claims.get("deny", ()):
            yield from self.packet(line, right=False)
        for node, right in self.claims.get("peers", {}).items():
            yield from _differ(f"peers of {node}", self.peers(node), _sorted(right))
        for node, right in self.claims.get("caps", {}).items():
            yield from _differ(f"capabilities at {node}", self.told(node), right)
        for node, right in self.claims.get("until", {}).items():
            yield from _differ(f"deadlines at {node}", self.until(node), right)
        yield from self.others()

    def others(self) -> Iterator[str]:
        if "approved" in self.claims:
            found = {
                name: [str(route) for route in routes]
                for name, routes in self.relation.approvals.items()
            }
            right = _sorted(self.claims["approved"])
            yield from _differ("approved", _sorted(found), right)
        if "failing" in self.claims:
            findings = self.engine.access.run_tests(self.tailnet)
            found_tests = [each.message for each in findings]
            right_tests = self.claims["failing"]
            if len(found_tests) != len(right_tests) or not all(
                message.startswith(start)
                for message, start in zip(found_tests, right_tests, strict=True)
            ):
                yield f"tests: {found_tests}, not {right_tests}"

    # Packets

    def packet(self, line: str, *, right: bool) -> Iterator[str]:
        flow, _, at = line.partition(" at ")
        source, _, rest = flow.partition(" -> ")
        target, _, what = rest.rpartition(" ")
        src, dst = self.address(source), self.address(target)
        protocol, port = _protocol(what, src)
        receivers = [at] if at else [n for n in self.relation.position if n != source]
        asked = src, dst, protocol, port
        for kind, ask in (("accepted", self.relation.accepts), ("literal", self.lies)):
            if any(ask(node, *asked) for node in receivers) != right:
                yield f"{line}: {kind} is not {right}"
        if right:
            sender = self.carrier(src)
            if sender and not self.relation.sends(sender, *asked):
                yield f"{line}: not sent by {sender}"
        if right or not at:
            ends = self.end(src), self.end(dst)
            explained = self.engine.explain.rules_between(
                self.tailnet, *ends, protocol, port
            )
            if any(True for _ in explained) != right:
                yield f"{line}: explained is not {right}"

    def address(self, text: str) -> Address:
        name = text.removesuffix("/6")
        devices = self.tailnet.devices
        if name in devices:
            return devices[name].ipv6 if text.endswith("/6") else devices[name].ipv4
        return ip_address(text)

    def lies(
        self, node: str, src: Address, dst: Address, protocol: int, port: int
    ) -> bool:
        """Whether the packet lies in the literal filter of a node that has `dst`."""
        relation = self.relation
        here = [*map(ip_network, relation.device(node).addresses)]
        here += relation.approved(node)
        here += INTERNET if node in relation.exits else ()
        return any(dst in each for each in here) and any(
            any(src in each for each in box.src)
            and any(dst in each for each in box.dst)
            and (protocol in (1, 58) or box.ports.allows(protocol, port))
            for box in self.engine.filters.packet_filter(relation, node)
        )

    def carrier(self, address: Address) -> str | None:
        for device in self.relation.devices:
            here = [*map(ip_network, device.addresses)]
            here += self.relation.approved(device.name)
            if any(address in each for each in here):
                return str(device.name)
        return None

    def end(self, address: Address) -> Any:
        """The address as `explain` sees it."""
        end = self.engine.explain.End
        own = [d for d in self.relation.devices if address in d.addresses]
        if own:
            return end(address, own[0], True)
        name = self.carrier(address)
        if name is not None:
            return end(address, self.relation.device(name), False)
        return end(address, None, False)

    # What nodes get

    def peers(self, node: str) -> Json:
        if node not in self.relation.position:
            return {}
        found = {}
        for name, ips in self.relation.peers(node).items():
            own = [ip_network(a) for a in self.relation.device(name).addresses]
            routes = [str(each) for each in ips if each not in own]
            found[name] = routes if own[0] in ips else ["no IPv4", *routes]
        return _sorted(found)

    def told(self, node: str) -> list[str]:
        owners: dict[Network, str] = {
            ip_network(address): device.name
            for device in self.relation.devices
            for address in device.addresses
        }
        told = []
        for each in self.engine.capabilities.capabilities(self.relation, node):
            names = dict.fromkeys(owners.get(src, str(src)) for src in each.src)
            told.append(f"{each.capability} from {' '.join(names)}")
        return told

    def until(self, node: str) -> Mapping[str, str]:
        relation = self.relation
        ends = relation.peer_deadlines(relation.view(node))
        peers = relation.peers(node)
        return {
            relation.devices[number].name: deadline_text(end)
            for number, end in ends.items()
            if relation.devices[number].name in peers
        }


def _protocol(text: str, src: Address) -> tuple[int, int]:
    name, _, port = text.partition(":")
    if name == "icmp":
        return (1 if src.version == 4 else 58), 0
    return protocol_number(name), int(port or 0)


def _sorted(some: Json) -> Json:
    return {name: sorted(routes) for name, routes in sorted(some.items())}


def _differ(what: str, found: object, right: object) -> Iterator[str]:
    if found != right:
        yield f"{what}: {found}, not {right}"
