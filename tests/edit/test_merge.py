"""Two branches that each add five devices: real `git merge`s, 200 of them.

`device add` writes a file for each device and addresses are hashes, so nothing of one
branch stands where the other writes. What git can't see (two devices with one address,
two with one relay slot) `check` names, and `pin` mends after the merge.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tailgit.check import examine
from tailgit.edit.addition import add_device
from tailgit.edit.pin import pin
from tailgit.load import load
from tests.load.files import write

MERGES = 50
SIZES = (5, 12, 40, 400)
ADDED = 5
BAR = 0.99
WHO = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "gc.auto=0")

HEAD = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
tagOwners: {tag:server: [], tag:relay: []}
grants:
  - {src: [tag:server], dst: [tag:server], ip: ["tcp:22"]}
devices:
  hub: {tags: [tag:relay], relay: true, endpoints: ["203.0.113.9:51820"]}
"""


def git(folder: Path, *words: str) -> int:
    command = ["git", "-C", str(folder), *WHO, *words]
    return subprocess.run(command, capture_output=True, check=False).returncode


def fields(draw: random.Random) -> dict[str, list[str]]:
    """A server; every second one is behind NAT, and wants a relay."""
    if draw.random() < 0.5:
        return {"tags": ["tag:server"]}
    third, fourth = draw.randrange(256), draw.randrange(1, 255)
    address = f"198.{draw.choice([18, 19])}.{third}.{fourth}"
    port = draw.randrange(20000, 60000)
    return {"tags": ["tag:server"], "endpoints": [f"{address}:{port}"]}


def text(name: str, about: dict[str, list[str]]) -> str:
    """The file of a new device; that it is the command's own is a test below."""
    lines = [f"devices:\n  {name}:\n    tags: [tag:server]\n"]
    lines += [f'    endpoints: ["{each}"]\n' for each in about.get("endpoints", [])]
    return "".join(lines)


def test_the_command_writes_these_files(tmp_path: Path) -> None:
    """What the merges below are made of is what `device add` writes."""
    draw = random.Random(1)
    write(tmp_path, {"tailnet.yaml": HEAD})
    for name in (f"web-{number}" for number in range(6)):
        about = fields(draw)
        (file,) = add_device(tmp_path, name, about).change.files
        assert (file.file, file.after) == (
            f"devices/{name}.yaml",
            text(name, about).encode(),
        )


def begin(folder: Path, size: int, draw: random.Random) -> set[str]:
    """A tailnet of so many devices, pinned and committed; their names."""
    fleet = {f"host-{number}" for number in range(size - 1)}
    # A tailnet has 200 relay slots: of 400 servers most have an endpoint.
    files = {f"devices/{name}.yaml": text(name, fields(draw)) for name in fleet}
    if size > 100:
        for number, file in enumerate(files):
            about = {"endpoints": [f"192.0.2.{number % 250 + 1}:{40000 + number}"]}
            files[file] = text(file[8:-5], about if number % 4 else {})
    write(folder, {"tailnet.yaml": HEAD, **files})
    pin(folder).change.write()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "begin")
    return fleet


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    assert git(folder, "commit", "-qm", message) == 0


def branch(folder: Path, name: str, taken: set[str], draw: random.Random) -> None:
    """A branch off main that adds five devices, called as fleets are called."""
    assert git(folder, "checkout", "-qf", "-B", name, "main") == 0
    for _ in range(ADDED):
        kind = draw.choice(["web", "db", "build", "ana-laptop", "cache", "gw"])
        free = (f"{kind}-{number}" for number in range(1, 5000))
        new = next(each for each in free if each not in taken)
        taken.add(new)
        write(folder, {f"devices/{new}.yaml": text(new, fields(draw))})
    commit(folder, f"add five on {name}")


def errors(folder: Path) -> list[str]:
    return sorted({each.code for each in examine(load(folder)) if each.is_error})


@pytest.mark.parametrize("size", SIZES)
def test_branches_merge(tmp_path: Path, size: int) -> None:
    """99 of 100 merges have no conflict and pass check; pin mends the rest, and slots.

    Both branches take the next free numbers of a kind, as people do; that two people
    call two machines the same is the one conflict that nothing can settle.
    """
    draw = random.Random(size)
    folder = tmp_path / "net"
    fleet = begin(folder, size, draw)
    assert errors(folder) == []
    good = 0
    for number in range(MERGES):
        taken = set(fleet)
        branch(folder, "one", taken, draw)
        branch(folder, "two", taken, draw)
        merged = git(folder, "merge", "-q", "--no-edit", "one") == 0
        found = errors(folder) if merged else ["conflict"]
        good += merged and not found
        if number == 0:
            pin(folder).change.write()
            codes = {each.code for each in examine(load(folder))}
            assert codes.isdisjoint({"slot-missing", "slot-clash", "address-clash"})
            git(folder, "reset", "-q", "--hard")
    assert good >= BAR * MERGES


def test_what_pin_wrote_on_two_branches_merges_too(tmp_path: Path) -> None:
    """Two branches that pinned the same slots: no textual conflict, one more pin."""
    draw = random.Random(7)
    folder = tmp_path / "net"
    fleet = begin(folder, 12, draw)
    taken = set(fleet)
    for name in ("one", "two"):
        branch(folder, name, taken, draw)
        pin(folder).change.write()
        commit(folder, "pin")
    assert git(folder, "merge", "-q", "--no-edit", "one") == 0
    assert errors(folder) == ["slot-clash"]
    pin(folder).change.write()
    assert errors(folder) == []
