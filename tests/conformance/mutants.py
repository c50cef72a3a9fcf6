"""Broken copies of the access engine: each has one mistake that somebody could make.

A mutant is a replacement of source text in one module. The whole package is imported
anew with it, beside the real one, so nothing that is loaded changes; what it is asked
about (`Tailnet` and the rest of the model) is shared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

from tests.conformance.judging import Engine

PACKAGE = "tailgit.access"


@dataclass(frozen=True)
class Mutant:
    """One mistake: in `module` the text `old`, which stands there once, is `new`."""

    name: str
    module: str
    old: str
    new: str


MUTANTS = (
    # Rules
    Mutant(
        "source and destination swapped",
        "rules",
        "self.forward[source][target] = self.backward[target][source] = mask",
        "self.forward[target][source] = self.backward[source][target] = mask",
    ),
    Mutant(
        "only the first destination of a rule",
        "rules",
        "for selector in rule.dst:",
        "for selector in rule.dst[:1]:",
    ),
    Mutant(
        "only the first source of a rule",
        "rules",
        "for selector in rule.src\n        ]",
        "for selector in rule.src[:1]\n        ]",
    ),
    Mutant("disabled rules count", "rules", "if not rule.disabled:", "if True:"),
    Mutant(
        "a later rule replaces an earlier one",
        "rules",
        "mask = self.forward[source].get(target, 0) | bit",
        "mask = bit",
    ),
    Mutant(
        "self forgotten", "rules", "self._open_self(rule.src, sources, bit)", "pass"
    ),
    Mutant(
        "via ignored",
        "rules",
        'Term("dst", selector, via=rule.via)',
        'Term("dst", selector)',
    ),
    Mutant(
        "posture ignored",
        "rules",
        'Term("src", selector, posture)',
        'Term("src", selector)',
    ),
    Mutant(
        "deadlines lost between rules",
        "rules",
        "PortSet(rule.ports, rule.expires)",
        "PortSet(rule.ports)",
    ),
    # Devices
    Mutant(
        "IPv6 forgotten",
        "index",
        "return {4: frozenset(four - unmet), 6: frozenset(six - unmet)}",
        "return {4: frozenset(four - unmet), 6: frozenset()}",
    ),
    Mutant(
        "IPv4 rules for IPv6 too",
        "index",
        "return {4: frozenset(four - unmet), 6: frozenset(six - unmet)}",
        "return {4: frozenset(four - unmet), 6: frozenset(four - unmet)}",
    ),
    Mutant(
        "a tagged device is a member",
        "index",
        "            found |= self._tagged\n",
        "            found |= self._tagged | self._member\n",
    ),
    Mutant(
        "only the first tag",
        "index",
        "for tag in device.tags:",
        "for tag in device.tags[:1]:",
    ),
    Mutant(
        "groups forgotten",
        "index",
        "for login in group.members if group else ():",
        "for login in ():",
    ),
    Mutant(
        "roles ignored",
        "index",
        "found |= self._roles.get(role, set())",
        "pass",
    ),
    Mutant(
        "the owner is no admin",
        "selectors",
        '("owner", "admin") if role == "owner" else (role,)',
        "(role,)",
    ),
    Mutant(
        "every role is admin",
        "selectors",
        "role = user.role if user is not None else",
        'role = "admin" if user is not None else',
    ),
    Mutant(
        "domains ignored",
        "index",
        "found |= self._domains.get(domain_of(device.owner), set())",
        "pass",
    ),
    Mutant(
        "part of a domain suffices",
        "selectors",
        'return login.rpartition("@")[2]',
        'return "acme.com" if login.endswith("e") or 1 else login',
    ),
    Mutant(
        "disabled devices count",
        "selectors",
        "if not tailnet.devices[name].disabled and",
        "if",
    ),
    Mutant(
        "disabled users count",
        "selectors",
        "if user.disabled}",
        "if False}",
    ),
    Mutant(
        "prefixes hold one address too many",
        "index",
        "found |= table.get(number >> hole << hole, set())\n        return found\n",
        "found |= table.get(number - 1 >> hole << hole, set())\n        return found\n",
    ),
    # Postures
    Mutant(
        "one condition of a posture suffices",
        "postures",
        "and all(holds(each, attributes)",
        "and any(holds(each, attributes)",
    ),
    Mutant(
        "all postures are needed",
        "postures",
        "return not postures or any(",
        "return not postures or all(",
    ),
    Mutant(
        "a missing attribute is no obstacle",
        "postures",
        "    if found is None:\n        return False\n    if condition",
        "    if found is None:\n        return True\n    if condition",
    ),
    Mutant(
        "no default posture",
        "postures",
        "return rule.posture or tailnet.default_src_posture",
        "return rule.posture",
    ),
    Mutant(
        "the default posture beside a rule's own",
        "postures",
        "return rule.posture or tailnet.default_src_posture",
        "return rule.posture + tailnet.default_src_posture",
    ),
    Mutant(
        "versions as numbers from the left",
        "postures",
        'for each in version.group(1).split(".")]',
        'for each in version.group(1).replace(".", "").split()]',
    ),
    # Routes
    Mutant(
        "unapproved routes count",
        "routes",
        "if _is_approved(tailnet, device, route.prefix)",
        "if True",
    ),
    Mutant(
        "approved by a narrower prefix",
        "routes",
        "if covers(wide, prefix)\n",
        "if overlaps(wide, prefix)\n",
    ),
    Mutant(
        "exit nodes approved by 0.0.0.0/0",
        "routes",
        "return device.exit_node and any(",
        "return device.exit_node and bool(tailnet.auto_approvers.routes) or any(",
    ),
    Mutant(
        "every exit node is approved",
        "routes",
        "return device.exit_node and any(",
        "return device.exit_node or any(",
    ),
    Mutant(
        "the highest priority is primary",
        "routes",
        "return not priorities, min(priorities, default=0), device.name",
        "return not priorities, -min(priorities, default=0), device.name",
    ),
    Mutant(
        "no priority is the first",
        "routes",
        "return not priorities, min(priorities, default=0), device.name",
        "return bool(priorities), min(priorities, default=0), device.name",
    ),
    Mutant(
        "a rule must hold the whole route",
        "index",
        "if prefix.prefixlen > route.prefixlen:",
        "if False:",
    ),
    Mutant(
        "a rule must lie inside the route",
        "index",
        "if version == route.version and length <= route.prefixlen:",
        "if version == route.version and length == route.prefixlen:",
    ),
    Mutant(
        "the star as source has no subnets",
        "relation",
        "(*everybody(tailnet), *self._visible.routers)",
        "everybody(tailnet)",
    ),
    Mutant(
        "every router has the route",
        "visibility",
        "found[routers[0]].append(prefix)",
        "[found[each].append(prefix) for each in routers]",
    ),
    Mutant(
        "the last router is primary",
        "visibility",
        "found[routers[0]].append(prefix)",
        "found[routers[-1]].append(prefix)",
    ),
    Mutant(
        "co-routers get nothing",
        "visibility",
        "if prefix in own or ends",
        "if ends",
    ),
    Mutant(
        "no return path",
        "visibility",
        "ends = self._rules.other_end(ids, among)\n        found",
        "ends = self._rules.reached_from(ids, among)\n        found",
    ),
    # The internet
    Mutant(
        "the internet at every router",
        "classes",
        "exits=name in exits\n            )",
        "exits=True\n            )",
    ),
    Mutant(
        "the internet is everything",
        "filters",
        "            return INTERNET\n",
        "            return EVERYTHING\n",
    ),
    Mutant(
        "public prefixes have no exit",
        "index",
        "found |= self._internet | self._public",
        "found |= self._internet",
    ),
    Mutant(
        "private prefixes through an exit",
        "index",
        "if is_in_internet(prefix)\n",
        "if prefix.prefixlen\n",
    ),
    Mutant(
        "any exit's tag opens the internet",
        "visibility",
        "return self._rules.any | self._rules.internet | wide",
        "return frozenset(range(99))",
    ),
    Mutant(
        "no default route for the star",
        "visibility",
        "return self._rules.any | self._rules.internet | wide",
        "return self._rules.internet | wide",
    ),
    # Via
    Mutant(
        "via any router",
        "index",
        "if set(term.via).isdisjoint(device.tags):",
        "if not device.tags:",
    ),
    Mutant(
        "via wherever the tag is",
        "index",
        "return any(overlaps(p, route) for p in prefixes for route in routes)",
        "return bool(routes)",
    ),
    Mutant(
        "via beside a plain route",
        "visibility",
        "if prefix not in handed and prefix not in left_out:",
        "if prefix not in left_out:",
    ),
    Mutant(
        "via by the primary only",
        "visibility",
        "prefix: next(number for number in routers if number in eligible)",
        "prefix: routers[0]",
    ),
    # Apps
    Mutant(
        "an app opens all ports",
        "rules",
        "opened = PortSet(rule.ports, rule.expires)",
        "opened = PortSet(rule.ports if not rule.app else Ports.of("
        "(p, 0, 65535) for p in (1, 6, 17, 58)), rule.expires)",
    ),
    Mutant(
        "an app shows nobody",
        "rules",
        "for rule in tailnet.rules:",
        "for rule in (r for r in tailnet.rules if r.ports.ranges):",
    ),
    Mutant(
        "no companion of a drive",
        "capabilities",
        "if app.capability in COMPANIONS:",
        "if False:",
    ),
    Mutant(
        "apps through routers are told",
        "capabilities",
        "if rule.app and not rule.disabled and not rule.via",
        "if rule.app and not rule.disabled",
    ),
    # Self
    Mutant(
        "self of everybody",
        "people",
        "mask |= self._rules.to_self.get(term, 0)",
        "mask |= max(self._rules.to_self.values(), default=0)",
    ),
    Mutant(
        "self one way only",
        "people",
        "return [number for number, mask in masks.items() if mask]",
        "return ()",
    ),
    # Openings and deadlines
    Mutant(
        "ports of one rule only",
        "openings",
        "of_term[other] = of_term.get(other, 0) | mask & rules.opening",
        "of_term[other] = mask & rules.opening",
    ),
    Mutant(
        "a subnet's rule opens the router",
        "openings",
        "scopes[prefix if prefix.prefixlen else None].add(term)\n        for term in "
        "each.carried & self._rules.via",
        "scopes[None].add(term)\n        for term in each.carried & self._rules.via",
    ),
    Mutant(
        "a deadline is past a second early",
        "deadlines",
        "deadline <= at",
        "deadline - 1 <= at",
    ),
    Mutant(
        "a deadline is past a second late",
        "deadlines",
        "deadline <= at",
        "deadline < at",
    ),
    Mutant(
        "users don't end",
        "deadlines",
        "first_of((device.expires, user.expires if user is not None else None))",
        "device.expires",
    ),
    Mutant(
        "the first rule decides when a peer ends",
        "visibility",
        "last_first = sorted(deadlines, key=deadline_order, reverse=True)",
        "last_first = sorted(deadlines, key=deadline_order)",
    ),
    # Tests
    Mutant(
        "one source of an example suffices",
        "examples",
        "holds = all(reached.values())",
        "holds = any(reached.values())",
    ),
    Mutant(
        "examples have no attributes",
        "examples",
        "attributes = given if test.attributes else None",
        "attributes = None",
    ),
)


class _Broken(Loader):
    """Loads one module of the package from changed source text."""

    def __init__(self, mutant: Mutant, origin: str) -> None:
        self._mutant, self._origin = mutant, origin

    def exec_module(self, module: ModuleType) -> None:
        with open(self._origin, encoding="utf-8") as file:
            source = file.read()
        assert source.count(self._mutant.old) == 1, (
            f"{self._mutant.name}: {source.count(self._mutant.old)} places"
        )
        source = source.replace(self._mutant.old, self._mutant.new)
        exec(compile(source, self._origin, "exec"), module.__dict__)


class _Finder(MetaPathFinder):
    """Finds the broken module before the real one."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self.is_used = False

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != f"{PACKAGE}.{self._mutant.module}":
            return None
        real = PathFinder.find_spec(fullname, path)
        assert real is not None and real.origin is not None, fullname
        self.is_used = True
        loader = _Broken(self._mutant, real.origin)
        return spec_from_loader(fullname, loader, origin=real.origin)


@contextmanager
def broken(mutant: Mutant) -> Iterator[Engine]:
    """The engine with a mistake in it, for as long as the block lasts."""
    import tailgit

    finder = _Finder(mutant)
    mine = [
        name for name in sys.modules if name == PACKAGE or name[:15] == PACKAGE + "."
    ]
    kept = {name: sys.modules.pop(name) for name in mine}
    real = tailgit.access if hasattr(tailgit, "access") else None
    sys.meta_path.insert(0, finder)
    try:
        engine = Engine.of(import_module)
        assert finder.is_used, f"{mutant.name}: nothing imports {mutant.module}"
        yield engine
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n == PACKAGE or n[:15] == PACKAGE + "."]:
            del sys.modules[name]
        sys.modules.update(kept)
        if real is not None:
            tailgit.access = real
