"""Our own conformance cases: small tailnets, and what must hold in them.

`cases/*.yaml` are lists of cases; each starts from `world.yaml` and says in `rule` what
it shows, by section of POLICY.md or page of Tailscale's documentation. `devices` and
`users` are merged into the world's one by one (null takes a field away), any other
section replaces the world's. The tailnet is read by the product's loader.

    allow, deny   "ana-1 -> 10.20.0.9 tcp:443 at gw": a packet, and who receives it;
                  `/6` behind a device is its IPv6 address, without `at` anybody may
    peers         by node all its peers, with the routes that go with each
    approved      all approved routes by device
    caps          by node the capabilities that it is told, and from whom
    until         by node the peers that end, and their last day
    failing       the beginnings of the findings of the policy's tests
    rejected      part of the sentence with which the policy is refused
    at            the time that is asked for
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tailgit.check import check
from tailgit.load import load
from tailgit.model.codes import CODES
from tailgit.model.deadline import parse_deadline
from tailgit.model.tailnet import Tailnet
from tests.oracle.generate import public_key

HERE = Path(__file__).parent

CLAIMS = (
    *("allow", "deny", "peers", "approved", "caps", "until", "failing", "rejected"),
)
"""What a case may say; one of them at least."""

_OURS = ("name", "rule", "at", *CLAIMS)
_MERGED = ("devices", "users")
_ROOT = {
    "format": 1,
    "name": "case",
    "domain": "case.internal",
    "ipv4": "100.64.0.0/10",
    "ipv6": "fd5c:91aa:7be0::/48",
}

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One case: its tailnet, or why that is refused, and what must hold."""

    file: str
    name: str
    rule: str
    claims: Json
    tailnet: Tailnet | None
    rejections: tuple[str, ...]
    at: int | None = None

    @property
    def id(self) -> str:
        return f"{self.file}: {self.name}"


def read_cases() -> tuple[Case, ...]:
    """Every case, in order of files."""
    return tuple(_read())


def world_with(**sections: Any) -> Tailnet:
    """The world's tailnet with other sections; it must be a sound one."""
    tailnet, rejections = _load(_merged(_yaml(HERE / "world.yaml"), sections))
    assert tailnet is not None
    assert rejections == ()
    return tailnet


def _read() -> Iterator[Case]:
    world = _yaml(HERE / "world.yaml")
    for path in sorted((HERE / "cases").glob("*.yaml")):
        for written in _yaml(path):
            sections = _merged(
                world, {k: v for k, v in written.items() if k not in _OURS}
            )
            tailnet, rejections = _load(sections)
            at = written.get("at")
            yield Case(
                path.stem,
                written["name"],
                written["rule"],
                {claim: written[claim] for claim in CLAIMS if claim in written},
                tailnet,
                rejections,
                None if at is None else parse_deadline(at),
            )


def _yaml(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)


def _merged(world: Json, given: Json) -> Json:
    sections = {**world, **given}
    for name in _MERGED:
        entries = {key: dict(entry) for key, entry in world[name].items()}
        for key, fields in given.get(name, {}).items():
            entries[key] = {**entries.get(key, {}), **fields}
        sections[name] = entries
    for name, device in sections["devices"].items():
        device.setdefault("publicKey", public_key(name))
        for field in [each for each, value in device.items() if value is None]:
            del device[field]
    return sections


def _load(sections: Json) -> tuple[Tailnet | None, tuple[str, ...]]:
    """The tailnet and the sentences of Tailscale's own rules that it breaks."""
    with TemporaryDirectory() as folder:
        root = json.dumps({"tailnet": _ROOT, **sections})
        (Path(folder) / "tailnet.yaml").write_text(root, "utf-8")
        loaded = load(Path(folder))
    tailnet = loaded.tailnet or loaded.partial
    findings = list(loaded.findings)
    if tailnet is not None:
        findings += check(tailnet)
    assert all(each.code in CODES for each in findings)
    errors = [each for each in findings if each.is_error]
    return tailnet, tuple(
        each.message for each in errors if CODES[each.code].layer == "policy"
    ) + tuple(
        f"{each.code}: {each.message}"
        for each in loaded.findings
        if each.is_error and CODES[each.code].layer != "policy"
    )
