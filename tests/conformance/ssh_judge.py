"""Judges an engine by the cases in `ssh_cases/`: what a case says is all there is.

A case's `allowed` lists every login that is possible; any other device, any other
name is expected to be denied, both by the rules one by one and by the list that the
destination gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from tailgit.model.findings import Finding
from tailgit.model.tailnet import Device, Tailnet
from tests.conformance.answers_ssh import admits, wire
from tests.conformance.ssh_policy import tailnet_of

FOLDER = Path(__file__).with_name("ssh_cases")

ANYBODY = ("ana", "ben", "cy", "Root", "nobody", "ubuntu")
LITERAL = ("tag:web", "autogroup:member", "localpart:ana@example.com")
"""Login names that every case is asked for, with root and none at all."""

Case = Mapping[str, Any]

KEYS = {"id", "rule", "policy"}
EXPECTED = {"allowed", "lists", "lengths", "periods", "failed", "attributes"}


@dataclass(frozen=True)
class Engine:
    """What is judged: the project's own functions, or a mutant's."""

    ssh_lists: Callable[[Tailnet], Mapping[str, Any]]
    ssh_decision: Callable[[Tailnet, Device, Device, str], Any]
    run_ssh_tests: Callable[[Tailnet], tuple[Finding, ...]]
    node_attributes: Callable[[Tailnet], Mapping[str, tuple[str, ...]]]

    @classmethod
    def of(cls, ssh: ModuleType, tests: ModuleType, attributes: ModuleType) -> Engine:
        return cls(
            ssh.ssh_lists,
            ssh.ssh_decision,
            tests.run_ssh_tests,
            attributes.node_attributes,
        )


@cache
def cases() -> tuple[Case, ...]:
    """Every case of the folder, by file and then as they are written."""
    files = sorted(FOLDER.glob("*.yaml"))
    read = (yaml.safe_load(f.read_text("utf-8")) for f in files)
    return tuple(case for found in read if isinstance(found, list) for case in found)


@cache
def topology() -> Case:
    """The tailnet that all cases are about."""
    text = (FOLDER / "topology.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


def judge(case: Case, engine: Engine, tailnet: Tailnet | None = None) -> Iterator[str]:
    """What the engine gets wrong; nothing if it meets the case."""
    tailnet = tailnet or tailnet_of(topology(), case["policy"])
    lists = engine.ssh_lists(tailnet)
    rows = wire(lists)
    if "lists" in case:
        yield from _differ(
            {name: found for name, found in rows.items() if found}, case["lists"]
        )
    if "lengths" in case:
        lengths = {name: len(found) for name, found in rows.items() if found}
        yield from _differ(lengths, case["lengths"])
    for name, periods in case.get("periods", {}).items():
        yield from _differ([each.check_period for each in lists[name]], periods)
    if "attributes" in case:
        found = engine.node_attributes(tailnet).items()
        yield from _differ({n: list(a) for n, a in found if a}, case["attributes"])
    if "failed" in case:
        yield from _differ(list(_failures(engine, tailnet)), case["failed"])
    if "allowed" in case:
        yield from _logins(tailnet, engine, rows, dict(_allowed(case["allowed"])))


def _differ(got: object, want: object) -> Iterator[str]:
    if got != want:
        yield f"got {got!r}, want {want!r}"


def _failures(engine: Engine, tailnet: Tailnet) -> Iterator[str]:
    places = {
        place
        for test in tailnet.ssh_tests
        for place in (test.place, *(each.place for each in (test.src, *test.dst)))
    }
    for each in engine.run_ssh_tests(tailnet):
        complete = each.code == "ssh-test-failed" and each.is_error and each.help
        yield each.message if complete and each.place in places else repr(each)


def _logins(
    tailnet: Tailnet,
    engine: Engine,
    rows: Mapping[str, list[dict[str, Any]]],
    allowed: Mapping[tuple[str, str, str], str],
) -> Iterator[str]:
    for dst in tailnet.devices.values():
        for src in tailnet.devices.values():
            for login in ("", "root", *ANYBODY, *LITERAL):
                want = allowed.get((src.name, dst.name, login), "deny")
                decision = engine.ssh_decision(tailnet, src, dst, login)
                given = {"the rules": decision.action}
                for address in src.addresses:
                    verdict = admits(rows.get(dst.name, ()), str(address), login)
                    given[f"the list, for {address}"] = verdict
                asked = f"{src.name} -> {dst.name} as {login!r}"
                for by, got in given.items():
                    if got != want:
                        yield f"{asked}: {got} by {by}, want {want}"
                if (decision.rule is None) != (want == "deny"):
                    yield f"{asked}: {decision.action} by {decision.rule}"


def _allowed(lines: list[str]) -> Iterator[tuple[tuple[str, str, str], str]]:
    """`a, b -> c as root, *: accept` as every combination; `*` is any name but root."""
    for line in lines:
        head, _, action = line.rpartition(": ")
        ends, _, names = head.partition(" as ")
        sources, _, targets = ends.partition(" -> ")
        logins = []
        for name in names.split(", "):
            logins += [*ANYBODY, *LITERAL] if name == "*" else [name]
        for src in sources.split(", "):
            for dst in targets.split(", "):
                for login in logins:
                    yield (src, dst, login), action
