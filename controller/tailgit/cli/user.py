"""tailgit user: the people of a tailnet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tailgit.cli.edits import DryRun, Yes, carry_out, seen_by, would_break
from tailgit.cli.tailnet import Format, Repo
from tailgit.model.text import shown

app = typer.Typer(help="Remove people, with all their traces.", rich_markup_mode=None)


@app.callback()
def user() -> None:
    """Remove people, with all their traces."""


@app.command()
def remove(
    login: Annotated[str, typer.Argument(metavar="USER", help="ana@acme.com")],
    repo: Repo = Path(),
    give_devices_to: Annotated[
        str | None,
        typer.Option(metavar="USER", help="Who gets their devices; else they go, too."),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Format = "text",
) -> None:
    """Take a person out of the repository: memberships, rules, tests, devices.

    One edit over all files, shown as one diff. A group that becomes empty stays. A
    rule without src or dst goes. Afterwards the login is nowhere but in comments,
    which are listed. Nothing happens on any device: apply the commit.

    Example: tailgit user remove kim@acme.com --give-devices-to ana@acme.com --dry-run
    """
    from tailgit.edit.removal import remove_user

    with would_break(f"{login} can't be removed"):
        made = remove_user(repo, login, give_devices_to)

    def summary() -> list[str]:
        devices = [f"device {shown(each)} is removed, too" for each in made.devices]
        gone = [f"gone:  {shown(str(place))}" for place in made.rules]
        next_ = "Next:  git add -A and commit it, then tailgit plan"
        return [f"{shown(login)} is removed", *devices, *gone, next_]

    devices = f" and {', '.join(map(shown, made.devices))}" if made.devices else ""
    carry_out(
        made.change,
        dry_run=dry_run,
        question=f"Remove {shown(login)}{devices}?",
        yes=yes,
        output=output,
        notes=[
            *map(str, made.notes),
            *(f"`{shown(each)}` is empty now" for each in made.emptied),
            *seen_by(made.others),
        ],
        summary=summary,
    )
