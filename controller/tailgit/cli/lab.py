"""`tailgit lab`: a whole tailnet in namespaces on this machine."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import Commit, Format, valid_tailnet
from tailgit.errors import Exit, LabError, UsageError

if TYPE_CHECKING:
    from tailgit.lab import Lab

app = typer.Typer(
    no_args_is_help=True,
    help="""Run a whole tailnet in namespaces on this machine.

    Every device becomes a machine of its own: network, processes, /etc, sshd. They
    are joined by a small Internet, with a controller that reaches them as a real one
    would, by SSH. Nothing outside the lab is changed, and nothing of it is left once
    it is down.

    \b
    Examples:
      sudo tailgit lab up
      sudo tailgit lab exec db-1 -- wg show
      sudo tailgit lab verify
      sudo tailgit lab down
    """,
)

Root = Annotated[
    Path, typer.Argument(metavar="[PATH]", help="The folder that holds tailnet.yaml.")
]
Name = Annotated[
    str | None,
    typer.Option(
        help="The lab's name; else the tailnet's in this folder, else the only lab's."
    ),
]


@app.command()
def up(
    path: Root = Path(),
    name: Annotated[
        str | None, typer.Option(help="The lab's name; else the tailnet's.")
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Machines only: enroll and apply nothing.")
    ] = False,
) -> None:
    """Build the machines of a tailnet, enroll them and apply the newest commit.

    Works on a clone of the repository inside the lab, with fresh keys: your files
    stay as they are. With --bare the machines are fresh servers that only root's key
    on the controller (/run/tailgit-lab/admin) opens.

    \b
    Examples:
      sudo tailgit lab up
      sudo tailgit lab up infra/staging --name try
      sudo tailgit lab up --bare
    """
    from tailgit.lab import Lab, topology_of
    from tailgit.lab.populate import populate

    # What is applied is a commit, so the machines are those of the commit.
    tailnet = valid_tailnet(path, None if bare else "HEAD", for_nodes=True)
    lab = Lab.up(topology_of(tailnet, name), repo=path, progress=_say)
    try:
        clone = None if bare else populate(lab, path, _say)
        lab.stay()
    except BaseException:
        lab.down()
        raise
    for node in lab.nodes:
        print(f"{node}  {' '.join(lab.addresses(node))}")
    if clone:
        _say(f"the lab's clone of the repository is {clone} on @controller")
    _say(f"enter a machine: tailgit lab exec --name {lab.name} {lab.nodes[0]} -- bash")


@app.command()
def status(output: Format = "text") -> None:
    """List the labs that are up, and their machines.

    \b
    Examples:
      sudo tailgit lab status
      sudo tailgit lab status --format json
    """
    from tailgit.lab import Lab, running

    labs = []
    for name in running():
        # One that ends just now is not up.
        with suppress(LabError):
            labs.append(Lab.open(name))
    if output == "json":
        print(json.dumps({"format_version": 1, "labs": [*map(_as_data, labs)]}))
    elif not labs:
        print("no lab is up")
    for lab in labs if output == "text" else ():
        print(f"{lab.name}  {lab.repo or ''}".rstrip())
        for machine in sorted(lab.machines):
            print(f"  {machine}  {' '.join(lab.addresses(machine))}".rstrip())


def _as_data(lab: Lab) -> dict[str, object]:
    machines = [
        {
            "name": machine,
            "role": lab.roles[machine],
            "addresses": list(lab.addresses(machine)),
            "pid": lab.pid(machine),
        }
        for machine in sorted(lab.machines)
    ]
    return {"name": lab.name, "repo": lab.repo, "machines": machines}


@app.command("exec", context_settings={"allow_interspersed_args": False})
def execute(
    machine: Annotated[
        str, typer.Argument(metavar="NODE|@controller", help="Where to run it.")
    ],
    command: Annotated[list[str], typer.Argument(metavar="CMD", help="What to run.")],
    name: Name = None,
) -> None:
    """Run a command in a machine of the lab.

    Standard input, output and the terminal are yours; so is the exit code. The
    controller sees your files where they are and knows the nodes by name.

    \b
    Examples:
      sudo tailgit lab exec db-1 -- bash
      sudo tailgit lab exec @controller -- ssh root@db-1 nft list ruleset
      sudo tailgit lab exec --name try web-1 -- ping -c 1 db-1
    """
    lab = _opened(name)
    # Ctrl-C is for the command; the nsenter before it would die of it as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    inner = ["env", "--default-signal=INT,QUIT", *command]
    argv = lab.command(machine, inner)
    os.execvpe(argv[0], argv, lab.environment(machine))


@app.command()
def verify(
    path: Root = Path(),
    name: Annotated[
        str | None, typer.Option(help="The lab's name; else the tailnet's.")
    ] = None,
    commit: Commit = None,
    output: Format = "text",
) -> Exit:
    """Send packets for each entry of `tests:` and compare them with the policy.

    Every device behind `src` tries every target, by IPv4 and IPv6. A denied target
    counts only while its listener is proven alive. Exits 3 where packets and policy
    differ, or where nothing could be probed at all.

    \b
    Examples:
      sudo tailgit lab verify
      sudo tailgit lab verify --format json
    """
    from tailgit.lab import Lab
    from tailgit.probe.report import as_json, as_text
    from tailgit.probe.verify import expectations, verify

    tailnet = valid_tailnet(path, commit, tests=False)
    if not tailnet.tests:
        raise UsageError(
            f"{tailnet.name} has no `tests:`, so there is nothing to verify",
            "write some: tests: [{src: group:x, accept: ['db-1:5432']}]",
        )
    lab = Lab.open(name or tailnet.name)
    verdicts = verify(lab, expectations(tailnet))
    print(as_json(verdicts) if output == "json" else as_text(verdicts))
    met = {verdict.met for verdict in verdicts}
    return Exit.DONE if True in met and False not in met else Exit.INVALID


@app.command()
def down(name: Name = None) -> None:
    """End a lab: its machines, networks and files are gone.

    \b
    Examples:
      sudo tailgit lab down
      sudo tailgit lab down --name try
    """
    lab = _opened(name)
    lab.down()
    _say(f"lab {lab.name} is down")


def _opened(name: str | None) -> Lab:
    """The lab of that name; else that of the tailnet in this folder; else the only
    one, unless this folder has a tailnet without a lab."""
    from tailgit.lab import Lab, running

    if name is None and Path("tailnet.yaml").is_file():
        name = valid_tailnet(Path(), tests=False).name
    names = running()
    if name is None and len(names) != 1:
        raise LabError(
            f"{len(names)} labs are up: {', '.join(names)}"
            if names
            else "no lab is up",
            "say which: --name" if names else "tailgit lab up starts one",
        )
    return Lab.open(name or names[0])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
