"""`tailgit export`: the policy for somebody else's control plane, a parcel to carry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from tailgit.cli.parcels import parcel
from tailgit.cli.tailnet import Commit, Format, Repo
from tailgit.errors import Exit

FORMAT_VERSION = 1

_ABOUT = "Write the policy in Tailscale's form, or a parcel to carry."

app = typer.Typer(help=_ABOUT, no_args_is_help=True)
app.command()(parcel)


@app.callback(help=_ABOUT)
def _export() -> None:
    """The group of commands itself does nothing."""


@app.command()
def policy(repo: Repo = Path(), commit: Commit = None, output: Format = "text") -> Exit:
    """Write the policy as Tailscale's policy file, HuJSON, to standard output.

    It means the same: groups, hosts, ipsets, tags and their owners, approvers,
    postures, rules, login rules and tests, with the comments above rules. Names of
    devices become entries of `hosts` (`db-1.ipv4` and `db-1.ipv6`). Rules that are
    disabled or over are left out, with a comment; deadlines are said in one, since
    Tailscale has none. Users, devices and names are no part of a policy file.

    Exits 3 if the tailnet has errors or a test of its policy fails, 1 if an ssh rule
    names a machine, which Tailscale's can't; nothing is written then.

    \b
    Examples:
      tailgit export policy > policy.hujson
      tailgit export policy --repo infra/prod --commit v1.2
    """
    from tailgit.cli.surroundings import surroundings
    from tailgit.cli.tailnet import valid_tailnet
    from tailgit.importers.export import export_policy
    from tailgit.importers.notes import as_data, as_text
    from tailgit.load.source import open_source, root_of

    tailnet = valid_tailnet(repo, commit)
    source, folder = open_source(repo, commit)
    root = root_of(source, folder, repo)
    exported = export_policy(source, root, tailnet, surroundings().now)
    if output == "json":
        document = {
            "format_version": FORMAT_VERSION,
            "policy": exported.text,
            "notes": as_data(exported.notes),
        }
        print(json.dumps(document, indent=2))
        return Exit.DONE
    print(exported.text, end="")
    sys.stdout.flush()
    if exported.notes:
        print(as_text(exported.notes), file=sys.stderr)
    return Exit.DONE
