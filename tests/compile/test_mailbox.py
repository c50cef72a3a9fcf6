"""The files of mailboxes and of devices that pull: who has them, and what they say."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tailgit.compile import Bundle, compile_tailnet
from tailgit.model.tailnet import Delivery, Device, Endpoint, Ssh, Tailnet
from tests.compile.acme import acme

HOST_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"
)
PULL_KEY = HOST_KEY.replace("BwcH", "CAgI")


def changed(tailnet: Tailnet, **devices: dict[str, object]) -> Tailnet:
    """The same tailnet with other fields of some devices (`_` for `-`)."""
    new = dict(tailnet.devices)
    for name, fields in devices.items():
        name = name.replace("_", "-")
        new[name] = replace(new[name], **fields)  # type: ignore[arg-type]
    return replace(tailnet, devices=new)


PULLS = {"delivery": Delivery.PULL, "pull_key": PULL_KEY}


def box(**more: object) -> dict[str, object]:
    ssh = Ssh("box.acme.com", 2222, host_key=HOST_KEY)
    return {"mailbox": True, "ssh": ssh, **more}


def files(bundle: Bundle) -> dict[str, bytes]:
    return dict(bundle.files)


def test_only_mailboxes_and_pulling_devices_change() -> None:
    """A laptop that begins to pull touches its own bundle and its mailbox's."""
    before = compile_tailnet(acme())
    after = compile_tailnet(changed(acme(), fra_gw=box(), ana_desk=PULLS))
    different = {name for name in after if after[name].digest != before[name].digest}
    assert different == {"fra-gw", "ana-desk"}
    assert files(after["fra-gw"])["mailbox"].decode() == f"ana-desk {PULL_KEY}\n"
    line = f"box.acme.com 2222 {HOST_KEY}\n"
    assert files(after["ana-desk"])["mailboxes"].decode() == line
    for name in different:
        extra = {"mailbox", "mailboxes"}
        rest = {k: v for k, v in files(after[name]).items() if k not in extra}
        assert rest == files(before[name])
        assert b"mailbox" in after[name].manifest


def test_a_mailbox_for_nobody_is_a_node_like_any_other() -> None:
    """Without a device that pulls, `mailbox: true` changes no byte; nor does a pull
    key on a device that gets its bundle another way."""
    before = compile_tailnet(acme())
    assert compile_tailnet(changed(acme(), fra_gw=box())) == before
    keyed = changed(acme(), fra_gw=box(), ana_desk={"pull_key": PULL_KEY})
    assert compile_tailnet(keyed) == before


def test_lines_are_sorted_and_whole() -> None:
    """Several of both: one line each, in bytewise order."""
    second = Ssh("203.0.113.9", 22, host_key=HOST_KEY)
    tailnet = changed(
        acme(),
        fra_gw=box(),
        db_1=box(ssh=second),
        ben_desk=PULLS,
        ana_desk={**PULLS, "pull_key": HOST_KEY},
    )
    bundles = compile_tailnet(tailnet)
    keys = f"ana-desk {HOST_KEY}\nben-desk {PULL_KEY}\n".encode()
    assert {files(bundles[name])["mailbox"] for name in ("fra-gw", "db-1")} == {keys}
    doors = f"203.0.113.9 22 {HOST_KEY}\nbox.acme.com 2222 {HOST_KEY}\n".encode()
    assert files(bundles["ben-desk"])["mailboxes"] == doors


@pytest.mark.parametrize(
    ("ssh", "endpoints", "host"),
    [
        (Ssh("box.acme.com", host_key=HOST_KEY), (), "box.acme.com"),
        (Ssh("203.0.113.9", host_key=HOST_KEY), (), "203.0.113.9"),
        (Ssh("100.64.3.4", host_key=HOST_KEY), (), None),
        (Ssh("fd5c:91aa:7be0::9", host_key=HOST_KEY), (), None),
        (
            Ssh("100.64.3.4", host_key=HOST_KEY),
            (Endpoint(ip_address("203.0.113.7"), 51820),),
            "203.0.113.7",
        ),
        (None, (Endpoint(ip_address("203.0.113.7"), 51820),), None),
    ],
)
def test_a_mailbox_is_named_by_its_outside_address(
    ssh: Ssh | None, endpoints: tuple[Endpoint, ...], host: str | None
) -> None:
    """Who is not in the tailnet can't use an address of it."""
    fields = {"mailbox": True, "ssh": ssh, "endpoints": endpoints}
    tailnet = changed(acme(), fra_gw=fields, ana_desk=PULLS)
    bundle = compile_tailnet(tailnet)["ana-desk"]
    wanted = None if host is None else f"{host} 22 {HOST_KEY}\n".encode()
    assert files(bundle).get("mailboxes") == wanted


@pytest.mark.parametrize(
    "fields",
    [
        {"disabled": True},
        {"public_key": None},
        {"pull_key": None},
        {"delivery": Delivery.FILE},
    ],
)
def test_who_is_not_ready_has_no_key_there(fields: dict[str, object]) -> None:
    """A device that is off, awaits a key or gets its bundle another way opens none."""
    tailnet = changed(acme(), fra_gw=box(), ana_desk={**PULLS, **fields})
    gateway: Device = tailnet.devices["fra-gw"]
    assert gateway.mailbox
    assert "mailbox" not in files(compile_tailnet(tailnet)["fra-gw"])
