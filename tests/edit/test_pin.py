"""`tailgit pin`: clashes are mended at the newcomer, once, with one line each."""

from __future__ import annotations

import subprocess
from itertools import count, islice
from pathlib import Path

import pytest

from tailgit.check import examine
from tailgit.cli import run
from tailgit.edit.pin import SLOTS
from tailgit.errors import Exit
from tailgit.load import load
from tailgit.load.shape import schemas
from tailgit.model.addresses import ipv4_of
from tests.load.files import write

HEAD = """\
tailnet:
  {format: 1, name: acme, domain: acme.internal, ipv4: 100.64.0.0/24, ipv6: "fd5c::/48"}
tagOwners: {tag:a: [], tag:relay: []}
grants: [{src: [tag:a], dst: [tag:a], ip: ["tcp:22"]}]
"""
ENDPOINT = 'endpoints: ["203.0.113.{}:51820"]'


def clashing(number: int) -> tuple[str, ...]:
    """So many names that the range gives one address."""
    from ipaddress import IPv4Network

    pool, by_address = IPv4Network("100.64.0.0/24"), {}
    for name in (f"node-{each}" for each in count()):
        found = by_address.setdefault(ipv4_of("acme", name, pool), [])
        found.append(name)
        if len(found) == number:
            return tuple(found)
    raise AssertionError


def device(number: int, *fields: str) -> str:
    text = ", ".join(("tags: [tag:a]", ENDPOINT.format(number), *fields))
    return f"    {{{text}}}\n"


def repository(folder: Path) -> Path:
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    return folder


def commit(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    git = ["git", "-C", str(folder), *who]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "x", *words], check=True)


def codes(folder: Path) -> list[str]:
    return sorted({each.code for each in examine(load(folder)) if each.is_error})


def test_the_newcomer_gets_another_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The device that is committed keeps its address, though it sorts behind."""
    new, old = sorted(clashing(2))
    folder = repository(tmp_path / "net")
    write(
        folder,
        {
            "tailnet.yaml": HEAD,
            f"devices/{old}.yaml": f"devices:\n  {old}:\n{device(1)}",
        },
    )
    commit(folder)
    before = load(folder).tailnet
    assert before is not None
    write(folder, {f"devices/{new}.yaml": f"devices:\n  {new}:\n{device(2)}"})
    assert codes(folder) == ["address-clash"]

    assert run(["pin", "--repo", str(folder)]) == Exit.DONE

    said = capsys.readouterr().out
    assert f"{new}  ipv4: 100.64.0." in said
    assert f"stays with {old}" in said
    assert codes(folder) == []
    after = load(folder).tailnet
    assert after is not None
    assert after.devices[old].ipv4 == before.devices[old].ipv4
    assert run(["pin", "--repo", str(folder)]) == Exit.DONE
    assert capsys.readouterr().out == "nothing to pin\n"


def test_of_two_in_one_commit_the_one_with_a_key_stays(tmp_path: Path) -> None:
    """A device that is in use keeps its address before one that only has a name."""
    first, second = sorted(clashing(2))
    key = "publicKey: 6Zg1hk2gZLIdZbvcOZtPzqTdgLHbfBv9ZEUVLKzzIyA="
    text = f"devices:\n  {first}:\n{device(1)}  {second}:\n{device(2, key)}"
    write(tmp_path, {"tailnet.yaml": HEAD, "devices.yaml": text})
    assert run(["pin", "--repo", str(tmp_path)]) == Exit.DONE
    assert codes(tmp_path) == []
    lines = (tmp_path / "devices.yaml").read_text().splitlines()
    assert [number for number, line in enumerate(lines) if "ipv4:" in line] == [2]


def test_of_two_that_came_together_a_person_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever finds a name with somebody's address must not win it by the alphabet."""
    first, second = sorted(clashing(2))
    folder = repository(tmp_path / "net")
    text = f"devices:\n  {first}:\n{device(1)}  {second}:\n{device(2)}"
    write(folder, {"tailnet.yaml": HEAD, "devices.yaml": text})
    commit(folder)
    commit(folder, "--allow-empty")
    assert run(["pin", "--repo", str(folder)]) == Exit.REFUSED
    assert "have the address in common and came together" in capsys.readouterr().err
    assert (folder / "devices.yaml").read_text() == text


def test_three_with_one_address(tmp_path: Path) -> None:
    """All but one get another, and no two the same."""
    text = "".join(f"  {n}:\n{device(i)}" for i, n in enumerate(clashing(3), 1))
    write(tmp_path, {"tailnet.yaml": HEAD, "devices.yaml": f"devices:\n{text}"})
    assert run(["pin", "--repo", str(tmp_path)]) == Exit.DONE
    assert codes(tmp_path) == []
    assert (tmp_path / "devices.yaml").read_text().count("ipv4:") == 2


def test_two_pins_of_one_address_are_for_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What two people wrote down is not decided by a program."""
    text = f"devices:\n  a:\n{device(1, 'ipv4: 100.64.0.9')}"
    text += f"  b:\n{device(2, 'ipv4: 100.64.0.9')}"
    write(tmp_path, {"tailnet.yaml": HEAD, "devices.yaml": text})
    assert run(["pin", "--repo", str(tmp_path)]) == Exit.REFUSED
    assert "`a` and `b` are both pinned to 100.64.0.9" in capsys.readouterr().err
    assert (tmp_path / "devices.yaml").read_text() == text


def test_slots(tmp_path: Path) -> None:
    """Whoever a relay could serve gets the lowest free slot; nobody else does."""
    relay = "  hub: {tags: [tag:relay], relay: true, " + ENDPOINT.format(9) + "}\n"
    text = (
        "devices:\n"
        + relay
        + "  a: {tags: [tag:a]}\n  b: {tags: [tag:a], relaySlot: 0}\n"
        + "  c: {tags: [tag:a], relaySlot: 0}\n  d: {tags: [tag:a]}\n"
        + f"  public:\n{device(1)}"
    )
    write(tmp_path, {"tailnet.yaml": HEAD, "devices.yaml": text})
    assert "slot-clash" in codes(tmp_path)
    assert run(["pin", "--repo", str(tmp_path)]) == Exit.DONE
    tailnet = load(tmp_path).tailnet
    assert tailnet is not None
    slots = {name: each.relay_slot for name, each in tailnet.devices.items()}
    assert slots == {"a": 2, "b": 0, "c": 1, "d": 3, "hub": None, "public": None}
    assert codes(tmp_path) == []


def test_the_schema_has_as_many_slots() -> None:
    """What is written is what may be written."""
    about = schemas()["devices.schema.json"]["$defs"]["device"]["properties"]
    assert about["relaySlot"]["maximum"] + 1 == SLOTS


def test_a_full_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no address is left, that is what is said, and nothing is written."""
    small = HEAD.replace("100.64.0.0/24", "100.64.0.0/29")
    names = list(islice((f"node-{each}" for each in count()), 8))
    text = "devices:\n" + "".join(f"  {n}:\n{device(i)}" for i, n in enumerate(names))
    write(tmp_path, {"tailnet.yaml": small, "devices.yaml": text})
    assert run(["pin", "--repo", str(tmp_path)]) == Exit.REFUSED
    assert "no free address" in capsys.readouterr().err
    assert (tmp_path / "devices.yaml").read_text() == text
