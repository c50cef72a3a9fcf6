"""A device's addresses and port follow from itself alone.

Whatever else happens to a repository (devices come and go, files move, owners, tags,
rules and defaults change), the others keep what they have.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailgit.load import load
from tests.load.files import write

ROOT = {
    "tailnet": {
        "format": 1,
        "name": "acme",
        "domain": "acme.internal",
        "ipv4": "100.64.0.0/10",
        "ipv6": "fd5c:91aa:7be0::/48",
    },
    "tagOwners": {"tag:a": [], "tag:b": []},
    "grants": [],
}
NAMES = [f"node-{number}" for number in range(8)]

devices = st.fixed_dictionaries(
    {"tags": st.sampled_from([["tag:a"], ["tag:a", "tag:b"]])},
    optional={
        "endpoints": st.integers(1, 250).map(lambda n: [f"203.0.113.{n}:{51000 + n}"]),
        "disabled": st.booleans(),
        "site": st.just("fra"),
        "delivery": st.sampled_from(["file", "wg-quick"]),
        "ipv4": st.integers(1, 250).map(lambda n: f"100.100.1.{n}"),
        "formerly": st.integers(0, 99).map(lambda n: [f"old-{n}"]),
        "routes": st.just(["10.20.0.0/16"]),
    },
)
tailnets = st.dictionaries(st.sampled_from(NAMES), devices, min_size=1)
layouts = st.lists(st.integers(0, 3), min_size=8, max_size=8)


def loaded(folder: Path, fleet: dict[str, Any], layout: list[int]) -> dict[str, Any]:
    """What each device has; `layout` says which file each stands in."""
    files: dict[int, dict[str, Any]] = {}
    for name, about in fleet.items():
        files.setdefault(layout[NAMES.index(name)], {})[name] = about
    # JSON is YAML, and it has no aliases for what occurs twice.
    texts = {f"d{n}.yaml": json.dumps({"devices": d}) for n, d in files.items()}
    write(folder, {"tailnet.yaml": json.dumps(ROOT), **texts})
    tailnet = load(folder).tailnet
    assert tailnet is not None
    return {
        name: (device.ipv4, device.ipv6, device.listen_port)
        for name, device in tailnet.devices.items()
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(before=tailnets, after=tailnets, layouts=st.tuples(layouts, layouts))
def test_others_do_not_matter(
    tmp_path_factory: Any,
    before: dict[str, Any],
    after: dict[str, Any],
    layouts: tuple[list[int], list[int]],
) -> None:
    """A device whose own fields for it are the same has the same addresses and port."""
    one = loaded(tmp_path_factory.mktemp("t"), before, layouts[0])
    two = loaded(tmp_path_factory.mktemp("t"), after, layouts[1])
    decides = ("ipv4", "ipv6", "formerly", "endpoints")
    for name in before.keys() & after.keys():
        mine, yours = (
            [each[name].get(key) for key in decides] for each in (before, after)
        )
        if mine == yours:
            assert one[name] == two[name]


@given(name=st.sampled_from(NAMES), later=st.lists(st.sampled_from(NAMES), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_a_rename_keeps_them(
    tmp_path_factory: Any, name: str, later: list[str]
) -> None:
    """The oldest name decides, however often a device is renamed."""
    plain = {"tags": ["tag:a"]}
    before = loaded(tmp_path_factory.mktemp("t"), {name: plain}, [0] * 8)
    for new in later:
        if new != name:
            renamed = {new: {**plain, "formerly": [name]}}
            after = loaded(tmp_path_factory.mktemp("t"), renamed, [0] * 8)
            assert after[new] == before[name]
