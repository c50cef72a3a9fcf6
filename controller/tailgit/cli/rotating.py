"""tailgit device rotate: another WireGuard key for a machine, in two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tailgit.cli.edits import DryRun, carry_out, would_break
from tailgit.cli.fleet import Identity, SshConfig, Ways
from tailgit.cli.tailnet import Repo, valid_tailnet
from tailgit.errors import Refused, UsageError
from tailgit.model.near import meant
from tailgit.model.tailnet import Delivery, Device, Tailnet
from tailgit.model.text import shown

if TYPE_CHECKING:
    from tailgit.deploy.fleet import Contact
    from tailgit.edit.change import Change

T = TypeVar("T")


def rotate(
    name: Annotated[
        str, typer.Argument(metavar="DEVICE", help="Its name in the repository.")
    ],
    repo: Repo = Path(),
    finish: Annotated[
        bool, typer.Option("--finish", help="Let the next key take the place.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Take the next key back; nothing changes.")
    ] = False,
    public_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The next public key of a device that can't be asked over SSH.",
        ),
    ] = None,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    dry_run: DryRun = False,
) -> None:
    """Give a machine another WireGuard key, in two steps.

    The first has the machine make a key, which never leaves it, and writes the public
    half into the file as nextPublicKey, for review; nothing else changes yet. The
    second, --finish, sees that the machine still has that key and makes it publicKey.
    Commit each; apply the second in a commit of its own, as then the machine and its
    peers are switched together. A pair is apart between the switches of its two ends.
    The machine forgets the old key once no generation that it keeps needs it.

    A device without SSH delivery makes the key itself (on a node: sudo
    /usr/local/lib/tailgit/tailgit-node request key TAILNET; else wg genkey), and
    --public-key names it here.

    Example: tailgit device rotate db-1, and after the commit: ... db-1 --finish
    """
    if finish and abort:
        raise UsageError("--finish and --abort: one or the other")
    if public_key is not None and (finish or abort):
        raise UsageError("--public-key begins a rotation; --finish knows the key")
    tailnet = valid_tailnet(repo)
    device = _device(tailnet, name)
    ways = Ways(identity, ssh_config)
    if abort:
        change, lines = _aborted(repo, device)
    elif finish:
        change, lines = _finished(repo, tailnet, device, ways)
    else:
        change, lines = _staged(repo, tailnet, device, ways, public_key)
    carry_out(change, dry_run=dry_run, summary=lambda: lines)


def _device(tailnet: Tailnet, name: str) -> Device:
    device = tailnet.devices.get(name)
    if device is None:
        near = meant(name, tailnet.devices)
        raise UsageError(f"{tailnet.name} has no device `{shown(name)}`", near)
    if device.disabled:
        raise Refused(f"{name} is disabled", "take `disabled: true` out first")
    if device.public_key is None:
        raise Refused(
            f"{name} has no key yet", f"enroll it first: tailgit device enroll {name}"
        )
    return device


def _staged(
    repo: Path,
    tailnet: Tailnet,
    device: Device,
    ways: Ways,
    public_key: str | None,
) -> tuple[Change, list[str]]:
    """The change that announces the next key."""
    from tailgit.deploy.rotation import spare_key
    from tailgit.edit.rotation import staged

    name = device.name
    if public_key is not None and device.delivery is Delivery.SSH:
        raise UsageError(
            f"{name} is reached over SSH and makes its next key itself",
            f"leave --public-key out: tailgit device rotate {name}",
        )
    if public_key is None:
        _reachable(device, f"tailgit device rotate {name} --public-key KEY")
        key = _asked(tailnet, device, ways, lambda at: spare_key(at, device))
    else:
        key = public_key
    if device.next_public_key not in (None, key):
        raise Refused(
            f"{name} has another nextPublicKey than the key that is there to go over "
            f"to: {device.next_public_key}, not {key}",
            f"if that one is lost: tailgit device rotate {name} --abort, then again",
        )
    with would_break(f"{name} can't be rotated to that key"):
        change = staged(repo, device, key)
    said = "is written" if change.files else "was written already"
    return change, [
        f"{name}: the next key {said}: {key}",
        f"Next:  commit and apply it, then tailgit device rotate {name} --finish",
    ]


def _finished(
    repo: Path, tailnet: Tailnet, device: Device, ways: Ways
) -> tuple[Change, list[str]]:
    """The change after which the next key is the key, if the device really has it."""
    from tailgit.deploy.rotation import has_key
    from tailgit.edit.rotation import finished

    name, key = device.name, device.next_public_key
    if key is None:
        raise Refused(
            f"{name} has no nextPublicKey", f"begin with: tailgit device rotate {name}"
        )
    note = []
    if device.delivery is Delivery.SSH:
        _reachable(device, "")
        if not _asked(tailnet, device, ways, lambda at: has_key(at, key)):
            raise Refused(
                f"{name} does not have the private half of its nextPublicKey {key}",
                f"tailgit device rotate {name} --abort, then begin again",
            )
    else:
        note = [f"{name} was not asked whether it has that key: be sure that it does"]
    with would_break(f"{name} can't be rotated"):
        change = finished(repo, device)
    return change, [
        f"{name}: publicKey is {key} from now on",
        *note,
        "Next:  commit it alone, then tailgit plan and tailgit apply",
    ]


def _aborted(repo: Path, device: Device) -> tuple[Change, list[str]]:
    from tailgit.edit.rotation import aborted

    if device.next_public_key is None:
        raise Refused(f"{device.name} has no nextPublicKey: no rotation is under way")
    with would_break(f"the rotation of {device.name} can't be taken back"):
        change = aborted(repo, device)
    return change, [
        f"{device.name} keeps {device.public_key}",
        "Next:  commit it; the spare key stays on the machine for the next rotation",
    ]


def _reachable(device: Device, by_hand: str) -> None:
    """`Refused` for a device that nobody can ask, with the way that there is."""
    if device.delivery is not Delivery.SSH:
        raise Refused(
            f"{device.name} has delivery: {device.delivery}, so it can't be asked for "
            "a key",
            f"make one there and name it here: {by_hand}",
        )
    if device.ssh is None or not device.ssh.is_known:
        raise Refused(
            f"{device.name} has no ssh.hostKey, so nobody can be asked for it",
            f"tailgit device enroll {device.name}",
        )


def _asked(
    tailnet: Tailnet,
    device: Device,
    ways: Ways,
    question: Callable[[Contact], Awaitable[T]],
) -> T:
    """One question to the device; raises a `NodeError`."""
    from tailgit.deploy.fleet import Contact
    from tailgit.deploy.ssh import login_of

    login = login_of(device)
    assert login is not None

    async def ask() -> T:
        contact = Contact(ways.executor(), tailnet.name, login)
        try:
            return await question(contact)
        finally:
            await contact.hang_up()

    return asyncio.run(ask())
