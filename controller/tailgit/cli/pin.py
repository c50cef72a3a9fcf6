"""`tailgit pin`: addresses and relay slots that have to be written down."""

from __future__ import annotations

from pathlib import Path

from tailgit.cli.edits import DryRun, carry_out, would_break
from tailgit.cli.tailnet import Format, Repo
from tailgit.errors import Exit
from tailgit.model.text import shown


def pin(
    repo: Repo = Path(),
    dry_run: DryRun = False,
    output: Format = "text",
) -> Exit:
    """Write down addresses and relay slots that need it.

    Run it where `check` says address-clash, slot-clash or slot-missing, which mostly
    is after a merge: two branches can choose one address or one slot without git
    seeing a conflict. The device that is in older commits keeps what it has, the
    other gets `ipv4:` or `relaySlot:`. Nothing else changes, and a second run finds
    nothing to do.

    \b
    Examples:
      tailgit pin
      tailgit pin --repo infra/tailnet --dry-run
    """
    from tailgit.edit.pin import pin as pinned

    with would_break("nothing can be pinned"):
        made = pinned(repo)
    notes = [
        f"{shown(each.device)} was in use: its nodes and peers change with {each.field}"
        for each in made.pins
        if each.enrolled
    ]

    def summary() -> list[str]:
        lines = []
        for each in made.pins:
            why = f"   ({shown(each.instead)})" if each.instead else ""
            lines.append(f"{shown(each.device)}  {each.field}: {each.value}{why}")
        return lines or ["nothing to pin"]

    carry_out(made.change, dry_run=dry_run, output=output, notes=notes, summary=summary)
    return Exit.DONE
