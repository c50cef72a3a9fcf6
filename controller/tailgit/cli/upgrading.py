"""tailgit device upgrade: bring nodes the tailgit-node of this tailgit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tailgit.cli.carrying import SigningKey, Yes
from tailgit.cli.fleet import (
    Identity,
    Parallel,
    SshConfig,
    Ways,
    agreed,
    field,
    progress,
)
from tailgit.cli.tailnet import Repo
from tailgit.errors import Exit, UsageError
from tailgit.model.codes import OF_TESTS


def upgrade(
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="NODE...", help="Else every node.")
    ] = None,
    repo: Repo = Path(),
    yes: Yes = False,
    signing_key: SigningKey = None,
    identity: Identity = None,
    ssh_config: SshConfig = None,
    parallel: Parallel = 32,
) -> Exit:
    """Bring nodes the tailgit-node script of this tailgit.

    The script is what verifies and loads everything on a node, as root. So it is only
    replaced by a signed one, never by an older one, and never by `apply` on the side.
    One node goes first, and has to answer with the new script before the others get
    it. What runs on the nodes goes on untouched.

    Exit: 0 all have it, 1 the answer was no, 3 the tailnet is not valid, 5 a node was
    not reached or refused it.

    Example: tailgit device upgrade db-1 && tailgit device upgrade
    """
    import sys

    from tailgit.deploy.observe import observe_all
    from tailgit.deploy.sign import sign
    from tailgit.deploy.sign import signing_key as key_of
    from tailgit.deploy.survey import logins_of
    from tailgit.deploy.upgrade import Script, outdated
    from tailgit.deploy.upgrade import upgrade as carry_out
    from tailgit.model.text import shown
    from tailgit.plan.observed import Observed
    from tailgit.resources import directory

    script = Script((directory("node") / "tailgit-node").read_bytes())
    with field(
        repo, None, Ways(identity, ssh_config, parallel), passed_over=OF_TESTS
    ) as there:
        logins = logins_of(there.tailnet.devices, there.tailnet.devices)
        unknown = [node for node in nodes or () if node not in logins]
        if unknown:
            raise UsageError(
                f"{unknown[0]} is no device that is enrolled and reached over SSH"
            )
        chosen = list(dict.fromkeys(nodes or sorted(logins)))
        there.fleet.call(logins[node] for node in chosen)
        answers = there.runner.run(observe_all(there.fleet, chosen, progress))
        seen = {n: one for n, one in answers.items() if isinstance(one, Observed)}
        behind = outdated(seen, script)
        if behind:
            key = key_of(signing_key, repo, Path.home())
            if not yes:
                if not sys.stdin.isatty():
                    raise UsageError("nobody is here to say yes", "give --yes")
                agreed(f"Replace the script on {', '.join(behind)}?")
            packed = script.packed(lambda said: sign(said, there.tailnet.name, key))
            failed = there.runner.run(
                carry_out(behind, packed, script.digest, there.fleet, progress)
            )
        else:
            failed = {}
    for node, why in failed.items():
        print(f"  x {shown(node)}  {shown(why)}")
    has = len(seen) - len(failed)
    print(f"{has} of {len(chosen)} nodes have serial {script.serial} or a newer one.")
    return Exit.DONE if has == len(chosen) else Exit.INCOMPLETE
