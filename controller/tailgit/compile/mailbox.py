"""Who may fetch from a mailbox, and which mailboxes a device that pulls asks.

A mailbox gets the file `mailbox`: the devices whose parcels it holds, each with the SSH
key that may fetch that one parcel. A device that pulls gets `mailboxes`: where each is
reached from outside of the tailnet and the one host key that is taken there. Nobody
else's bundle has either, so a new laptop changes nothing but the mailboxes.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailgit.model.tailnet import Delivery, Device, Tailnet


def key_lines(devices: Iterable[Device]) -> bytes:
    """`NODE TYPE BASE64` for each device that pulls and is ready to, by name."""
    pulling = [
        f"{each.name} {each.pull_key}\n"
        for each in devices
        if each.delivery is Delivery.PULL and each.pull_key and each.public_key
    ]
    return "".join(sorted(pulling)).encode()


def door_lines(tailnet: Tailnet, devices: Iterable[Device]) -> bytes:
    """`HOST PORT TYPE BASE64` for each mailbox that can be pulled from, sorted."""
    doors = []
    for each in devices:
        host = tailnet.outside_host(each)
        if each.mailbox and host and each.ssh is not None and each.ssh.host_key:
            doors.append(f"{host} {each.ssh.port} {each.ssh.host_key}\n")
    return "".join(sorted(doors)).encode()
