"""tailgit device add, rename, remove: what the repository says of a machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tailgit.cli.edits import DryRun, Yes, carry_out, seen_by, would_break
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit, UsageError
from tailgit.model.tailnet import Delivery, Device
from tailgit.model.text import shown

Name = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Its name in the repository.")
]


class How(StrEnum):
    """The ways a bundle gets to a device."""

    SSH = "ssh"
    PULL = "pull"
    FILE = "file"
    WG_QUICK = "wg-quick"


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A DNS label.")],
    repo: Repo = Path(),
    owner: Annotated[
        str | None, typer.Option(metavar="USER", help="Whose machine it is.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="tag:X", help="What it is, if nobody's. Repeatable."),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS:PORT", help="Where it is reached from outside. Repeatable."
        ),
    ] = None,
    public_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Its WireGuard key; enrolling writes it."),
    ] = None,
    ssh_host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Where to log in, if not at the endpoint."),
    ] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(metavar="PREFIX", help="A subnet that it carries. Repeatable."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DATE", help="Its last day, 2027-01-31.")
    ] = None,
    delivery: Annotated[
        How | None, typer.Option(help="How it gets its bundle; else as it can be.")
    ] = None,
    dry_run: DryRun = False,
    output: Format = "text",
) -> Exit:
    """Declare a machine: write devices/NAME.yaml below the root.

    One file for each device, so that two branches that add devices merge without a
    conflict. In a folder below the root (or with --repo such a folder) the file goes
    there: a team adds to its own. The tailnet is judged with the new file before it
    is written.

    Exit: 0 written, 3 it would bring an error (nothing is written), or another device
    has its address (it is written, and `tailgit pin` mends it), 4 name or file are
    taken.

    Example: tailgit device add db-2 --tag tag:db --endpoint 203.0.113.12:51820
    """
    from tailgit.edit.addition import add_device

    if bool(owner) == bool(tag):
        raise UsageError(
            "a person's machine has an owner, everything else has tags",
            "give --owner USER, or --tag tag:X",
        )
    fields = {
        "owner": owner,
        "tags": tag,
        "publicKey": public_key,
        "endpoints": endpoint,
        "ssh": {"host": ssh_host} if ssh_host else None,
        "routes": route,
        "delivery": delivery and str(delivery),
        "expires": expires,
    }
    with would_break(f"{name} can't be added like this"):
        made = add_device(repo, name, {k: v for k, v in fields.items() if v})
    device, notes = made.device, []
    if made.clash is not None:
        notes = [f"{shown(made.clash.message)}: not valid until it is pinned"]

    def summary() -> list[str]:
        todo = _let_in(device)
        if made.clash is not None:
            todo = f"tailgit pin, which gives {name} another address; then {todo}"
        elif device.public_key is not None:
            todo = "commit it, then tailgit plan"
        addresses = f"{device.ipv4}, {device.ipv6}"
        return [f"{name} will have {addresses}", f"Next:  {todo}"]

    carry_out(made.change, dry_run=dry_run, output=output, notes=notes, summary=summary)
    return Exit.DONE if made.clash is None else Exit.INVALID


def _let_in(device: Device) -> str:
    """The command that gets the device its keys, by the way that it gets its files."""
    if device.delivery is Delivery.PULL:
        return f"tailgit device join {device.name} --out {device.name}.sh"
    if device.delivery is Delivery.WG_QUICK:
        return f"tailgit device export {device.name} --new-key --out {device.name}.conf"
    todo = f"tailgit device enroll {device.name}"
    return todo if device.ssh is not None else f"{todo} --login root@HOST"


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Its name now.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    repo: Repo = Path(),
    dry_run: DryRun = False,
    output: Format = "text",
) -> None:
    """Give a device another name, everywhere in the repository.

    The old name goes into `formerly`, so addresses, port and relay slot stay; rules,
    tests and everything else that names the device follow. Who may reach whom is
    compared before and after, and must be the same. Comments are left and listed.

    Example: tailgit device rename db-1 db-main --dry-run
    """
    from tailgit.edit.addition import device_name
    from tailgit.edit.renaming import rename_device

    device_name(new)
    with would_break(f"{old} can't be renamed"):
        made = rename_device(repo, old, new)

    def summary() -> list[str]:
        return [
            f"{old} is {new}; {_count(made.references, 'reference')} changed",
            f"  stays  {made.device.ipv4}, {made.device.ipv6}, and who may reach whom",
            "Next:  git add -A and commit it, then tailgit plan",
        ]

    carry_out(
        made.change,
        dry_run=dry_run,
        output=output,
        notes=[*map(str, made.notes), *seen_by(made.others)],
        summary=summary,
    )


def remove(
    name: Name,
    repo: Repo = Path(),
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Format = "text",
) -> None:
    """Take a device out of the repository, with every reference to it.

    It is taken out of lists; a rule without src or dst goes, a test about it, too.
    What a person must decide (a gateway, an exit node, the controller) is refused
    with its places. Nothing happens on the device itself: apply the commit.

    Example: tailgit device remove old-laptop --dry-run
    """
    from tailgit.edit.removal import remove_device

    with would_break(f"{name} can't be removed"):
        made = remove_device(repo, name)

    def summary() -> list[str]:
        gone = [f"gone:  {shown(str(place))}" for place in made.rules]
        return [
            f"{shown(name)} is removed",
            *gone,
            "Next:  git add -A and commit it, then tailgit plan",
        ]

    carry_out(
        made.change,
        dry_run=dry_run,
        question=f"Remove {shown(name)}?",
        yes=yes,
        output=output,
        notes=[
            *map(str, made.notes),
            *(f"`{shown(each)}` is empty now" for each in made.emptied),
            *seen_by(made.others),
        ],
        summary=summary,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
