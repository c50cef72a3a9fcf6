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

from tailgit.cli.diff import diff_of
from tailgit.errors import InvalidTailnet
from tailgit.load import load
from tailgit.report.access_change import Compared
from tailgit.review.nothing import MEANS_NOTHING
from tailgit.review.trust import Side, trust_difference
from tests.review.fields import holders, leaves, others

World = dict[str, Any]

KEYS = (
    "bmXOC+F1FxEMF9dyiK2H5/1SUtzH0JuVo51h2wPfgyo=",
    "6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=",
    "xTIBa5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
    "aC+64g80KLzsTBF8V76hjUOMR1jZcpCbQdviKITg1rg=",
)
SSH_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB5JIiy0tqmFHPOyBTJLmMKmoXmzOQyLhNmOlDyXqvXL"
)

WORLD: World = {
    "tailnet": {
        **{"format": 1, "name": "acme", "domain": "acme.internal"},
        **{"ipv4": "100.64.0.0/10", "ipv6": "fd5c::/48", "requires": "tailgit >=0.0.2"},
        **{"controller": {"device": "gw-1"}, "hostCA": [SSH_KEY]},
        "emailDomains": ["acme.com"],
    },
    "include": ["notes/a.yaml"],
    "exclude": ["notes/*"],
    "users": {
        "ana@acme.com": {
            **{"name": "Ana", "role": "admin", "disabled": False},
            **{"expires": "2030-01-31", "forge": "ana"},
        },
        "ben@acme.com": {},
        "other@acme.com": {},
    },
    "groups": {"group:dev": ["ana@acme.com"]},
    "hosts": {"printer": "10.20.0.9"},
    "ipsets": {"ipset:lan": ["10.20.0.0/24"]},
    "postures": {
        "posture:a": ["custom:tier == 1"],
        "posture:b": ["custom:tier == 2"],
    },
    "defaultSrcPosture": ["posture:a"],
    "tagOwners": {"tag:web": ["group:dev"], "tag:db": [], "tag:gw": []},
    "autoApprovers": {
        "routes": {"10.20.0.0/16": ["tag:gw"]},
        "exitNode": ["tag:gw"],
        "services": {"a": 1},
    },
    "devices": {
        "ana-laptop": {
            **{"owner": "ana@acme.com", "publicKey": KEYS[0], "gateway": "gw-1"},
            **{"useExitNode": "gw-1", "attributes": {"custom:tier": 1}},
            **{"delivery": "file", "disabled": False},
        },
        "web-1": {
            **{"tags": ["tag:web"], "publicKey": KEYS[1], "nextPublicKey": KEYS[2]},
            **{"ipv4": "100.64.0.7", "ipv6": "fd5c::7", "formerly": ["www-1"]},
            **{"endpoints": ["198.51.100.7:51820"], "listenPort": 51821},
            "ssh": {
                **{"host": "198.51.100.7", "port": 22, "user": "tailgit"},
                **{"hostKey": SSH_KEY, "via": "outside"},
            },
            **{"expires": "2030-01-31", "relaySlot": 7, "site": "fra", "mtu": 1380},
            **{"relayPublicKey": KEYS[3], "pullKey": SSH_KEY, "protect": True},
            **{"lan": ["192.168.1.20:51820"], "labels": {"rack": "b12"}},
            **{"description": "the website", "services": {"a": 1}},
            "attributes": {"custom:tier": 1},
        },
        "gw-1": {
            **{"tags": ["tag:gw"], "endpoints": ["198.51.100.9:51820"]},
            **{"exitNode": True, "relay": True, "mailbox": True, "delivery": "ssh"},
            "routes": [
                {"prefix": "10.20.0.0/24", "as": "10.21.0.0/24", "priority": 3},
            ],
            "ssh": {"hostKey": SSH_KEY},
        },
        "db-1": {"tags": ["tag:db"]},
    },
    "acls": [
        {
            **{"action": "accept", "src": ["group:dev"], "dst": ["tag:web:80"]},
            **{"proto": "tcp", "name": "web", "disabled": False},
            **{"expires": "2030-02-28", "srcPosture": ["posture:a"]},
        }
    ],
    "grants": [
        {
            **{"src": ["group:dev"], "dst": ["tag:db"], "ip": ["tcp:5432"]},
            **{"name": "db", "disabled": False, "expires": "2030-02-28"},
            **{"srcPosture": ["posture:a"], "app": {"x.com/cap": [{"a": 1}]}},
        },
        {"src": ["group:dev"], "dst": ["10.21.0.0/24"], "ip": ["*"], "via": ["tag:gw"]},
    ],
    "tests": [
        {
            **{"src": "ana@acme.com", "accept": ["web-1:80"], "deny": ["db-1:22"]},
            **{"proto": "tcp", "srcPostureAttrs": {"custom:tier": 1}},
        }
    ],
    "ssh": [
        {
            **{"action": "check", "src": ["group:dev"], "dst": ["tag:web"]},
            **{"users": ["ana"], "checkPeriod": "12h", "acceptEnv": ["LANG"]},
            **{"srcPosture": ["posture:a"], "recorder": ["x"], "name": "shell"},
            **{"enforceRecorder": True, "disabled": False},
        }
    ],
    "sshTests": [
        {
            **{"src": "ana@acme.com", "dst": ["tag:web"], "accept": [], "deny": ["bob"]},
            **{"check": ["ana"], "srcPostureAttrs": {"custom:tier": 1}},
        }
    ],
    "dns": {
        "nameservers": ["1.1.1.1"],
        "splitDNS": {"corp.acme.com": ["10.20.0.53"]},
        "records": [{"name": "wiki", "type": "CNAME", "value": "web-1"}],
    },
    "nodeAttrs": [
        {"target": ["tag:web"], "attr": ["magicdns-aaaa"]},
        {"target": ["tag:web"], "ipPool": ["100.64.0.0/16"]},
        {"target": ["tag:db"], "app": {"x.com/cap": [{"a": 1}]}},
    ],
    "delegations": {
        "teams/": {
            "sections": ["devices", "hosts"],
            **{name: ["data-*"] for name in ("devices", "users", "hosts")},
            **{"tags": ["tag:web"], "owners": ["ana@*"], "dst": ["tag:web"]},
            **{"routes": ["10.20.7.0/24"], "groups": ["group:data-*"]},
            **{"ipsets": ["ipset:data-*"], "postures": ["posture:data-*"]},
            **{"records": ["data-*"], "fields": ["ipv4"]},
        }
    },
    "randomizeClientPort": False,
    "disableIPv4": False,
    "OneCGNATRoute": "mac-always",
    "derpMap": {"a": 1},
}

GENERATED: World = {
    "generated": {"by": "okta", "source": "acme.okta.com", "at": "2026-01-01"},
    "hosts": {"scanner": "10.20.0.10"},
}

DEFAULTS: World = {
    "deviceDefaults": {
        **{"owner": "ana@acme.com", "delivery": "ssh", "disabled": False},
        "ssh": {"host": "198.51.100.8", "port": 22, "user": "tailgit", "via": "outside"},
        **{"expires": "2030-01-31", "exitNode": False, "useExitNode": "gw-1"},
        **{"relay": False, "gateway": "gw-1", "mailbox": False, "site": "fra"},
        **{"attributes": {"custom:tier": 1}, "lan": ["192.168.1.21:51820"]},
        **{"mtu": 1380, "labels": {"rack": "b12"}, "protect": True},
        **{"description": "as always", "services": {"a": 1}, "listenPort": 51821},
    },
    "devices": {"ana-desk": {}},
}
DEFAULTS["deviceDefaults"]["ssh"]["hostKey"] = SSH_KEY


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


BY_HAND: dict[str, Callable[[World], None]] = {
    "tailnet.controller.outside": _outside,
    "deviceDefaults.tags": _tagged,
    "devices.*.ssh.via": _tunnel("devices", "web-1"),
    "deviceDefaults.ssh.via": _tunnel("deviceDefaults", ""),
    "include": _set("include", ["notes/b.yaml"]),
}
"""Fields that can't change alone: another must go with them."""

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
            "tailnet.yaml": WORLD,
            "generated.json": GENERATED,
            "defaults.yaml": DEFAULTS,
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
) -> Iterator[tuple[Compared, dict[str, World]]]:
    for number, worlds in enumerate(candidates):
        folder = tmp_path / str(number)
        found = _compared(before, _files(folder, worlds))
        shutil.rmtree(folder)
        if found is not None:
            yield found, worlds


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
    if path == "tailnet.format" or path == "acls[].action":
        assert path in MEANS_NOTHING  # it has one value
        return
    found, _ = next(_valid(before, tmp_path, _changes(path)), (None, None))
    assert found is not None, "no other value is valid: put an example in BY_HAND"
    assert found.is_noop == _is_nothing(path), path
    if not _is_nothing(path):
        assert _home(path) in _places(found)


@pytest.mark.parametrize("path", [each for each in LEAVES if each not in NOT_LOADED])
def test_each_field_that_goes_is_named(path: str, before: Path, tmp_path: Path) -> None:
    """A field that may be absent is named when it is taken out, if it said anything."""
    for found, worlds in _valid(before, tmp_path, _removals(path)):
        said = _is_nothing(path) or _is_default(path, worlds)
        assert found.is_noop == said, path


_DEFAULTS = {
    **dict.fromkeys(
        ("disabled", "delivery", "port", "user", "via", "host", "exitNode", "relay"), ""
    ),
    "mailbox": "",
}


def _is_default(path: str, worlds: dict[str, World]) -> bool:
    """Whether the world says what holds without the field as well."""
    del worlds
    last = path.rpartition(".")[2]
    return last in _DEFAULTS and path != "devices.*.exitNode"


def _is_nothing(path: str) -> bool:
    return path.replace("deviceDefaults", "devices.*") in MEANS_NOTHING


def _places(found: Compared) -> set[str]:
    lines = [line.place.file for line in found.trust.lines]
    access = (*found.change.gained, *found.change.lost)
    return {*lines, *(c.place.file for line in access for c in line.causes)}
