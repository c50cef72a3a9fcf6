"""Mailboxes and host keys: what is said, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.check import check, examine
from tailgit.load import load
from tests.check.devices import HOST_KEY, found, key
from tests.load.files import HEAD, write

PULLS = "  pc: {owner: ana@acme.com, delivery: pull}\n"


def host(number: int, more: str = "") -> str:
    """A device that is logged in to and has a WireGuard key."""
    return (
        f"  h{number}: {{owner: ana@acme.com, publicKey: {key(number + 9)}, "
        f"ssh: {{host: h{number}.acme.com}}{more}}}\n"
    )


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ("", "no device is a mailbox"),
        ("mailbox: true", "the mailbox `box` has no endpoint"),
        ('mailbox: true, disabled: true, endpoints: ["203.0.113.1:9"]', "no device is"),
        ('mailbox: true, endpoints: ["203.0.113.1:9"]', None),
    ],
)
def test_a_mailbox_is_reached_from_outside(
    tmp_path: Path, box: str, why: str | None
) -> None:
    """Only a device that is on and has an endpoint can be pulled from."""
    devices = f"{PULLS}  box: {{owner: ana@acme.com, {box}}}\n".replace(", }", "}")
    said = found(tmp_path, devices, "no-mailbox")
    assert [each.message for each in said if why is None] == []
    assert why is None or why in said[0].message


def test_many_that_pull_are_one_finding(tmp_path: Path) -> None:
    """One mailbox mends it for all, so it is said once; who is off does not pull."""
    many = "".join(PULLS.replace("pc", f"d{i}") for i in range(7))
    many += PULLS.replace("pull", "pull, disabled: true")
    (said,) = found(tmp_path, many, "no-mailbox")
    assert said.message.startswith("7 devices (`d0`, `d1`, `d2`, …) pull, and no")
    off = PULLS.replace("pull", "pull, disabled: true")
    assert found(tmp_path, off, "no-mailbox") == []


BOX = "owner: ana@acme.com, mailbox: true"


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ("ssh: {host: box.acme.com}", None),
        ("ssh: {host: 100.64.1.1}", "has no endpoint to reach it at"),
        ('endpoints: ["203.0.113.1:9"], delivery: file', "nothing gets into"),
        (f'publicKey: {key(3)}, endpoints: ["203.0.113.1:9"]', "no `ssh.hostKey`"),
        (
            f'publicKey: {key(3)}, ssh: {{host: box.acme.com, hostKey: "{HOST_KEY}"}}',
            None,
        ),
    ],
)
def test_a_mailbox_is_filled_and_known(
    tmp_path: Path, box: str, why: str | None
) -> None:
    """The controller gets in, the device knows whom it talks to, from outside."""
    said = found(tmp_path, f"{PULLS}  box: {{{BOX}, {box}}}\n", "no-mailbox")
    assert [each.message for each in said if why is None] == []
    assert why is None or why in said[0].message


def pulling(name: str, number: int, more: str = "") -> str:
    return (
        f"  {name}: {{owner: ana@acme.com, delivery: pull, "
        f"publicKey: {key(number)}{more}}}\n"
    )


def test_who_pulls_has_a_key_of_its_own(tmp_path: Path) -> None:
    """None at all, a bad one (which the loader has said), and two with one."""
    (said,) = found(tmp_path, pulling("pc", 1), "no-pull-key")
    assert said.message == "`pc` pulls, and has no `pullKey` to fetch with"
    assert "tailgit device join pc" in said.help
    bad = ", pullKey: ssh-ed25519 " + "A" * 68
    text = f"grants: []\ndevices:\n{pulling('pc', 1, bad)}"
    loaded = load(write(tmp_path, {"tailnet.yaml": HEAD, "a.yaml": text}))
    said_codes = [each.code for each in examine(loaded)]
    assert "bad-value" in said_codes
    assert "no-pull-key" not in said_codes
    good = f', pullKey: "{HOST_KEY}"'
    both = pulling("pc", 1, good) + pulling("tv", 2, good)
    assert found(tmp_path, pulling("pc", 1, good), "no-pull-key") == []
    (said,) = found(tmp_path, both, "duplicate-public-key")
    assert said.message == "`tv` has the pull key of `pc`"


@pytest.mark.parametrize(
    "changed",
    [
        host(1).replace("h1.acme.com", f'h1.acme.com, hostKey: "{HOST_KEY}"'),
        host(1).replace(f"publicKey: {key(10)}, ", ""),
        host(1, ", delivery: file"),
        host(1, ", disabled: true"),
    ],
)
def test_who_is_not_logged_in_to_needs_no_host_key(
    tmp_path: Path, changed: str
) -> None:
    """A key that is there, none to expect yet, another delivery, switched off."""
    assert len(found(tmp_path, host(1), "no-host-key")) == 1
    assert found(tmp_path, changed, "no-host-key") == []


def test_a_certificate_stands_for_all_host_keys(tmp_path: Path) -> None:
    """With a host CA in the tailnet no device needs a key of its own."""
    head = f'{HEAD}  hostCA: ["{HOST_KEY}"]\n'
    text = f"grants: []\ndevices:\n{host(1)}"
    tailnet = load(write(tmp_path, {"tailnet.yaml": head, "a.yaml": text})).tailnet
    assert tailnet is not None
    assert "no-host-key" not in {each.code for each in check(tailnet)}


def test_a_host_key_that_is_none_is_not_missed_too(tmp_path: Path) -> None:
    """The loader has said that it is none; twice would be one mistake too many."""
    wrong = host(1).replace(
        "acme.com}", f'acme.com, hostKey: "ssh-ed25519 {"B" * 60}"}}'
    )
    files = {"tailnet.yaml": HEAD, "a.yaml": f"grants: []\ndevices:\n{wrong}"}
    said = {each.code for each in examine(load(write(tmp_path, files)))}
    assert "bad-value" in said
    assert "no-host-key" not in said


def test_five_are_named_and_six_are_counted(tmp_path: Path) -> None:
    """Few of a file are told one by one, many in one sentence."""
    five = "".join(host(number) for number in range(5))
    assert len(found(tmp_path, five, "no-host-key")) == 5
    (said,) = found(tmp_path, five + host(5), "no-host-key")
    assert said.message.startswith(
        "6 devices of this file (`h0`, `h1`, `h2`, …) have no"
    )
