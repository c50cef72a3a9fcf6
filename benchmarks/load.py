"""Reading 10,000 devices with places against PyYAML's C loader without any.

    python benchmarks/load.py [DEVICES]

One YAML text, read by `read_yaml` (every key and value has its line and column, a
duplicate key, an anchor or a tag is refused) and by `yaml.load` with `CSafeLoader`,
which keeps no place and takes the last of two equal keys. Each is called as it is in
use: tailgit's loader switches the garbage collector off for the time of a load, who
calls `yaml.load` does not. Several rounds in turn, the best of each counts (what
another tenant of the machine takes is not our cost); exit 1 if ours is not at least 4
times faster at 10,000 devices. Printed besides: `yaml.load` without the collector, and
what typing and validating by the schemas and the search for private keys add.
"""

from __future__ import annotations

import gc
import sys
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from time import process_time
from typing import Any

import yaml

from tailgit.load.located import Map
from tailgit.load.secrets import Suspects, find_secrets
from tailgit.load.shape import fit, root_shape
from tailgit.load.yaml import read_yaml

AT_LEAST = 4.0
ROUNDS = 5
FILE = "devices.yaml"


def devices(count: int) -> bytes:
    """Servers as people write them: tags, key, endpoint and a login each."""
    return b"devices:\n" + b"".join(
        f"""\
  server-{number}:
    tags: [tag:t{number % 50}, tag:u{number % 7}]
    publicKey: {b64encode(sha256(b"%d" % number).digest()).decode()}
    endpoints: ["198.{number >> 16 & 1 | 18}.{number >> 8 & 255}.{number & 255}:51820"]
    ssh: {{user: ops, port: 22}}
""".encode()
        for number in range(count)
    )


def ours(data: bytes) -> Map:
    findings: list[Any] = []
    document = read_yaml(data, FILE, findings)
    assert document is not None
    assert not findings
    return document


def theirs(data: bytes) -> Any:
    return yaml.load(data, Loader=yaml.CSafeLoader)


def searched(data: bytes) -> None:
    suspects = Suspects()
    suspects.look(data, FILE)
    assert not list(find_secrets(data, FILE))


def seconds(work: Callable[[Any], Any], data: Any, *, collector: bool) -> float:
    gc.collect()
    if not collector:
        gc.disable()
    try:
        start = process_time()
        result = work(data)
        took = process_time() - start
    finally:
        gc.enable()
    del result
    return took


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    data = devices(count)
    document = ours(data)
    numbers = document["devices"]["server-0"]["ssh"]
    assert numbers == {"user": "ops", "port": "22"}
    assert document.at("devices", "server-1", "tags").line == 8
    assert len(theirs(data)["devices"]) == len(document["devices"]) == count
    runs: dict[str, Callable[[], float]] = {
        "read_yaml": lambda: seconds(ours, data, collector=False),
        "yaml.load": lambda: seconds(theirs, data, collector=True),
        "no collector": lambda: seconds(theirs, data, collector=False),
        "schemas": lambda: seconds(
            lambda read: fit(root_shape(), read), ours(data), collector=False
        ),
        "private keys": lambda: seconds(searched, data, collector=False),
    }
    times = [[run() for run in runs.values()] for _ in range(ROUNDS)]
    best = dict(zip(runs, map(min, zip(*times, strict=True)), strict=True))
    ratio = best["yaml.load"] / best["read_yaml"]
    print(f"{count} devices, {len(data) / 1e6:.2f} MB, best of {ROUNDS} rounds")
    print(f"read_yaml     {best['read_yaml'] * 1e3:8.1f} ms, with places")
    print(f"yaml.load     {best['yaml.load'] * 1e3:8.1f} ms, CSafeLoader, without")
    print(f"ratio         {ratio:8.2f} (at least {AT_LEAST} at 10000 devices)")
    print(
        f"no collector  {best['no collector'] * 1e3:8.1f} ms for yaml.load without it"
    )
    print(f"schemas       {best['schemas'] * 1e3:8.1f} ms for types and validity")
    print(f"private keys  {best['private keys'] * 1e3:8.1f} ms to look for them")
    return 1 if ratio < AT_LEAST and count == 10_000 else 0


if __name__ == "__main__":
    sys.exit(main())
