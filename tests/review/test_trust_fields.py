"""Each field of the schemas, changed alone, is named; or it stands for nothing.

The fields come from the schemas, so that a new one fails here until it is named by the
report, or is put on the short list of those that mean nothing, with the reason.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailgit.cli.diff import diff_of
from tailgit.errors import InvalidTailnet
from tailgit.load import load
from tailgit.report.access_change import Compared
from tailgit.review.nothing import MEANS_NOTHING
from tailgit.review.trust import Side, trust_difference
from tests.review.fields import holders, leaves, others

World = dict[str, Any]

WORLDS: dict[str, World] = yaml.safe_load(
    (Path(__file__).parent / "every_field.yaml").read_text()
)
"""A tailnet in which each field says something, file by file."""


def _set(path: str, value: object) -> Callable[[World], None]:
    def change(world: World) -> None:
        holder, key = next(holders(world, path))
        holder[key] = value

    return change


def _both(*changes: Callable[[World], None]) -> Callable[[World], None]:
    def change(world: World) -> None:
        for each in changes:
            each(world)

    return change


def _outside(world: World) -> None:
    world["tailnet"]["controller"] = {"outside": True}


def _tagged(world: World) -> None:
    world["deviceDefaults"]["tags"] = ["tag:web"]
    del world["deviceDefaults"]["owner"]


def _tunnel(section: str, name: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        ssh = world[section]["ssh"] if not name else world[section][name]["ssh"]
        ssh["via"] = "tunnel"
        del ssh["host"]

    return change


def _disabled(world: World) -> None:
    world["users"]["ben@acme.com"]["disabled"] = True


def _unchecked(world: World) -> None:
    world["ssh"][0]["action"] = "accept"
    del world["ssh"][0]["checkPeriod"]


BY_HAND: dict[str, Callable[[World], None]] = {
    "tailnet.controller.outside": _outside,
    "deviceDefaults.tags": _tagged,
    "devices.*.ssh.via": _tunnel("devices", "web-1"),
    "deviceDefaults.ssh.via": _tunnel("deviceDefaults", ""),
    "include": _set("include", ["notes/b.yaml"]),
    "tailnet.ipv4": _set("tailnet.ipv4", "100.64.0.0/11"),
    "tailnet.ipv6": _set("tailnet.ipv6", "fd5c::/47"),
    "users.*.disabled": _disabled,
    "users.*.role": _set("users.*.role", "auditor"),
    "acls[].srcPosture": _set("acls[].srcPosture", ["posture:b"]),
    "grants[].srcPosture": _set("grants[].srcPosture", ["posture:b"]),
    "grants[].via": _set("grants[].via", ["tag:web"]),
    "dns.records[].type": _set("dns.records[].type", "TXT"),
    "ssh[].action": _unchecked,
    "delegations.*.sections": _set("delegations.*.sections", ["hosts", "groups"]),
}
"""Fields that can't change alone, or take what no list of texts has."""

HOLDS_ANYWAY = {
    *(f"{section}.disabled" for section in ("users.*", "devices.*", "acls[]")),
    *(f"{section}.disabled" for section in ("grants[]", "ssh[]", "deviceDefaults")),
    *(f"deviceDefaults.{field}" for field in ("exitNode", "relay", "mailbox")),
    *(f"{section}.delivery" for section in ("devices.*", "deviceDefaults")),
    *(f"devices.*.ssh.{field}" for field in ("host", "port", "user", "via")),
    *(f"deviceDefaults.ssh.{field}" for field in ("port", "user", "via")),
    *("acls[].srcPosture", "sshTests[].accept", "grants[].via"),
}
"""Fields that say in this tailnet what would hold without them."""

NOT_LOADED = {"guardrails": "a revision with it is not valid yet"}
"""Fields that no valid revision has; they are compared all the same."""

LEAVES = [path for path, _ in leaves()]


def _files(folder: Path, worlds: dict[str, World]) -> Path:
    for name, world in worlds.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(world, indent=1))
    return folder


def _worlds() -> dict[str, World]:
    return copy.deepcopy(
        {
            **WORLDS,
            "teams/data.yaml": {"hosts": {"data-x": "10.20.7.5"}},
            "notes/a.yaml": {"hosts": {"nobody": "10.20.0.11"}},
            "notes/b.yaml": {"hosts": {"nobody": "10.20.0.11"}},
        }
    )


def _home(path: str) -> str:
    """The file that a field is in."""
    if path.startswith("generated"):
        return "generated.json"
    return "defaults.yaml" if path.startswith("deviceDefaults") else "tailnet.yaml"


def _changes(path: str) -> Iterator[dict[str, World]]:
    """The tailnet with one field changed: by hand, or to values it may take."""
    home = _home(path)
    if path in BY_HAND:
        worlds = _worlds()
        BY_HAND[path](worlds[home])
        yield worlds
        return
    for number, (holder, key) in enumerate(holders(_worlds()[home], path)):
        for value in others(holder[key]):
            worlds = _worlds()
            mine, _ = list(holders(worlds[home], path))[number]
            mine[key] = value
            yield worlds


def _removals(path: str) -> Iterator[dict[str, World]]:
    """The tailnet with one field taken out, wherever it stands."""
    home = _home(path)
    for number in range(len(list(holders(_worlds()[home], path)))):
        worlds = _worlds()
        mine, key = list(holders(worlds[home], path))[number]
        del mine[key]
        yield worlds


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _files(tmp_path_factory.mktemp("before"), _worlds())


def _compared(before: Path, after: Path) -> Compared | None:
    """What the command would say; None where the other side is not valid."""
    try:
        report = diff_of(str(before), str(after), Path(), "2026-11-30")
    except InvalidTailnet:
        return None
    return report.tailnets[0]


def _valid(
    before: Path, tmp_path: Path, candidates: Iterator[dict[str, World]]
) -> Iterator[Compared]:
    for number, worlds in enumerate(candidates):
        folder = tmp_path / str(number)
        found = _compared(before, _files(folder, worlds))
        shutil.rmtree(folder)
        if found is not None:
            yield found


def test_the_world_is_valid_and_the_same_as_itself(before: Path) -> None:
    """What everything is compared with has no error, and no change against itself."""
    found = _compared(before, before)
    assert found is not None
    assert found.is_noop


@pytest.mark.parametrize("path", [each for each in LEAVES if each not in NOT_LOADED])
def test_each_field_is_named_or_means_nothing(
    path: str, before: Path, tmp_path: Path
) -> None:
    """Another value is named with a place in the file that says it."""
    if path in ("tailnet.format", "acls[].action"):
        assert path in MEANS_NOTHING  # it has one value
        return
    found = next(_valid(before, tmp_path, _changes(path)), None)
    assert found is not None, "no other value is valid: put an example in BY_HAND"
    assert found.is_noop == _is_nothing(path), path
    if not _is_nothing(path):
        assert _home(path) in _places(found)


@pytest.mark.parametrize("path", [each for each in LEAVES if each not in NOT_LOADED])
def test_each_field_that_goes_is_named(path: str, before: Path, tmp_path: Path) -> None:
    """A field that may be absent is named when it is taken out, if it said anything."""
    for found in _valid(before, tmp_path, _removals(path)):
        assert found.is_noop == (_is_nothing(path) or path in HOLDS_ANYWAY), path


@pytest.mark.parametrize("path", sorted(NOT_LOADED))
def test_what_no_valid_revision_has_is_compared_too(path: str, tmp_path: Path) -> None:
    """A section to come is named before it is taken anywhere."""
    sides = []
    for number, value in enumerate((["one", "two"], ["one"])):
        worlds = _worlds()
        worlds["tailnet.yaml"][path] = value
        loaded = load(_files(tmp_path / str(number), worlds))
        assert {each.code for each in loaded.findings if each.is_error} <= {"not-yet"}
        tailnet = loaded.tailnet or loaded.partial
        assert tailnet is not None
        assert loaded.sections is not None
        sides.append(Side(tailnet, loaded.sections))
    (line,) = trust_difference(*sides).lines
    assert (line.kind, line.name, line.weight) == ("guardrail-removed", "two", "danger")


def test_what_means_nothing_is_a_field_with_a_reason() -> None:
    """The list holds fields that exist, each with a sentence, and stays short."""
    assert set(MEANS_NOTHING) <= set(LEAVES)
    assert all(len(reason) > 10 for reason in MEANS_NOTHING.values())
    assert len(MEANS_NOTHING) < 10
    assert set(BY_HAND) <= set(LEAVES)
    assert set(LEAVES) >= HOLDS_ANYWAY


def _is_nothing(path: str) -> bool:
    return path.replace("deviceDefaults", "devices.*") in MEANS_NOTHING


def _places(found: Compared) -> set[str]:
    lines = [line.place.file for line in found.trust.lines]
    access = (*found.change.gained, *found.change.lost)
    return {*lines, *(c.place.file for line in access for c in line.causes)}
